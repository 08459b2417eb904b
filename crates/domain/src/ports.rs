//! What the rules need from the world. Each port is one conversation, with at most seven methods;
//! the floors above and the adapters below meet only here.

mod handler;
mod leading;
mod plans;

pub use handler::{Context, Handler, Inspection, LetsGo, StopReason, StopSignal};
pub use leading::{
    Applied, Due, Dues, Election, Holds, Inbox, Ledger, Registry, Reporter, Road, Sent, Vitals,
};
pub use plans::{PLANS_MAX, PlanError, PlanOrder, Plans, Tripped};

use crate::books::{Balance, Entry, Line, StageCounts};
use crate::control::{Change, Snapshot};
use crate::delivery::{Delivery, Incoming, Received, Settlement, Start, Started};
use crate::event::{Ending, Event};
use crate::filter::Query;
use crate::names::{Holder, Kind, StageName, Version};
use crate::oops::{OopsPrefix, Report};
use crate::outcome::Outcome;
use crate::retry::Chance;
use crate::ticket::{Generation, Ticket, TicketId};
use crate::time::Timestamp;
use crate::verdict::{Case, Verdict};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

/// Tells the time. The only way to learn it.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
    /// Draws a number for what is left to chance.
    fn chance(&self) -> Chance;
    /// Makes an id for a new ticket.
    fn ticket_id(&self) -> TicketId;
}

/// Listens to everything that happens: the invariant checker, metrics, the live page.
pub trait Observer: Send + Sync {
    /// Something happened. Must not block.
    fn observe(&self, at: Timestamp, event: &Event);
}

/// The broker or the store could not do what was asked. The ticket concerned has not moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room left; nothing was changed.
    #[error("the disk is full: {0}; nothing was changed, free some space and it goes on by itself")]
    Full(String),
    /// It cannot be reached or does not answer; nothing was changed as far as is known.
    #[error("{0}")]
    Unavailable(String),
    /// What it answered makes no sense.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// A subscription has ended. Always a fault, never a quiet end; the way on is to subscribe again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the subscription to stage {stage} ended: {why}")]
pub struct StreamEnded {
    /// To which stage.
    pub stage: StageName,
    /// In which way.
    pub reason: Ending,
    /// Why, in words.
    pub why: String,
}

/// The `started` records are not durable: nothing may be started.
#[derive(Debug, thiserror::Error)]
#[error("nothing was started: {error}")]
pub struct NotStarted {
    /// The deliveries, to be tried again or dropped, which hands them back.
    pub deliveries: Vec<Delivery<Received>>,
    /// Why.
    pub error: StoreError,
}

/// The group is not durable: nothing of it counts as settled.
#[derive(Debug, thiserror::Error)]
#[error("{} tickets are not settled yet: {error}", .settlements.len())]
pub struct Unsettled {
    /// The settlements, to be tried again.
    pub settlements: Vec<Settlement>,
    /// Why.
    pub error: StoreError,
}

/// What became of one settlement of a durable group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It counts.
    Applied,
    /// The books knew better; it changes nothing.
    Stale,
}

/// Carries runnable tickets and takes back settled ones.
#[async_trait]
pub trait Broker: Send + Sync {
    /// Subscribes to a stage; at most `prefetch` deliveries are out at once.
    async fn consume(
        &self,
        stage: &StageName,
        prefetch: NonZeroUsize,
    ) -> Result<Box<dyn Consumer>, StoreError>;

    /// Makes the `started` records of a group durable; only then may their handlers run.
    ///
    /// Not cancel safe: dropped before it is done, the records may be durable or not, and the
    /// deliveries go back as if nothing had run.
    async fn start(
        &self,
        deliveries: Vec<Delivery<Received>>,
        start: &Start,
    ) -> Result<Vec<Delivery<Started>>, NotStarted>;

    /// Makes a group of settlements durable and takes their deliveries off the queue. Answers in
    /// the order of the group.
    ///
    /// # Errors
    /// [`Unsettled`] gives the whole group back; nothing of it counts.
    async fn settle(&self, group: Vec<Settlement>) -> Result<Vec<Settled>, Unsettled>;

    /// Follows the desired state.
    async fn follow(&self) -> Result<Box<dyn Follower>, StoreError>;
}

/// One subscription to one stage.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for deliveries: at least one, at most `max`. Hands out nothing of a stage on hold.
    ///
    /// # Cancel safety
    /// Safe: what was not returned was not delivered.
    async fn next(&mut self, max: NonZeroUsize) -> Result<Vec<Incoming>, StreamEnded>;
}

/// Follows the desired state.
#[async_trait]
pub trait Follower: Send {
    /// Waits for a snapshot newer than the last one returned; the first call answers at once.
    ///
    /// # Cancel safety
    /// Safe: a snapshot that was not returned is returned next time.
    async fn next(&mut self) -> Result<Snapshot, StoreError>;
}

/// What happened to a submitted ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It is new and durable.
    New(TicketId),
    /// A ticket with this id was accepted before; nothing was added.
    Known(TicketId),
}

/// What an operator wants to happen to a ticket.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Run it now rather than when its wait ends.
    Retry,
    /// Stop it wherever it is; it ends as dropped.
    Cancel,
    /// Give it up; it ends as dropped with this reason.
    Drop(String),
    /// What a pending wait of this generation waits for has started.
    Start(Generation),
    /// An outside event has ended a pending wait of this generation with this outcome.
    Complete(Generation, Outcome),
}

