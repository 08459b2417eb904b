//! The intent file of this process: what it has started, for whoever opens the folder after it.
//!
//! Written, not fsynced: what was written outlives the process, though not a power loss.

use crate::error::OpenError;
use crate::lease::InHand;
use domain::names::Holder;
use domain::ports::StoreError;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use wire::intent::{self, Begun, Intents};

const NAME: &str = "intents";
/// Where a file is built before it takes the place of the old one.
const NEXT: &str = "intents.next";
/// Where a file goes that cannot be read.
const DAMAGED: &str = "intents.damaged";

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct IntentFile {
    folder: PathBuf,
    holder: Holder,
    file: File,
    size_bytes: u64,
    size_bytes_max: u64,
    buffer: Vec<u8>,
}

/// What the process before this one had started. A file that cannot be read is kept aside.
pub(crate) fn left_behind(folder: &Path) -> Result<Option<Intents>, OpenError> {
    let bad = |error| OpenError::Folder {
        folder: folder.into(),
        error,
    };
    let bytes = match std::fs::read(folder.join(NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(bad(error)),
    };
    match intent::read(&bytes) {
        Ok(Some(intents)) => {
            if intents.damaged > 0 {
                let count = intents.damaged;
                tracing::warn!("{count} records of the intent file {NAME} cannot be read");
            }
            Ok(Some(intents))
        }
        Ok(None) => Ok(None),
        Err(error) => {
            tracing::error!(
                "the intent file {NAME} cannot be read ({error}); it is kept as {DAMAGED}; \
                 what ran when the process died runs again without a report"
            );
            std::fs::rename(folder.join(NAME), folder.join(DAMAGED)).map_err(bad)?;
            Ok(None)
        }
    }
}

/// Whether an intent file that could not be read was kept aside.
pub(crate) fn damaged(folder: &Path) -> Option<PathBuf> {
    let file = folder.join(DAMAGED);
    file.exists().then_some(file)
}

impl IntentFile {
    /// A new file in the place of the last one.
    pub(crate) fn begin(
        folder: &Path,
        holder: Holder,
        size_bytes_max: u64,
    ) -> std::io::Result<Self> {
        let (file, size_bytes) = build(folder, &holder, &[])?;
        Ok(Self {
            folder: folder.into(),
            holder,
            file,
            size_bytes,
            size_bytes_max,
            buffer: Vec::new(),
        })
    }

    /// Appends a group in one write.
    pub(crate) fn append(&mut self, group: impl Iterator<Item = Begun>) -> Result<(), StoreError> {
        self.buffer.clear();
        for begun in group {
            intent::append(&begun, &mut self.buffer);
        }
        if let Err(error) = self.file.write_all(&self.buffer) {
            // A part of a record would shift all that follow, so it is cut off again.
            if let Err(error) = self.file.set_len(self.size_bytes) {
                tracing::error!("the intent file {NAME} cannot be cut back: {error}");
            }
            return Err(store_error(&error));
        }
        self.size_bytes += self.buffer.len() as u64;
        Ok(())
    }

    /// Whether it is time to write it anew.
    pub(crate) const fn is_full(&self) -> bool {
        self.size_bytes >= self.size_bytes_max
    }

    /// Writes it anew with only what is not settled yet.
    pub(crate) fn compact(&mut self, running: &[InHand]) -> Result<(), StoreError> {
        let built = build(&self.folder, &self.holder, running);
        let (file, size_bytes) = built.map_err(|error| store_error(&error))?;
        self.file = file;
        self.size_bytes = size_bytes;
        // However much is in hand, the next time is not at once.
        self.size_bytes_max = self.size_bytes_max.max(size_bytes * 2);
        Ok(())
    }
}

fn build(folder: &Path, holder: &Holder, running: &[InHand]) -> std::io::Result<(File, u64)> {
    let mut bytes = intent::header(holder).to_vec();
    for in_hand in running {
        let begun = Begun {
            name: in_hand.name,
            at: in_hand.had.started_at,
        };
        intent::append(&begun, &mut bytes);
    }
    let next = folder.join(NEXT);
    std::fs::write(&next, &bytes)?;
    let file = OpenOptions::new().append(true).open(&next)?;
    std::fs::rename(&next, folder.join(NAME))?;
    Ok((file, bytes.len() as u64))
}

fn store_error(error: &std::io::Error) -> StoreError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            StoreError::Full(NAME.into())
        }
        _ => StoreError::Unavailable(format!("{NAME}: {error}")),
    }
}
