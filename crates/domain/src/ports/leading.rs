//! What the leading controller needs when the broker and the store are two systems.

use super::{Retention, Serving, StoreError, StreamEnded};
use crate::control::Snapshot;
use crate::fleet::Heartbeat;
use crate::names::{Holder, StageName, Version};
use crate::oops::Report;
use crate::record::Record;
use crate::ticket::{Name, Ticket};
use crate::time::Timestamp;
use crate::verdict::{Case, Verdict};
use async_trait::async_trait;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Chooses one controller to lead: to read the journal, to release and to judge.
#[async_trait]
pub trait Election: Send + Sync {
    /// Waits until this process leads, and returns the books to lead with. Every call on a ledger
    /// whose term is over answers [`StoreError::Unavailable`] and changes nothing.
    ///
    /// # Cancel safety
    /// Safe: an unfinished candidature is given up.
    async fn lead(&self) -> Result<Arc<dyn Ledger>, StoreError>;
    /// The holders that the books owe an answer about: an attempt of theirs is open, claimed or
    /// not. A new leader expects to hear from them; whoever stays silent is buried like any other.
    async fn holders(&self) -> Result<Vec<Holder>, StoreError>;
    /// What is being published, as the books have it. Asked by a new leader before it publishes
    /// anything, that is what the one before was at when it was lost: whether it landed is in
    /// doubt, but only once the journal is read. A record of it proves that it did.
    async fn stranded(&self) -> Result<Vec<Name>, StoreError>;
    /// Waits until something may be new for the leader: a ticket submitted, an order, a wait that
    /// ends earlier than any before. May return too often, never too late.
    async fn attention(&self);
}

/// What became of a ticket that was to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sent {
    /// About to be published: from now on it is not known whether it landed.
    Begun,
    /// The broker has it.
    Confirmed,
    /// Nobody knows; it must never be published again under this name.
    Doubtful,
    /// It certainly did not leave this process.
    Unsent,
}

/// A ticket whose wait is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// The ticket, under the name that it is to be published with.
    pub ticket: Ticket,
    /// It was born in doubt: not before every live worker keeps to this revision of the desired
    /// state and has no older generation of it in hand.
    pub barrier: Option<u64>,
    /// The versions of the handler that must not run it: a canary failed on them.
    pub avoid: Vec<Version>,
    /// Whether it is on trial: it runs in a process of its own, if the handler has such.
    pub alone: bool,
}

/// The tickets whose wait is over, and when the next wait ends by time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dues {
    /// Oldest first.
    pub due: Vec<Due>,
    /// When the next one ends, if one does.
    pub next: Option<Timestamp>,
}

/// What a group of records did to the books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many changed something.
    pub applied: u64,
    /// How many came too late, or again.
    pub stale: u64,
    /// The copies that are suspects now.
    pub suspects: Vec<Name>,
    /// Whether the desired state has changed, so that it must be spread.
    pub control: bool,
}

/// The versions of the handlers that serve the stages.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Who serves each stage now, and nobody else. A version that comes new has its breakers
    /// probed by the next call of [`Ledger::due`].
    async fn serving(&self, serving: Serving, now: Timestamp) -> Result<(), StoreError>;
}

