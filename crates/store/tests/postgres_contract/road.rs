//! The broker's side of the road: deliveries out, words into the journal.

use crate::bench::{Bench, holder};
use async_trait::async_trait;
use domain::control::{Admission, Snapshot};
use domain::delivery::{
    Delivery, Disposition, Incoming, Lender, Receipt, Received, Settlement, Start, Started,
};
use domain::names::{Holder, StageName};
use domain::ports::{
    Broker, Consumer, Follower, NotStarted, Settled, StoreError, StreamEnded, Unsettled,
};
use domain::record::{self, Arrived, Fate, Parted, Said};
use domain::wait::Condition;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// How often somebody who waits looks again.
const LOOK_EVERY: Duration = Duration::from_millis(10);

pub(crate) struct Road(pub(crate) Arc<Bench>);

#[async_trait]
impl Broker for Road {
    async fn consume(
        &self,
        stage: &StageName,
        prefetch: NonZeroUsize,
    ) -> Result<Box<dyn Consumer>, StoreError> {
        Ok(Box::new(Subscription {
            consumer: self.0.queues().number(),
            bench: Arc::clone(&self.0),
            stage: stage.clone(),
            prefetch: prefetch.get(),
        }))
    }

    async fn start(
        &self,
        deliveries: Vec<Delivery<Received>>,
        start: &Start,
    ) -> Result<Vec<Delivery<Started>>, NotStarted> {
        let snapshot = self.0.snapshot().await;
        let (mut said, mut started) = (Vec::new(), Vec::new());
        for delivery in deliveries {
            let ticket = Arc::clone(delivery.ticket());
            if !snapshot.lets_run(ticket.id(), ticket.name.generation) {
                self.0.queues().lent.remove(&delivery.tag());
                said.push(self.0.fenced(&ticket));
                continue;
            }
            if let Some(lent) = self.0.queues().lent.get_mut(&delivery.tag()) {
                lent.is_started = true;
            }
            said.push(Said::Started(Box::new(record::Started {
                name: ticket.name,
                stage: ticket.stage.clone(),
                scene: Arc::clone(&start.scene),
                ticket: None,
                claimed: false,
            })));
            started.push(delivery.started(start.clone()));
        }
        self.0.tell(said).await;
        Ok(started)
    }

    async fn settle(&self, group: Vec<Settlement>) -> Result<Vec<Settled>, Unsettled> {
        let is_lent = |one: &Settlement| self.0.queues().lent.contains_key(&one.tag());
        if !group.iter().all(is_lent) {
            let error = StoreError::Unavailable("these deliveries are a dead process's".into());
            let settlements = group;
            return Err(Unsettled { settlements, error });
        }
        let mut said = Vec::new();
        let mut next = Vec::new();
        for settlement in &group {
            said.push(told(settlement));
            if let Disposition::Forward(copy) = settlement.disposition() {
                next.push((**copy).clone().into());
            }
            next.extend(settlement.emits().iter().cloned().map(Into::into));
        }
        self.0.tell(said).await;
        self.0.publish(next).await;
        let settled = group.into_iter().map(|settlement| {
            self.0.queues().lent.remove(&settlement.settled());
            Settled::Applied
        });
        let settled = settled.collect();
        self.0.pump().await;
        Ok(settled)
    }

    async fn follow(&self) -> Result<Box<dyn Follower>, StoreError> {
        Ok(Box::new(Eye {
            bench: Arc::clone(&self.0),
            seen: None,
        }))
    }
}

fn told(settlement: &Settlement) -> Said {
    let ticket = settlement.ticket();
    let to = match settlement.disposition() {
        Disposition::Forward(copy) => Fate::Forwarded(copy.stage.clone()),
        Disposition::Finish => Fate::Finished,
        Disposition::Wait { wait, .. } if matches!(wait.condition, Condition::Suspect { .. }) => {
            return Said::Suspect(Box::new((**ticket).clone()));
        }
        Disposition::Wait { name, wait } => Fate::Waits(Box::new(Arrived {
            ticket: (**ticket).clone(),
            name: *name,
            wait: wait.clone(),
        })),
    };
    Said::Ended(Box::new(Parted {
        name: ticket.name,
        stage: ticket.stage.clone(),
        ended: settlement.ended().cloned(),
        to,
        emits: settlement.emits().to_vec(),
    }))
}

struct Counter(Arc<Bench>);

impl Lender for Counter {
    fn take_back(&self, tag: u64) {
        self.0.queues().take_back(tag);
        self.0.changed.notify_waiters();
    }
}

struct Subscription {
    bench: Arc<Bench>,
    stage: StageName,
    prefetch: usize,
    consumer: u64,
}

impl Subscription {
    async fn take(&self, max: usize) -> Vec<Incoming> {
        let snapshot = self.bench.snapshot().await;
        let used = self.bench.queues().used(&self.stage);
        let max = match snapshot.admits(&self.stage, &holder(), used) {
            Admission::Freely => max,
            Admission::Once(_) => 1,
            Admission::Nothing => return Vec::new(),
        };
        let mut incoming = Vec::new();
        while incoming.len() < max {
            let demand = (self.consumer, self.prefetch);
            let Some((tag, copied)) = self.bench.queues().lend(&self.stage, demand) else {
                break;
            };
            let ticket = copied.ticket;
            if !snapshot.lets_run(ticket.id(), ticket.name.generation) {
                let mut queues = self.bench.queues();
                queues.lent.remove(&tag);
                queues.fenced.push(ticket);
                continue;
            }
            if let Admission::Once(number) = snapshot.admits(&self.stage, &holder(), used) {
                self.bench.queues().uses(&self.stage, number);
            }
            let receipt = Receipt::new(tag, Arc::new(Counter(Arc::clone(&self.bench))));
            incoming.push(match copied.is_redelivered {
                true => {
                    let suspect = Delivery::suspect(ticket, receipt, Holder::unknown(), None);
                    Incoming::Suspect(suspect)
                }
                false => {
                    let fresh = Delivery::new(ticket, receipt);
                    Incoming::Fresh(if copied.is_alone {
                        fresh.alone()
                    } else {
                        fresh
                    })
                }
            });
        }
        incoming
    }
}

#[async_trait]
impl Consumer for Subscription {
    async fn next(&mut self, max: NonZeroUsize) -> Result<Vec<Incoming>, StreamEnded> {
        loop {
            self.bench.pump().await;
            let incoming = self.take(max.get()).await;
            if !incoming.is_empty() {
                return Ok(incoming);
            }
            let changed = self.bench.changed.notified();
            tokio::time::timeout(LOOK_EVERY, changed).await.ok();
        }
    }
}

struct Eye {
    bench: Arc<Bench>,
    seen: Option<u64>,
}

#[async_trait]
impl Follower for Eye {
    async fn next(&mut self) -> Result<Snapshot, StoreError> {
        loop {
            let snapshot = self.bench.snapshot().await;
            if self.seen.is_none_or(|seen| snapshot.revision > seen) {
                self.seen = Some(snapshot.revision);
                return Ok(snapshot);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
