//! A store on real files, and the few steps that every test takes.

use domain::delivery::{Decision, Delivery, Incoming, Received, Settlement, Start, Started};
use domain::flow::{Flows, Stage, Unique};
use domain::names::{FlowName, Holder, Key, Kind, StageName, Version};
use domain::oops::Scene;
use domain::outcome::{Failure, Outcome};
use domain::ports::{
    Accepted, Action, Answer, Broker, Catalog, Clock, Consumer, Desk, Listing, Order, Settled, Sort,
};
use domain::retry::{Chance, RetryPolicy};
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use store::{Config, Embedded, OpenError};
use tempfile::TempDir;

pub(crate) const BEGIN: i64 = 1_795_269_802_000_000;

/// Time stands still unless it is moved; ids count up.
#[derive(Default)]
pub(crate) struct StillClock {
    passed: AtomicI64,
    ids: AtomicU64,
}

impl StillClock {
    pub(crate) fn skip(&self, length: Duration) {
        let micros = i64::try_from(length.as_micros()).unwrap();
        self.passed.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(BEGIN + self.passed.load(Ordering::SeqCst))
    }

    fn chance(&self) -> Chance {
        Chance::new(0.5)
    }

    fn ticket_id(&self) -> TicketId {
        let mut bits = [0; 16];
        bits[8..].copy_from_slice(&self.ids.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        bits[0] = 1;
        TicketId::from_bytes(bits)
    }
}

pub(crate) fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

pub(crate) fn holder() -> Holder {
    Holder::new("host/1").unwrap()
}

pub(crate) fn flows(names: &[&str]) -> Flows {
    let stages = names.iter().map(|name| Stage {
        retry: RetryPolicy {
            jitter: 0.0,
            ..RetryPolicy::default()
        },
        unique: match *name {
            "solo" => Unique::ByKey,
            _ => Unique::No,
        },
        ..Stage::new(stage(name))
    });
    let has_ci = ["build", "test", "publish"]
        .iter()
        .all(|stop| names.contains(stop));
    let ci = ["build", "test", "publish"].map(stage).to_vec();
    let flows = has_ci.then(|| (FlowName::new("ci").unwrap(), ci));
    Flows::new(
        stages.collect(),
        flows.into_iter().collect::<BTreeMap<_, _>>(),
    )
    .unwrap()
}

pub(crate) const STAGES: [&str; 4] = ["build", "test", "publish", "solo"];

/// A store in a folder of its own.
pub(crate) struct Bench {
    pub(crate) store: Embedded,
    pub(crate) flows: Arc<Flows>,
    pub(crate) clock: Arc<StillClock>,
    pub(crate) path: PathBuf,
    _folder: Option<TempDir>,
}

pub(crate) fn try_open(
    config: Config,
    names: &[&str],
    clock: &Arc<StillClock>,
) -> Result<Embedded, OpenError> {
    let clock: Arc<dyn Clock> = Arc::<StillClock>::clone(clock);
    Embedded::open(config, Arc::new(flows(names)), clock, holder())
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|config| config)
    }

    pub(crate) fn with(limits: impl FnOnce(Config) -> Config) -> Self {
        let folder = TempDir::new().unwrap();
        let mut bench = Self::at(folder.path(), limits);
        bench._folder = Some(folder);
        bench
    }

    pub(crate) fn at(path: &Path, limits: impl FnOnce(Config) -> Config) -> Self {
        let clock = Arc::new(StillClock::default());
        Self {
            store: try_open(limits(Config::new(path)), &STAGES, &clock).unwrap(),
            flows: Arc::new(flows(&STAGES)),
            clock,
            path: path.into(),
            _folder: None,
        }
    }

    /// The process goes away without a word, and the next one takes over with these stages.
    pub(crate) fn reopen(&mut self, names: &[&str]) {
        let elsewhere = TempDir::new().unwrap();
        let config = Config::new(elsewhere.path());
        self.store = try_open(config, &STAGES, &self.clock).unwrap();
        self.flows = Arc::new(flows(names));
        self.store = try_open(Config::new(&self.path), names, &self.clock).unwrap();
    }

    /// The process goes away without a word, and the next one is configured so.
    pub(crate) fn reopen_with(&mut self, flows: Flows) {
        self.store.close();
        self.flows = Arc::new(flows);
        let clock: Arc<dyn Clock> = Arc::<StillClock>::clone(&self.clock);
        let flows = Arc::clone(&self.flows);
        let opened = Embedded::open(Config::new(&self.path), flows, clock, holder());
        self.store = opened.unwrap();
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn ticket(&self, name: &str) -> Ticket {
        let id = self.clock.ticket_id();
        Ticket {
            name: Name::first(id),
            kind: Kind::unnamed(),
            flow: None,
            stage: stage(name),
            key: None,
            payload: Payload::untyped("work"),
            deadline: None,
            created_at: self.now(),
            lineage: Lineage::root(id),
            trace: None,
        }
    }

    pub(crate) fn ci(&self) -> Ticket {
        Ticket {
            flow: Some(FlowName::new("ci").unwrap()),
            ..self.ticket("build")
        }
    }

    pub(crate) fn keyed(&self, name: &str, key: &str) -> Ticket {
        Ticket {
            key: Some(Key::new(key).unwrap()),
            ..self.ticket(name)
        }
    }

    pub(crate) async fn submit(&self, ticket: Ticket) -> TicketId {
        let id = ticket.id();
        let accepted = self.store.submit(vec![ticket]).await.unwrap();
        assert_eq!(accepted, [Accepted::New(id)]);
        id
    }

    pub(crate) async fn consume(&self, name: &str, prefetch: usize) -> Box<dyn Consumer> {
        let prefetch = NonZeroUsize::new(prefetch).unwrap();
        self.store.consume(&stage(name), prefetch).await.unwrap()
    }

    pub(crate) fn start_now(&self) -> Start {
        let scene = Scene {
            holder: holder(),
            hostname: "host".into(),
            version: Version::new("1.0").unwrap(),
        };
        Start {
            scene: Arc::new(scene),
            at: self.now(),
        }
    }

    pub(crate) async fn start(&self, fresh: Vec<Delivery<Received>>) -> Vec<Delivery<Started>> {
        self.store.start(fresh, &self.start_now()).await.unwrap()
    }

    pub(crate) async fn settlement(
        &self,
        delivery: Delivery<Started>,
        outcome: Outcome,
    ) -> Settlement {
        let rules = self.flows.stage(&delivery.ticket().stage).unwrap().clone();
        let decision = Decision {
            stage: &rules,
            flows: &self.flows,
            now: self.now(),
            chance: Chance::new(0.5),
        };
        let performed = delivery.performed(outcome.into(), self.now());
        let reported = performed.report(&*self.store.oopses()).await.unwrap();
        reported.decide(&decision)
    }

    /// Takes one ticket of the stage through one attempt.
    pub(crate) async fn attempt(&self, name: &str, outcome: Outcome) -> TicketId {
        let mut consumer = self.consume(name, 1).await;
        let started = self.start(fresh(&mut *consumer, 1).await).await;
        let started = started.into_iter().next().unwrap();
        let id = started.ticket().id();
        let settlement = self.settlement(started, outcome).await;
        let settled = self.store.settle(vec![settlement]).await.unwrap();
        assert_eq!(settled, [Settled::Applied]);
        id
    }

    pub(crate) async fn order(&self, ticket: TicketId, action: Action) -> Answer {
        let order = Order {
            ticket,
            action,
            by: "ada".into(),
            at: self.now(),
        };
        self.store.carry_out(vec![order]).await.unwrap().remove(0)
    }

    pub(crate) async fn assert_balanced(&self) {
        let balance = self.store.balance(None).await.unwrap();
        assert!(balance.is_balanced(), "{balance:?}");
    }

    pub(crate) fn listing(&self, query: &str) -> Listing {
        Listing {
            query: query.parse().unwrap(),
            limit: 100,
            sort: Sort::NewestFirst,
            now: self.now(),
        }
    }
}

