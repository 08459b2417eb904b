//! [`Broker`]: lends runnable tickets and takes back settled ones.

use crate::consumer::{SnapshotFollower, StageConsumer};
use crate::control::door;
use crate::embedded::Embedded;
use crate::error::closed;
use crate::lease::{Had, Subscription};
use crate::queues::Queues;
use crate::requests::{Request, Settle};
use async_trait::async_trait;
use domain::delivery::{Delivery, Received, Settlement, Start, Started};
use domain::names::StageName;
use domain::ports::{Broker, Consumer, Follower, NotStarted, Settled, StoreError, Unsettled};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use tokio::sync::oneshot;
use wire::intent::Begun;

/// Tells subscriptions of one process apart.
static SUBSCRIPTIONS: AtomicU64 = AtomicU64::new(0);

#[async_trait]
impl Broker for Embedded {
    async fn consume(
        &self,
        stage: &StageName,
        prefetch: NonZeroUsize,
    ) -> Result<Box<dyn Consumer>, StoreError> {
        let queue = self.shared.queues.of(stage);
        // Asked after the queue was made: a close that comes now ends it like every other.
        if self.shared.queues.is_closed() {
            return Err(closed());
        }
        {
            // While this is borrowed no newer snapshot can come, so the queue cannot be left with
            // an older one than its followers see.
            let snapshot = self.shared.control.borrow();
            queue.set(door(&snapshot, stage));
        }
        let lender = Arc::new(Subscription {
            id: SUBSCRIPTIONS.fetch_add(1, Ordering::Relaxed),
            prefetch: prefetch.get(),
            queue,
        });
        Ok(Box::new(StageConsumer { lender }))
    }

    /// The records are written before this returns, in one write for the group. They outlive this
    /// process; no fsync is made, so they need not outlive a power loss.
    async fn start(
        &self,
        deliveries: Vec<Delivery<Received>>,
        start: &Start,
    ) -> Result<Vec<Delivery<Started>>, NotStarted> {
        let mut deliveries = deliveries;
        deliveries.retain(|delivery| !self.is_void(delivery));
        if let Err(error) = self.write_down(&deliveries, start) {
            return Err(NotStarted { deliveries, error });
        }
        if let Err(error) = self.tell_of_permits(&deliveries).await {
            self.strike_out(&deliveries);
            return Err(NotStarted { deliveries, error });
        }
        let begin = |delivery: Delivery<Received>| delivery.started(start.clone());
        Ok(deliveries.into_iter().map(begin).collect())
    }

    async fn settle(&self, group: Vec<Settlement>) -> Result<Vec<Settled>, Unsettled> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        let Some(rows) = rows_of(&self.shared.queues, &group) else {
            let error = "a delivery of the group was not lent by this process".to_owned();
            return Err(Unsettled {
                settlements: group,
                error: StoreError::Unavailable(error),
            });
        };
        let (reply, answer) = oneshot::channel();
        let settle = Settle {
            answers: Vec::with_capacity(group.len()),
            settlements: group,
            rows,
            reply,
        };
        if let Err(Request::Settle(settle)) = self.shared.writer.ask(Request::Settle(settle)).await
        {
            let settlements = settle.settlements;
            let error = closed();
            return Err(Unsettled { settlements, error });
        }
        match answer.await {
            Ok(Ok(durable)) => {
                for settlement in durable.settlements {
                    settlement.settled();
                }
                Ok(durable.answers)
            }
            Ok(Err(unsettled)) => Err(unsettled),
            // The writer died with the group: its receipts have come back to the queue.
            Err(_) => Err(Unsettled {
                settlements: Vec::new(),
                error: closed(),
            }),
        }
    }

    async fn follow(&self) -> Result<Box<dyn Follower>, StoreError> {
        let mut control = self.shared.control.clone();
        control.mark_changed();
        Ok(Box::new(SnapshotFollower { control }))
    }
}

impl Embedded {
    /// Whether the ticket was given up while it was in hand: then it is not started any more.
    fn is_void(&self, delivery: &Delivery<Received>) -> bool {
        let queue = self.shared.queues.find(&delivery.ticket().stage);
        queue.is_none_or(|queue| queue.is_void(delivery.tag()))
    }

    /// What is started at a stage whose gate is shut is its canary.
    async fn tell_of_permits(&self, deliveries: &[Delivery<Received>]) -> Result<(), StoreError> {
        let gated: Vec<_> = {
            let snapshot = self.shared.control.borrow();
            if snapshot.gates.is_empty() {
                return Ok(());
            }
            let tickets = deliveries.iter().map(Delivery::ticket);
            let gated = tickets.filter(|ticket| snapshot.gates.contains_key(&ticket.stage));
            gated.map(|it| (it.stage.clone(), it.name)).collect()
        };
        for begun in gated {
            self.shared.ask(Request::Begun, begun).await?;
        }
        Ok(())
    }

    /// They were written down as started, and are not: their handlers never run.
    fn strike_out(&self, deliveries: &[Delivery<Received>]) {
        let intents = &self.shared.intents;
        let mut intents = intents.lock().unwrap_or_else(PoisonError::into_inner);
        for same in deliveries.chunk_by(|a, b| a.ticket().stage == b.ticket().stage) {
            let stage = same.first().map(|one| &one.ticket().stage);
            if let Some(queue) = stage.and_then(|stage| self.shared.queues.find(stage)) {
                queue.not_started(same.iter().map(Delivery::tag));
            }
        }
        // If the file cannot be written anew, they are still in it. Should this process die before
        // they have run, that is laid to them; nothing better can be done without a disk, and that
        // they did not start is an error already.
        intents.compact(&self.shared.queues.unsettled()).ok();
    }

    fn write_down(
        &self,
        deliveries: &[Delivery<Received>],
        start: &Start,
    ) -> Result<(), StoreError> {
        let intents = &self.shared.intents;
        // Held until the leases are marked, so that a file that is written anew misses none.
        let mut intents = intents.lock().unwrap_or_else(PoisonError::into_inner);
        if intents.is_full() {
            intents.compact(&self.shared.queues.unsettled())?;
        }
        let begun = |delivery: &Delivery<Received>| Begun {
            name: delivery.ticket().name,
            at: start.at,
        };
        intents.append(deliveries.iter().map(begun))?;
        let had = Had {
            holder: start.scene.holder.clone(),
            started_at: start.at,
        };
        for same in deliveries.chunk_by(|a, b| a.ticket().stage == b.ticket().stage) {
            let stage = same.first().map(|one| &one.ticket().stage);
            if let Some(queue) = stage.and_then(|stage| self.shared.queues.find(stage)) {
                queue.started(same.iter().map(Delivery::tag), &had);
            }
        }
        Ok(())
    }
}

/// The rows of the group's tickets, if this process has lent them all.
fn rows_of(queues: &Queues, group: &[Settlement]) -> Option<Vec<i64>> {
    let mut rows = Vec::with_capacity(group.len());
    for same in group.chunk_by(|a, b| a.ticket().stage == b.ticket().stage) {
        let queue = queues.find(&same.first()?.ticket().stage)?;
        queue.rows(same.iter().map(Settlement::tag), &mut rows);
    }
    (rows.len() == group.len()).then_some(rows)
}
