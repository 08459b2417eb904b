//! What can go wrong with the files, in the words of whoever has to repair it.

use domain::ports::StoreError;
use rusqlite::ErrorCode;
use std::path::PathBuf;

/// The data folder cannot be used. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It cannot be made, or cannot be written.
    #[error(
        "data folder {}: expected a folder that can be written, got: {error}; \
         make it writable or choose another with --data",
        .folder.display()
    )]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Another process works on it.
    #[error(
        "data folder {}: expected to be its only user, but process {owner} has it open; \
         stop that process or choose another folder with --data",
        .folder.display()
    )]
    InUse {
        /// Which folder.
        folder: PathBuf,
        /// The other's process id, as far as it could be read.
        owner: String,
    },
    /// A file that is not ours.
    #[error(
        "{}: expected a file of goaround, got {found}; \
         move it away, or choose another folder with --data",
        .file.display()
    )]
    Foreign {
        /// Which file.
        file: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// A file of a newer goaround.
    #[error(
        "{}: expected schema version {known} or older, got {found}; \
         it was written by a newer goaround: start that one, or restore the folder from a backup \
         made before the upgrade",
        .file.display()
    )]
    Newer {
        /// Which file.
        file: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A file that makes no sense.
    #[error(
        "{}: expected an intact database, got: {why}; it was left as it is: copy the folder, \
         then restore it from a backup, or save what can be read with \
         `sqlite3 FILE .recover` into a new file",
        .file.display()
    )]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Something that another try may change: a full disk, a busy file.
    #[error("{}: {error}", .file.display())]
    Store {
        /// Which file.
        file: PathBuf,
        /// What went wrong.
        error: StoreError,
    },
}

/// What stopped a statement: SQLite, or rows that make no sense.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    #[error("{0}")]
    Row(String),
    /// A question that cost more than one may.
    #[error("{0}")]
    TooMuch(&'static str),
}

impl Fault {
    /// A column that holds what was never written there.
    pub(crate) fn row(what: &str, found: impl std::fmt::Display) -> Self {
        Self::Row(format!("{what}: {found}"))
    }

    /// Whether the fault is the request's own, so that others may fare better without it.
    pub(crate) fn is_of_request(&self) -> bool {
        match self {
            Self::Row(_) | Self::TooMuch(_) => true,
            Self::Sql(error) => matches!(
                error.sqlite_error_code(),
                None | Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation)
            ),
        }
    }

    /// The same for callers, who know the file only by its name.
    pub(crate) fn into_store_error(self, file: &str) -> StoreError {
        let error = match self {
            Self::Row(why) => return StoreError::Damaged(format!("{file}: {why}")),
            Self::TooMuch(why) => return StoreError::Unavailable(format!("{file}: {why}")),
            Self::Sql(error) => error,
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full(file.to_owned()),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Damaged(format!("{file}: {error}"))
            }
            _ => StoreError::Unavailable(format!("{file}: {error}")),
        }
    }

    /// The same for whoever opens the file.
    pub(crate) fn into_open_error(self, file: &std::path::Path) -> OpenError {
        let name = file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        match self.into_store_error(&name) {
            StoreError::Damaged(why) => OpenError::Damaged {
                file: file.into(),
                why,
            },
            error => OpenError::Store {
                file: file.into(),
                error,
            },
        }
    }
}

/// What somebody hears who asks for more rows to be counted than can be.
pub(crate) const UNCOUNTED: &str = "there are too many tickets to be counted one by one; \
     leave `since` out: the sums over all of them are kept";

/// What everybody hears once the writer is gone.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(code: i32) -> Fault {
        Fault::Sql(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(code),
            None,
        ))
    }

    #[test]
    fn each_fault_is_told_by_what_can_be_done_about_it() {
        for (code, expected) in [
            (13, "the disk is full: books.db"),
            (11, "the store is damaged: books.db"),
            (26, "the store is damaged: books.db"),
            (10, "books.db"),
        ] {
            let said = sqlite(code).into_store_error("books.db").to_string();
            assert!(said.starts_with(expected), "{code}: {said}");
        }
    }

    #[test]
    fn only_a_requests_own_fault_is_worth_another_try_without_it() {
        assert!(sqlite(18).is_of_request(), "too big");
        assert!(!sqlite(13).is_of_request(), "full");
        assert!(!sqlite(10).is_of_request(), "input or output");
    }
}
