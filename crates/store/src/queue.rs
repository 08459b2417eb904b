//! One stage's queue as this process sees it: what is read ahead, what is lent, and how far the
//! books have been read. Only the owner of the data folder lends, so none of this is written down.
//!
//! `cursor` and `latest` are positions in the order in which tickets became runnable: everything
//! up to `cursor` has been read, `latest` is the newest that is durable. While they are equal,
//! the writer hands newly runnable tickets over directly; else the feeder reads on.

use crate::control::Door;
use crate::feeder::{Feed, ReadAhead};
use crate::freed::Freed;
use crate::lease::{Had, InHand, Loaded, Subscription, incoming, size};
use domain::delivery::Incoming;
use domain::names::StageName;
use domain::ticket::Name;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

mod ending;
mod gate;

pub(crate) use gate::Allowance;

/// The next tag. Tags are told apart in the whole process, so that a delivery of a folder that was
/// closed is never taken for one of the folder that was opened after it.
static TAGS: AtomicU64 = AtomicU64::new(1);

struct Lease {
    loaded: Loaded,
    subscription: u64,
    started: Option<Had>,
    fate: Fate,
}

/// What becomes of a ticket in hand when it is let go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It goes back to the front.
    Returns,
    /// A transaction that is not durable yet ends it.
    Doomed,
    /// It was ended: it does not come back.
    Void,
}

#[derive(Default)]
struct Inner {
    buffer: VecDeque<Loaded>,
    bytes: usize,
    leases: HashMap<u64, Lease>,
    out: HashMap<u64, usize>,
    cursor: i64,
    latest: i64,
    is_fetching: bool,
    /// Rows that were taken out and must not come in by a read that began before.
    gone: HashMap<i64, Gone>,
    door: Door,
    /// The last permit under which a ticket was taken.
    permit_used: u64,
    /// How many more may be taken past the gate, by a release plan.
    allowed: u64,
    ended: Option<String>,
    is_closed: bool,
}

/// A row that was taken out of the queue.
#[derive(Default)]
struct Gone {
    is_durable: bool,
    /// The ticket, should taking it out be undone.
    loaded: Option<Loaded>,
}

/// The queue of one stage.
pub(crate) struct StageQueue {
    pub(crate) stage: StageName,
    pub(crate) read_ahead: ReadAhead,
    inner: Mutex<Inner>,
    changed: Notify,
    feed: Feed,
    freed: Arc<Freed>,
}

/// How much of what became runnable is handed over directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coverage {
    /// All of it.
    Whole,
    /// The first of it; the rest is in the books only.
    Beginning,
}

/// What a consumer gets when it asks for deliveries.
pub(crate) enum Taken {
    Some(Vec<Incoming>),
    Nothing,
    Ended(String),
}

/// What became of an attempt to take a runnable ticket out of its queue.
pub(crate) enum Withdrawal {
    /// Somebody has it.
    InHand,
    /// It was taken out.
    Out,
}

