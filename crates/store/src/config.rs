//! Where the data is, and the limits of everything that queues.

use std::path::PathBuf;

/// The folder and the limits. [`Config::new`] has the limits that were measured to be good.
#[derive(Clone, Debug)]
pub struct Config {
    /// The data folder; it is made if it is not there.
    pub folder: PathBuf,
    /// The most requests that wait for a writer; further callers wait for room.
    pub requests_max: usize,
    /// After how many tickets a transaction is closed even if more is asked meanwhile. It bounds
    /// how long the first of a group waits for the last.
    pub group_tickets_max: usize,
    /// How many tickets of a stage are read ahead at once.
    pub read_ahead_tickets: usize,
    /// How many bytes of payload a stage's read-ahead may hold.
    pub read_ahead_bytes_max: usize,
    /// The size at which the intent file is written anew with only what is in hand. All of it is
    /// looked up in the books when the folder is opened after a crash.
    pub intents_bytes_max: u64,
    /// How many threads answer questions.
    pub readers: usize,
    /// The most ended tickets, or reports, that one slice of retention forgets.
    pub retention_slice: usize,
}

impl Config {
    /// The defaults for this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            requests_max: 1_024,
            group_tickets_max: 1_024,
            read_ahead_tickets: 1_024,
            read_ahead_bytes_max: 8 * 1024 * 1024,
            intents_bytes_max: 512 * 1024,
            readers: 2,
            retention_slice: 500,
        }
    }
}
