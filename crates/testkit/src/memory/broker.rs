//! The broker's side: deliveries out, settlements in.

use super::queue::{Demand, Doubt, Lease};
use super::state::State;
use super::{Memory, Shared, gone};
use async_trait::async_trait;
use domain::books::Place;
use domain::control::Snapshot;
use domain::delivery::{Delivery, Incoming, Lender, Receipt, Received, Settlement, Start, Started};
use domain::event::Ending;
use domain::names::StageName;
use domain::ports::{
    Broker, Consumer, Follower, NotStarted, Settled, StoreError, StreamEnded, Unsettled,
};
use domain::time::Timestamp;
use std::num::NonZeroUsize;
use std::sync::Arc;

#[async_trait]
impl Broker for Memory {
    async fn consume(
        &self,
        stage: &StageName,
        prefetch: NonZeroUsize,
    ) -> Result<Box<dyn Consumer>, StoreError> {
        let number = self.write(|state, _| state.next_number())?;
        let lender = Arc::new(Counter {
            shared: Arc::clone(&self.shared),
            incarnation: self.incarnation,
        });
        Ok(Box::new(Subscription {
            memory: self.clone(),
            stage: stage.clone(),
            prefetch: prefetch.get(),
            number,
            lender,
        }))
    }

    async fn start(
        &self,
        deliveries: Vec<Delivery<Received>>,
        start: &Start,
    ) -> Result<Vec<Delivery<Started>>, NotStarted> {
        let begin = |state: &mut State, _| {
            let may_start = |delivery: &Delivery<Received>| state.begin(delivery.tag(), start);
            deliveries.iter().map(may_start).collect::<Vec<bool>>()
        };
        match self.write(begin) {
            Err(error) => Err(NotStarted { deliveries, error }),
            // What was cancelled in the meantime is dropped: nobody wants it back.
            Ok(begun) => Ok(deliveries
                .into_iter()
                .zip(begun)
                .filter(|(_, has_begun)| *has_begun)
                .map(|(delivery, _)| delivery.started(start.clone()))
                .collect()),
        }
    }

    async fn settle(&self, group: Vec<Settlement>) -> Result<Vec<Settled>, Unsettled> {
        let settle = |state: &mut State, now| {
            let is_lent = |s: &Settlement| state.leases.contains_key(&s.tag());
            if !group.iter().all(is_lent) {
                return Err(gone());
            }
            let one = |settlement| state.settle(settlement, now);
            Ok(group.iter().map(one).collect())
        };
        match self.write(settle).flatten() {
            Err(error) => Err(Unsettled {
                settlements: group,
                error,
            }),
            Ok(settled) => {
                group.into_iter().for_each(|settlement| {
                    settlement.settled();
                });
                Ok(settled)
            }
        }
    }

    async fn follow(&self) -> Result<Box<dyn Follower>, StoreError> {
        self.read(|_| ())?;
        Ok(Box::new(Eye {
            memory: self.clone(),
            seen: None,
        }))
    }
}

impl State {
    /// Makes the `started` record; `false` when the ticket must not be started any more.
    fn begin(&mut self, tag: u64, start: &Start) -> bool {
        let Some(lease) = self.leases.get_mut(&tag) else {
            return false;
        };
        let Some(row) = self.rows.get_mut(&lease.queued.ticket.id()) else {
            return false;
        };
        let is_current = row.entry.ticket.name == lease.queued.ticket.name;
        if !is_current || row.entry.place.state().is_terminal() {
            return false;
        }
        let holder = start.scene.holder.clone();
        lease.start = Some((holder.clone(), start.at));
        row.entry.version = Some(start.scene.version.clone());
        row.entry.place = Place::Running {
            since: start.at,
            holder,
        };
        let (name, stage) = (row.entry.ticket.name, row.entry.ticket.stage.clone());
        self.canary_started(name, &stage);
        true
    }
}

/// Takes back what a subscription lent.
struct Counter {
    shared: Arc<Shared>,
    incarnation: u64,
}

impl Lender for Counter {
    fn take_back(&self, tag: u64) {
        let is_alive = self.shared.lock().incarnation == self.incarnation;
        if is_alive {
            self.shared.change(|state, now| state.take_back(tag, now));
        }
    }
}

struct Subscription {
    memory: Memory,
    stage: StageName,
    prefetch: usize,
    number: u64,
    lender: Arc<Counter>,
}

impl Subscription {
    fn take(&self, max: NonZeroUsize) -> Result<Vec<Incoming>, StoreError> {
        let demand = Demand {
            stage: &self.stage,
            consumer: self.number,
            prefetch: self.prefetch,
            max: max.get(),
        };
        // Not a write: nobody else can do anything with what was lent.
        let now = self.memory.shared.clock.now();
        let mut state = self.memory.shared.lock();
        self.memory.check(&state)?;
        let tags = state.lend(&demand, now);
        let incoming = tags
            .into_iter()
            .filter_map(|tag| self.incoming(&state, tag));
        Ok(incoming.collect())
    }

    fn incoming(&self, state: &State, tag: u64) -> Option<Incoming> {
        let Lease { queued, .. } = state.leases.get(&tag)?;
        let ticket = Arc::clone(&queued.ticket);
        let lender = Arc::clone(&self.lender) as Arc<dyn Lender>;
        let receipt = Receipt::new(tag, lender);
        let row = state.rows.get(&ticket.id());
        let why = row.and_then(|row| row.garbled.clone());
        Some(match (&queued.doubt, why) {
            (Some(Doubt { holder, started_at }), _) => Incoming::Suspect(Delivery::suspect(
                ticket,
                receipt,
                holder.clone(),
                *started_at,
            )),
            (None, Some(why)) => Incoming::Unreadable(Delivery::unreadable(ticket, receipt, why)),
            (None, None) => {
                let delivery = Delivery::new(ticket, receipt);
                Incoming::Fresh(match row.is_some_and(|row| row.is_on_trial) {
                    true => delivery.alone(),
                    false => delivery,
                })
            }
        })
    }
}

#[async_trait]
impl Consumer for Subscription {
    async fn next(&mut self, max: NonZeroUsize) -> Result<Vec<Incoming>, StreamEnded> {
        loop {
            let shared = Arc::clone(&self.memory.shared);
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            // Listen first, look then: nothing that happens in between is missed.
            changed.as_mut().enable();
            let incoming = self.take(max).map_err(|error| StreamEnded {
                stage: self.stage.clone(),
                reason: Ending::Unavailable,
                why: error.to_string(),
            })?;
            if !incoming.is_empty() {
                return Ok(incoming);
            }
            changed.await;
        }
    }
}

struct Eye {
    memory: Memory,
    seen: Option<u64>,
}

#[async_trait]
impl Follower for Eye {
    async fn next(&mut self) -> Result<Snapshot, StoreError> {
        loop {
            let shared = Arc::clone(&self.memory.shared);
            let changed = shared.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let snapshot = self.memory.read(|state| state.snapshot.clone())?;
            if self.seen.is_none_or(|seen| snapshot.revision > seen) {
                self.seen = Some(snapshot.revision);
                return Ok(snapshot);
            }
            changed.await;
        }
    }
}

/// When a ticket came to where it is; tells runnable ones apart by age.
pub(super) fn ready_since(place: &Place) -> Option<Timestamp> {
    match place {
        Place::Runnable { since } => Some(*since),
        _ => None,
    }
}