/// The books, in the hands of the one that leads.
#[async_trait]
pub trait Ledger: Registry {
    /// Writes a group of records into the books, in one transaction; the journal is acked after.
    async fn apply(&self, records: Vec<Record>) -> Result<Applied, StoreError>;
    /// The tickets whose wait has ended by `now`, at most `max`. Changes nothing.
    async fn due(&self, now: Timestamp, max: NonZeroUsize) -> Result<Dues, StoreError>;
    /// Notes what became of tickets that are being published. [`Sent::Doubtful`] raises the
    /// generation and puts the ticket behind a new barrier.
    async fn sent(&self, tickets: Vec<(Name, Sent)>) -> Result<(), StoreError>;
    /// Suspects, and pending tickets that are overdue; at most `max`. The holder of a suspect and
    /// the time it was started are those that the books know.
    async fn cases(&self, now: Timestamp, max: NonZeroUsize) -> Result<Vec<Case>, StoreError>;
    /// Carries out verdicts; returns how many counted. A verdict that raises the generation puts
    /// up the fence and the barrier with it.
    async fn judge(&self, verdicts: Vec<Verdict>) -> Result<u64, StoreError>;
    /// The holder is dead and has said its last word: what it had claimed becomes suspect. Returns
    /// the reports that are owed for every attempt whose end nobody told, also when its ticket has
    /// gone on; asked again it returns the same ones, until their reports are recorded.
    async fn bury(&self, holder: &Holder, now: Timestamp) -> Result<Vec<Report>, StoreError>;
    /// Forgets a slice of what ended long ago; returns how many tickets were forgotten.
    async fn retain(&self, retention: Retention) -> Result<u64, StoreError>;
}

/// The broker, as the controller uses it.
#[async_trait]
pub trait Road: Send + Sync {
    /// Publishes each ticket to its stage and awaits the confirms. A worker whose version the
    /// ticket is to avoid hands it back. Answers in the order given, never [`Sent::Begun`].
    async fn publish(&self, tickets: Vec<Due>) -> Vec<Sent>;
    /// Writes records of the controller's own into the journal; durable when it returns.
    async fn write(&self, records: Vec<Record>) -> Result<(), StoreError>;
    /// Makes this snapshot the desired state that every worker follows.
    async fn spread(&self, snapshot: &Snapshot) -> Result<(), StoreError>;
    /// Reads the journal, as the only one.
    async fn journal(&self) -> Result<Box<dyn Inbox<Record>>, StoreError>;
    /// Takes what nobody had declared a queue for, and what the broker gave up.
    async fn unclaimed(&self) -> Result<Box<dyn Inbox<Ticket>>, StoreError>;
    /// Takes the reports that workers sent.
    async fn reports(&self) -> Result<Box<dyn Inbox<Report>>, StoreError>;
    /// Makes sure that these stages have their queues.
    async fn declare(&self, stages: &[StageName]) -> Result<(), StoreError>;
}

/// A queue that is read in order, in groups.
#[async_trait]
pub trait Inbox<T>: Send {
    /// Waits for entries: at least one, about `max` at most. What cannot be read is quarantined
    /// and counted, never returned and never in the way.
    ///
    /// # Cancel safety
    /// Safe: what was not returned is returned next time.
    async fn next(&mut self, max: NonZeroUsize) -> Result<Vec<T>, StreamEnded>;
    /// Everything returned so far is durable elsewhere: it may go.
    async fn done(&mut self) -> Result<(), StoreError>;
}

/// What stages ask of the controller about their handlers.
#[async_trait]
pub trait Holds: Send + Sync {
    /// Asks that this stage take no deliveries. Durable when it returns.
    async fn hold(&self, stage: &StageName, hold: crate::control::Hold) -> Result<(), StoreError>;
    /// Says that the stage's handler can be started again, or has changed: the hold ends, and the
    /// tickets that waited for it are released.
    async fn unhold(&self, stage: &StageName, now: Timestamp) -> Result<(), StoreError>;
}

/// The workers' signs of life as they are sent, for whoever watches rather than leads.
#[async_trait]
pub trait Vitals: Send + Sync {
    /// Listens to the heartbeats of every worker, from now on. They are not kept for anybody:
    /// [`Inbox::done`] has nothing to do.
    async fn listen(&self) -> Result<Box<dyn Inbox<Heartbeat>>, StoreError>;
}

/// Where reports are made durable.
#[async_trait]
pub trait Reporter: Send + Sync {
    /// Makes the report durable and returns its id; the same report again returns the same id.
    ///
    /// # Errors
    /// [`OopsError`](super::OopsError) when it is not durable; the ticket must not move.
    async fn record(&self, report: Report) -> Result<crate::oops::OopsId, super::OopsError>;
}
