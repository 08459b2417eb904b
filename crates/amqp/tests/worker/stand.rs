//! A broker with names of its own, a controller's side that only listens, and workers.

use amqp::{Config, Controller, Names, Worker, WorkerSettings};
use domain::control::Snapshot;
use domain::delivery::{Decision, Delivery, Incoming, Received, Settlement, Start, Started};
use domain::flow::{Flows, Stage};
use domain::names::{FlowName, Holder, Kind, StageName, Version};
use domain::oops::Scene;
use domain::outcome::{Done, Outcome};
use domain::ports::{Broker, Clock, Consumer, Due, Inbox, Road, Sent, Settled, StreamEnded};
use domain::record::{Record, Said};
use domain::ticket::{Lineage, Name, Payload, Ticket};
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::clock::TestClock;
use testkit::partners::proxy::Proxy;
use testkit::partners::rabbitmq::{Rabbit, Shared, Version as Rmq};
use tokio::time::{sleep, timeout};

pub(crate) const SOON: Duration = Duration::from_secs(10);
/// Long enough for whatever should not come.
pub(crate) const LULL: Duration = Duration::from_millis(400);
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
const PREFETCH: NonZeroUsize = NonZeroUsize::new(64).unwrap();

pub(crate) fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

pub(crate) fn max(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// A handler of `build` that is this.
pub(crate) fn version(name: &str) -> BTreeMap<StageName, Version> {
    BTreeMap::from([(stage("build"), Version::new(name).unwrap())])
}

/// What a test has before it.
pub(crate) struct Stand {
    /// Between workers and the broker.
    pub(crate) proxy: Proxy,
    /// Straight to the broker.
    pub(crate) config: Config,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) controller: Arc<Controller>,
    pub(crate) flows: Arc<Flows>,
    /// The longest body that the next worker takes.
    pub(crate) payload_bytes_max: usize,
    /// What the handlers of the workers are.
    pub(crate) serves: Arc<Mutex<BTreeMap<StageName, Version>>>,
    journal: Option<Box<dyn Inbox<Record>>>,
    heard: VecDeque<Record>,
    revision: u64,
    workers: u64,
    _rabbit: Option<Shared>,
}

impl Stand {
    pub(crate) async fn open() -> Option<Self> {
        let rabbit = testkit::partners::or_skip(Rabbit::shared(Rmq::V310))?;
        let mut stand = Self::at(&rabbit.url(), rabbit.port()).await;
        stand._rabbit = Some(rabbit);
        Some(stand)
    }

    pub(crate) async fn at(url: &str, port: u16) -> Self {
        let clock = Arc::new(TestClock::new(u64::from(std::process::id())));
        let mut config = Config::new(url).unwrap();
        let prefix = format!("t{}", uuid::Uuid::now_v7().simple());
        config.names = Names::new(&prefix).unwrap();
        config.publish_timeout = Duration::from_secs(2);
        let holder = Holder::new("controller").unwrap();
        let stages = [stage("build"), stage("test")];
        let controller = Controller::start(config.clone(), &stages, clock.clone(), holder);
        let controller = controller.await.unwrap();
        let journal = controller.journal().await.unwrap();
        Self {
            proxy: Proxy::start(port),
            config,
            clock,
            controller,
            flows: Arc::new(flows(Duration::from_secs(60))),
            payload_bytes_max: PAYLOAD_BYTES_MAX,
            serves: Arc::new(Mutex::new(version("1"))),
            journal: Some(journal),
            heard: VecDeque::new(),
            revision: 0,
            workers: 0,
            _rabbit: None,
        }
    }

    /// A worker behind the proxy, with a desired state that allows everything.
    pub(crate) async fn worker(&mut self) -> Arc<Worker> {
        let worker = self.closed_worker().await;
        self.spread(|_| {}).await;
        self.keeps_to_revision(&worker).await;
        worker
    }

    /// A worker behind the proxy that has to wait for a desired state.
    pub(crate) async fn closed_worker(&mut self) -> Arc<Worker> {
        let url = self.url();
        self.worker_at(&url).await
    }

    /// A worker that the proxy cannot cut off.
    pub(crate) async fn other_worker(&mut self) -> Arc<Worker> {
        let (host, port) = self.config.address();
        let url = format!("amqp://guest:guest@{host}:{port}");
        let worker = self.worker_at(&url).await;
        self.keeps_to_revision(&worker).await;
        worker
    }

