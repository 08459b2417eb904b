//! Where workers and controller are one process, replacing a handler's file is announced.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use actors::controller::Keeping;
use actors::{Controller, ControllerSetup, Setup};
use async_trait::async_trait;
use domain::breaker::Rules;
use domain::event::Event;
use domain::flow::{Flows, Stage};
use domain::names::{Holder, StageName, Version};
use domain::outcome::{Attempted, Outcome};
use domain::ports::{
    Clock, Context, Handler, Inspection, Observer, Retention, Round, Serving, StoreError, Waits,
};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use domain::verdict::{Case, Verdict};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::driven;
use testkit::clock::TestClock;
use testkit::memory::Memory;
use testkit::recorder::Recorder;
use tokio::time::sleep;

/// Two looks and what lies between them.
const TWO_LOOKS: Duration = Duration::from_millis(2_100);

/// A handler whose file is replaced by the test.
#[derive(Default)]
struct File {
    version: Mutex<Option<&'static str>>,
    looks: Mutex<usize>,
}

impl File {
    fn is(&self, version: Option<&'static str>) {
        *self.version.lock().unwrap() = version;
    }

    fn looks(&self) -> usize {
        *self.looks.lock().unwrap()
    }
}

#[async_trait]
impl Handler for File {
    async fn handle(&self, _: Arc<Ticket>, _: Context) -> Attempted {
        Outcome::done().into()
    }

    fn inspect(&self) -> Inspection {
        *self.looks.lock().unwrap() += 1;
        let version = *self.version.lock().unwrap();
        Inspection {
            version: Version::new(version.unwrap_or("missing")).unwrap(),
            obstacle: version.is_none().then(|| "there is no such file".into()),
        }
    }
}

/// Hears who serves the stages; nothing ever waits.
#[derive(Default)]
struct Ear {
    heard: Mutex<Vec<Serving>>,
    fails: Mutex<u32>,
    rounds: Mutex<usize>,
}

#[async_trait]
impl Waits for Ear {
    async fn release(&self, _: Timestamp, _: NonZeroUsize) -> Result<Round, StoreError> {
        *self.rounds.lock().unwrap() += 1;
        Ok(Round {
            released: 0,
            next: None,
        })
    }
    async fn unhold(&self, _: &StageName, _: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }
    async fn cases(&self, _: Timestamp, _: NonZeroUsize) -> Result<Vec<Case>, StoreError> {
        Ok(Vec::new())
    }
    async fn judge(&self, _: Vec<Verdict>) -> Result<u64, StoreError> {
        Ok(0)
    }
    async fn serving(&self, serving: Serving, _: Timestamp) -> Result<(), StoreError> {
        let mut fails = self.fails.lock().unwrap();
        if *fails > 0 {
            *fails -= 1;
            return Err(StoreError::Unavailable("not yet".into()));
        }
        self.heard.lock().unwrap().push(serving);
        Ok(())
    }
    async fn attention(&self) {
        std::future::pending().await
    }
    async fn retain(&self, _: Retention) -> Result<u64, StoreError> {
        Ok(0)
    }
}

struct World {
    file: Arc<File>,
    ear: Arc<Ear>,
    recorder: Arc<Recorder>,
    setup: Arc<ControllerSetup>,
}

fn stage(name: &str) -> StageName {
    name.parse().unwrap()
}

fn here() -> Holder {
    Holder::new("here:1:1").unwrap()
}

