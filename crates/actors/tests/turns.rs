//! A process starts one ticket on trial at a time. Whoever waits for that turn keeps nobody from
//! anything.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use actors::{Root, Running, Setup};
use async_trait::async_trait;
use domain::control::Hold;
use domain::delivery::{Delivery, Incoming, Received, Settlement, Start, Started};
use domain::flow::{Flows, Stage};
use domain::names::{Holder, StageName};
use domain::ports::{
    Broker, Catalog, Clock, Consumer, Desk, Follower, Handler, Holds, NotStarted, Observer,
    Settled, StoreError, StreamEnded, Unsettled,
};
use domain::ticket::{Ticket, TicketId};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::driven;
use testkit::clock::TestClock;
use testkit::handler::{Script, Step};
use testkit::memory::Memory;
use testkit::recorder::Recorder;
use tokio::time::sleep;

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// A broker that has some of its tickets on trial, and counts how often it hands those out.
#[derive(Clone)]
struct Judging {
    memory: Memory,
    on_trial: Arc<Mutex<BTreeSet<TicketId>>>,
    handed_out: Arc<Mutex<BTreeMap<TicketId, usize>>>,
}

struct Marking {
    inner: Box<dyn Consumer>,
    judging: Judging,
}

#[async_trait]
impl Consumer for Marking {
    async fn next(&mut self, max: NonZeroUsize) -> Result<Vec<Incoming>, StreamEnded> {
        let group = self.inner.next(max).await?;
        let marked = group.into_iter().map(|incoming| match incoming {
            Incoming::Fresh(delivery) => Incoming::Fresh(self.judging.mark(delivery)),
            other => other,
        });
        Ok(marked.collect())
    }
}

impl Judging {
    fn mark(&self, delivery: Delivery<Received>) -> Delivery<Received> {
        let id = delivery.ticket().id();
        if !self.on_trial.lock().unwrap().contains(&id) {
            return delivery;
        }
        *self.handed_out.lock().unwrap().entry(id).or_default() += 1;
        delivery.alone()
    }

    fn handed_out(&self, id: TicketId) -> usize {
        let handed_out = self.handed_out.lock().unwrap();
        handed_out.get(&id).copied().unwrap_or(0)
    }
}

#[async_trait]
impl Broker for Judging {
    async fn consume(
        &self,
        stage: &StageName,
        prefetch: NonZeroUsize,
    ) -> Result<Box<dyn Consumer>, StoreError> {
        Ok(Box::new(Marking {
            inner: self.memory.consume(stage, prefetch).await?,
            judging: self.clone(),
        }))
    }

    async fn start(
        &self,
        deliveries: Vec<Delivery<Received>>,
        start: &Start,
    ) -> Result<Vec<Delivery<Started>>, NotStarted> {
        self.memory.start(deliveries, start).await
    }

    async fn settle(&self, group: Vec<Settlement>) -> Result<Vec<Settled>, Unsettled> {
        self.memory.settle(group).await
    }

    async fn follow(&self) -> Result<Box<dyn Follower>, StoreError> {
        self.memory.follow().await
    }
}

/// The stages `first`, which takes its time, and `second`, each with one slot.
struct World {
    judging: Judging,
    clock: Arc<TestClock>,
    second: Arc<Script>,
    flows: Arc<Flows>,
    handlers: BTreeMap<StageName, Arc<dyn Handler>>,
}

fn stage(name: &str) -> StageName {
    name.parse().unwrap()
}

impl World {
    fn new(first_takes: Duration) -> Self {
        let mut stages = vec![Stage::new(stage("first")), Stage::new(stage("second"))];
        for stage in &mut stages {
            stage.concurrency = NonZeroUsize::MIN;
            stage.deadline = 24 * HOUR;
        }
        let flows = Arc::new(Flows::new(stages, BTreeMap::new()).unwrap());
        let clock = Arc::new(TestClock::new(1));
        let memory = Memory::new(Arc::clone(&flows), Arc::clone(&clock) as Arc<dyn Clock>);
        let takes = Step::After(first_takes, Box::new(Step::Done));
        let first = Arc::new(Script::always(takes));
        let second = Arc::new(Script::done());
        Self {
            judging: Judging {
                memory,
                on_trial: Arc::default(),
                handed_out: Arc::default(),
            },
            clock,
            handlers: BTreeMap::from([
                (stage("first"), first as Arc<dyn Handler>),
                (stage("second"), Arc::clone(&second) as _),
            ]),
            second,
            flows,
        }
    }

