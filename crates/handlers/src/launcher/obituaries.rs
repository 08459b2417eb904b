//! The file `obituaries` in the data folder: how the last processes died, for those that come
//! after them.
//!
//! It is a message of journal records, as a worker's launcher also sends it. It is written whole
//! and fsynced, and holds the last few: a process that dies before it has judged what the one
//! before it left behind does not take that one's obituary with it.

use domain::names::Holder;
use domain::obituary::Obituary;
use domain::record::{Record, Said};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

const NAME: &str = "obituaries";
/// How many are kept.
pub const KEPT_MAX: usize = 16;
/// A longer file is not one of ours.
const BYTES_MAX: u64 = 1024 * 1024;

/// Adds what a launcher has to say. Durable when it returns.
///
/// # Errors
/// When the folder is not there or cannot be written.
pub fn add(folder: &Path, gone: Record) -> io::Result<()> {
    let mut records = records(folder);
    records.push(gone);
    let excess = records.len().saturating_sub(KEPT_MAX);
    let bytes = wire::record::encode(&records[excess..]);
    // Roles may share a folder: each launcher builds a file of its own.
    let next = folder.join(format!("{NAME}.{}.next", std::process::id()));
    let mut file = File::create(&next)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&next, folder.join(NAME))?;
    File::open(folder)?.sync_all()
}

/// What a launcher has said of this process.
pub fn find(folder: &Path, holder: &Holder) -> Option<Record> {
    let is_about =
        |record: &Record| matches!(&record.said, Said::Gone { holder: of, .. } if of == holder);
    records(folder).into_iter().rfind(is_about)
}

/// How the last processes died that had this folder.
pub fn read(folder: &Path) -> BTreeMap<Holder, Obituary> {
    let told = |record: Record| match record.said {
        Said::Gone {
            holder,
            obituary: Some(obituary),
            ..
        } => Some((holder, obituary.bounded())),
        _ => None,
    };
    records(folder).into_iter().filter_map(told).collect()
}

/// A file that is missing or damaged tells nothing: then deaths are told without details.
fn records(folder: &Path) -> Vec<Record> {
    let file = folder.join(NAME);
    match fs::metadata(&file) {
        Ok(about) if about.len() <= BYTES_MAX => {}
        Ok(_) => {
            tracing::warn!("{} is too long to be read", file.display());
            return Vec::new();
        }
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("{} cannot be read: {error}", file.display());
            }
            return Vec::new();
        }
    }
    let read = fs::read(&file).map_err(|error| error.to_string());
    let read = read.and_then(|bytes| wire::record::decode(&bytes).map_err(|bad| bad.to_string()));
    read.unwrap_or_else(|why| {
        tracing::warn!("{} cannot be read: {why}", file.display());
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::outcome::Exit;
    use domain::time::Timestamp;

    const AT: Timestamp = Timestamp::from_micros(1_795_269_802_120_000);

    fn holder(n: usize) -> Holder {
        Holder::new(&format!("host:{n}")).unwrap()
    }

    fn gone(n: usize) -> Record {
        let obituary = Obituary {
            exit: Exit::Signal(9),
            began_at: AT,
            died_at: AT,
            memory_bytes_max: Some(n as u64),
            oom_kills: 0,
            last_words: "x".repeat(Obituary::LAST_WORDS_BYTES_MAX),
        };
        Record {
            by: holder(n),
            at: AT,
            said: Said::Gone {
                holder: holder(n),
                why: "signal 9".into(),
                obituary: Some(Box::new(obituary)),
            },
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_and_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("nowhere");
        assert!(add(&nowhere, gone(1)).is_err());
        assert!(read(&nowhere).is_empty());
        assert_eq!(find(&nowhere, &holder(1)), None);
    }

    #[test]
    fn a_damaged_file_tells_nothing_and_the_next_death_is_told_again() {
        let folder = tempfile::tempdir().unwrap();
        add(folder.path(), gone(1)).unwrap();
        let file = folder.path().join(NAME);
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        assert!(read(folder.path()).is_empty());
        add(folder.path(), gone(2)).unwrap();
        assert_eq!(find(folder.path(), &holder(2)), Some(gone(2)));
    }

    #[test]
    fn the_last_few_are_kept_and_found_by_who_died() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..KEPT_MAX + 5 {
            add(folder.path(), gone(n)).unwrap();
        }
        let kept = read(folder.path());
        assert_eq!(kept.len(), KEPT_MAX);
        assert!(!kept.contains_key(&holder(4)) && kept.contains_key(&holder(5)));
        let memory = kept[&holder(9)].memory_bytes_max;
        assert_eq!(memory, Some(9));
        let length = fs::metadata(folder.path().join(NAME)).unwrap().len();
        assert!(length < 128 * 1024, "{length}");
    }
}
