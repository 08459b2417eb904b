//! The death of a process: what it had started becomes suspect, what it only had goes back.

use super::Shared;
use super::queue::Lease;
use super::state::State;
use domain::books::Place;
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};

impl Shared {
    /// The process of this incarnation dies, unless it is dead already.
    pub(super) fn crash(&self, incarnation: u64) {
        let is_alive = self.lock().incarnation == incarnation;
        if is_alive {
            self.change(|state, now| state.crash(now));
        }
    }
}

impl State {
    fn crash(&mut self, now: Timestamp) {
        self.incarnation += 1;
        let at_work = self.at_work();
        let leases: Vec<(u64, Lease)> = std::mem::take(&mut self.leases).into_iter().collect();
        for (tag, lease) in leases {
            match &lease.start {
                Some((holder, _)) => {
                    let beside = at_work.get(holder).map_or(0, |all| all - 1);
                    self.suspect(lease, beside, now);
                }
                None => {
                    self.leases.insert(tag, lease);
                    self.take_back(tag, now);
                }
            }
        }
    }

    /// The attempt was running; what became of it nobody knows.
    fn suspect(&mut self, lease: Lease, beside: u32, now: Timestamp) {
        let Some((holder, started_at)) = lease.start else {
            return;
        };
        let ticket = lease.queued.ticket;
        let row = self.rows.get_mut(&ticket.id());
        let row = row.filter(|row| {
            row.entry.ticket.name == ticket.name && matches!(row.entry.place, Place::Running { .. })
        });
        if row.is_none() {
            self.orphan(&ticket, (holder, started_at), beside, now);
            return self.free_key(&ticket, now);
        }
        let wait = Wait {
            because: format!("{holder} had it and did not settle it"),
            condition: Condition::Suspect {
                holder,
                started_at: Some(started_at),
            },
            since: now,
            oops: None,
        };
        self.wait(ticket.name, wait);
        if let Some(row) = self.rows.get_mut(&ticket.id()) {
            row.beside = beside;
        }
    }
}
