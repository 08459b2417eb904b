//! The leader's own time, and whether everybody can be heard in it. A worker's clock is never
//! compared with it.

use crate::time::Timestamp;
use std::time::Duration;

/// How many records were read up to one, itself included.
pub(super) type Position = u64;

/// What time it is, and what was read by then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Clock {
    /// Since when whoever was silent all along was never there.
    pub(super) since: Timestamp,
    pub(super) now: Timestamp,
    pub(super) read_at: Timestamp,
    pub(super) read: Position,
}

/// Whether those who were not heard are certainly not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Hearing {
    /// No: they may just not have had the time.
    #[default]
    Deaf,
    /// They had the time; what they said lies before this marker.
    Marked(u64),
    /// Yes: it is read.
    All,
}

impl Hearing {
    /// Whether it hears everybody from this marker on.
    pub(super) fn returned(&mut self, marker: u64) -> bool {
        let hears = matches!(self, Self::Marked(awaited) if *awaited <= marker);
        if hears {
            *self = Self::All;
        }
        hears
    }
}

/// The clock was set back.
pub(super) struct SetBack;

impl Clock {
    pub(super) const fn new(since: Timestamp) -> Self {
        Self {
            since,
            now: since,
            read_at: since,
            read: 0,
        }
    }

    /// A clock that is set back must make nobody's silence endless: what was in the future then
    /// is now.
    pub(super) fn is(&mut self, now: Timestamp) -> Result<(), SetBack> {
        let before = std::mem::replace(&mut self.now, now);
        if now >= before {
            return Ok(());
        }
        self.since = now.min(self.since);
        self.read_at = now.min(self.read_at);
        Err(SetBack)
    }

    /// A record is read; returns for how long nothing was.
    pub(super) fn reads(&mut self) -> Duration {
        self.read += 1;
        let before = std::mem::replace(&mut self.read_at, self.now);
        self.now.since(before)
    }
}
