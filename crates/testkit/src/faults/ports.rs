//! Each port, with the faults that may hit it.

use super::{Fault, Faulty};
use async_trait::async_trait;
use domain::books::{Balance, Entry, Line, StageCounts};
use domain::control::{Change, Hold, Snapshot};
use domain::delivery::{Delivery, Incoming, Received, Settlement, Start, Started};
use domain::event::Ending;
use domain::names::{Holder, StageName};
use domain::oops::{OopsId, OopsPrefix, Report};
use domain::ports::{
    Accepted, Answer, Broker, Catalog, Consumer, Depth, Desk, Finding, Follower, Holds, Listing,
    NotStarted, OopsError, Oopses, Order, Page, Reporter, Retention, Round, Serving, Settled,
    StoreError, StreamEnded, Unsettled, Waits,
};
use domain::ticket::{Ticket, TicketId};
use domain::time::Timestamp;
use domain::verdict::{Case, Verdict};
use std::num::NonZeroUsize;
use std::sync::Arc;

#[async_trait]
impl Broker for Faulty {
    async fn consume(
        &self,
        stage: &StageName,
        prefetch: NonZeroUsize,
    ) -> Result<Box<dyn Consumer>, StoreError> {
        self.before().await?;
        let inner = self.memory.consume(stage, prefetch).await?;
        Ok(Box::new(Shaky {
            faulty: self.clone(),
            stage: stage.clone(),
            inner,
        }))
    }

    async fn start(
        &self,
        deliveries: Vec<Delivery<Received>>,
        start: &Start,
    ) -> Result<Vec<Delivery<Started>>, NotStarted> {
        if let Err(error) = self.before().await {
            return Err(NotStarted { deliveries, error });
        }
        let started = self.memory.start(deliveries, start).await?;
        self.after().await;
        Ok(started)
    }

    async fn settle(&self, group: Vec<Settlement>) -> Result<Vec<Settled>, Unsettled> {
        if let Err(error) = self.before().await {
            let settlements = group;
            return Err(Unsettled { settlements, error });
        }
        let held: Vec<Held> = group.iter().filter_map(Held::of).collect();
        let settled = self.memory.settle(group).await?;
        for held in held {
            if self.chaos.strikes(Fault::Duplicate) {
                self.memory
                    .duplicate(held.ticket, held.holder, Some(held.started_at));
            }
        }
        self.after().await;
        Ok(settled)
    }

    async fn follow(&self) -> Result<Box<dyn Follower>, StoreError> {
        self.before().await?;
        self.memory.follow().await
    }
}

/// What is needed to deliver a settled ticket again.
struct Held {
    ticket: Arc<Ticket>,
    holder: Holder,
    started_at: Timestamp,
}

impl Held {
    fn of(settlement: &Settlement) -> Option<Self> {
        let ended = settlement.ended()?;
        Some(Self {
            ticket: Arc::clone(settlement.ticket()),
            holder: ended.scene.holder.clone(),
            started_at: ended.span.started_at,
        })
    }
}

/// A subscription that may end at any time.
struct Shaky {
    faulty: Faulty,
    stage: StageName,
    inner: Box<dyn Consumer>,
}

#[async_trait]
impl Consumer for Shaky {
    async fn next(&mut self, max: NonZeroUsize) -> Result<Vec<Incoming>, StreamEnded> {
        let ended = |why: String| StreamEnded {
            stage: self.stage.clone(),
            reason: Ending::Unknown,
            why,
        };
        if self.faulty.chaos.strikes(Fault::EndStream) {
            return Err(ended("a fault ended it".into()));
        }
        // Before anything is taken: what was not returned was not delivered.
        if self.faulty.chaos.strikes(Fault::Delay) {
            tokio::time::sleep(self.faulty.chaos.delay()).await;
        }
        self.inner.next(max).await
    }
}