    async fn worker_at(&mut self, url: &str) -> Arc<Worker> {
        let (config, settings) = self.settings_at(url);
        Worker::start(config, settings).await.unwrap()
    }

    /// What the next worker is to be.
    pub(crate) fn settings_at(&mut self, url: &str) -> (Config, WorkerSettings) {
        let mut config = Config::new(url).unwrap();
        config.names = self.config.names.clone();
        config.publish_timeout = self.config.publish_timeout;
        config.ack_timeout = self.config.ack_timeout;
        self.workers += 1;
        let serves = Arc::clone(&self.serves);
        let settings = WorkerSettings {
            holder: Holder::new(&format!("worker {}", self.workers)).unwrap(),
            hostname: "here".into(),
            flows: Arc::clone(&self.flows),
            versions: Arc::new(move || serves.lock().unwrap().clone()),
            clock: self.clock.clone(),
            payload_bytes_max: self.payload_bytes_max,
        };
        (config, settings)
    }

    /// The broker, by way of the proxy.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.proxy.port())
    }

    /// Spreads a new desired state.
    pub(crate) async fn spread(&mut self, change: impl FnOnce(&mut Snapshot)) {
        self.revision += 1;
        let mut snapshot = Snapshot {
            revision: self.revision,
            ..Snapshot::default()
        };
        change(&mut snapshot);
        self.controller.spread(&snapshot).await.unwrap();
    }

    pub(crate) async fn keeps_to_revision(&self, worker: &Worker) {
        until("the worker keeps to the revision", || {
            worker.revision() == self.revision
        })
        .await;
    }

    pub(crate) fn ticket(&self) -> Ticket {
        let id = self.clock.ticket_id();
        Ticket {
            name: Name::first(id),
            kind: Kind::unnamed(),
            flow: Some(FlowName::new("ci").unwrap()),
            stage: stage("build"),
            key: None,
            payload: Payload::json("{\"n\":1}"),
            deadline: None,
            created_at: TestClock::BEGIN,
            lineage: Lineage::root(id),
            trace: None,
        }
    }

    /// Sends tickets on their way as the controller does.
    pub(crate) async fn publish(&self, tickets: &[Ticket]) {
        let due = tickets.iter().map(|ticket| Due {
            ticket: ticket.clone(),
            barrier: None,
            avoid: Vec::new(),
            alone: false,
        });
        let sent = self.controller.publish(due.collect()).await;
        assert!(sent.iter().all(|sent| *sent == Sent::Confirmed), "{sent:?}");
    }

    /// Leaves the journal to others.
    pub(crate) async fn stop_listening(&mut self) {
        self.journal = None;
        // The broker has to hear of it before others read.
        sleep(LULL).await;
    }

    /// The next record that is wanted, whatever comes before it.
    pub(crate) async fn hear<T>(&mut self, wanted: impl Fn(&Said) -> Option<T>) -> T {
        let found = async {
            loop {
                while let Some(record) = self.heard.pop_front() {
                    if let Some(found) = wanted(&record.said) {
                        return found;
                    }
                }
                let journal = self.journal.as_mut().expect("it listens");
                self.heard.extend(journal.next(max(100)).await.unwrap());
                journal.done().await.unwrap();
            }
        };
        timeout(SOON, found)
            .await
            .expect("the journal says it soon")
    }

    /// Everything that the journal says in a while, beats apart.
    pub(crate) async fn hear_all(&mut self) -> Vec<Said> {
        let journal = self.journal.as_mut().expect("it listens");
        while let Ok(more) = timeout(LULL, journal.next(max(1_000))).await {
            self.heard.extend(more.unwrap());
            journal.done().await.unwrap();
            if self
                .heard
                .iter()
                .rev()
                .take_while(|record| is_beat(record))
                .count()
                > 1
            {
                break;
            }
        }
        let heard = self.heard.drain(..);
        heard
            .filter(|record| !is_beat(record))
            .map(|record| record.said)
            .collect()
    }

    /// How many messages a queue has ready.
    pub(crate) async fn ready(&self, queue: &str) -> u32 {
        let channel = self.channel().await;
        let options = QueueDeclareOptions {
            passive: true,
            ..Default::default()
        };
        let queue = channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await;
        queue.unwrap().message_count()
    }

    /// A channel of nobody's.
    pub(crate) async fn channel(&self) -> lapin::Channel {
        let (host, port) = self.config.address();
        let url = format!("amqp://guest:guest@{host}:{port}");
        let connection = lapin::Connection::connect(&url, Default::default())
            .await
            .unwrap();
        connection.create_channel().await.unwrap()
    }

    pub(crate) fn start(&self) -> Start {
        let scene = Scene {
            holder: Holder::new("worker").unwrap(),
            hostname: "here".into(),
            version: Version::new("1").unwrap(),
        };
        Start {
            scene: Arc::new(scene),
            at: self.clock.now(),
        }
    }

    /// Starts one and works on it until it is to be settled.
    pub(crate) async fn work(&self, worker: &Worker, delivery: Delivery<Received>) -> Settlement {
        let started = self.begin(worker, delivery).await;
        self.end(started, Outcome::Done(Done::default()))
    }

    pub(crate) async fn begin(
        &self,
        worker: &Worker,
        delivery: Delivery<Received>,
    ) -> Delivery<Started> {
        let started = Broker::start(worker, vec![delivery], &self.start())
            .await
            .unwrap();
        started.into_iter().next().unwrap()
    }

    pub(crate) fn end(&self, started: Delivery<Started>, outcome: Outcome) -> Settlement {
        let rules = Stage::new(started.ticket().stage.clone());
        let performed = started.performed(outcome.into(), self.clock.now());
        performed.nothing_to_report().unwrap().decide(&Decision {
            stage: &rules,
            flows: &self.flows,
            now: self.clock.now(),
            chance: self.clock.chance(),
        })
    }
}

