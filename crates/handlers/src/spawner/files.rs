//! The files that a command may leave behind: a result, and lines about its progress.

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use wire::child::ResultFile;

/// How much of the end of a progress file is looked at for its last line.
const PROGRESS_BYTES_MAX: u64 = 4 * 1024;

/// Takes the result away, if there is one.
pub(super) fn take_result(path: &Bytes, bytes_max: u64) -> Option<ResultFile> {
    let file = match open(path) {
        Ok(file) => file?,
        Err(error) => return Some(unreadable(&error)),
    };
    let result = read_result(&file, bytes_max).unwrap_or_else(|error| unreadable(&error));
    remove(path);
    Some(result)
}

fn read_result(mut file: &File, bytes_max: u64) -> io::Result<ResultFile> {
    let mut result = ResultFile {
        size_bytes: file.metadata()?.len(),
        ..ResultFile::default()
    };
    if result.size_bytes <= bytes_max {
        let mut content = Vec::new();
        file.by_ref().take(bytes_max).read_to_end(&mut content)?;
        result.content = content.into();
    }
    Ok(result)
}

fn unreadable(error: &io::Error) -> ResultFile {
    ResultFile {
        error: error.to_string(),
        ..ResultFile::default()
    }
}

/// Takes the last line of progress away; empty when there is none.
pub(super) fn take_progress(path: &Bytes) -> Bytes {
    // It is only for people: one that cannot be read is as good as none.
    let Ok(Some(mut file)) = open(path) else {
        return Bytes::new();
    };
    remove(path);
    last_line(&mut file).unwrap_or_default()
}

fn last_line(file: &mut File) -> io::Result<Bytes> {
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(PROGRESS_BYTES_MAX)))?;
    let mut end = Vec::new();
    file.take(PROGRESS_BYTES_MAX).read_to_end(&mut end)?;
    let lines = end.trim_ascii_end().rsplit(|byte| *byte == b'\n');
    Ok(Bytes::copy_from_slice(
        lines.take(1).next().unwrap_or_default(),
    ))
}

/// Opens a regular file; `None` when there is nothing. A pipe that a command put there must not
/// make us wait, and a link must not lead us elsewhere.
fn open(path: &Bytes) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let file = match rustix::fs::open(&path[..], flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match file.metadata()?.is_file() {
        true => Ok(Some(file)),
        false => Err(io::Error::other("not a regular file")),
    }
}

fn remove(path: &Bytes) {
    // One that stays is removed with the folder's other leftovers at the next start.
    std::fs::remove_file(Path::new(std::ffi::OsStr::from_bytes(path))).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(folder: &tempfile::TempDir, name: &str) -> Bytes {
        let path = folder.path().join(name);
        Bytes::copy_from_slice(path.as_os_str().as_bytes())
    }

    #[test]
    fn what_is_not_a_file_is_said_to_be_so() {
        let folder = tempfile::tempdir().unwrap();
        let result = take_result(&path(&folder, ""), 10).unwrap();
        assert_eq!(result.error, "not a regular file");
    }

    #[test]
    fn a_result_over_the_limit_has_a_size_and_no_content() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("r"), "12345").unwrap();
        let result = take_result(&path(&folder, "r"), 4).unwrap();
        assert_eq!((result.size_bytes, result.content.len()), (5, 0));
        assert_eq!(take_result(&path(&folder, "r"), 4), None, "it was taken");
    }

    #[test]
    fn the_last_line_of_progress_is_found_in_any_file() {
        let folder = tempfile::tempdir().unwrap();
        for (content, last) in [
            ("", ""),
            ("1 of 2", "1 of 2"),
            ("1 of 2\n2 of 2\n\n", "2 of 2"),
        ] {
            std::fs::write(folder.path().join("p"), content).unwrap();
            assert_eq!(&take_progress(&path(&folder, "p"))[..], last.as_bytes());
        }
        let long = "x\n".repeat(10_000) + "end\n";
        std::fs::write(folder.path().join("p"), long).unwrap();
        assert_eq!(&take_progress(&path(&folder, "p"))[..], b"end");
    }
}
