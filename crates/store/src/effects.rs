//! What the writer of the books will tell whom once its transaction is durable.

use crate::codes::Count;
use crate::lease::Loaded;
use crate::queue::{Allowance, Coverage, StageQueue};
use crate::queues::Queues;
use domain::names::StageName;
use domain::ticket::Ticket;
use domain::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the commits of the books, so that sums are counted again only when something changed.
#[derive(Default)]
pub(crate) struct Commits {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Commits {
    /// A commit is about to be made.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// It was made, or given up.
    pub(crate) fn end(&self) {
        let begun = self.begun.load(Ordering::SeqCst);
        self.ended.store(begun, Ordering::SeqCst);
    }

    /// How many commits have begun. Whoever looks after its read transaction has begun and finds
    /// the same number as another did, sees the same books.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// How many have ended: each read transaction that begins from now on sees those.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }
}

/// Tickets of one stage that become runnable with this transaction.
pub(crate) struct Rise {
    stage: i64,
    name: StageName,
    queue: Option<Arc<StageQueue>>,
    /// Whether the queue takes tickets directly; decided once a transaction, and over with the
    /// first ticket that is only in the books.
    is_hungry: bool,
    items: Vec<Loaded>,
    latest: i64,
}

impl Rise {
    /// A ticket got this position. It is asked for a copy only if the queue takes it directly.
    pub(crate) fn push(
        &mut self,
        (seq, ready_seq): (i64, i64),
        ticket: impl FnOnce() -> Option<Arc<Ticket>>,
    ) {
        self.latest = ready_seq;
        if !self.is_hungry {
            return;
        }
        match ticket() {
            Some(ticket) => self.items.push(Loaded {
                seq,
                ready_seq,
                ticket,
                had: None,
                unreadable: None,
                // One on trial comes out of a wait, and so by way of the books.
                is_alone: false,
            }),
            // The order must not be broken: what follows is read from the books as well.
            None => self.is_hungry = false,
        }
    }

    /// The positions are durable and published already.
    fn tell(self, queues: &Queues) {
        let items = self.items.into_iter();
        match (self.queue, self.is_hungry) {
            (Some(queue), true) => queue.offer(items, self.latest, Coverage::Whole),
            (Some(queue), false) => queue.offer(items, self.latest, Coverage::Beginning),
            // It may have come to be while the transaction ran.
            (None, _) => {
                if let Some(queue) = queues.find(&self.name) {
                    queue.advance(self.latest);
                }
            }
        }
    }
}

/// What is told once the transaction is durable.
#[derive(Default)]
pub(crate) struct Effects {
    rises: Vec<Rise>,
    /// Tickets that were taken out of their queues.
    pub(crate) withdrawn: Vec<(Arc<StageQueue>, i64)>,
    /// Tickets that were ended while somebody has them.
    pub(crate) voided: Vec<(Arc<StageQueue>, i64)>,
    /// What release plans let past the gates of stages, in this order.
    pub(crate) allowances: Vec<(StageName, Allowance)>,
    /// By how much which counter of which stage changes.
    pub(crate) counts: Vec<(i64, Count, i64)>,
    /// When the first of the waits ends that began.
    pub(crate) until_min: Option<Timestamp>,
    /// Whether there is something new to judge, or to release at once.
    pub(crate) has_case: bool,
    /// A round of releases found that this is the next wait to end; `Some(None)` means none.
    pub(crate) next_until: Option<Option<Timestamp>>,
}

impl Effects {
    pub(crate) fn count(&mut self, stage: i64, what: Count, by: i64) {
        let mut counts = self.counts.iter_mut();
        match counts.find(|(s, w, _)| (*s, *w) == (stage, what)) {
            Some((_, _, n)) => *n += by,
            None => self.counts.push((stage, what, by)),
        }
    }

    /// What becomes runnable of this stage.
    pub(crate) fn rise(&mut self, queues: &Queues, stage: i64, name: &StageName) -> &mut Rise {
        let known = self.rises.iter().position(|rise| rise.stage == stage);
        let at = known.unwrap_or_else(|| {
            let queue = queues.find(name);
            self.rises.push(Rise {
                stage,
                name: name.clone(),
                is_hungry: queue.as_ref().is_some_and(|queue| queue.is_hungry()),
                queue,
                items: Vec::new(),
                latest: 0,
            });
            self.rises.len() - 1
        });
        &mut self.rises[at]
    }

    /// The ticket does not become runnable after all.
    pub(crate) fn fall(&mut self, seq: i64) {
        for rise in &mut self.rises {
            rise.items.retain(|loaded| loaded.seq != seq);
        }
    }

    /// Everything is durable up to the position `latest`: the queues are told.
    pub(crate) fn tell(self, queues: &Queues, latest: i64) {
        for (queue, seq) in self.withdrawn {
            queue.confirm(seq);
        }
        for (queue, seq) in self.voided {
            queue.void(seq);
        }
        queues.publish(latest);
        for rise in self.rises {
            rise.tell(queues);
        }
        for (stage, allowance) in self.allowances {
            queues.of(&stage).allow(allowance);
        }
    }

    /// Everything is undone.
    pub(crate) fn undo(self) {
        for (queue, seq) in self.withdrawn {
            queue.restore(seq);
        }
        for (queue, seq) in self.voided {
            queue.spare(seq);
        }
    }
}