impl World {
    fn new(breaker: Option<Rules>) -> Self {
        let rules = |name: &str, breaker| Stage {
            breaker,
            ..Stage::new(stage(name))
        };
        let stages = vec![rules("frail", breaker), rules("plain", None)];
        let flows = Arc::new(Flows::new(stages, BTreeMap::new()).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(TestClock::new(1));
        let memory = Memory::new(Arc::clone(&flows), Arc::clone(&clock));
        let (file, plain) = (Arc::new(File::default()), Arc::new(File::default()));
        file.is(Some("1"));
        plain.is(Some("9"));
        let recorder = Arc::new(Recorder::default());
        let handlers: [(StageName, Arc<dyn Handler>); 2] = [
            (stage("frail"), Arc::clone(&file) as _),
            (stage("plain"), plain),
        ];
        let setup = Setup {
            broker: Arc::new(memory.clone()),
            reporter: Arc::new(memory.clone()),
            holds: Arc::new(memory.clone()),
            flows,
            handlers: BTreeMap::from(handlers),
            clock,
            observer: Arc::clone(&recorder) as Arc<dyn Observer>,
            holder: here(),
            hostname: "here".into(),
        };
        let ear = Arc::new(Ear::default());
        let beside = ControllerSetup::beside(&setup, Arc::clone(&ear) as _, Arc::new(memory));
        Self {
            file,
            ear,
            recorder,
            setup: Arc::new(beside),
        }
    }

    fn start(&self) -> Controller {
        Controller::start(&self.setup, Keeping::default())
    }

    /// Every announcement of the frail stage, nothing for one that nobody serves.
    fn heard(&self) -> Vec<String> {
        let heard = self.ear.heard.lock().unwrap();
        let told = heard.iter().map(|serving| {
            assert!(!serving.contains_key(&stage("plain")), "it has no breaker");
            let versions = serving.get(&stage("frail")).into_iter().flatten();
            let told = versions.map(|(version, holders)| {
                assert_eq!(*holders, BTreeMap::from([(here(), None)]));
                version.to_string()
            });
            told.collect()
        });
        told.collect()
    }

    fn rounds(&self) -> usize {
        *self.ear.rounds.lock().unwrap()
    }
}

#[test]
fn a_handler_that_is_replaced_is_announced_and_looked_after_at_once() {
    driven(async {
        let world = World::new(Some(Rules::default()));
        let _controller = world.start();
        sleep(Duration::from_millis(10)).await;
        assert_eq!(world.heard(), ["1"], "at the start");
        sleep(Duration::from_secs(60)).await;
        assert_eq!(world.heard(), ["1"], "nothing has changed");
        let rounds = world.rounds();
        world.file.is(Some("2"));
        sleep(TWO_LOOKS).await;
        assert_eq!(world.heard(), ["1", "2"]);
        assert!(
            world.rounds() > rounds,
            "breakers are asked for their canary"
        );
        world.file.is(Some("1"));
        sleep(TWO_LOOKS).await;
        assert_eq!(world.heard(), ["1", "2", "1"], "back again");
    });
}

#[test]
fn a_file_that_is_still_being_written_is_no_version() {
    driven(async {
        let world = World::new(Some(Rules::default()));
        let _controller = world.start();
        sleep(Duration::from_millis(500)).await;
        for half in ["1.5", "1.6", "1.7", "1.8"] {
            world.file.is(Some(half));
            sleep(Duration::from_secs(1)).await;
        }
        world.file.is(Some("2"));
        sleep(TWO_LOOKS).await;
        assert_eq!(world.heard(), ["1", "2"]);
    });
}

#[test]
fn a_handler_that_cannot_be_started_serves_nothing() {
    driven(async {
        let world = World::new(Some(Rules::default()));
        let _controller = world.start();
        sleep(Duration::from_millis(500)).await;
        world.file.is(None);
        sleep(TWO_LOOKS).await;
        world.file.is(Some("2"));
        sleep(TWO_LOOKS).await;
        assert_eq!(world.heard(), ["1", "", "2"]);
    });
}

#[test]
fn an_announcement_that_the_store_does_not_take_is_made_again() {
    driven(async {
        let world = World::new(Some(Rules::default()));
        *world.ear.fails.lock().unwrap() = 2;
        let _controller = world.start();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(world.heard(), ["1"]);
        let failed = world
            .recorder
            .count(|event| matches!(event, Event::StoreFailed { what, .. } if *what == "announce"));
        assert_eq!(failed, 2);
    });
}

#[test]
fn without_a_breaker_nothing_is_looked_at() {
    driven(async {
        let world = World::new(None);
        let _controller = world.start();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(world.heard(), [""; 0]);
        assert_eq!(world.file.looks(), 0);
    });
}
