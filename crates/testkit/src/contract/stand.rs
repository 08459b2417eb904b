//! The stand on which a case tries a world.

use super::stages::stages;
use super::{Open, World};
use crate::clock::TestClock;
use domain::books::{Balance, Entry, Place};
use domain::delivery::{
    Decision, Delivery, Incoming, Received, Settlement, Start, Started, Suspected,
};
use domain::flow::{Flows, Stage};
use domain::names::{FlowName, Holder, Key, StageName, Version};
use domain::oops::Scene;
use domain::outcome::{Failure, Outcome, Pending};
use domain::ports::{Action, Answer, Clock, Consumer, Listing, Order, Settled, Sort};
use domain::retry::Chance;
use domain::ticket::{Payload, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long something that must come may take.
const COMES_WITHIN: Duration = Duration::from_secs(10);

/// A world with these stages: `build` and `test`, which make up the flow `ci`; `solo`, which wants
/// one ticket a key; `picky`, which takes the kind `nut` only; `frail`, which has breakers.
pub struct Stand {
    world: Box<dyn World>,
    clock: Arc<TestClock>,
    flows: Arc<Flows>,
}

/// Parses a name that the case itself wrote.
pub(super) fn stage(name: &str) -> StageName {
    StageName::new(name).expect("a case writes valid names")
}

pub(super) fn holder() -> Holder {
    Holder::new("stand-1").expect("the name is plain")
}

pub(super) fn failed() -> Outcome {
    Outcome::Failed(Failure::new("Broken", "it broke"))
}

pub(super) fn crashed() -> Outcome {
    Outcome::Crashed(Failure::new("Signal", "it died of signal 9"))
}

pub(super) fn rejected() -> Outcome {
    Outcome::Rejected(Failure::new("BadInput", "it is no nut"))
}

pub(super) const fn pending_for(until: Duration) -> Outcome {
    Outcome::Pending(Pending {
        until,
        start_within: None,
    })
}

pub(super) const fn count(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("a case counts from one")
}

impl Stand {
    /// A stand with a new world.
    pub fn new(open: Open) -> Self {
        let clock = Arc::new(TestClock::new(1));
        let flows = Arc::new(Self::flows_with(Vec::new()));
        Self {
            world: open(Arc::clone(&flows), Arc::clone(&clock)),
            clock,
            flows,
        }
    }

    /// The flows of every stand, and these stages.
    fn flows_with(more: Vec<Stage>) -> Flows {
        let ci = FlowName::new("ci").expect("it is plain");
        let stops = vec![stage("build"), stage("test")];
        let stages = stages().into_iter().chain(more).collect();
        Flows::new(stages, BTreeMap::from([(ci, stops)])).expect("the flow has its stages")
    }

    pub(super) fn world(&self) -> &dyn World {
        &*self.world
    }

    pub(super) fn flows(&self) -> &Flows {
        &self.flows
    }

    pub(super) fn has_journal(&self) -> bool {
        self.world.has_journal()
    }

    /// What whoever settles hears when the books know better.
    pub(super) fn stale(&self) -> Settled {
        match self.has_journal() {
            true => Settled::Applied,
            false => Settled::Stale,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn skip(&self, length: Duration) {
        self.clock.skip(length);
    }

    pub(super) fn put_back(&self, length: Duration) {
        self.clock.put_back(length);
    }

    /// The process dies; the next one is configured alike.
    pub(super) async fn crash(&mut self) {
        self.world.restart(Arc::clone(&self.flows)).await;
    }

    /// The process dies; the next one has one more stage.
    pub(super) async fn restart_with(&mut self, name: &str) {
        self.restart_as(Self::flows_with(vec![Stage::new(stage(name))]))
            .await;
    }

    /// The process dies; the next one is configured so.
    pub(super) async fn restart_as(&mut self, flows: Flows) {
        self.flows = Arc::new(flows);
        self.crash().await;
    }

    /// A new ticket for a stage, without a flow.
    pub(super) fn ticket(&self, at: &str) -> Ticket {
        let id = self.clock.ticket_id();
        Ticket {
            payload: Payload::untyped("work"),
            ..Ticket::new(id, stage(at), self.now())
        }
    }

    /// A new ticket about something.
    pub(super) fn keyed(&self, at: &str, key: &str) -> Ticket {
        let key = Key::new(key).expect("a case writes valid keys");
        Ticket {
            key: Some(key),
            ..self.ticket(at)
        }
    }

    /// A new ticket for the flow `ci`.
    pub(super) fn ci(&self) -> Ticket {
        Ticket {
            flow: Some(FlowName::new("ci").expect("it is plain")),
            ..self.ticket("build")
        }
    }

    pub(super) async fn submit(&self, ticket: Ticket) -> TicketId {
        let id = ticket.id();
        self.submit_all(vec![ticket]).await;
        id
    }

    pub(super) async fn submit_all(&self, tickets: Vec<Ticket>) {
        let accepted = self.world.desk().submit(tickets).await;
        accepted.expect("the tickets are accepted");
    }

    pub(super) async fn consume(&self, at: &str, prefetch: usize) -> Box<dyn Consumer> {
        let broker = self.world.broker();
        let consumer = broker.consume(&stage(at), count(prefetch)).await;
        consumer.expect("the stage can be consumed")
    }

    /// The next deliveries; at least one.
    pub(super) async fn some(&self, from: &mut dyn Consumer, max: usize) -> Vec<Incoming> {
        let next = timeout(COMES_WITHIN, from.next(count(max))).await;
        let next = next.expect("a delivery comes in time");
        let incoming = next.expect("the subscription lives");
        assert!(
            (1..=max).contains(&incoming.len()),
            "at least one, at most {max}"
        );
        incoming
    }

    /// So many fresh deliveries, in their order.
    pub(super) async fn fresh_ones(
        &self,
        from: &mut dyn Consumer,
        count: usize,
    ) -> Vec<Delivery<Received>> {
        let mut fresh = Vec::new();
        while fresh.len() < count {
            for incoming in self.some(from, count - fresh.len()).await {
                match incoming {
                    Incoming::Fresh(delivery) => fresh.push(delivery),
                    other => panic!("expected a fresh delivery, got {other:?}"),
                }
            }
        }
        fresh
    }

    pub(super) async fn fresh(&self, from: &mut dyn Consumer) -> Delivery<Received> {
        let mut fresh = self.fresh_ones(from, 1).await;
        fresh.remove(0)
    }

    pub(super) async fn suspect(&self, from: &mut dyn Consumer) -> Delivery<Suspected> {
        match self.some(from, 1).await.remove(0) {
            Incoming::Suspect(delivery) => delivery,
            other => panic!("expected a suspect, got {other:?}"),
        }
    }

    /// Nothing is delivered.
    pub(super) async fn nothing(&self, from: &mut dyn Consumer) {
        let next = timeout(self.world.patience(), from.next(count(1))).await;
        assert!(next.is_err(), "expected nothing, got {next:?}");
    }

    pub(super) fn scene() -> Arc<Scene> {
        Arc::new(Scene {
            holder: holder(),
            hostname: "stand".into(),
            version: Version::new("1").expect("it is plain"),
        })
    }

    pub(super) fn start_now(&self) -> Start {
        Start {
            scene: Self::scene(),
            at: self.now(),
        }
    }

    pub(super) async fn start(&self, delivery: Delivery<Received>) -> Delivery<Started> {
        let start = self.start_now();
        let started = self.world.broker().start(vec![delivery], &start).await;
        let mut started = started.expect("the started record is durable");
        assert_eq!(started.len(), 1, "one delivery is started");
        started.remove(0)
    }

    /// Submits a ticket, has it delivered and starts it.
    pub(super) async fn started(&self, ticket: Ticket) -> Delivery<Started> {
        let at = ticket.stage.clone();
        self.submit(ticket).await;
        let mut consumer = self.consume(at.as_str(), 1).await;
        let delivery = self.fresh(&mut *consumer).await;
        self.start(delivery).await
    }

    /// The settlement of an attempt that ended so; its report is durable.
    pub(super) async fn settlement(
        &self,
        delivery: Delivery<Started>,
        outcome: Outcome,
    ) -> Settlement {
        let rules = self.flows.stage(&delivery.ticket().stage).cloned();
        let fallback = Stage::new(delivery.ticket().stage.clone());
        let performed = delivery.performed(outcome.into(), self.now());
        let reported = performed.report(&*self.world.oopses()).await;
        let reported = reported.expect("the report is durable");
        reported.decide(&Decision {
            stage: rules.as_ref().unwrap_or(&fallback),
            flows: &self.flows,
            now: self.now(),
            chance: Chance::new(0.5),
        })
    }

    pub(super) async fn settle(&self, settlement: Settlement) -> Settled {
        let settled = self.world.broker().settle(vec![settlement]).await;
        let settled = settled.expect("the settlement is durable");
        assert_eq!(settled.len(), 1, "one answer for one settlement");
        settled[0]
    }

    /// Ends a started delivery so; it must count.
    pub(super) async fn end(&self, delivery: Delivery<Started>, outcome: Outcome) {
        let settlement = self.settlement(delivery, outcome).await;
        assert_eq!(self.settle(settlement).await, Settled::Applied);
    }

    /// Submits a ticket and takes it through an attempt that ends so.
    pub(super) async fn attempted(&self, ticket: Ticket, outcome: Outcome) -> TicketId {
        let id = ticket.id();
        let started = self.started(ticket).await;
        self.end(started, outcome).await;
        id
    }

    pub(super) async fn entry(&self, id: TicketId) -> Entry {
        let entry = self.world.catalog().ticket(id).await;
        let entry = entry.expect("the books can be read");
        entry.unwrap_or_else(|| panic!("ticket {id} is in the books"))
    }

    pub(super) async fn place(&self, id: TicketId) -> Place {
        self.entry(id).await.place
    }

    pub(super) async fn wait_of(&self, id: TicketId) -> Wait {
        match self.place(id).await {
            Place::Waiting(wait) => wait,
            other => panic!("expected ticket {id} to wait, it is {other:?}"),
        }
    }

    pub(super) async fn condition(&self, id: TicketId) -> Condition {
        self.wait_of(id).await.condition
    }

    pub(super) async fn waits_as(&self, id: TicketId, reason: Reason) {
        assert_eq!(self.condition(id).await.reason(), reason);
    }

    /// The sums, which must agree.
    pub(super) async fn balance(&self) -> Balance {
        let balance = self.world.catalog().balance(None).await;
        let balance = balance.expect("the books can be read");
        assert!(balance.is_balanced(), "the books must balance: {balance:?}");
        balance
    }

    pub(super) async fn order(&self, ticket: TicketId, action: Action) -> Answer {
        let order = Order {
            ticket,
            action,
            by: "ada".into(),
            at: self.now(),
        };
        let answers = self.world.desk().carry_out(vec![order]).await;
        let mut answers = answers.expect("the order is taken");
        assert_eq!(answers.len(), 1, "one answer for one order");
        answers.remove(0)
    }

    pub(super) async fn done(&self, ticket: TicketId, action: Action) -> Entry {
        match self.order(ticket, action).await {
            Answer::Done(entry) => *entry,
            other => panic!("expected the order to be carried out, got {other:?}"),
        }
    }

    /// The ticket runs again as soon as somebody takes it.
    pub(super) fn is_released(&self, entry: &Entry) {
        let is_due = |wait: &Wait| {
            wait.condition
                .until()
                .is_some_and(|until| until <= self.now())
        };
        match &entry.place {
            Place::Runnable { .. } => {}
            Place::Waiting(wait) if self.has_journal() && is_due(wait) => {}
            other => panic!("expected the ticket to be released, it is {other:?}"),
        }
    }

    /// The order is refused, with a reason and a remedy, and changes nothing.
    pub(super) async fn refused(&self, ticket: TicketId, action: Action) -> String {
        let before = self.entry(ticket).await;
        let answer = self.order(ticket, action).await;
        let Answer::Refused { why, remedy } = answer else {
            panic!("expected a refusal, got {answer:?}");
        };
        assert!(!why.is_empty() && !remedy.is_empty(), "{why:?} {remedy:?}");
        let after = self.entry(ticket).await;
        assert_eq!(before, after, "a refused order changes nothing");
        why
    }

    pub(super) fn listing(&self, query: &str) -> Listing {
        Listing {
            query: query.parse().expect("a case writes valid queries"),
            limit: 100,
            sort: Sort::OldestFirst,
            now: self.now(),
        }
    }
}
