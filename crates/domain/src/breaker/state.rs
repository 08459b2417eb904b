//! What a breaker keeps: plain values, for stores to keep as one row.

use crate::names::Version;
use crate::plan::PlanId;
use crate::ticket::Name;
use crate::time::Timestamp;

/// A failure that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clue {
    /// Of which attempt.
    pub name: Name,
    /// When it ended, by its worker's clock, and not later than it was heard of.
    pub at: Timestamp,
}

/// The one ticket that is tried while its like are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Which probe of its breaker, counted from 1: what is said of an earlier one changes nothing.
    pub number: u64,
    /// Which copy of which ticket, once that is known.
    pub name: Option<Name>,
    /// The version that it is to run on, if any was announced.
    pub wants: Option<Version>,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When the books were last asked whether it is still out.
    pub asked_at: Timestamp,
}

/// What a canary shows that lands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It ran on a version that had not failed so: a repair, which one more failure refutes.
    Repaired,
    /// It ran on a version that had failed so: what was wrong has passed, or comes and goes. A
    /// single failure says nothing then, and tickets that fail back off as ever.
    Healed,
}

/// What a breaker does with its tickets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// They run; failures in a row are counted.
    Closed {
        /// The failures so far, oldest first; fewer than open it.
        clues: Vec<Clue>,
    },
    /// They wait.
    Open {
        /// Since when.
        since: Timestamp,
        /// When the next canary goes; `None` waits for a new version or a person, because a person
        /// has stopped the last release.
        next_probe: Option<Timestamp>,
    },
    /// They wait, but for one.
    Probing {
        /// Since when they wait.
        since: Timestamp,
        /// The one.
        canary: Canary,
    },
    /// They are released by a plan.
    Releasing {
        /// Since when.
        since: Timestamp,
        /// What the canary showed.
        proof: Proof,
        /// When its attempt ended; what began before tells nothing of this release.
        proven_at: Timestamp,
        /// The plan, once it is made.
        plan: Option<PlanId>,
        /// Failures since then, oldest first; fewer than open it again.
        clues: Vec<Clue>,
    },
}

impl State {
    /// Nothing has failed.
    pub const fn quiet() -> Self {
        Self::Closed { clues: Vec::new() }
    }

    /// The word that users see.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "closed",
            Self::Open { .. } => "open",
            Self::Probing { .. } => "probing",
            Self::Releasing { .. } => "releasing",
        }
    }
}

/// How many canaries announcements have sent within a probe interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Haste {
    /// When the first of them went.
    pub since: Timestamp,
    /// How many.
    pub count: u32,
}
