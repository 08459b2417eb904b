//! The files for results and progress: how they are called, and whose they are.

use super::{ExecError, survivors};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

/// The file whose lock is the ownership of the folder. The kernel drops it with the process, so
/// nothing has to be waited out or cleaned up after a crash.
const LOCK: &str = "lock";

/// Names the files of this process, so that those of one that was killed can be told apart.
static INCARNATION: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));

/// The folders that this process owns, each with its locked file, for as long as it lives.
static OWNED: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

/// Makes the folder this process's own, and clears it of what killed processes have left there:
/// what another one finds gone that still runs, it takes for a handler that wrote no result.
/// Returns the folder by the name that its commands get to know it by.
pub(super) fn prepare(folder: &Path) -> Result<PathBuf, ExecError> {
    let bad = |error| ExecError::WorkFolder {
        folder: folder.to_owned(),
        error,
    };
    std::fs::create_dir_all(folder).map_err(bad)?;
    // The same for each of our stages, by whichever name they call it.
    let own_name = folder.canonicalize().map_err(bad)?;
    // Each entry is whole, so a panic elsewhere does not spoil it. Nobody of this process goes on
    // while one of it still looks for survivors.
    let mut owned = OWNED.lock().unwrap_or_else(PoisonError::into_inner);
    if !owned.contains_key(&own_name) {
        let file = own(&own_name).map_err(bad)?;
        let file = file.map_err(|owner| ExecError::WorkFolderInUse {
            folder: folder.to_owned(),
            owner,
        })?;
        survivors::end(&own_name).map_err(|error| ExecError::Survivors {
            folder: folder.to_owned(),
            error,
        })?;
        owned.insert(own_name.clone(), file);
    }
    drop(owned);
    clear(&own_name).map_err(bad)?;
    Ok(own_name)
}

/// Locks the folder, for as long as the file is open; or says who else has it.
fn own(folder: &Path) -> io::Result<Result<File, String>> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(folder.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => return Ok(Err(signature(&mut file))),
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Ok(file))
}

fn signature(file: &mut File) -> String {
    let mut owner = String::new();
    let is_read = file.read_to_string(&mut owner).is_ok();
    match owner.trim() {
        number if is_read && !number.is_empty() => format!("process {number}"),
        _ => "whose number is not known".into(),
    }
}

fn clear(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if is_left_over(&entry.file_name()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a file with this name was made for an attempt of a process before this one.
pub(super) fn is_left_over(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|name| name.split_once('-'));
    let Some((incarnation, rest)) = parts else {
        return false;
    };
    let is_one = rest.ends_with(".result") || rest.ends_with(".progress");
    let is_hex = |c: char| c.is_ascii_hexdigit();
    is_one
        && incarnation.len() == 16
        && incarnation.chars().all(is_hex)
        && incarnation != prefix().trim_end_matches('-')
}

fn prefix() -> String {
    format!("{:016x}-", *INCARNATION)
}

/// The name of a file of whoever has this place.
pub(super) fn name(place: u64, suffix: &str) -> String {
    format!("{}{place}.{suffix}", prefix())
}
