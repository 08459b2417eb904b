//! A ticket on loan from the broker, and the only way in which it can be settled.
//!
//! ```text
//! Received ──start──▶ Started ──performed──▶ Performed ──report──▶ Reported ──decide──▶ Settlement
//! ```
//!
//! Each arrow consumes the delivery; dropping one at any point hands the ticket back.
//!
//! The right order compiles, which also shows that what follows fails for its own reason:
//! ```
//! # use domain::delivery::{Decision, Delivery, Settlement, Start};
//! # use domain::delivery::{Performed, Received, Reported, Started, Suspected};
//! fn start(delivery: Delivery<Received>, start: Start) -> Delivery<Started> {
//!     delivery.started(start)
//! }
//! fn settle(delivery: Delivery<Reported>, decision: &Decision) -> Settlement {
//!     delivery.decide(decision)
//! }
//! ```
//! Nothing is settled before its work was done:
//! ```compile_fail,E0599
//! # use domain::delivery::{Delivery, Received, Decision};
//! fn ack_early(delivery: Delivery<Received>, decision: &Decision) {
//!     delivery.decide(decision);
//! }
//! ```
//! A failure cannot be settled before its report is durable:
//! ```compile_fail,E0599
//! # use domain::delivery::{Delivery, Performed, Decision};
//! fn no_report(delivery: Delivery<Performed>, decision: &Decision) {
//!     delivery.decide(decision);
//! }
//! ```
//! Nothing can be settled twice:
//! ```compile_fail,E0382
//! # use domain::delivery::{Delivery, Reported, Decision};
//! fn twice(delivery: Delivery<Reported>, decision: &Decision) {
//!     delivery.decide(decision);
//!     delivery.decide(decision);
//! }
//! ```
//! A delivery that somebody may have had before cannot be started:
//! ```compile_fail,E0599
//! # use domain::delivery::{Delivery, Suspected, Start};
//! fn run_again(delivery: Delivery<Suspected>, start: Start) {
//!     delivery.started(start);
//! }
//! ```

use crate::deadline::has_passed;
use crate::names::Holder;
use crate::oops::{OopsId, Report, Scene, Source, Span};
use crate::outcome::{Attempted, Failure, Outcome, OutcomeKind};
use crate::ports::{OopsError, Reporter};
use crate::signature::SignatureId;
use crate::ticket::Ticket;
use crate::time::Timestamp;
use crate::trial::{Company, company};
use crate::wait::{Condition, Wait};
use std::sync::Arc;

mod receipt;

pub use crate::settlement::{Decision, Disposition, Ended, Settlement};
pub use receipt::{Lender, Receipt};

/// A ticket on loan from the broker.
#[must_use = "a dropped delivery goes back to its broker"]
#[derive(Debug)]
pub struct Delivery<State> {
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) receipt: Receipt,
    pub(crate) is_alone: bool,
    pub(crate) state: State,
}

/// Nobody had it before.
#[derive(Debug)]
pub struct Received(());
/// Somebody had it and did not settle it.
#[derive(Debug)]
pub struct Suspected {
    holder: Holder,
    started_at: Option<Timestamp>,
}

/// It could not be read as a ticket.
#[derive(Debug)]
pub struct Unreadable {
    why: String,
}

/// Its `started` record is durable; the handler may run.
#[derive(Debug)]
pub struct Started(Start);

/// The handler has let go.
#[derive(Debug)]
pub struct Performed {
    pub(crate) start: Start,
    pub(crate) ended_at: Timestamp,
    pub(crate) attempted: Attempted,
}

/// If the attempt went wrong, its report is durable.
#[derive(Debug)]
pub struct Reported {
    pub(crate) performed: Performed,
    pub(crate) told: Option<(OopsId, SignatureId)>,
}

/// Who starts an attempt, and when.
#[derive(Clone, Debug)]
pub struct Start {
    /// Which process and which component version.
    pub scene: Arc<Scene>,
    /// When.
    pub at: Timestamp,
}

/// What a broker hands out.
#[derive(Debug)]
pub enum Incoming {
    /// A ticket to be worked on.
    Fresh(Delivery<Received>),
    /// A ticket that somebody had before: a question for the controller.
    Suspect(Delivery<Suspected>),
    /// Something that is not a readable ticket; the ticket holds what could be read.
    Unreadable(Delivery<Unreadable>),
}