/// An operator's order, and who gave it.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// About which ticket.
    pub ticket: TicketId,
    /// What is wanted.
    pub action: Action,
    /// By whom.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What came of an order.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// It was carried out; the ticket is now there.
    Done(Box<Entry>),
    /// No such ticket.
    NotFound,
    /// It was not carried out, because of this; nothing was changed.
    Refused {
        /// Why not.
        why: String,
        /// What would make it possible.
        remedy: String,
    },
}

/// The controller's desk: where tickets come in and orders are given.
#[async_trait]
pub trait Desk: Send + Sync {
    /// Accepts a group of tickets. When it returns, each is durable.
    async fn submit(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError>;
    /// Carries out a group of orders. Answers in the order of the group.
    async fn carry_out(&self, orders: Vec<Order>) -> Result<Vec<Answer>, StoreError>;
    /// Changes the desired state; returns the snapshot that is then in force.
    async fn change(&self, change: Change) -> Result<Snapshot, StoreError>;
}

/// What a round of releases did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// How many tickets became runnable.
    pub released: u64,
    /// When the next wait ends by time, if one does.
    pub next: Option<Timestamp>,
}

/// Who serves each stage, with which version of its handler.
pub type Serving = BTreeMap<StageName, BTreeMap<Version, BTreeMap<Holder, Kinds>>>;

/// Which kinds of tickets are taken; `None` takes all.
pub type Kinds = Option<BTreeSet<Kind>>;

/// What may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Forget what ended before this.
    pub before: Timestamp,
    /// Keep at most this many ended tickets, the newest.
    pub tickets_max: u64,
}

/// The waiting tickets, for the controller.
#[async_trait]
pub trait Waits: Send + Sync {
    /// Releases tickets whose wait has ended by `now`, at most `max` of them, oldest first.
    async fn release(&self, now: Timestamp, max: NonZeroUsize) -> Result<Round, StoreError>;
    /// Releases the tickets of a stage that waited for its handler to change.
    async fn unhold(&self, stage: &StageName, now: Timestamp) -> Result<u64, StoreError>;
    /// Suspects, and pending tickets that are overdue; at most `max`.
    async fn cases(&self, now: Timestamp, max: NonZeroUsize) -> Result<Vec<Case>, StoreError>;
    /// Carries out verdicts; returns how many counted. Their reports are durable already.
    async fn judge(&self, verdicts: Vec<Verdict>) -> Result<u64, StoreError>;
    /// Who serves each stage now, and nobody else. A version that comes new has its breakers
    /// probed by the next round.
    async fn serving(&self, serving: Serving, now: Timestamp) -> Result<(), StoreError>;
    /// Waits until there is something new for the controller: a case, or a wait that ends earlier
    /// than any before. May return too often, never too late.
    async fn attention(&self);
    /// Forgets a slice of what ended long ago; returns how many tickets were forgotten.
    async fn retain(&self, retention: Retention) -> Result<u64, StoreError>;
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows, in the order asked for.
    pub rows: Vec<T>,
    /// Whether there are more.
    pub more: bool,
}

/// In which order a list comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The latest first.
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

/// Which rows of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// Which ones.
    pub query: Query,
    /// How many at most; 1 to [`Listing::LIMIT_MAX`].
    pub limit: usize,
    /// In which order.
    pub sort: Sort,
    /// The time, for keys such as `since:-1h`.
    pub now: Timestamp,
}

impl Listing {
    /// The most rows of one answer.
    pub const LIMIT_MAX: usize = 10_000;
}

/// The books, for reading.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// One ticket.
    async fn ticket(&self, id: TicketId) -> Result<Option<Entry>, StoreError>;
    /// Tickets that match.
    async fn tickets(&self, listing: Listing) -> Result<Page<Entry>, StoreError>;
    /// Everything that happened to a ticket, oldest first.
    async fn history(&self, id: TicketId) -> Result<Vec<Line>, StoreError>;
    /// The sums over all tickets, which are kept. With a time, the sums over those that were
    /// accepted since, counted one by one: what is forgotten is not among them.
    async fn balance(&self, since: Option<Timestamp>) -> Result<Balance, StoreError>;
    /// The sums of every stage that has or had tickets.
    async fn stages(&self) -> Result<Vec<StageCounts>, StoreError>;
    /// The desired state in force.
    async fn snapshot(&self) -> Result<Snapshot, StoreError>;
    /// What the store says about its own health, for `doctor`: finding and remedy.
    async fn check(&self, depth: Depth) -> Result<Vec<Finding>, StoreError>;
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// At what can be told at once, however much there is.
    Usual,
    /// Also at what takes the longer the more there is.
    Deep,
}

/// Something that was looked at, and what was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub about: String,
    /// Whether it is as it should be.
    pub is_fine: bool,
    /// What was seen.
    pub seen: String,
    /// What to do, when it is not fine.
    pub remedy: Option<String>,
}

/// The report is not durable: the ticket must not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the report is not durable: {0}")]
pub struct OopsError(pub StoreError);

/// The reports.
#[async_trait]
pub trait Oopses: Reporter {
    /// The reports whose id begins so; at most two, since two mean that the prefix is not unique.
    async fn find(&self, prefix: OopsPrefix) -> Result<Vec<Report>, StoreError>;
    /// Reports that match.
    async fn list(&self, listing: Listing) -> Result<Page<Report>, StoreError>;
    /// Forgets a slice of the reports from before `retention.before`, or beyond its number.
    async fn retain(&self, retention: Retention) -> Result<u64, StoreError>;
}
