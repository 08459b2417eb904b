//! Tickets that leave the queue by another way than being lent: withdrawn, or ended in hand.
//!
//! Each is taken out while its transaction runs, and confirmed or brought back after it.

use super::{Fate, Gone, Inner, StageQueue, Withdrawal};
use crate::lease::{InHand, Loaded, size};

impl StageQueue {
    /// Takes a runnable ticket out, unless somebody has it. To be confirmed or restored.
    pub(crate) fn withdraw(&self, seq: i64) -> Withdrawal {
        let mut inner = self.lock();
        if inner.leases.values().any(|lease| lease.loaded.seq == seq) {
            return Withdrawal::InHand;
        }
        inner.take_out(seq);
        Withdrawal::Out
    }

    /// Takes a ticket out that is being ended. One that somebody has does not come back if it is
    /// let go from now on. To be confirmed or restored; in hand, to be made void or spared.
    pub(crate) fn end(&self, seq: i64) -> Withdrawal {
        let mut inner = self.lock();
        if inner.decide(seq, Fate::Doomed) {
            return Withdrawal::InHand;
        }
        inner.take_out(seq);
        Withdrawal::Out
    }

    /// The withdrawal is durable.
    pub(crate) fn confirm(&self, seq: i64) {
        self.lock().confirm(seq);
    }

    /// The withdrawal was undone: the ticket goes back to the front.
    pub(crate) fn restore(&self, seq: i64) {
        let mut inner = self.lock();
        if let Some(loaded) = inner.gone.remove(&seq).and_then(|gone| gone.loaded) {
            inner.bytes += size(&loaded);
            inner.buffer.push_front(loaded);
        }
        drop(inner);
        self.notify();
    }

    /// The end of a ticket that somebody had is durable. If it was let go meanwhile, the books
    /// are told so.
    pub(crate) fn void(&self, seq: i64) {
        let mut inner = self.lock();
        if inner.decide(seq, Fate::Void) {
            return;
        }
        let let_go = inner.gone.get_mut(&seq);
        let let_go = let_go.and_then(|gone| gone.loaded.take());
        inner.confirm(seq);
        drop(inner);
        if let Some(loaded) = let_go {
            self.freed.push(loaded);
        }
    }

    /// The end of a ticket that somebody had was undone.
    pub(crate) fn spare(&self, seq: i64) {
        let is_in_hand = self.lock().decide(seq, Fate::Returns);
        if !is_in_hand {
            self.restore(seq);
        }
    }

    /// Every attempt that was started and not settled, wherever its ticket is now: should this
    /// process die, each of them needs a report.
    pub(crate) fn unsettled(&self, unsettled: &mut Vec<InHand>) {
        let inner = self.lock();
        let in_hand = |loaded: &Loaded, had: Option<&crate::lease::Had>| {
            Some(InHand {
                seq: loaded.seq,
                name: loaded.ticket.name,
                had: had.or(loaded.had.as_ref())?.clone(),
            })
        };
        let lent = inner.leases.values();
        unsettled.extend(lent.filter_map(|lease| in_hand(&lease.loaded, lease.started.as_ref())));
        let aside = inner.gone.values().filter_map(|gone| gone.loaded.as_ref());
        let here = inner.buffer.iter().chain(aside);
        unsettled.extend(here.filter_map(|loaded| in_hand(loaded, None)));
    }
}

impl Inner {
    /// Decides what becomes of a ticket in hand; false when nobody has it.
    fn decide(&mut self, seq: i64, fate: Fate) -> bool {
        let mut leases = self.leases.values_mut();
        let lease = leases.find(|lease| lease.loaded.seq == seq);
        lease.is_some_and(|lease| {
            lease.fate = fate;
            true
        })
    }

    fn take_out(&mut self, seq: i64) {
        let at = self.buffer.iter().position(|loaded| loaded.seq == seq);
        let loaded = at.and_then(|at| self.buffer.remove(at));
        self.bytes -= loaded.as_ref().map_or(0, size);
        let is_durable = false;
        self.gone.insert(seq, Gone { is_durable, loaded });
    }

    /// Somebody let it go while it was being ended.
    pub(super) fn keep_aside(&mut self, loaded: Loaded) {
        let seq = loaded.seq;
        let gone = Gone {
            is_durable: false,
            loaded: Some(loaded),
        };
        self.gone.insert(seq, gone);
    }

    fn confirm(&mut self, seq: i64) {
        if self.is_fetching {
            let gone = Gone {
                is_durable: true,
                loaded: None,
            };
            self.gone.insert(seq, gone);
        } else {
            self.gone.remove(&seq);
        }
    }
}
