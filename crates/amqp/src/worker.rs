//! A worker's side of the broker: it takes tickets in hand, and lets go of each only when what
//! became of it is durable.
//!
//! A [`subscription`] takes in what a [`feed`] brings for a stage: [`intake`] tells work from
//! questions and puts it on the [`shelf`], from which the [`consumer`] hands it out. Everything
//! that was taken in is [`in_hand`] until it is settled: by [`starting`] and [`settling`] if it is
//! worked on, else through the [`door`]. Its delivery is acked on the [`lane`] that it came in on,
//! in as few frames as its [`window`] allows. [`vitals`] says what is in hand and which [`desired`]
//! state is kept to.

mod consumer;
mod counts;
mod desired;
mod door;
mod feed;
mod holds;
mod in_hand;
pub(crate) mod intake;
mod lane;
mod prefetch;
mod settling;
mod shared;
mod shelf;
mod starting;
mod steady;
mod subscription;
mod versions;
mod vitals;
mod window;

pub use counts::Tally;

use crate::config::Config;
use crate::control;
use crate::error::Error;
use crate::kept::keep;
use crate::link::{Link, Purpose, State};
use crate::publisher::Publisher;
use crate::{canary, topology};
use async_trait::async_trait;
use consumer::StageConsumer;
use desired::SnapshotFollower;
use domain::delivery::{Delivery, Received, Settlement, Start, Started};
use domain::flow::Flows;
use domain::names::{Holder, StageName, Version};
use domain::ports::{
    Broker, Clock, Consumer, Follower, NotStarted, Settled, StoreError, Unsettled,
};
use domain::record::Said;
use shared::Shared;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How long a clean end waits for what is still in hand.
const CLOSE_MAX: Duration = Duration::from_secs(10);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a worker has to know beside the broker.
#[derive(Clone)]
pub struct WorkerSettings {
    /// Which process, with its incarnation; never used twice.
    pub holder: Holder,
    /// On which host.
    pub hostname: String,
    /// The stages, and their rules.
    pub flows: Arc<Flows>,
    /// The stages whose handler can be started, and its version. A change is told with the next
    /// heartbeat but one, if it has lasted.
    pub versions: Arc<dyn Fn() -> BTreeMap<StageName, Version> + Send + Sync>,
    /// Tells the time and makes ids.
    pub clock: Arc<dyn Clock>,
    /// The longest payload that is taken.
    pub payload_bytes_max: usize,
}

/// A worker's side of the broker. It lives on the runtime that it was started on.
pub struct Worker {
    shared: Arc<Shared>,
    control: Arc<Link>,
    handle: Handle,
    tasks: Mutex<JoinSet<()>>,
}

impl Worker {
    /// Declares what the stages need, proves that the broker behaves, and begins to follow the
    /// desired state. Nothing is consumed before there is one.
    ///
    /// # Errors
    /// [`Error`] says what is the matter with the broker, and what to do.
    pub async fn start(config: Config, settings: WorkerSettings) -> Result<Arc<Self>, Error> {
        let link = Arc::new(Link::start(&config, Purpose::Consume));
        let stages: Vec<StageName> = settings
            .flows
            .stages()
            .iter()
            .map(|stage| stage.name.clone())
            .collect();
        let foreign = topology::declare(&link, &config.names, &stages).await?;
        canary::prove(&config, &foreign).await?;
        let publisher = Publisher::start(Arc::new(Link::start(&config, Purpose::Publish)));
        let control = Arc::new(Link::start(&config, Purpose::Control));
        let shared = Arc::new(Shared::new(config, settings, link, Arc::new(publisher)));
        let first = vitals::begin(&shared).await;
        first
            .map_err(|error| Error::Broken(format!("the first heartbeat is not heard: {error}")))?;
        let tasks = Mutex::new(at_work(&shared, Arc::clone(&control)));
        let handle = Handle::current();
        Ok(Arc::new(Self {
            shared,
            control,
            handle,
            tasks,
        }))
    }

    /// What happened at the broker, counted since the start.
    pub fn tally(&self) -> Tally {
        self.shared.counts.tally()
    }

