//! A stage that fails, and what repairs it: the work at `frail`, as one process does it.

use super::Stand;
use super::stages::stages;
use super::stand::{count, stage};
use domain::books::{Fact, Line, Place};
use domain::breaker::Scope;
use domain::deadline::expired;
use domain::delivery::{Delivery, Incoming, Received, Start};
use domain::flow::{Flows, Stage};
use domain::names::{Holder, Version};
use domain::oops::Scene;
use domain::outcome::{Done, Failure, Outcome};
use domain::plan::Plan;
use domain::ports::{Consumer, Round, Serving, Settled, Tripped};
use domain::signature::SignatureId;
use domain::ticket::{Payload, Ticket, TicketId};
use domain::wait::{Condition, Reason};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// From one canary to the next.
pub(super) const PROBE: Duration = Duration::from_secs(60);
/// How often it is waited for what the books know of.
const WAITS_MAX: usize = 10;
/// The most that one round of the controller releases.
const ROUND_MAX: usize = 1_000;

/// What the component does with a ticket, by the word in its payload.
pub(super) type Component = fn(&str) -> Outcome;

pub(super) fn done() -> Outcome {
    Outcome::Done(Done::default())
}

fn broken(what: &str) -> Outcome {
    Outcome::Failed(Failure::new("Broken", format!("it cannot do {what}")))
}

/// It fails on what is sick, and on what is odd in another way each.
pub(super) fn bad(work: &str) -> Outcome {
    match work {
        "well" => done(),
        "late" => Outcome::NotNow { after: None },
        "expired" => expired(),
        work => broken(work),
    }
}

/// It fails on nothing.
pub(super) fn good(_work: &str) -> Outcome {
    done()
}

/// The stage with its one process.
pub(super) struct Shop {
    pub(super) stand: Stand,
    at: &'static str,
    consumer: Box<dyn Consumer>,
    version: &'static str,
    component: Component,
}

impl Shop {
    /// It runs version 1, which fails.
    pub(super) async fn open(stand: Stand) -> Self {
        Self::at(stand, "frail").await
    }

    pub(super) async fn at(stand: Stand, at: &'static str) -> Self {
        let consumer = stand.consume(at, ROUND_MAX).await;
        let mut shop = Self {
            stand,
            at,
            consumer,
            version: "1",
            component: bad,
        };
        shop.deploy("1", bad).await;
        shop
    }

    /// From now on this version serves the stage.
    pub(super) async fn deploy(&mut self, version: &'static str, component: Component) {
        (self.version, self.component) = (version, component);
        let holders = BTreeMap::from([(super::stand::holder(), None)]);
        let versions = BTreeMap::from([(self.version(), holders)]);
        let serving = Serving::from([(stage(self.at), versions)]);
        let waits = self.stand.world().waits();
        let told = waits.serving(serving, self.stand.now()).await;
        told.expect("who serves the stage is written down");
    }

    fn version(&self) -> Version {
        Version::new(self.version).expect("it is plain")
    }

    /// The process dies, and the next one takes over.
    pub(super) async fn crash(&mut self) {
        self.stand.crash().await;
        self.consumer = self.stand.consume(self.at, ROUND_MAX).await;
    }

    /// The process dies, and in the next one the breakers are turned off.
    pub(super) async fn crash_without_breakers(&mut self) {
        let plain = |it| Stage {
            breaker: None,
            ..it
        };
        let stages = stages().into_iter().map(plain).collect();
        let flows = Flows::new(stages, BTreeMap::new());
        let flows = flows.expect("there is no flow to fit");
        self.stand.restart_as(flows).await;
        self.consumer = self.stand.consume(self.at, ROUND_MAX).await;
    }

    pub(super) fn ticket(&self, work: &str) -> Ticket {
        Ticket {
            payload: Payload::untyped(work.to_owned()),
            ..self.stand.ticket(self.at)
        }
    }

    /// Submits so many tickets of this sort.
    pub(super) async fn submit(&self, work: &str, count: usize) -> Vec<TicketId> {
        let tickets: Vec<Ticket> = (0..count).map(|_| self.ticket(work)).collect();
        let ids = tickets.iter().map(Ticket::id).collect();
        self.stand.submit_all(tickets).await;
        ids
    }

    /// One round of the controller.
    pub(super) async fn round(&self) -> Round {
        let waits = self.stand.world().waits();
        let round = waits.release(self.stand.now(), count(ROUND_MAX)).await;
        round.expect("the waits can be released")
    }

