//! Why a command cannot be set up.

use std::io;
use std::path::PathBuf;

/// A command that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// There is no program to run.
    #[error("run: expected a program and its arguments, got {0:?}")]
    NoProgram(Vec<String>),
    /// The operating system takes no text with a NUL in it.
    #[error("{place}: expected text without NUL, got {got:?}")]
    Nul {
        /// Where it is.
        place: &'static str,
        /// The text.
        got: String,
    },
    /// The name of a variable cannot be one.
    #[error("env: expected the name of a variable, got {0:?}")]
    BadVariable(String),
    /// The folder for results cannot be used.
    #[error("the folder {folder} for the files of handlers cannot be used: {error}")]
    WorkFolder {
        /// Which folder.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Another process has the folder for results, and would take ours for left over.
    #[error(
        "the folder {folder} for the files of handlers is in use by another process ({owner}): two \
         workers cannot share it, so start each with a --data of its own"
    )]
    WorkFolderInUse {
        /// Which folder.
        folder: PathBuf,
        /// Which process, as far as it says.
        owner: String,
    },
    /// Commands of a worker before this one are still at work, and cannot be ended.
    #[error("nothing can be started in the folder {folder} for the files of handlers: {error}")]
    Survivors {
        /// Which folder.
        folder: PathBuf,
        /// Which process, and what to do.
        error: io::Error,
    },
    /// The current folder, which relative paths begin at, is not there.
    #[error("the folder {folder} cannot be found from here: {error}")]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// Why not.
        error: io::Error,
    },
}
