//! The end of an attempt, as far as breakers ask for it.

use crate::names::Version;
use crate::oops::Span;
use crate::outcome::OutcomeKind;
use crate::plan::TicketEnd;
use crate::signature::SignatureId;
use crate::ticket::Name;

/// An attempt that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Under which name its ticket was held.
    pub name: Name,
    /// The version of the handler that ran it.
    pub version: Version,
    /// When it ran, by the worker's clock.
    pub span: Span,
    /// How it ended.
    pub end: End,
}

/// What an end shows of the handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The handler came to a result of its own.
    Landed,
    /// The handler looked at the ticket and refused it.
    Rejected,
    /// It failed, in this way if that is known.
    Failed(Option<SignatureId>),
    /// Nothing.
    Nothing,
    /// Nothing, since the handler was not even called: the ticket was too late.
    NotRun,
}

impl End {
    /// What this outcome shows. A crash without a signature is not laid to its ticket: others were
    /// in the process that died. A rejection without one is none of the handler's: the ticket was
    /// too late and was not run. Nor is a time-out without one: it was cut short by its own
    /// deadline, which says more of the queue before the handler.
    ///
    /// A rejection shows that the stage works, and nothing of a failure: a version that refuses
    /// everything is no repair, and must not have all that waits parked. A handler that cannot be
    /// started has its own hold, which ends when it changes.
    pub const fn of(outcome: OutcomeKind, signature: Option<SignatureId>) -> Self {
        match outcome {
            OutcomeKind::Done | OutcomeKind::Pending => Self::Landed,
            OutcomeKind::Rejected if signature.is_none() => Self::NotRun,
            OutcomeKind::Crashed | OutcomeKind::TimedOut if signature.is_none() => Self::Nothing,
            OutcomeKind::Rejected => Self::Rejected,
            OutcomeKind::Failed | OutcomeKind::Crashed | OutcomeKind::TimedOut => {
                Self::Failed(signature)
            }
            OutcomeKind::NotNow | OutcomeKind::Unstartable | OutcomeKind::Abandoned => {
                Self::Nothing
            }
        }
    }
}

impl From<&End> for TicketEnd {
    /// What the plan that had released the ticket is told.
    fn from(end: &End) -> Self {
        match end {
            End::Landed => Self::Landed,
            End::Rejected => Self::Rejected,
            End::Failed(signature) => Self::Failed(*signature),
            End::Nothing | End::NotRun => Self::Undecided,
        }
    }
}