    /// Everything that is handed out now, at most `max`.
    pub(super) async fn take(&mut self, max: usize) -> Vec<Delivery<Received>> {
        let mut taken = Vec::new();
        let patience = self.stand.world().patience();
        let mut waits = 0;
        while taken.len() < max {
            let next = self.consumer.next(count(max - taken.len()));
            let Ok(next) = timeout(patience, next).await else {
                waits += 1;
                if waits < WAITS_MAX && self.expects(taken.len()).await {
                    continue;
                }
                break;
            };
            for incoming in next.expect("the subscription lives") {
                match incoming {
                    Incoming::Fresh(delivery) => taken.push(delivery),
                    other => panic!("expected a fresh delivery, got {other:?}"),
                }
            }
        }
        taken
    }

    pub(super) fn start_now(&self) -> Start {
        let holder: Holder = super::stand::holder();
        Start {
            scene: Arc::new(Scene {
                holder,
                hostname: "stand".into(),
                version: self.version(),
            }),
            at: self.stand.now(),
        }
    }

    /// Whether the books know of more than was handed out: then a slow machine gets more time.
    async fn expects(&self, taken: usize) -> bool {
        self.stand.balance().await.runnable > taken as u64
    }

    /// Works on what was handed out, all in one group.
    pub(super) async fn work_on(&mut self, taken: Vec<Delivery<Received>>) {
        let broker = self.stand.world().broker();
        let started = broker.start(taken, &self.start_now()).await;
        let mut group = Vec::new();
        for delivery in started.expect("the started records are durable") {
            let bytes = delivery.ticket().payload.bytes.clone();
            let outcome = (self.component)(&String::from_utf8_lossy(&bytes));
            group.push(self.stand.settlement(delivery, outcome).await);
        }
        let settled = broker.settle(group).await;
        let settled = settled.expect("the group is durable");
        assert!(settled.iter().all(|it| *it == Settled::Applied));
    }

    /// Works on everything that is handed out now; returns how many that were.
    pub(super) async fn work(&mut self) -> usize {
        let taken = self.take(ROUND_MAX).await;
        let count = taken.len();
        if count > 0 {
            self.work_on(taken).await;
        }
        count
    }

    /// Rounds and work until neither has anything to do; how many attempts each turn made.
    pub(super) async fn run(&mut self) -> Vec<usize> {
        let mut turns = Vec::new();
        loop {
            self.round().await;
            match self.work().await {
                0 => return turns,
                count => turns.push(count),
            }
        }
    }

    /// Five tickets that fail alike are held.
    pub(super) async fn trip(&mut self) -> Vec<TicketId> {
        let ids = self.submit("sick", 5).await;
        assert_eq!(self.work().await, 5);
        for id in &ids {
            self.held(*id).await;
        }
        ids
    }

    /// What the ticket must be held for.
    pub(super) async fn held(&self, id: TicketId) -> SignatureId {
        match self.stand.condition(id).await {
            Condition::Repair { signature } => signature,
            other => panic!("expected ticket {id} to be held, it waits for {other:?}"),
        }
    }

    /// How many tickets are held.
    pub(super) async fn held_count(&self) -> u64 {
        let balance = self.stand.balance().await;
        balance.waiting.get(&Reason::Held).copied().unwrap_or(0)
    }

    pub(super) async fn done_count(&self) -> u64 {
        self.stand.balance().await.done
    }

    /// The tickets among these that somebody may take now.
    pub(super) async fn runnable(&self, ids: &[TicketId]) -> Vec<TicketId> {
        let mut runnable = Vec::new();
        for id in ids {
            if matches!(self.stand.place(*id).await, Place::Runnable { .. }) {
                runnable.push(*id);
            }
        }
        runnable
    }

    pub(super) async fn tripped(&self) -> Vec<Tripped> {
        let plans = self.stand.world().plans();
        let tripped = plans.tripped(Some(stage(self.at))).await;
        tripped.expect("the breakers can be read")
    }

    /// What the breaker of this scope does.
    pub(super) async fn state(&self, scope: Scope) -> Option<&'static str> {
        let tripped = self.tripped().await;
        let found = tripped.iter().find(|it| it.breaker.scope == scope);
        found.map(|it| it.breaker.state.as_str())
    }

    pub(super) async fn plans(&self) -> Vec<Plan> {
        let plans = self.stand.world().plans().plans().await;
        plans.expect("the plans can be read")
    }

    /// Why the ticket was released, each time.
    pub(super) async fn releases(&self, id: TicketId) -> Vec<String> {
        let history = self.stand.world().catalog().history(id).await;
        let why = |line: Line| match line.fact {
            Fact::Noted { what, why, .. } if what == "released" => Some(why),
            _ => None,
        };
        let history = history.expect("the books can be read");
        history.into_iter().filter_map(why).collect()
    }
}
