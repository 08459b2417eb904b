//! A worker process: actors of stages, without any controller beside them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use actors::{Root, Running, Setup};
use async_trait::async_trait;
use domain::control::{Change, Hold};
use domain::delivery::{Delivery, Received, Settlement, Start, Started};
use domain::event::Event;
use domain::flow::{Flows, Stage};
use domain::names::{Holder, StageName, Version};
use domain::ports::{
    Broker, Catalog, Clock, Consumer, Desk, Follower, Handler, Holds, NotStarted, Observer,
    Settled, StoreError, Unsettled,
};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::driven;
use testkit::clock::TestClock;
use testkit::handler::{Script, Step};
use testkit::memory::Memory;
use testkit::recorder::Recorder;
use tokio::sync::Notify;
use tokio::time::sleep;

/// A broker whose `started` records take their time.
struct Slow {
    memory: Memory,
    asked: Notify,
    durable: Notify,
}

#[async_trait]
impl Broker for Slow {
    async fn consume(
        &self,
        stage: &StageName,
        prefetch: NonZeroUsize,
    ) -> Result<Box<dyn Consumer>, StoreError> {
        self.memory.consume(stage, prefetch).await
    }

    async fn start(
        &self,
        deliveries: Vec<Delivery<Received>>,
        start: &Start,
    ) -> Result<Vec<Delivery<Started>>, NotStarted> {
        self.asked.notify_one();
        self.durable.notified().await;
        self.memory.start(deliveries, start).await
    }

    async fn settle(&self, group: Vec<Settlement>) -> Result<Vec<Settled>, Unsettled> {
        self.memory.settle(group).await
    }

    async fn follow(&self) -> Result<Box<dyn Follower>, StoreError> {
        self.memory.follow().await
    }
}

struct World {
    memory: Memory,
    clock: Arc<TestClock>,
    recorder: Arc<Recorder>,
    script: Arc<Script>,
    setup: Arc<Setup>,
}

fn work() -> StageName {
    "work".parse().unwrap()
}

impl World {
    fn new(script: Script) -> Self {
        let stages = vec![Stage::new(work())];
        let flows = Arc::new(Flows::new(stages, BTreeMap::new()).unwrap());
        let clock = Arc::new(TestClock::new(1));
        let memory = Memory::new(Arc::clone(&flows), Arc::clone(&clock) as Arc<dyn Clock>);
        let recorder = Arc::new(Recorder::default());
        let script = Arc::new(script);
        let handlers = BTreeMap::from([(work(), Arc::clone(&script) as Arc<dyn Handler>)]);
        let setup = Arc::new(Setup {
            broker: Arc::new(memory.clone()),
            reporter: Arc::new(memory.clone()),
            holds: Arc::new(memory.clone()),
            flows,
            handlers,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            observer: Arc::clone(&recorder) as Arc<dyn Observer>,
            holder: Holder::new("here:1:1").unwrap(),
            hostname: "here".into(),
        });
        Self {
            memory,
            clock,
            recorder,
            script,
            setup,
        }
    }

    fn start(&self) -> Running {
        let here = Box::new(|_: &StageName, _| actix_rt::Arbiter::current());
        Root::new(Arc::clone(&self.setup), here).start()
    }

    /// The same process at another broker.
    fn setup_with(&self, broker: Arc<dyn Broker>, holds: Arc<dyn Holds>) -> Setup {
        Setup {
            broker,
            reporter: Arc::new(self.memory.clone()),
            holds,
            flows: Arc::clone(&self.setup.flows),
            handlers: self.setup.handlers.clone(),
            clock: Arc::clone(&self.setup.clock),
            observer: Arc::clone(&self.setup.observer),
            holder: self.setup.holder.clone(),
            hostname: self.setup.hostname.clone(),
        }
    }

    async fn submit(&self) {
        let id = self.clock.ticket_id();
        let ticket = Ticket::new(id, work(), self.clock.now());
        self.memory.submit(vec![ticket]).await.unwrap();
    }

    async fn done(&self) -> u64 {
        self.memory.balance(None).await.unwrap().done
    }

    fn hold(&self, version: Option<Version>) -> Hold {
        Hold {
            since: self.clock.now(),
            reason: "it cannot be started".into(),
            by: "another worker".into(),
            version,
            oops: None,
        }
    }
}

#[test]
fn a_worker_closes_its_stage_and_opens_it_when_its_handler_has_changed() {
    driven(async {
        let world = World::new(Script::steps(vec![Step::Unstartable; 9]));
        let _running = world.start();
        world.submit().await;
        let is_held = |event: &Event| matches!(event, Event::StageHeld { .. });
        world.recorder.expect(is_held).await;
        sleep(Duration::from_secs(600)).await;
        assert_eq!(
            (world.done().await, world.script.calls()),
            (0, 1),
            "no loop"
        );
        world.script.repair();
        let is_open = |event: &Event| matches!(event, Event::StageUnheld { .. });
        world.recorder.expect(is_open).await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(world.done().await, 1, "and what was held is released");
    });
}

