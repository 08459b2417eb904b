//! The queues and what is lent from them.

use super::state::State;
use domain::books::Place;
use domain::names::{Holder, StageName};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Somebody had it and did not settle it.
#[derive(Clone)]
pub(super) struct Doubt {
    pub(super) holder: Holder,
    pub(super) started_at: Option<Timestamp>,
}

/// A ticket in a queue.
#[derive(Clone)]
pub(super) struct Queued {
    pub(super) ticket: Arc<Ticket>,
    pub(super) doubt: Option<Doubt>,
    /// A copy of what was settled already.
    pub(super) is_ghost: bool,
}

impl Queued {
    pub(super) const fn fresh(ticket: Arc<Ticket>) -> Self {
        Self {
            ticket,
            doubt: None,
            is_ghost: false,
        }
    }
}

/// A ticket on loan.
pub(super) struct Lease {
    /// Its place in the queue, to which it goes back.
    pub(super) place: u64,
    pub(super) consumer: u64,
    pub(super) queued: Queued,
    /// Who started it, and when.
    pub(super) start: Option<(Holder, Timestamp)>,
}

/// For whom deliveries are taken from a queue.
pub(super) struct Demand<'a> {
    pub(super) stage: &'a StageName,
    pub(super) consumer: u64,
    pub(super) prefetch: usize,
    pub(super) max: usize,
}

impl State {
    /// Puts it at the end of its stage's queue.
    pub(super) fn push(&mut self, queued: Queued) {
        let place = self.next_number();
        self.queue(&queued.ticket.stage).insert(place, queued);
    }

    fn queue(&mut self, stage: &StageName) -> &mut BTreeMap<u64, Queued> {
        self.queues.entry(stage.clone()).or_default()
    }

    /// Lends as much as there is room for; returns tags.
    pub(super) fn lend(&mut self, demand: &Demand, now: Timestamp) -> Vec<u64> {
        if self.snapshot.holds.contains_key(demand.stage) {
            return Vec::new();
        }
        let leases = self.leases.values();
        let out = leases.filter(|l| l.consumer == demand.consumer).count();
        let room = demand.prefetch.saturating_sub(out).min(demand.max);
        let mut tags = Vec::new();
        while tags.len() < room {
            let Some((place, queued)) = self.pop(demand.stage) else {
                break;
            };
            if !self.is_current(&queued) {
                self.pass_over(&queued, now);
                continue;
            }
            let tag = self.next_number();
            let lease = Lease {
                place,
                consumer: demand.consumer,
                queued,
                start: None,
            };
            self.leases.insert(tag, lease);
            tags.push(tag);
        }
        tags
    }

    /// The next one that the stage may take. Past a gate go questions, one ticket a
    /// permit, and what a release plan lets in.
    fn pop(&mut self, stage: &StageName) -> Option<(u64, Queued)> {
        let Some(gate) = self.snapshot.gates.get(stage) else {
            return self.queue(stage).pop_first();
        };
        let permit = gate.permit.as_ref().map_or(0, |permit| permit.number);
        let doubted = self.queue(stage).iter().find(|(_, it)| it.doubt.is_some());
        if let Some(place) = doubted.map(|(place, _)| *place) {
            return self.queue(stage).remove_entry(&place);
        }
        let used = self.used.get(stage).copied().unwrap_or(0);
        let allowed = self.allowed.get(stage).copied().unwrap_or(0);
        if permit <= used && allowed == 0 {
            return None;
        }
        let (place, queued) = self.queues.get_mut(stage)?.pop_first()?;
        if !self.is_current(&queued) {
            return Some((place, queued));
        }
        match permit > used {
            true => self.used.insert(stage.clone(), permit),
            false => self.allowed.insert(stage.clone(), allowed - 1),
        };
        Some((place, queued))
    }

    /// Whether what stands in the queue is still what the books have.
    fn is_current(&self, queued: &Queued) -> bool {
        let Some(row) = self.rows.get(&queued.ticket.id()) else {
            return false;
        };
        let is_runnable = matches!(row.entry.place, Place::Runnable { .. });
        queued.is_ghost || (is_runnable && row.entry.ticket.name == queued.ticket.name)
    }

    /// The ticket has gone elsewhere; an attempt that nobody told the end of must still be told.
    fn pass_over(&mut self, queued: &Queued, now: Timestamp) {
        if let Some(Doubt {
            holder,
            started_at: Some(started_at),
        }) = &queued.doubt
            && !queued.is_ghost
        {
            self.orphan(&queued.ticket, (holder.clone(), *started_at), 0, now);
        }
    }

    /// The delivery was dropped before it was settled.
    pub(super) fn take_back(&mut self, tag: u64, now: Timestamp) {
        let Some(lease) = self.leases.remove(&tag) else {
            return;
        };
        let mut queued = lease.queued;
        if let Some((holder, at)) = lease.start {
            queued.doubt = Some(Doubt {
                holder,
                started_at: Some(at),
            });
            self.no_longer_running(&queued.ticket, now);
        }
        if !self.is_current(&queued) {
            self.pass_over(&queued, now);
            return self.free_key(&queued.ticket, now);
        }
        let id = queued.ticket.id();
        self.queue(&queued.ticket.stage.clone())
            .insert(lease.place, queued);
        self.free_key_of(id, now);
    }

    fn no_longer_running(&mut self, ticket: &Ticket, now: Timestamp) {
        if let Some(row) = self.rows.get_mut(&ticket.id())
            && row.entry.ticket.name == ticket.name
            && matches!(row.entry.place, Place::Running { .. })
        {
            row.entry.place = Place::Runnable { since: now };
        }
    }
}
