//! One worker, as the leader knows it.

use super::clock::Position;
use super::{Heartbeat, LAPSE};
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Worker {
    pub(super) beat: Option<Beaten>,
    /// Since when every beat was earlier than that one.
    pub(super) earlier_since: Option<Timestamp>,
    pub(super) heard_at: Timestamp,
    /// It is said to be gone, so that no silence has to be waited for.
    pub(super) is_gone: bool,
    /// The marker that was written after it had lapsed.
    pub(super) marker: Option<u64>,
}

/// What a worker last said of itself, and where in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Beaten {
    pub(super) position: Position,
    /// When it was said, by the worker's own clock; compared with nobody else's.
    pub(super) at: Timestamp,
    pub(super) says: Heartbeat,
}

impl Beaten {
    fn is_before(&self, other: &Self) -> bool {
        self.says.revision < other.says.revision || self.at < other.at
    }
}

impl Worker {
    pub(super) const fn new(heard_at: Timestamp) -> Self {
        Self {
            beat: None,
            earlier_since: None,
            heard_at,
            is_gone: false,
            marker: None,
        }
    }

    /// Keeps the newest. What comes in late is seldom alone for long, so a worker whose every beat
    /// is earlier for a whole [`LAPSE`] has had its clock set back, and is believed again.
    pub(super) fn beaten(&mut self, beat: Beaten, now: Timestamp) {
        let is_before = self.beat.as_ref().is_some_and(|kept| beat.is_before(kept));
        if is_before && now.since(*self.earlier_since.get_or_insert(now)) < LAPSE {
            return;
        }
        self.earlier_since = None;
        self.beat = Some(beat);
    }

    /// The last words of one that is gone may still come in; they do not bring it back.
    pub(super) const fn heard(&mut self, now: Timestamp) {
        if !self.is_gone {
            self.heard_at = now;
            self.marker = None;
        }
    }

    /// A marker that was written before this was heard proves nothing.
    pub(super) const fn gone(&mut self) {
        if !self.is_gone {
            self.is_gone = true;
            self.marker = None;
        }
    }

    pub(super) fn set_back(&mut self, now: Timestamp) {
        self.heard_at = now.min(self.heard_at);
        self.earlier_since = self.earlier_since.map(|since| now.min(since));
    }

    pub(super) fn lapses_at(&self) -> Option<Timestamp> {
        let is_waited_for = !self.is_gone && self.marker.is_none();
        is_waited_for.then(|| self.heard_at.plus(LAPSE))
    }

    pub(super) fn needs_marker(&self, now: Timestamp) -> bool {
        let has_lapsed = self.is_gone || now.since(self.heard_at) >= LAPSE;
        has_lapsed && self.marker.is_none()
    }

    pub(super) fn mark(&mut self, marker: u64, now: Timestamp) {
        if self.needs_marker(now) {
            self.marker = Some(marker);
        }
    }

    pub(super) fn is_dead(&self, returned: u64) -> bool {
        self.marker.is_some_and(|marker| marker <= returned)
    }

    pub(super) fn is_heard_after(&self, position: Position) -> bool {
        self.beat
            .as_ref()
            .is_some_and(|beat| beat.position > position)
    }
}
