//! What is read ahead and what is lent: tickets in memory, and the subscriptions that hold them.

use crate::queue::StageQueue;
use domain::delivery::{Delivery, Incoming, Lender, Receipt};
use domain::names::Holder;
use domain::ticket::{Name, Ticket};
use domain::time::Timestamp;
use std::sync::Arc;

/// A runnable ticket in memory.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    /// Its row.
    pub(crate) seq: i64,
    /// Its position in the queue.
    pub(crate) ready_seq: i64,
    /// The ticket.
    pub(crate) ticket: Arc<Ticket>,
    /// Who had it before and did not settle it.
    pub(crate) had: Option<Had>,
    /// Why its row cannot be read; the ticket holds what can be.
    pub(crate) unreadable: Option<String>,
    /// Whether it is on trial, to be run in a process of its own.
    pub(crate) is_alone: bool,
}

/// Who has a ticket, and since when its attempt runs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Had {
    pub(crate) holder: Holder,
    pub(crate) started_at: Timestamp,
}

/// A lease that a settlement refers to.
#[derive(Clone, Debug)]
pub(crate) struct InHand {
    pub(crate) seq: i64,
    pub(crate) name: Name,
    pub(crate) had: Had,
}

/// One subscription: to whom deliveries are lent, and who takes them back.
pub(crate) struct Subscription {
    pub(crate) id: u64,
    pub(crate) prefetch: usize,
    pub(crate) queue: Arc<StageQueue>,
}

impl Lender for Subscription {
    fn take_back(&self, tag: u64) {
        self.queue.take_back(tag);
    }
}

/// How much of the read-ahead it fills.
pub(crate) fn size(loaded: &Loaded) -> usize {
    loaded.ticket.payload.bytes.len()
}

/// The delivery that a subscription gets.
pub(crate) fn incoming(loaded: &Loaded, tag: u64, lender: &Arc<Subscription>) -> Incoming {
    let lender: Arc<dyn Lender> = Arc::<Subscription>::clone(lender);
    let receipt = Receipt::new(tag, lender);
    let ticket = Arc::clone(&loaded.ticket);
    if let Some(why) = &loaded.unreadable {
        let why = why.clone();
        return Incoming::Unreadable(Delivery::unreadable(ticket, receipt, why));
    }
    match &loaded.had {
        None if loaded.is_alone => Incoming::Fresh(Delivery::new(ticket, receipt).alone()),
        None => Incoming::Fresh(Delivery::new(ticket, receipt)),
        Some(had) => Incoming::Suspect(Delivery::suspect(
            ticket,
            receipt,
            had.holder.clone(),
            Some(had.started_at),
        )),
    }
}