#[test]
fn a_stage_that_another_worker_opened_stays_closed_here_until_this_handler_has_changed() {
    driven(async {
        let world = World::new(Script::steps(vec![Step::Unstartable; 9]));
        let _running = world.start();
        world.submit().await;
        let is_held = |event: &Event| matches!(event, Event::StageHeld { .. });
        world.recorder.expect(is_held).await;
        let now = world.clock.now();
        Holds::unhold(&world.memory, &work(), now).await.unwrap();
        sleep(Duration::from_secs(600)).await;
        assert_eq!(
            world.script.calls(),
            1,
            "this handler is as broken as it was"
        );
        let balance = world.memory.balance(None).await.unwrap();
        assert_eq!(balance.runnable, 1, "its ticket is there for the others");
        world.script.repair();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(world.done().await, 1);
    });
}

#[test]
fn two_broken_versions_do_not_open_a_stage_for_each_other() {
    driven(async {
        let world = World::new(Script::steps(vec![Step::Unstartable; 9]));
        let _running = world.start();
        world.submit().await;
        let is_held = |event: &Event| matches!(event, Event::StageHeld { .. });
        world.recorder.expect(is_held).await;
        let others = world.hold(Some("another".parse().unwrap()));
        Holds::hold(&world.memory, &work(), others).await.unwrap();
        sleep(Duration::from_secs(600)).await;
        assert_eq!(world.script.calls(), 1);
        let snapshot = world.memory.snapshot().await.unwrap();
        assert!(snapshot.holds.contains_key(&work()));
    });
}

#[test]
fn a_worker_that_starts_tries_a_stage_that_was_closed_before() {
    driven(async {
        let world = World::new(Script::steps(vec![Step::Done]));
        let version = world.script.inspect().version;
        let hold = world.hold(Some(version));
        Holds::hold(&world.memory, &work(), hold).await.unwrap();
        world.submit().await;
        let _running = world.start();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(world.done().await, 1);
    });
}

/// Opens a stage, and then fails to release what waited for that, so many times.
struct Halfway {
    memory: Memory,
    fails: Mutex<u32>,
}

#[async_trait]
impl Holds for Halfway {
    async fn hold(&self, stage: &StageName, hold: Hold) -> Result<(), StoreError> {
        Holds::hold(&self.memory, stage, hold).await
    }

    async fn unhold(&self, stage: &StageName, now: Timestamp) -> Result<(), StoreError> {
        let change = Change::Unhold(stage.clone());
        self.memory.change(change).await?;
        let left = *self.fails.lock().unwrap();
        if left > 0 {
            *self.fails.lock().unwrap() = left - 1;
            return Err(StoreError::Unavailable("not yet".into()));
        }
        Holds::unhold(&self.memory, stage, now).await
    }
}

#[test]
fn a_stage_that_was_opened_halfway_releases_its_tickets_all_the_same() {
    driven(async {
        let world = World::new(Script::steps(vec![Step::Unstartable; 9]));
        let before = world.start();
        world.submit().await;
        let is_held = |event: &Event| matches!(event, Event::StageHeld { .. });
        world.recorder.expect(is_held).await;
        sleep(Duration::from_secs(5)).await;
        drop(before);
        let halfway = Arc::new(Halfway {
            memory: world.memory.clone(),
            fails: Mutex::new(0),
        });
        let setup = world.setup_with(Arc::new(world.memory.clone()), Arc::clone(&halfway) as _);
        let here = Box::new(|_: &StageName, _| actix_rt::Arbiter::current());
        let _running = Root::new(Arc::new(setup), here).start();
        sleep(Duration::from_secs(5)).await;
        *halfway.fails.lock().unwrap() = 3;
        world.script.repair();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(*halfway.fails.lock().unwrap(), 0);
        assert_eq!(world.done().await, 1, "{}", world.recorder.tail());
    });
}

#[test]
fn the_versions_of_the_handlers_can_be_asked_from_any_thread() {
    let world = World::new(Script::steps(vec![Step::Fail]));
    let versions = actors::root::versions(world.setup.handlers.clone());
    let (before, asked) = {
        let asked = Arc::clone(&versions);
        (versions(), std::thread::spawn(move || asked()).join())
    };
    assert_eq!(asked.unwrap(), before);
    assert_eq!(before[&work()], world.script.inspect().version);
    world.script.repair();
    assert_ne!(versions(), before, "a deployment is seen");
}

#[test]
fn a_handler_that_cannot_be_started_is_no_version() {
    let world = World::new(Script::steps(vec![Step::Unstartable]));
    let versions = actors::root::versions(world.setup.handlers.clone());
    assert_eq!(versions(), BTreeMap::new());
    world.script.repair();
    assert_eq!(versions().len(), 1);
}

#[test]
fn a_stop_while_a_start_becomes_durable_lets_what_was_started_run() {
    driven(async {
        let world = World::new(Script::steps(vec![Step::Done]));
        let slow = Arc::new(Slow {
            memory: world.memory.clone(),
            asked: Notify::new(),
            durable: Notify::new(),
        });
        let setup = world.setup_with(Arc::clone(&slow) as _, Arc::new(world.memory.clone()));
        let here = Box::new(|_: &StageName, _| actix_rt::Arbiter::current());
        let running = Root::new(Arc::new(setup), here).start();
        world.submit().await;
        slow.asked.notified().await;
        let confirm = async {
            sleep(Duration::from_millis(100)).await;
            slow.durable.notify_one();
        };
        let (landed, ()) = tokio::join!(running.drain(Duration::from_secs(5)), confirm);
        assert!(landed);
        assert_eq!(world.done().await, 1, "{}", world.recorder.tail());
        assert_eq!(world.script.calls(), 1);
    });
}
