//! What the launcher of a process tells about its death: more than the dead can say, and more than
//! whoever only misses it.

use crate::oops::{Report, Source};
use crate::outcome::Exit;
use crate::time::{Timestamp, show_duration};
use std::fmt::Write as _;

/// How a process died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obituary {
    /// How it ended.
    pub exit: Exit,
    /// When it was started.
    pub began_at: Timestamp,
    /// When it was found dead.
    pub died_at: Timestamp,
    /// The most memory that was resident at once in it, or in one process that it had started and
    /// seen the end of, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// How many processes around it the kernel killed in its last seconds because memory had run
    /// out.
    pub oom_kills: u64,
    /// The last lines that it, and what it left behind, wrote to its standard error.
    pub last_words: String,
}

impl Obituary {
    /// Longest last words that are kept, in bytes; their beginning is cut and marked.
    pub const LAST_WORDS_BYTES_MAX: usize = 6 * 1024;

    /// The same with last words of bounded length, for whoever got it from outside.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let length = self.last_words.len();
        if length > Self::LAST_WORDS_BYTES_MAX {
            // The mark has to fit as well.
            let from = length - Self::LAST_WORDS_BYTES_MAX + 32;
            let from = self.last_words.ceil_char_boundary(from);
            self.last_words = format!("[{from} bytes cut…] {}", &self.last_words[from..]);
        }
        self
    }

    /// Whether the kernel has most likely killed it because memory had run out.
    pub const fn is_out_of_memory(&self) -> bool {
        matches!(self.exit, Exit::Signal(9)) && self.oom_kills > 0
    }

    /// What it died of, in a few words: `signal 9 (SIGKILL), out of memory`.
    pub fn cause(&self) -> String {
        match self.exit {
            _ if self.is_out_of_memory() => format!("{}, out of memory", self.exit),
            // Alone it would read as if all were well.
            Exit::Status(0) => format!("{}, which nobody had asked for", self.exit),
            _ => self.exit.to_string(),
        }
    }

    /// What else is known, one fact a line.
    pub fn facts(&self) -> String {
        let mut facts = format!("the process died of {}", self.cause());
        let lived = show_duration(self.died_at.since(self.began_at));
        // Writing to a string does not fail.
        write!(facts, "\nit had run for {lived}").ok();
        if let Some(bytes) = self.memory_bytes_max {
            let mib = bytes.div_ceil(1024 * 1024);
            write!(
                facts,
                "\nits memory, or that of one it had started, was at most {mib} MiB"
            )
            .ok();
        }
        if self.oom_kills > 0 {
            let kills = self.oom_kills;
            write!(
                facts,
                "\nmemory had run out around it: {kills} killed by the kernel"
            )
            .ok();
        }
        facts
    }

    /// Makes the report about an attempt that died with the process tell what is known about that.
    /// Memory is the process's then: nobody knows which of its attempts had it.
    #[must_use]
    pub fn told_in(&self, mut report: Report) -> Report {
        let failure = &mut report.failure;
        write!(failure.message, ": {}", self.cause()).ok();
        failure.exit = Some(self.exit);
        failure.trace = self.facts();
        failure.log_tail.clone_from(&self.last_words);
        report.usage.memory_bytes_max = self.memory_bytes_max;
        report.source = Source::Launcher;
        if let Some(duration) = report.duration {
            let started_at = report.time.minus(duration);
            report.duration = Some(self.died_at.since(started_at));
        }
        report.time = self.died_at;
        report
    }
}

#[cfg(test)]
mod tests;
