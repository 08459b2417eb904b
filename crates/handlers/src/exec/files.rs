//! The files for results and progress: how they are called, and whose they are.

use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::LazyLock;

/// Names the files of this process, so that those of one that was killed can be told apart.
static INCARNATION: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));

/// Makes the folder, and clears it of what killed processes have left there. One process owns it.
pub(super) fn prepare(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if is_left_over(&entry.file_name()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a file with this name was made for an attempt of a process before this one.
fn is_left_over(name: &OsStr) -> bool {
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
