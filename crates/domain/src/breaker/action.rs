//! What a breaker wants done. Everything is to be done in the transaction that told the breaker.

use super::Scope;
use super::state::Canary;
use crate::names::Version;
use crate::plan::{PlanId, Terms, Why};

/// Something that a breaker wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It has opened. Of a signature: its tickets that wait for their back-off are held from now
    /// on. Of a stage: the stage takes no deliveries.
    Hold {
        /// Whose tickets.
        scope: Scope,
        /// Why, for people.
        why: String,
    },
    /// One ticket is to be tried. Of a signature: the held one that has waited longest, to be told
    /// by [`Board::sent`](super::Board::sent), or [`Board::nobody`](super::Board::nobody). Of a
    /// stage: one delivery is to be taken from its queue, and one held ticket put there if it is
    /// empty.
    Probe(Probe),
    /// Nothing was heard of the canary for a probe interval: look it up, and answer with
    /// [`Board::still_out`](super::Board::still_out) or [`Board::lost`](super::Board::lost). If a
    /// stage's permit is still out and the queue has become empty, one held ticket is to be put
    /// there again: nothing else would ever come for it.
    Check {
        /// Whose.
        scope: Scope,
        /// Which one.
        canary: Canary,
    },
    /// The canary landed: make a plan of everything that is held, release it, and say so with
    /// [`Board::plan_made`](super::Board::plan_made).
    StartPlan {
        /// Whose tickets.
        scope: Scope,
        /// The versions that they must not run on.
        avoid: Vec<Version>,
        /// How they are to be released.
        terms: Terms,
    },
    /// The plan must not release any more.
    StopPlan {
        /// Which plan.
        plan: PlanId,
        /// Why.
        why: Why,
    },
    /// It is closed. Of a signature: what is still held is due now. Of a stage: it takes deliveries
    /// as ever.
    Close {
        /// Whose tickets.
        scope: Scope,
    },
}

/// One ticket that is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whose.
    pub scope: Scope,
    /// Which probe of its breaker; of a stage, the number of its permit.
    pub number: u64,
    /// The version that it should run on: the newest that serves the stage.
    pub wants: Option<Version>,
    /// The versions that it must not run on: it has failed on them before.
    pub avoid: Vec<Version>,
}