/// Waits for so many fresh deliveries.
pub(crate) async fn fresh(consumer: &mut dyn Consumer, count: usize) -> Vec<Delivery<Received>> {
    let mut fresh = Vec::new();
    while fresh.len() < count {
        let left = NonZeroUsize::new(count - fresh.len()).unwrap();
        for incoming in consumer.next(left).await.unwrap() {
            match incoming {
                Incoming::Fresh(delivery) => fresh.push(delivery),
                other => panic!("expected a fresh delivery, got {other:?}"),
            }
        }
    }
    fresh
}

/// Whether nothing is delivered for a moment.
pub(crate) async fn is_quiet(consumer: &mut dyn Consumer) -> bool {
    let next = consumer.next(NonZeroUsize::MIN);
    tokio::time::timeout(Duration::from_millis(50), next)
        .await
        .is_err()
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed(Failure::new("Broken", "it broke"))
}

/// A small file system of its own in memory, if this process may mount one.
pub(crate) struct SmallDisk {
    pub(crate) path: PathBuf,
    folder: TempDir,
}

impl SmallDisk {
    pub(crate) fn mount(options: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(done) if done.status.success() => Some(Self {
                path: folder.path().into(),
                folder,
            }),
            _ => None,
        }
    }

    pub(crate) fn remount(&self, options: &str) {
        let done = std::process::Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.path)
            .status();
        assert!(done.unwrap().success(), "the small disk cannot be changed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = std::process::Command::new("umount")
            .args(["-l"])
            .arg(self.folder.path())
            .status();
        assert!(
            done.unwrap().success(),
            "the small disk cannot be taken away"
        );
    }
}
