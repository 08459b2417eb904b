//! The queues of a broker, in memory: what lies in them, and what is lent from them.

use domain::names::StageName;
use domain::ticket::Ticket;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A copy of a ticket.
#[derive(Clone)]
pub(crate) struct Copied {
    pub(crate) ticket: Arc<Ticket>,
    /// Somebody had it: the flag that a broker puts on what it delivers again.
    pub(crate) is_redelivered: bool,
    /// It is on trial: the header that goes with it.
    pub(crate) is_alone: bool,
}

/// A ticket on its way to its queue.
pub(crate) struct Sending {
    pub(crate) ticket: Ticket,
    pub(crate) is_alone: bool,
}

impl From<Ticket> for Sending {
    fn from(ticket: Ticket) -> Self {
        let is_alone = false;
        Self { ticket, is_alone }
    }
}

/// A copy in somebody's hand.
pub(crate) struct Lent {
    pub(crate) copied: Copied,
    pub(crate) consumer: u64,
    pub(crate) is_started: bool,
}

#[derive(Default)]
pub(crate) struct Queues {
    queues: BTreeMap<StageName, VecDeque<Copied>>,
    pub(crate) lent: BTreeMap<u64, Lent>,
    /// What was handed back unstarted and has yet to go through the door.
    pub(crate) handed_back: Vec<Arc<Ticket>>,
    /// Copies below the fence, which have yet to be told of.
    pub(crate) fenced: Vec<Arc<Ticket>>,
    counter: u64,
    /// With which permit a stage took its last delivery.
    used: BTreeMap<StageName, u64>,
}

impl Queues {
    pub(crate) fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// The last permit of the stage that was used.
    pub(crate) fn used(&self, stage: &StageName) -> u64 {
        self.used.get(stage).copied().unwrap_or(0)
    }

    pub(crate) fn uses(&mut self, stage: &StageName, permit: u64) {
        self.used.insert(stage.clone(), permit);
    }

    pub(crate) fn push(&mut self, Sending { ticket, is_alone }: Sending) {
        let copied = Copied {
            ticket: Arc::new(ticket),
            is_redelivered: false,
            is_alone,
        };
        let queue = self.queues.entry(copied.ticket.stage.clone());
        queue.or_default().push_back(copied);
    }

    /// Lends the first copy of the stage, if this consumer has room for it.
    pub(crate) fn lend(
        &mut self,
        stage: &StageName,
        (consumer, prefetch): (u64, usize),
    ) -> Option<(u64, Copied)> {
        let out = self.lent.values().filter(|lent| lent.consumer == consumer);
        if out.count() >= prefetch {
            return None;
        }
        let copied = self.queues.get_mut(stage)?.pop_front()?;
        let tag = self.number();
        let lent = Lent {
            copied: copied.clone(),
            consumer,
            is_started: false,
        };
        self.lent.insert(tag, lent);
        Some((tag, copied))
    }

    /// The delivery was dropped. Unstarted it is handed back through the door, else the broker
    /// delivers it again.
    pub(crate) fn take_back(&mut self, tag: u64) {
        let Some(lent) = self.lent.remove(&tag) else {
            return;
        };
        let mut copied = lent.copied;
        if !lent.is_started && !copied.is_redelivered {
            return self.handed_back.push(copied.ticket);
        }
        copied.is_redelivered = true;
        let queue = self.queues.entry(copied.ticket.stage.clone());
        queue.or_default().push_front(copied);
    }
}