impl<State> Delivery<State> {
    /// The ticket.
    pub const fn ticket(&self) -> &Arc<Ticket> {
        &self.ticket
    }

    /// Whether its ticket is on trial.
    pub const fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// What its broker knows it by.
    pub const fn tag(&self) -> u64 {
        self.receipt.tag()
    }

    fn into_state<Next>(self, next: impl FnOnce(State) -> Next) -> Delivery<Next> {
        Delivery {
            ticket: self.ticket,
            receipt: self.receipt,
            is_alone: self.is_alone,
            state: next(self.state),
        }
    }
}

impl Delivery<Received> {
    /// A delivery that nobody had before. Only brokers call this.
    pub const fn new(ticket: Arc<Ticket>, receipt: Receipt) -> Self {
        Self {
            ticket,
            receipt,
            is_alone: false,
            state: Received(()),
        }
    }

    /// The same, of a ticket that is on trial. Only brokers call this.
    pub fn alone(self) -> Self {
        Self {
            is_alone: true,
            ..self
        }
    }

    /// The `started` record of this delivery is durable. Only brokers call this.
    pub fn started(self, start: Start) -> Delivery<Started> {
        self.into_state(|Received(())| Started(start))
    }
}

impl Delivery<Suspected> {
    /// A delivery that `holder` had and did not settle; `started_at` says whether it was started.
    /// Only brokers call this.
    pub const fn suspect(
        ticket: Arc<Ticket>,
        receipt: Receipt,
        holder: Holder,
        started_at: Option<Timestamp>,
    ) -> Self {
        Self {
            ticket,
            receipt,
            is_alone: false,
            state: Suspected { holder, started_at },
        }
    }

    /// Sends it through the one door; the controller decides what became of it.
    pub fn doubt(self, now: Timestamp) -> Settlement {
        let Suspected { holder, started_at } = self.state;
        let wait = Wait {
            because: format!("{holder} had it and did not settle it"),
            condition: Condition::Suspect { holder, started_at },
            since: now,
            oops: None,
        };
        let disposition = Disposition::Wait {
            name: self.ticket.name,
            wait,
        };
        Settlement::new(self.ticket, self.receipt, disposition, None)
    }
}

impl Delivery<Unreadable> {
    /// A delivery that could not be read; `ticket` holds what could. Only brokers call this.
    pub const fn unreadable(ticket: Arc<Ticket>, receipt: Receipt, why: String) -> Self {
        Self {
            ticket,
            receipt,
            is_alone: false,
            state: Unreadable { why },
        }
    }

    /// It counts as an attempt that rejected it, so that it is reported and parked like any other.
    pub fn rejected(self, start: Start) -> Delivery<Performed> {
        self.into_state(|Unreadable { why }| Performed {
            ended_at: start.at,
            start,
            attempted: Outcome::Rejected(Failure::new("Unreadable", why)).into(),
        })
    }
}

impl Delivery<Started> {
    /// When it was started, and by whom.
    pub const fn start(&self) -> &Start {
        &self.state.0
    }

    /// The handler has let go. Called in one place, by the attempt that saw it end.
    pub fn performed(self, attempted: Attempted, now: Timestamp) -> Delivery<Performed> {
        self.into_state(|Started(start)| Performed {
            start,
            ended_at: now,
            attempted,
        })
    }
}

/// The report could not be made durable; the delivery must be reported again before it moves.
#[derive(Debug, thiserror::Error)]
#[error("ticket {} stays: its oops could not be recorded: {error}", .delivery.ticket.id())]
pub struct Unreported {
    /// The delivery, to be tried again.
    pub delivery: Box<Delivery<Performed>>,
    /// Why it failed.
    pub error: OopsError,
}

impl Delivery<Performed> {
    /// How the attempt ended.
    pub const fn outcome(&self) -> &Outcome {
        &self.state.attempted.outcome
    }

    /// How long it took.
    pub fn span(&self) -> Span {
        Span {
            started_at: self.state.start.at,
            ended_at: self.state.ended_at,
        }
    }