impl StageQueue {
    pub(crate) fn new(
        stage: StageName,
        read_ahead: ReadAhead,
        feed: Feed,
        freed: Arc<Freed>,
    ) -> Self {
        Self {
            stage,
            read_ahead,
            inner: Mutex::default(),
            changed: Notify::new(),
            feed,
            freed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The state is whole after each statement, so a panic elsewhere does not spoil it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for deliveries or for room.
    pub(crate) fn notify(&self) {
        self.changed.notify_waiters();
    }

    pub(crate) const fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Lends up to `max` tickets, but no more than `prefetch` at once to this subscription.
    pub(crate) fn take(self: &Arc<Self>, lender: &Arc<Subscription>, max: usize) -> Taken {
        let mut inner = self.lock();
        if inner.is_closed {
            return Taken::Ended("the store is closed".into());
        }
        if let Some(why) = inner.ended.take() {
            return Taken::Ended(why);
        }
        let wants_more = inner.buffer.len() <= self.read_ahead.tickets / 2
            && inner.cursor < inner.latest
            && !inner.is_fetching;
        if wants_more {
            inner.is_fetching = true;
            inner.gone.retain(|_, gone| !gone.is_durable);
        }
        let taken = lend(&mut inner, lender, max);
        drop(inner);
        if wants_more && !self.feed.ask(self) {
            return Taken::Ended("the store is closed".into());
        }
        match taken.is_empty() {
            true => Taken::Nothing,
            false => Taken::Some(taken),
        }
    }

    /// A delivery was dropped: its ticket goes back to the front. One that was never started is as
    /// fresh as before; one that was is a question for the controller.
    pub(crate) fn take_back(&self, tag: u64) {
        let mut inner = self.lock();
        let Some(lease) = inner.leases.remove(&tag) else {
            return;
        };
        give_room(&mut inner, lease.subscription);
        let mut loaded = lease.loaded;
        loaded.had = lease.started.or(loaded.had);
        let freed = match lease.fate {
            Fate::Returns => {
                inner.bytes += size(&loaded);
                inner.buffer.push_front(loaded);
                None
            }
            Fate::Doomed => {
                inner.keep_aside(loaded);
                None
            }
            Fate::Void => Some(loaded),
        };
        drop(inner);
        self.notify();
        if let Some(loaded) = freed {
            self.freed.push(loaded);
        }
    }

    /// The rows behind these tags, in their order; those of unknown tags are left out.
    pub(crate) fn rows(&self, tags: impl Iterator<Item = u64>, rows: &mut Vec<i64>) {
        let inner = self.lock();
        rows.extend(tags.filter_map(|tag| Some(inner.leases.get(&tag)?.loaded.seq)));
    }

    /// Whether the ticket was ended while it was in hand.
    pub(crate) fn is_void(&self, tag: u64) -> bool {
        let inner = self.lock();
        let lease = inner.leases.get(&tag);
        lease.is_none_or(|lease| lease.fate == Fate::Void)
    }

    /// The handlers of these leases are about to run.
    pub(crate) fn started(&self, tags: impl Iterator<Item = u64>, had: &Had) {
        let mut inner = self.lock();
        for tag in tags {
            if let Some(lease) = inner.leases.get_mut(&tag) {
                lease.started = Some(had.clone());
            }
        }
    }

    /// The handlers of these leases do not run after all.
    pub(crate) fn not_started(&self, tags: impl Iterator<Item = u64>) {
        let mut inner = self.lock();
        for tag in tags {
            if let Some(lease) = inner.leases.get_mut(&tag) {
                lease.started = None;
            }
        }
    }

    /// What is running now.
    pub(crate) fn running(&self, running: &mut Vec<InHand>) {
        let inner = self.lock();
        let leases = inner.leases.values();
        let leases = leases.filter(|lease| lease.fate != Fate::Void);
        running.extend(leases.filter_map(|lease| {
            Some(InHand {
                seq: lease.loaded.seq,
                name: lease.loaded.ticket.name,
                had: lease.started.clone()?,
            })
        }));
    }

    /// Who is running this ticket now under this name.
    pub(crate) fn runner(&self, seq: i64, name: &Name) -> Option<Had> {
        let inner = self.lock();
        let mut leases = inner.leases.values();
        let is_it = |lease: &&Lease| lease.loaded.seq == seq && lease.loaded.ticket.name == *name;
        leases.find(is_it)?.started.clone()
    }

    /// These settlements are durable: nothing of them comes back.
    pub(crate) fn settled(&self, tags: impl Iterator<Item = u64>) {
        let mut inner = self.lock();
        for tag in tags {
            if let Some(lease) = inner.leases.remove(&tag) {
                give_room(&mut inner, lease.subscription);
            }
        }
        drop(inner);
        self.notify();
    }

    /// Whether tickets that become runnable now would go straight in.
    pub(crate) fn is_hungry(&self) -> bool {
        let inner = self.lock();
        inner.is_caught_up() && self.has_room(&inner)
    }

    fn has_room(&self, inner: &Inner) -> bool {
        inner.buffer.len() < self.read_ahead.tickets && inner.bytes < self.read_ahead.bytes_max
    }

    /// Tickets that have become runnable, durably, in the order of their positions up to `latest`.
    /// Takes them in while it is caught up and has room; the rest is read later.
    pub(crate) fn offer(
        &self,
        items: impl Iterator<Item = Loaded>,
        latest: i64,
        coverage: Coverage,
    ) {
        let mut inner = self.lock();
        let mut is_complete = inner.is_caught_up();
        for loaded in items {
            if !is_complete || !self.has_room(&inner) {
                is_complete = false;
                break;
            }
            // A read that began after the commit may have brought it already.
            if loaded.ready_seq > inner.cursor {
                inner.cursor = loaded.ready_seq;
                inner.latest = inner.latest.max(loaded.ready_seq);
                inner.bytes += size(&loaded);
                inner.buffer.push_back(loaded);
            }
        }
        inner.latest = inner.latest.max(latest);
        if is_complete && coverage == Coverage::Whole {
            inner.cursor = inner.cursor.max(latest);
        }
        drop(inner);
        self.notify();
    }

    /// Tickets became runnable that are only in the books.
    pub(crate) fn advance(&self, latest: i64) {
        let mut inner = self.lock();
        inner.latest = inner.latest.max(latest);
        drop(inner);
        self.notify();
    }

    /// From where to read on, and up to where the books are known to be durable.
    pub(crate) fn bounds(&self) -> (i64, i64) {
        let inner = self.lock();
        (inner.cursor, inner.latest)
    }

    /// What a read brought, and up to which position it is complete.
    pub(crate) fn fill(&self, rows: Vec<Loaded>, complete_to: i64) {
        let mut inner = self.lock();
        for loaded in rows {
            match inner.gone.get_mut(&loaded.seq) {
                Some(gone) => gone.loaded = Some(loaded),
                None => {
                    inner.bytes += size(&loaded);
                    inner.buffer.push_back(loaded);
                }
            }
        }
        inner.cursor = inner.cursor.max(complete_to);
        inner.is_fetching = false;
        drop(inner);
        self.notify();
    }

    /// A read failed: the subscriptions end and may be taken up again.
    pub(crate) fn fail(&self, why: String) {
        let mut inner = self.lock();
        inner.ended = Some(why);
        inner.is_fetching = false;
        drop(inner);
        self.notify();
    }

    /// The end of every subscription.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.notify();
    }
}

impl Inner {
    fn is_caught_up(&self) -> bool {
        self.cursor >= self.latest && !self.is_fetching
    }
}

fn lend(inner: &mut Inner, lender: &Arc<Subscription>, max: usize) -> Vec<Incoming> {
    let out = inner.out.get(&lender.id).copied().unwrap_or(0);
    let count = max
        .min(lender.prefetch.saturating_sub(out))
        .min(inner.buffer.len());
    let first = TAGS.fetch_add(count as u64, Ordering::Relaxed);
    let mut taken = Vec::with_capacity(count);
    for tag in (first..).take(count) {
        let Some(loaded) = inner.pop() else {
            break;
        };
        inner.bytes = inner.bytes.saturating_sub(size(&loaded));
        taken.push(incoming(&loaded, tag, lender));
        let lease = Lease {
            loaded,
            subscription: lender.id,
            started: None,
            fate: Fate::Returns,
        };
        inner.leases.insert(tag, lease);
    }
    if !taken.is_empty() {
        *inner.out.entry(lender.id).or_insert(0) += taken.len();
    }
    taken
}

fn give_room(inner: &mut Inner, subscription: u64) {
    if let Some(out) = inner.out.get_mut(&subscription) {
        *out = out.saturating_sub(1);
        if *out == 0 {
            inner.out.remove(&subscription);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::names::{Holder, Kind};
    use domain::ticket::{Lineage, Payload, Ticket, TicketId};
    use domain::time::Timestamp;

    fn loaded(seq: i64) -> Loaded {
        let id = TicketId::from_bytes([u8::try_from(seq).unwrap(); 16]);
        Loaded {
            seq,
            ready_seq: seq,
            unreadable: None,
            ticket: Arc::new(Ticket {
                name: Name::first(id),
                kind: Kind::unnamed(),
                flow: None,
                stage: StageName::new("build").unwrap(),
                key: None,
                payload: Payload::untyped("work"),
                deadline: None,
                created_at: Timestamp::EPOCH,
                lineage: Lineage::root(id),
                trace: None,
            }),
            had: None,
            is_alone: false,
        }
    }

    fn queue(tickets: usize) -> (Arc<StageQueue>, Arc<Subscription>) {
        let read_ahead = ReadAhead {
            tickets,
            bytes_max: 1_000,
        };
        let stage = StageName::new("build").unwrap();
        let queue = Arc::new(StageQueue::new(
            stage,
            read_ahead,
            Feed::unheard(),
            Arc::default(),
        ));
        let subscription = Subscription {
            id: 1,
            prefetch: 100,
            queue: Arc::clone(&queue),
        };
        (queue, Arc::new(subscription))
    }

    /// The rows that are handed out; they are given back at once, in their order.
    fn taken(queue: &Arc<StageQueue>, lender: &Arc<Subscription>) -> Vec<u8> {
        let mut ids = Vec::new();
        if let Taken::Some(taken) = queue.take(lender, 100) {
            for incoming in taken.into_iter().rev() {
                match incoming {
                    Incoming::Fresh(delivery) => ids.push(delivery.ticket().id().as_bytes()[0]),
                    other => panic!("expected a fresh delivery, got {other:?}"),
                }
            }
        }
        ids.reverse();
        ids
    }

    #[test]
    fn what_is_handed_over_directly_keeps_its_order_and_its_bound() {
        let (queue, lender) = queue(3);
        let all = (1..=5).map(loaded);
        queue.offer(all, 5, Coverage::Whole);
        assert_eq!(taken(&queue, &lender), [1, 2, 3]);
        assert_eq!(queue.bounds(), (3, 5), "the rest is read from the books");
        queue.offer([loaded(6)].into_iter(), 6, Coverage::Whole);
        assert_eq!(
            queue.bounds(),
            (3, 6),
            "nothing overtakes what is to be read"
        );
        assert!(!queue.is_hungry());
    }

    #[test]
    fn a_ticket_that_is_only_in_the_books_is_never_skipped() {
        let (queue, _) = queue(10);
        queue.offer([loaded(1)].into_iter(), 2, Coverage::Beginning);
        assert_eq!(queue.bounds(), (1, 2));
        queue.advance(4);
        assert_eq!(queue.bounds(), (1, 4));
    }

    #[test]
    fn what_a_read_and_a_hand_over_both_bring_comes_once() {
        let (queue, lender) = queue(10);
        queue.advance(2);
        queue.fill(vec![loaded(1), loaded(2), loaded(3)], 3);
        queue.offer([loaded(3), loaded(4)].into_iter(), 4, Coverage::Whole);
        assert_eq!(taken(&queue, &lender), [1, 2, 3, 4]);
    }

    #[test]
    fn what_was_withdrawn_while_it_was_read_does_not_come_in() {
        let (queue, lender) = queue(10);
        queue.advance(3);
        assert!(taken(&queue, &lender).is_empty(), "this asks for a read");
        assert!(matches!(queue.withdraw(2), Withdrawal::Out));
        queue.confirm(2);
        queue.fill(vec![loaded(1), loaded(2), loaded(3)], 3);
        assert_eq!(taken(&queue, &lender), [1, 3]);
    }

    #[test]
    fn a_withdrawal_that_was_undone_changes_nothing() {
        let (queue, lender) = queue(10);
        queue.advance(3);
        assert!(taken(&queue, &lender).is_empty(), "this asks for a read");
        assert!(matches!(queue.withdraw(2), Withdrawal::Out));
        queue.fill(vec![loaded(1), loaded(2), loaded(3)], 3);
        queue.restore(2);
        let mut all = taken(&queue, &lender);
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
    }

    #[test]
    fn what_somebody_has_cannot_be_withdrawn_and_does_not_come_back_when_void() {
        let (queue, lender) = queue(10);
        queue.offer([loaded(1)].into_iter(), 1, Coverage::Whole);
        let out = queue.take(&lender, 1);
        assert!(matches!(queue.end(1), Withdrawal::InHand));
        queue.void(1);
        drop(out);
        assert!(taken(&queue, &lender).is_empty());
        assert_eq!(queue.freed.take().len(), 1, "the books are told");
    }

    #[test]
    fn what_is_let_go_before_its_end_is_durable_comes_back_only_if_the_end_is_undone() {
        for is_durable in [true, false] {
            let (queue, lender) = queue(10);
            queue.offer([loaded(1)].into_iter(), 1, Coverage::Whole);
            let out = queue.take(&lender, 1);
            assert!(matches!(queue.end(1), Withdrawal::InHand));
            drop(out);
            assert!(
                taken(&queue, &lender).is_empty(),
                "its end is being written"
            );
            if is_durable {
                queue.void(1);
                assert!(taken(&queue, &lender).is_empty());
                assert_eq!(queue.freed.take().len(), 1, "the books are told");
            } else {
                queue.spare(1);
                assert_eq!(taken(&queue, &lender), [1]);
                assert!(queue.freed.take().is_empty());
            }
        }
    }

    #[test]
    fn what_may_still_need_a_report_is_not_left_out_of_a_new_intent_file() {
        let (queue, lender) = queue(10);
        queue.offer((1..=4).map(loaded), 4, Coverage::Whole);
        let Taken::Some(out) = queue.take(&lender, 3) else {
            panic!("four were offered");
        };
        let had = Had {
            holder: Holder::new("host/1").unwrap(),
            started_at: Timestamp::EPOCH,
        };
        let tags = out.iter().map(|incoming| match incoming {
            Incoming::Fresh(delivery) => delivery.tag(),
            other => panic!("expected a fresh delivery, got {other:?}"),
        });
        queue.started(tags, &had);
        queue.end(1);
        queue.void(1);
        let mut out = out.into_iter();
        let cancelled = out.next();
        drop(out);
        let lent_again = queue.take(&lender, 1);
        let mut unsettled = Vec::new();
        queue.unsettled(&mut unsettled);
        let mut rows: Vec<i64> = unsettled.iter().map(|in_hand| in_hand.seq).collect();
        rows.sort_unstable();
        assert_eq!(
            rows,
            [1, 2, 3],
            "void, suspect and lent, suspect and waiting"
        );
        drop((cancelled, lent_again));
    }

    #[test]
    fn only_what_was_started_runs_and_comes_back_as_a_suspect() {
        let (queue, lender) = queue(10);
        queue.offer((1..=2).map(loaded), 2, Coverage::Whole);
        let Taken::Some(out) = queue.take(&lender, 2) else {
            panic!("two were offered");
        };
        let Incoming::Fresh(first) = &out[0] else {
            panic!("nobody had it");
        };
        let had = Had {
            holder: Holder::new("host/1").unwrap(),
            started_at: Timestamp::EPOCH,
        };
        queue.started([first.tag()].into_iter(), &had);
        let mut running = Vec::new();
        queue.running(&mut running);
        assert_eq!(running.len(), 1);
        drop(out);
        let Taken::Some(again) = queue.take(&lender, 2) else {
            panic!("both came back");
        };
        let suspects = again.iter().filter(|i| matches!(i, Incoming::Suspect(_)));
        assert_eq!(suspects.count(), 1);
    }

    #[test]
    fn a_stage_on_hold_hands_out_nothing_and_a_closed_one_ends() {
        let (queue, lender) = queue(10);
        queue.offer([loaded(1)].into_iter(), 1, Coverage::Whole);
        queue.set(Door::Held);
        assert!(taken(&queue, &lender).is_empty());
        queue.set(Door::Open);
        assert_eq!(taken(&queue, &lender), [1]);
        queue.close();
        assert!(matches!(queue.take(&lender, 1), Taken::Ended(_)));
    }
}
