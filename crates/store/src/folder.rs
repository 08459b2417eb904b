//! The data folder: one process owns it, and says so in a lock file.

use crate::error::OpenError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// The file whose lock is the ownership of the folder. The kernel drops it with the process, so
/// nothing has to be waited out or cleaned up after a crash.
const LOCK: &str = "lock";

/// Proof that this process owns the folder; dropping it gives the folder up.
#[derive(Debug)]
pub(crate) struct Ownership {
    _file: File,
}

impl Ownership {
    /// Takes the folder, making it if needed.
    pub(crate) fn take(folder: &Path) -> Result<Self, OpenError> {
        let bad = |error| OpenError::Folder {
            folder: folder.into(),
            error,
        };
        std::fs::create_dir_all(folder).map_err(bad)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(LOCK))
            .map_err(bad)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(bad(error)),
            Err(TryLockError::WouldBlock) => return Err(in_use(folder, &mut file)),
        }
        sign(&mut file).map_err(bad)?;
        Ok(Self { _file: file })
    }
}

fn sign(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn in_use(folder: &Path, file: &mut File) -> OpenError {
    let mut owner = String::new();
    let is_read = file.read_to_string(&mut owner).is_ok();
    let owner = match owner.trim() {
        "" => "of unknown id",
        _ if !is_read => "of unknown id",
        known => known,
    };
    OpenError::InUse {
        folder: folder.into(),
        owner: owner.into(),
    }
}