    /// A process of its own, with these stages.
    fn start(&self, stages: &[&str]) -> Running {
        let handlers = stages.iter().map(|name| {
            let stage = stage(name);
            let handler = Arc::clone(&self.handlers[&stage]);
            (stage, handler)
        });
        let setup = Setup {
            broker: Arc::new(self.judging.clone()),
            reporter: Arc::new(self.judging.memory.clone()),
            holds: Arc::new(self.judging.memory.clone()),
            flows: Arc::clone(&self.flows),
            handlers: handlers.collect(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            observer: Arc::new(Recorder::default()) as Arc<dyn Observer>,
            holder: Holder::new("here:1:1").unwrap(),
            hostname: "here".into(),
        };
        let here = Box::new(|_: &StageName, _| actix_rt::Arbiter::current());
        Root::new(Arc::new(setup), here).start()
    }

    async fn submit(&self, name: &str) -> TicketId {
        let id = self.clock.ticket_id();
        let ticket = Ticket::new(id, stage(name), self.clock.now());
        self.judging.memory.submit(vec![ticket]).await.unwrap();
        id
    }

    async fn submit_on_trial(&self, name: &str) -> TicketId {
        let id = self.submit(name).await;
        self.judging.on_trial.lock().unwrap().insert(id);
        id
    }

    async fn is_done(&self, id: TicketId) -> bool {
        let entry = self.judging.memory.ticket(id).await.unwrap().unwrap();
        entry.place.state().is_terminal()
    }

    /// A process of two stages has tried one ticket for a minute; another one waits for its turn.
    async fn with_one_waiting(&self) -> (Running, TicketId, TicketId) {
        let tried = self.submit_on_trial("first").await;
        let running = self.start(&["first", "second"]);
        sleep(MINUTE).await;
        let waiting = self.submit_on_trial("second").await;
        (running, tried, waiting)
    }
}

#[test]
fn one_that_waits_for_its_turn_keeps_no_slot_from_the_others_of_its_stage() {
    driven(async {
        let world = World::new(2 * HOUR);
        let (_running, long, waiting) = world.with_one_waiting().await;
        let mut others = Vec::new();
        for _ in 0..5 {
            others.push(world.submit("second").await);
        }
        sleep(MINUTE).await;
        for other in others {
            assert!(world.is_done(other).await, "it has the slot");
        }
        assert_eq!(world.second.calls_for(waiting), 0);
        sleep(HOUR).await;
        let around = world.judging.handed_out(waiting);
        assert!((60..=3_700).contains(&around), "a hot loop: {around}");
        sleep(HOUR).await;
        assert!(world.is_done(long).await);
        assert!(world.is_done(waiting).await, "its turn has come");
        assert_eq!(world.second.calls_for(waiting), 1);
    });
}

#[test]
fn one_whose_turn_comes_while_it_waits_has_a_slot_at_once() {
    driven(async {
        let world = World::new(10 * MINUTE);
        let (_running, _, waiting) = world.with_one_waiting().await;
        sleep(9 * MINUTE - Duration::from_millis(10)).await;
        assert_eq!(world.second.calls_for(waiting), 0);
        sleep(Duration::from_millis(20)).await;
        assert!(world.is_done(waiting).await, "nobody else is there");
    });
}

#[test]
fn one_that_waits_for_its_turn_goes_to_a_process_that_has_it_free() {
    driven(async {
        let world = World::new(2 * HOUR);
        let (_running, _, waiting) = world.with_one_waiting().await;
        sleep(MINUTE).await;
        let _other = world.start(&["second"]);
        sleep(MINUTE).await;
        assert!(world.is_done(waiting).await);
    });
}

#[test]
fn one_whose_stage_is_on_hold_when_its_turn_comes_is_not_started() {
    driven(async {
        let world = World::new(10 * MINUTE);
        let (_running, _, waiting) = world.with_one_waiting().await;
        sleep(9 * MINUTE - Duration::from_millis(300)).await;
        let hold = Hold {
            since: world.clock.now(),
            reason: "it cannot be started".into(),
            by: "another worker".into(),
            version: Some(world.second.inspect().version),
            oops: None,
        };
        let memory = &world.judging.memory;
        Holds::hold(memory, &stage("second"), hold).await.unwrap();
        sleep(MINUTE).await;
        assert_eq!(world.second.calls_for(waiting), 0);
    });
}

#[test]
fn one_that_waits_for_its_turn_goes_back_when_the_process_goes_down() {
    driven(async {
        let world = World::new(HOUR);
        let (running, _, waiting) = world.with_one_waiting().await;
        sleep(MINUTE).await;
        assert!(running.drain(2 * HOUR).await);
        let balance = world.judging.memory.balance(None).await.unwrap();
        assert_eq!((balance.done, balance.runnable), (1, 1), "{balance:?}");
        assert_eq!(world.second.calls_for(waiting), 0);
    });
}