    /// Its connections, one for each purpose.
    pub fn links(&self) -> [&Link; 3] {
        let shared = &self.shared;
        [&shared.link, shared.publisher.link(), &self.control]
    }

    /// How many copies are in hand: prefetched, running, or not settled yet.
    pub fn in_hand(&self) -> usize {
        lock(&self.shared.in_hand).len()
    }

    /// The revision of the desired state that the whole worker keeps to.
    pub fn revision(&self) -> u64 {
        self.shared.vitals.in_force()
    }

    /// Whether it has heard of a desired state; without one it consumes nothing.
    pub fn is_instructed(&self) -> bool {
        self.shared.desired.borrow().is_some()
    }

    /// How the connection for deliveries is.
    pub fn consuming(&self) -> watch::Receiver<State> {
        self.shared.link.state()
    }

    /// How the connection for everything that is published is.
    pub fn publishing(&self) -> watch::Receiver<State> {
        self.shared.publisher.link().state()
    }

    /// The clean end: takes no more, hands back what was not started, waits for the rest for a
    /// short time, and says that this worker is gone.
    ///
    /// # Errors
    /// [`StoreError`] when the last word is not durable; the controller then waits for the worker
    /// to lapse.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.shared.closing.send_replace(true);
        let deadline = Instant::now() + CLOSE_MAX;
        while !self.has_let_go() && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
        let holder = self.shared.settings.holder.clone();
        let gone = self.shared.record(Said::Gone {
            holder,
            why: "stopped".to_owned(),
            obituary: None,
        });
        // No heartbeat may follow the last word.
        self.tasks().abort_all();
        self.shared.journal.write(&[gone]).await
    }

    /// Hands back what nobody works on; returns whether that was all.
    fn has_let_go(&self) -> bool {
        let shelves = self.shared.all_shelves();
        for shelf in &shelves {
            drop(shelf.clear());
            shelf.changed().notify_waiters();
        }
        self.in_hand() == 0 && !shelves.iter().any(|shelf| shelf.is_entered())
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        lock(&self.tasks)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // What lies on a shelf refers to what the shelves are part of, and would keep all of it,
        // connections included. The broker delivers it again.
        self.shared.closing.send_replace(true);
        for shelf in self.shared.all_shelves() {
            drop(shelf.clear());
        }
    }
}

#[async_trait]
impl Broker for Worker {
    async fn consume(
        &self,
        stage: &StageName,
        prefetch: NonZeroUsize,
    ) -> Result<Box<dyn Consumer>, StoreError> {
        if *self.shared.closing.borrow() {
            return Err(StoreError::Unavailable("this worker is closed".to_owned()));
        }
        let (consumer, subscription) = StageConsumer::open(&self.shared, stage, prefetch).await?;
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(subscription.run(), &self.handle);
        Ok(Box::new(consumer))
    }

    async fn start(
        &self,
        deliveries: Vec<Delivery<Received>>,
        start: &Start,
    ) -> Result<Vec<Delivery<Started>>, NotStarted> {
        starting::start(&self.shared, deliveries, start).await
    }

    async fn settle(&self, group: Vec<Settlement>) -> Result<Vec<Settled>, Unsettled> {
        settling::settle(&self.shared, group).await
    }

    async fn follow(&self) -> Result<Box<dyn Follower>, StoreError> {
        Ok(Box::new(SnapshotFollower::new(Arc::clone(&self.shared))))
    }
}

/// What runs for as long as the worker lives, whoever consumes.
fn at_work(shared: &Arc<Shared>, control: Arc<Link>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let of = Arc::clone(shared);
    tasks.spawn(keep("who follows the desired state", move || {
        let follower = control::Follower::new(Arc::clone(&control), &of.config.names);
        desired::run(Arc::clone(&of), follower)
    }));
    let of = Arc::clone(shared);
    tasks.spawn(keep("the heart", move || vitals::run(Arc::clone(&of))));
    let of = Arc::clone(shared);
    tasks.spawn(keep("the door", move || door::run(Arc::clone(&of))));
    let of = Arc::clone(shared);
    let wake = move || consumer::wake(Arc::clone(&of));
    tasks.spawn(keep("who wakes the stages", wake));
    tasks
}

/// A lock whose holder panicked still guards whole values: each critical section is one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
