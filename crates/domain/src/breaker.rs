//! Breakers: what keeps failing in the same way waits for repair, and goes on by itself after it.
//!
//! A stage has one breaker for each signature that fails on it, and one for the stage as a whole.
//! They are the same machine; its [`Scope`] says whose tickets it is about:
//!
//! ```text
//!            enough failures                 its time comes, or a new version does
//!   closed ─────────────────▶ open ─────────────────────────────────▶ probing
//!     ▲                         ▲ ▲                                      │ │
//!     │                         │ └───────── the canary fails, is lost ──┘ │
//!     │                         │            or shows nothing              │ it lands
//!     │      the plan is done   │ it comes back, or the plan stops         ▼
//!     └─────────────────────────┴───────────────────────────────────── releasing
//! ```
//!
//! - Failures count **in a row**: a ticket that failed so and then lands begins the count anew. For
//!   a signature only its own tickets are asked, so that healthy neighbours do not hide it; for a
//!   stage any landing counts, and each ticket once, and none that fails again in a way that is
//!   being dealt with, so that poison does not keep others from running. In a row is meant as they
//!   ended, not as they are heard of: a failure that ended before the newest landing that was heard
//!   of does not count for the stage.
//! - While it is open or probing, **at most one canary** is out, and from one to the next a probe
//!   interval passes. Only a version that announced itself after those that failed sends one at
//!   once; a bad one costs exactly that canary.
//! - A canary that is **rejected** is through, and shows nothing: a version that refuses everything
//!   is no repair. For the stage as a whole a rejection is a landing: its handler works.
//! - A canary that **fails** holds the signature against the version that it ran on as well. One
//!   that fails in **another** way, is put off, cancelled or lost shows nothing: its ticket goes
//!   back in line, the next one's time comes.
//! - A canary that lands on an **older version that is known to fail**, while a newer one was
//!   wanted, proves nothing either (a rolling upgrade is under way, or the failure is not a steady
//!   one): the ticket is through, the rest stays held until the next probe.
//! - A release after a **repair** stops at the first of its tickets that fails as before. After a
//!   failure that passed by itself, on a version that had failed so, it stops when most of them do:
//!   what comes and goes must not hold its tickets longer than their back-off would.
//! - While the stage as a whole is held only its own breaker probes, so that one attempt a probe
//!   interval is the most that a stage costs which fails in many ways.
//!
//! Pure: a [`Board`] is told what happened and what time it is, and says in [`Action`]s what is to
//! be done. The books tell it each end of an attempt once, in the order in which they hear of it,
//! which is not always that in which they came.

mod action;
mod attempt;
mod board;
mod machine;
mod probing;
mod release;
mod roster;
mod rules;
mod state;
mod words;

pub use action::{Action, Probe};
pub use attempt::{Attempt, End};
pub use board::{Board, Changes, Fallout};
pub use machine::Breaker;
pub use roster::{Announced, Roster};
pub use rules::{BadRules, Rules};
pub use state::{Canary, Clue, Haste, Proof, State};

use crate::signature::SignatureId;
use std::fmt;

/// Whose tickets a breaker is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All of the stage.
    Stage,
    /// Those of the stage that last failed in this way.
    Signature(SignatureId),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage => f.write_str("the whole stage"),
            Self::Signature(signature) => signature.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
