//! What happened at the broker that nobody else sees, counted since the start.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of a worker.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) adopted: Counter,
    pub(crate) again: Counter,
    pub(crate) suspects: Counter,
    pub(crate) fenced: Counter,
    pub(crate) avoided: Counter,
    pub(crate) unclaimed: Counter,
    pub(crate) nameless: Counter,
    pub(crate) cut: Counter,
    pub(crate) handed_back: Counter,
    pub(crate) unacked: Counter,
    pub(crate) beats_failed: Counter,
}

/// What happened at the broker, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Deliveries of tickets that were still in hand after their connection was lost.
    pub adopted: u64,
    /// Deliveries of what was in hand already, on a connection that still stands.
    pub again: u64,
    /// Deliveries that somebody had before.
    pub suspects: u64,
    /// Copies below the fence, taken off their queue.
    pub fenced: u64,
    /// Copies that are to run on a newer version than that which is here, handed back.
    pub avoided: u64,
    /// Tickets of a kind that is not taken here, handed on to whoever takes it.
    pub unclaimed: u64,
    /// Messages that came without an identity.
    pub nameless: u64,
    /// Messages with a body that is too large for any record, kept in the quarantine.
    pub cut: u64,
    /// Tickets that were handed back unsettled.
    pub handed_back: u64,
    /// Deliveries that could not be acked, because their connection was gone.
    pub unacked: u64,
    /// Heartbeats that were not confirmed in time.
    pub beats_failed: u64,
}

impl Tally {
    /// Deliveries that did not become an attempt of their own, by what they were.
    pub const fn diverted(&self) -> [(&'static str, u64); 7] {
        [
            ("adopted", self.adopted),
            ("again", self.again),
            ("suspect", self.suspects),
            ("fenced", self.fenced),
            ("avoided", self.avoided),
            ("unclaimed", self.unclaimed),
            ("nameless", self.nameless),
        ]
    }
}

impl Counts {
    pub(crate) fn tally(&self) -> Tally {
        Tally {
            adopted: self.adopted.get(),
            again: self.again.get(),
            suspects: self.suspects.get(),
            fenced: self.fenced.get(),
            avoided: self.avoided.get(),
            unclaimed: self.unclaimed.get(),
            nameless: self.nameless.get(),
            cut: self.cut.get(),
            handed_back: self.handed_back.get(),
            unacked: self.unacked.get(),
            beats_failed: self.beats_failed.get(),
        }
    }
}
