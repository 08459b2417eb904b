//! At most one live ticket a key: the newest wins, and waits while another is at work.

use super::state::State;
use domain::books::Place;
use domain::names::Key;
use domain::ticket::{Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::Condition;

const BY: &str = "unique";

impl State {
    /// A ticket comes to a stage that wants one ticket a key.
    pub(super) fn arrive_with_key(&mut self, id: TicketId, key: &Key, now: Timestamp) {
        let others = self.rivals(id, key);
        if let Some(newer) = self.newer(id, &others) {
            return self.supersede(id, newer, now);
        }
        let at_work = others.iter().copied().find(|other| self.is_at_work(*other));
        for other in others {
            if !self.is_at_work(other) {
                self.supersede(other, id, now);
            }
        }
        match at_work {
            None => self.make_runnable(id, now),
            Some(other) => {
                let because = format!("ticket {other} with the same key is at work");
                self.make_wait(id, Condition::Unique { other }, because, now);
            }
        }
    }

    /// The ticket may not be at work any more: whoever waits for its key is next.
    pub(super) fn free_key_of(&mut self, id: TicketId, now: Timestamp) {
        let Some(ticket) = self.rows.get(&id).map(|row| row.entry.ticket.clone()) else {
            return;
        };
        self.free_key(&ticket, now);
    }

    /// As [`State::free_key_of`], for a ticket as it was before it moved.
    pub(super) fn free_key(&mut self, was: &Ticket, now: Timestamp) {
        let waits_for = |condition: &Condition| *condition == Condition::Unique { other: was.id() };
        for waiter in self.waiting(waits_for) {
            let Some(key) = self.unique_key(waiter) else {
                self.make_runnable(waiter, now);
                continue;
            };
            self.arrive_with_key(waiter, &key, now);
        }
    }

    /// A live one that was accepted after this ticket: an older one may come to the stage later.
    fn newer(&self, id: TicketId, others: &[TicketId]) -> Option<TicketId> {
        let age = self.rows.get(&id)?.age;
        let is_newer = |other: &&TicketId| {
            let row = self.rows.get(*other);
            row.is_some_and(|row| row.age > age && !row.entry.place.state().is_terminal())
        };
        others.iter().find(is_newer).copied()
    }

    /// The other tickets of this key at this ticket's stage that are live, or ended and still in
    /// somebody's hand.
    fn rivals(&self, id: TicketId, key: &Key) -> Vec<TicketId> {
        let Some(stage) = self.rows.get(&id).map(|row| &row.entry.ticket.stage) else {
            return Vec::new();
        };
        let is_rival = |ticket: &Ticket| {
            ticket.id() != id && ticket.stage == *stage && ticket.key.as_ref() == Some(key)
        };
        let rows = self.rows.iter().filter(|(_, row)| {
            let is_over = || row.entry.place.state().is_terminal();
            is_rival(&row.entry.ticket) && (!is_over() || self.is_lent(row.entry.ticket.id()))
        });
        rows.map(|(id, _)| *id).collect()
    }

    /// Whether somebody has it, or may still have it, or something outside works on it.
    fn is_at_work(&self, id: TicketId) -> bool {
        let place = self.rows.get(&id).map(|row| &row.entry.place);
        let is_busy = match place {
            Some(Place::Running { .. }) => true,
            Some(Place::Waiting(wait)) => matches!(
                wait.condition,
                Condition::Suspect { .. } | Condition::Pending { .. }
            ),
            _ => false,
        };
        is_busy || self.is_lent(id) || self.is_doubted(id)
    }

    /// Whether it stands in a queue after somebody had it.
    fn is_doubted(&self, id: TicketId) -> bool {
        self.queues
            .values()
            .flat_map(|queue| queue.values())
            .any(|queued| !queued.is_ghost && queued.doubt.is_some() && queued.ticket.id() == id)
    }

    fn supersede(&mut self, old: TicketId, by: TicketId, now: Timestamp) {
        let reason = format!("superseded by ticket {by} with the same key");
        self.end_dropped(old, reason, BY, now);
    }
}