#[async_trait]
impl Desk for Faulty {
    async fn submit(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError> {
        self.before().await?;
        let accepted = self.memory.submit(tickets).await?;
        self.after().await;
        Ok(accepted)
    }

    async fn carry_out(&self, orders: Vec<Order>) -> Result<Vec<Answer>, StoreError> {
        self.before().await?;
        let answers = self.memory.carry_out(orders).await?;
        self.after().await;
        Ok(answers)
    }

    async fn change(&self, change: Change) -> Result<Snapshot, StoreError> {
        self.before().await?;
        let snapshot = self.memory.change(change).await?;
        self.after().await;
        Ok(snapshot)
    }
}

#[async_trait]
impl Waits for Faulty {
    async fn release(&self, now: Timestamp, max: NonZeroUsize) -> Result<Round, StoreError> {
        self.before().await?;
        let round = self.memory.release(now, max).await?;
        self.after().await;
        Ok(round)
    }

    async fn unhold(&self, stage: &StageName, now: Timestamp) -> Result<u64, StoreError> {
        self.before().await?;
        let count = Waits::unhold(&self.memory, stage, now).await?;
        self.after().await;
        Ok(count)
    }

    async fn cases(&self, now: Timestamp, max: NonZeroUsize) -> Result<Vec<Case>, StoreError> {
        self.before().await?;
        self.memory.cases(now, max).await
    }

    async fn judge(&self, verdicts: Vec<Verdict>) -> Result<u64, StoreError> {
        self.before().await?;
        let count = self.memory.judge(verdicts).await?;
        self.after().await;
        Ok(count)
    }

    async fn attention(&self) {
        self.memory.attention().await;
    }

    async fn serving(&self, serving: Serving, now: Timestamp) -> Result<(), StoreError> {
        self.before().await?;
        Waits::serving(&self.memory, serving, now).await?;
        self.after().await;
        Ok(())
    }

    async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        self.before().await?;
        Waits::retain(&self.memory, retention).await
    }
}

#[async_trait]
impl Holds for Faulty {
    async fn hold(&self, stage: &StageName, hold: Hold) -> Result<(), StoreError> {
        let change = Change::Hold(stage.clone(), hold);
        self.change(change).await.map(drop)
    }

    async fn unhold(&self, stage: &StageName, now: Timestamp) -> Result<(), StoreError> {
        self.change(Change::Unhold(stage.clone())).await?;
        Waits::unhold(self, stage, now).await.map(drop)
    }
}

#[async_trait]
impl Catalog for Faulty {
    async fn ticket(&self, id: TicketId) -> Result<Option<Entry>, StoreError> {
        self.memory.ticket(id).await
    }

    async fn tickets(&self, listing: Listing) -> Result<Page<Entry>, StoreError> {
        self.memory.tickets(listing).await
    }

    async fn history(&self, id: TicketId) -> Result<Vec<Line>, StoreError> {
        self.memory.history(id).await
    }

    async fn balance(&self, since: Option<Timestamp>) -> Result<Balance, StoreError> {
        self.memory.balance(since).await
    }

    async fn stages(&self) -> Result<Vec<StageCounts>, StoreError> {
        self.memory.stages().await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.memory.snapshot().await
    }

    async fn check(&self, depth: Depth) -> Result<Vec<Finding>, StoreError> {
        self.memory.check(depth).await
    }
}

#[async_trait]
impl Reporter for Faulty {
    async fn record(&self, report: Report) -> Result<OopsId, OopsError> {
        if self.chaos.strikes(Fault::RefuseReport) {
            return Err(OopsError(StoreError::Full("a fault filled it".into())));
        }
        self.before().await.map_err(OopsError)?;
        let id = self.memory.record(report).await?;
        self.after().await;
        Ok(id)
    }
}

#[async_trait]
impl Oopses for Faulty {
    async fn find(&self, prefix: OopsPrefix) -> Result<Vec<Report>, StoreError> {
        self.memory.find(prefix).await
    }

    async fn list(&self, listing: Listing) -> Result<Page<Report>, StoreError> {
        self.memory.list(listing).await
    }

    async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        self.before().await?;
        Oopses::retain(&self.memory, retention).await
    }
}
