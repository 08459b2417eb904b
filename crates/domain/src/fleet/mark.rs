//! The leader's marks in the journal: what lies before one that was read has all been read.

use super::BEAT_EVERY;
use crate::time::Timestamp;

/// The numbers of the markers. They rise, over leaders too, so that one of a leader that was
/// deposed is never taken for an own one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Markers {
    pub(super) base: u64,
    pub(super) asked: u64,
    pub(super) asked_at: Timestamp,
    pub(super) returned: u64,
}

impl Markers {
    pub(super) fn new(since: Timestamp) -> Self {
        // Room for 1,024 markers in each microsecond that a leader leads.
        let base = u64::try_from(since.as_micros()).unwrap_or(0) << 10;
        Self {
            base,
            asked: base,
            asked_at: since,
            returned: base,
        }
    }

    pub(super) const fn next(&mut self, now: Timestamp) -> u64 {
        self.asked += 1;
        self.asked_at = now;
        self.asked
    }

    /// Whether it is one of ours.
    pub(super) fn returned(&mut self, marker: u64) -> bool {
        let is_ours = self.base < marker && marker <= self.asked;
        if is_ours {
            self.returned = self.returned.max(marker);
        }
        is_ours
    }

    /// When one that has not come back is written again: the write may have failed.
    pub(super) fn again_at(&self) -> Option<Timestamp> {
        (self.asked > self.returned).then(|| self.asked_at.plus(BEAT_EVERY))
    }

    pub(super) const fn last_back(&self) -> u64 {
        self.returned
    }

    pub(super) fn set_back(&mut self, now: Timestamp) {
        self.asked_at = now.min(self.asked_at);
    }
}

/// Below which revision of the desired state nobody can consume without being known: a marker that
/// was written after it had been spread is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Barrier {
    /// The newest revision that is known to be spread.
    pub(super) spread: u64,
    /// Revisions and the markers that were written after them: the oldest and the newest.
    pub(super) marked: Vec<(u64, u64)>,
    /// The newest revision whose marker was read.
    pub(super) settled: Option<u64>,
}

impl Barrier {
    pub(super) fn spread(&mut self, revision: u64) {
        self.spread = self.spread.max(revision);
    }

    pub(super) fn is_settled(&self, revision: u64) -> bool {
        self.settled.is_some_and(|settled| settled >= revision)
    }

    pub(super) fn needs_marker(&self) -> bool {
        let newest = self.marked.last().map(|(revision, _)| *revision);
        newest
            .or(self.settled)
            .is_none_or(|newest| newest < self.spread)
    }

    /// The oldest stays, so that a stream of new revisions cannot keep any from being settled.
    pub(super) fn mark(&mut self, marker: u64) {
        if self.needs_marker() {
            self.marked.truncate(1);
            self.marked.push((self.spread, marker));
        }
    }

    pub(super) fn returned(&mut self, marker: u64) {
        let settled = self.marked.iter().filter(|(_, m)| *m <= marker);
        let settled = settled.map(|(revision, _)| *revision).max();
        self.settled = settled.max(self.settled);
        self.marked.retain(|(_, m)| *m > marker);
    }
}
