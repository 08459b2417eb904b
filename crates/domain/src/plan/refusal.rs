//! Why something cannot be done with a plan, and what would make it possible.

use super::id::PlanId;
use super::selection::Choice;

/// Why not; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is nothing to pause, resume or stop.
    #[error("the plan is {state}: there is nothing to {verb}")]
    Idle {
        /// What it is.
        state: &'static str,
        /// What was wanted.
        verb: &'static str,
    },
    /// No ticket is left.
    #[error("the plan is done: none of its tickets is left")]
    Done,
    /// A paused plan takes no further releases.
    #[error("the plan is paused")]
    Paused,
    /// Another plan has taken its tickets over.
    #[error("the tickets of this plan are in plan {0} now")]
    Superseded(PlanId),
    /// None of these is left.
    #[error("no ticket of {0} is left in the plan")]
    Empty(Choice),
    /// They are being released.
    #[error("{0} is being released already")]
    Already(Choice),
    /// Too many releases one after the other.
    #[error("{0} releases are in line already, and that is the most")]
    Full(usize),
    /// A drop without a reason.
    #[error("a drop needs a reason, which its tickets will show for ever")]
    NoReason,
    /// Its tickets are in the queue of a stage: they are the stage's to take.
    #[error("its tickets are in the queue of stage {0}, which is held as a whole")]
    Queued(String),
    /// More than may go now; whoever releases asks first.
    #[error("to be released: {asked}, but only {allowed} may go now")]
    TooMany {
        /// How many were to be released.
        asked: u64,
        /// How many may go.
        allowed: u64,
    },
}

impl Refusal {
    /// What would make it possible, for people.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Idle { verb: "stop", .. } => "nothing needs to be done: none of its tickets goes",
            Self::Idle { verb: "pause", .. } => "nothing needs to be done: nothing goes now",
            Self::Idle { .. } => "it is not paused; plan show says where it stands",
            Self::Done => "make a new plan for what waits now",
            Self::Paused => "resume it first, or stop it",
            Self::Superseded(_) => "work with that plan",
            Self::Empty(_) => "look at what is left: plan show",
            Self::Already(_) => "wait until that is done, or stop the plan first",
            Self::Full(_) => "wait until some of them are done, or stop the plan",
            Self::NoReason => "say why: --reason",
            Self::Queued(_) => {
                "goaround stage probe STAGE tries one of them; when that lands, the others follow"
            }
            Self::TooMany { .. } => "ask how many may go, and release no more",
        }
    }
}
