//! What may be taken from a queue whose stage is on hold, or fails as a whole.

use super::{Inner, StageQueue};
use crate::control::Door;
use crate::lease::Loaded;

/// How much a release plan lets past the gate of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// So many beside what is left.
    More(u64),
    /// So many, whatever was left.
    Exactly(u64),
}

impl StageQueue {
    /// What may be taken from now on.
    pub(crate) fn set(&self, door: Door) {
        self.lock().door = door;
        self.notify();
    }

    /// How much a release plan lets past the gate.
    pub(crate) fn allow(&self, allowance: Allowance) {
        let mut inner = self.lock();
        inner.allowed = match allowance {
            Allowance::More(count) => inner.allowed.saturating_add(count),
            Allowance::Exactly(count) => count,
        };
        drop(inner);
        self.notify();
    }

    /// How many are out.
    pub(crate) fn in_hand(&self) -> u64 {
        self.lock().leases.len() as u64
    }

    /// Whether somebody has this ticket, or had started it and will be asked about it.
    pub(crate) fn is_taken(&self, seq: i64) -> bool {
        let inner = self.lock();
        let mut leases = inner.leases.values();
        let mut here = inner.buffer.iter();
        leases.any(|lease| lease.loaded.seq == seq)
            || here.any(|loaded| loaded.seq == seq && loaded.had.is_some())
    }

    /// The last permit under which a ticket was taken; 0 if none ever was.
    pub(crate) fn permit_used(&self) -> u64 {
        self.lock().permit_used
    }
}

impl Inner {
    /// The next one that may be taken. Past a gate go questions for the controller, wherever they
    /// stand, one ticket a permit, and what a release plan lets in.
    pub(super) fn pop(&mut self) -> Option<Loaded> {
        let permit = match self.door {
            Door::Open => return self.buffer.pop_front(),
            Door::Held => return None,
            Door::Gated(permit) => permit,
        };
        let doubted = self.buffer.iter().position(|loaded| loaded.had.is_some());
        if let Some(at) = doubted {
            return self.buffer.remove(at);
        }
        let has_permit = permit > self.permit_used;
        if !has_permit && self.allowed == 0 {
            return None;
        }
        let loaded = self.buffer.pop_front()?;
        match has_permit {
            true => self.permit_used = permit,
            false => self.allowed -= 1,
        }
        Some(loaded)
    }
}
