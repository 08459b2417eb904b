//! The world: each port with what the leader does after it.

use crate::bench::Bench;
use crate::road::Road;
use async_trait::async_trait;
use domain::books::{Balance, Entry, Line, StageCounts};
use domain::breaker::Scope;
use domain::control::{Change, Snapshot};
use domain::filter::Query;
use domain::flow::Flows;
use domain::names::StageName;
use domain::oops::{OopsId, OopsPrefix, Report};
use domain::plan::{Plan, PlanId, Terms};
use domain::ports::{
    Accepted, Answer, Broker, Catalog, Depth, Desk, Election, Finding, Ledger, Listing, OopsError,
    Oopses, Order, Page, PlanError, PlanOrder, Plans, Reporter, Retention, Round, Serving,
    StoreError, Tripped, Waits,
};
use domain::record::Said;
use domain::ticket::{Ticket, TicketId};
use domain::time::Timestamp;
use domain::verdict::{Case, Verdict};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use store::Postgres;
use testkit::clock::TestClock;
use testkit::contract::World;

pub(crate) struct Distributed(Arc<Bench>);

impl Distributed {
    pub(crate) fn new(flows: Arc<Flows>, clock: Arc<TestClock>, url: String) -> Self {
        Self(Arc::new(Bench::new(flows, clock, url)))
    }

    fn ports(&self) -> Arc<Ports> {
        Arc::new(Ports(Arc::clone(&self.0)))
    }
}

#[async_trait]
impl World for Distributed {
    fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(Road(Arc::clone(&self.0)))
    }

    fn desk(&self) -> Arc<dyn Desk> {
        self.ports()
    }

    fn waits(&self) -> Arc<dyn Waits> {
        self.ports()
    }

    fn catalog(&self) -> Arc<dyn Catalog> {
        self.ports()
    }

    fn oopses(&self) -> Arc<dyn Oopses> {
        self.ports()
    }

    fn plans(&self) -> Arc<dyn Plans> {
        self.ports()
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(150)
    }

    fn has_journal(&self) -> bool {
        true
    }

    async fn restart(&mut self, flows: Arc<Flows>) {
        self.0 = self.0.next(flows).await;
    }
}

struct Ports(Arc<Bench>);

impl Ports {
    async fn store(&self) -> Postgres {
        self.0.leader().await.store
    }

    async fn books(&self) -> Arc<dyn Ledger> {
        self.0.leader().await.books
    }
}

#[async_trait]
impl Desk for Ports {
    async fn submit(&self, tickets: Vec<Ticket>) -> Result<Vec<Accepted>, StoreError> {
        let accepted = self.store().await.submit(tickets).await;
        self.0.pump().await;
        accepted
    }

    async fn carry_out(&self, orders: Vec<Order>) -> Result<Vec<Answer>, StoreError> {
        let answers = self.store().await.carry_out(orders).await;
        self.0.pump().await;
        answers
    }

    async fn change(&self, change: Change) -> Result<Snapshot, StoreError> {
        let snapshot = self.store().await.change(change).await;
        self.0.changed.notify_waiters();
        snapshot
    }
}

#[async_trait]
impl Waits for Ports {
    async fn release(&self, now: Timestamp, max: NonZeroUsize) -> Result<Round, StoreError> {
        let released = self.0.release(max).await as u64;
        let next = self.books().await.due(now, max).await?.next;
        Ok(Round { released, next })
    }

    async fn unhold(&self, stage: &StageName, now: Timestamp) -> Result<u64, StoreError> {
        let held = Listing {
            query: format!("is:held stage:{stage}").parse().unwrap(),
            limit: Listing::LIMIT_MAX,
            sort: domain::ports::Sort::OldestFirst,
            now,
        };
        let held = self.tickets(held).await?.rows.len() as u64;
        self.0.tell(vec![Said::Unhold(stage.clone())]).await;
        self.0.pump().await;
        Ok(held)
    }

    async fn cases(&self, now: Timestamp, max: NonZeroUsize) -> Result<Vec<Case>, StoreError> {
        self.books().await.cases(now, max).await
    }

    async fn judge(&self, verdicts: Vec<Verdict>) -> Result<u64, StoreError> {
        self.books().await.judge(verdicts).await
    }

    async fn serving(&self, serving: Serving, now: Timestamp) -> Result<(), StoreError> {
        self.books().await.serving(serving, now).await
    }

    async fn attention(&self) {
        self.store().await.attention().await;
    }

    async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        self.books().await.retain(retention).await
    }
}

#[async_trait]
impl Plans for Ports {
    async fn tripped(&self, stage: Option<StageName>) -> Result<Vec<Tripped>, StoreError> {
        self.store().await.tripped(stage).await
    }

    async fn probe(&self, stage: &StageName, scope: Scope) -> Result<bool, StoreError> {
        self.store().await.probe(stage, scope).await
    }

    async fn plans(&self) -> Result<Vec<Plan>, StoreError> {
        self.store().await.plans().await
    }

    async fn plan(&self, id: PlanId) -> Result<Option<Plan>, StoreError> {
        self.store().await.plan(id).await
    }

    async fn make(&self, query: Query, terms: Terms, by: &str) -> Result<Plan, StoreError> {
        self.store().await.make(query, terms, by).await
    }

    async fn order(&self, id: PlanId, order: PlanOrder, by: &str) -> Result<Plan, PlanError> {
        self.store().await.order(id, order, by).await
    }
}

#[async_trait]
impl Catalog for Ports {
    async fn ticket(&self, id: TicketId) -> Result<Option<Entry>, StoreError> {
        self.store().await.ticket(id).await
    }

    async fn tickets(&self, listing: Listing) -> Result<Page<Entry>, StoreError> {
        self.store().await.tickets(listing).await
    }

    async fn history(&self, id: TicketId) -> Result<Vec<Line>, StoreError> {
        self.store().await.history(id).await
    }

    async fn balance(&self, since: Option<Timestamp>) -> Result<Balance, StoreError> {
        self.store().await.balance(since).await
    }

    async fn stages(&self) -> Result<Vec<StageCounts>, StoreError> {
        self.store().await.stages().await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.store().await.snapshot().await
    }

    async fn check(&self, depth: Depth) -> Result<Vec<Finding>, StoreError> {
        self.store().await.check(depth).await
    }
}

#[async_trait]
impl Reporter for Ports {
    async fn record(&self, report: Report) -> Result<OopsId, OopsError> {
        self.store().await.record(report).await
    }
}

#[async_trait]
impl Oopses for Ports {
    async fn find(&self, prefix: OopsPrefix) -> Result<Vec<Report>, StoreError> {
        self.store().await.find(prefix).await
    }

    async fn list(&self, listing: Listing) -> Result<Page<Report>, StoreError> {
        self.store().await.list(listing).await
    }

    async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        Oopses::retain(&self.store().await, retention).await
    }
}
