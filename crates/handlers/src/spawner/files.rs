//! The files that a command may leave behind: a result, and lines about its progress.

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use wire::child::ResultFile;

/// How much of the end of a progress file is looked at for its last line.
const PROGRESS_BYTES_MAX: u64 = 4 * 1024;

/// Takes the result away, if there is one.
pub(super) fn take_result(path: &Bytes, bytes_max: u64) -> Option<ResultFile> {
    let opened = open(path).transpose()?;
    let result = opened.and_then(|file| read_result(&file, bytes_max));
    remove(path);
    Some(result.unwrap_or_else(|error| ResultFile {
        error: error.to_string(),
        ..ResultFile::default()
    }))
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

/// Takes the last line of progress away; empty when there is none.
pub(super) fn take_progress(path: &Bytes) -> Bytes {
    let Some(opened) = open(path).transpose() else {
        return Bytes::new();
    };
    remove(path);
    // It is only for people: one that cannot be read is as good as none.
    opened
        .and_then(|mut file| last_line(&mut file))
        .unwrap_or_default()
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

/// Removes whatever is there, so that the next attempt with this path finds nothing.
fn remove(path: &Bytes) {
    let path = Path::new(OsStr::from_bytes(path));
    // One that cannot be removed is found by the next attempt, whose report will name it.
    if std::fs::remove_file(path).is_err() {
        std::fs::remove_dir_all(path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(folder: &tempfile::TempDir, name: &str) -> Bytes {
        let path = folder.path().join(name);
        Bytes::copy_from_slice(path.as_os_str().as_bytes())
    }

    #[test]
    fn what_is_not_a_file_is_said_to_be_so_and_is_removed_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        std::fs::create_dir_all(at.join("folder/full")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", at.join("link")).unwrap();
        for (name, said) in [("folder", "not a regular file"), ("link", "symbolic links")] {
            let result = take_result(&path(&folder, name), 10).unwrap();
            assert!(result.error.contains(said), "{}", result.error);
            assert_eq!(take_result(&path(&folder, name), 10), None);
        }
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