    /// What to report about the attempt, if it went wrong.
    pub fn to_report(&self) -> Option<Report> {
        let (start, attempted) = (&self.state.start, &self.state.attempted);
        let failure = attempted.outcome.failure()?.clone();
        let kind = attempted.outcome.kind();
        let mut report = Report::new(&self.ticket, kind, failure, &start.scene, self.span());
        if let Some(died) = company(&attempted.outcome, self.is_alone) {
            report.failure.message.push_str(&died.in_words());
        }
        report.usage = attempted.usage;
        report.source = match (kind, &attempted.outcome) {
            (OutcomeKind::Crashed | OutcomeKind::TimedOut, _) | (_, Outcome::Expired(_)) => {
                Source::Supervisor
            }
            _ => Source::Worker,
        };
        Some(report)
    }

    /// Passes an attempt on that did not go wrong, so that nothing has to be made durable.
    ///
    /// # Errors
    /// The delivery itself, when it went wrong: it must be reported.
    #[expect(
        clippy::result_large_err,
        reason = "the error is the delivery, moved on, not copied"
    )]
    pub fn nothing_to_report(self) -> Result<Delivery<Reported>, Self> {
        if self.outcome().kind().went_wrong() {
            return Err(self);
        }
        let told = None;
        Ok(self.into_state(|performed| Reported { performed, told }))
    }

    /// Makes the report durable, if the attempt went wrong.
    ///
    /// # Errors
    /// [`Unreported`] gives the delivery back: the ticket must not move before this succeeds.
    ///
    /// # Cancel safety
    /// Dropping the future hands the ticket back; to report the attempt again is the same OOPS.
    pub async fn report(self, oopses: &dyn Reporter) -> Result<Delivery<Reported>, Unreported> {
        let mut told = None;
        if let Some(report) = self.to_report() {
            let signature = report.signature().id;
            match oopses.record(report).await {
                Ok(id) => told = Some((id, signature)),
                Err(error) => {
                    let delivery = Box::new(self);
                    return Err(Unreported { delivery, error });
                }
            }
        }
        Ok(self.into_state(|performed| Reported { performed, told }))
    }
}

impl Delivery<Reported> {
    /// How the attempt ended.
    pub const fn outcome(&self) -> &Outcome {
        &self.state.performed.attempted.outcome
    }

    /// Who ran the attempt.
    pub fn scene(&self) -> &Scene {
        &self.state.performed.start.scene
    }

    /// The report about it, if it went wrong.
    pub fn oops(&self) -> Option<OopsId> {
        self.state.told.map(|(oops, _)| oops)
    }

    /// What problem it was, if it went wrong and that is laid to it. A ticket that was too late, or
    /// had no time left, is no problem of its stage.
    pub fn signature(&self) -> Option<SignatureId> {
        let (_, signature) = self.state.told?;
        let is_late = match self.outcome() {
            Outcome::Expired(_) => true,
            Outcome::TimedOut(_) => has_passed(&self.ticket, self.state.performed.ended_at),
            _ => false,
        };
        if is_late {
            return None;
        }
        let died = company(self.outcome(), self.is_alone);
        died.is_none_or(Company::is_guilty).then_some(signature)
    }

    /// Decides where the ticket goes, and so becomes the settlement that takes it there.
    pub fn decide(self, decision: &Decision) -> Settlement {
        let (oops, signature) = (self.oops(), self.signature());
        let performed = self.state.performed;
        let (start, attempted) = (performed.start, performed.attempted);
        let span = Span {
            started_at: start.at,
            ended_at: performed.ended_at,
        };
        let died = company(&attempted.outcome, self.is_alone);
        let disposition = crate::settlement::disposition(
            &self.ticket,
            (&attempted.outcome, died),
            oops,
            decision,
        );
        let ended = Ended {
            span,
            outcome: attempted.outcome.kind(),
            oops,
            usage: attempted.usage,
            scene: start.scene,
            signature,
        };
        let emits = crate::settlement::emitted(&self.ticket, attempted.outcome, decision.now);
        Settlement::new(self.ticket, self.receipt, disposition, Some(ended)).with_emits(emits)
    }
}