fn is_beat(record: &Record) -> bool {
    matches!(record.said, Said::Beat(_))
}

pub(crate) fn flows(deadline: Duration) -> Flows {
    let stages = ["build", "test"].map(|name| {
        let mut rules = Stage::new(stage(name));
        rules.concurrency = NonZeroUsize::new(4).unwrap();
        rules.deadline = deadline;
        rules
    });
    let stops = vec![stage("build"), stage("test")];
    Flows::new(
        stages.into(),
        BTreeMap::from([(FlowName::new("ci").unwrap(), stops)]),
    )
    .unwrap()
}

pub(crate) async fn consume(worker: &Worker, name: &str) -> Box<dyn Consumer> {
    let end = tokio::time::Instant::now() + SOON;
    loop {
        match worker.consume(&stage(name), PREFETCH).await {
            Ok(consumer) => return consumer,
            Err(error) if tokio::time::Instant::now() > end => panic!("{error}"),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One more from the stage.
pub(crate) async fn next(consumer: &mut Box<dyn Consumer>) -> Incoming {
    let group = timeout(SOON, consumer.next(max(1)))
        .await
        .expect("one comes soon")
        .unwrap();
    group.into_iter().next().unwrap()
}

pub(crate) async fn fresh(consumer: &mut Box<dyn Consumer>) -> Delivery<Received> {
    match next(consumer).await {
        Incoming::Fresh(delivery) => delivery,
        other => panic!("expected a fresh delivery, got {other:?}"),
    }
}

pub(crate) async fn nothing(consumer: &mut Box<dyn Consumer>) {
    let group = timeout(LULL, consumer.next(max(10))).await;
    assert!(group.is_err(), "expected nothing, got {group:?}");
}

/// Waits for its end; keeps what comes before that.
pub(crate) async fn end_of(consumer: &mut Box<dyn Consumer>) -> (StreamEnded, Vec<Incoming>) {
    let mut before = Vec::new();
    let ended = async {
        loop {
            match consumer.next(max(10)).await {
                Ok(group) => before.extend(group),
                Err(ended) => return ended,
            }
        }
    };
    let ended = timeout(SOON, ended).await.expect("it ends soon");
    (ended, before)
}

pub(crate) async fn settle(worker: &Worker, settlement: Settlement) -> Settled {
    worker.settle(vec![settlement]).await.unwrap()[0]
}

pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + SOON;
    while !is_so() {
        assert!(tokio::time::Instant::now() < end, "not so in time: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
