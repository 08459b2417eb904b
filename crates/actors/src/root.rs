//! The root: starts a supervisor for each stage and starts it again when it is lost.

use crate::holds;
use crate::overseer::Overseer;
use crate::station::{Station, lock};
use crate::supervisor::{self, End, Panic, Ping, Supervisor, Watch};
use actix::{Actor, Addr};
use actix_rt::ArbiterHandle;
use domain::event::{Event, Loss};
use domain::flow::Flows;
use domain::names::{Holder, StageName, Version};
use domain::ports::{Broker, Clock, Handler, Holds, Observer, Reporter, StopReason};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How often a supervisor is asked whether it still answers.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Without an answer for so long it counts as frozen, and another takes over its intake.
const FROZEN_AFTER: Duration = Duration::from_secs(15);
/// How many losses within [`INTENSITY_WINDOW`] are repaired at once; more wait for a pause.
const INTENSITY: usize = 5;
const INTENSITY_WINDOW: Duration = Duration::from_secs(60);
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How often a drain looks whether everything has landed.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// Everything that the actors of a worker need from the world.
pub struct Setup {
    /// Where deliveries come from.
    pub broker: Arc<dyn Broker>,
    /// Where reports are made durable.
    pub reporter: Arc<dyn Reporter>,
    /// Where a stage says that its handler cannot be started, or can again.
    pub holds: Arc<dyn Holds>,
    /// What is configured.
    pub flows: Arc<Flows>,
    /// What does the work; a stage without a handler is not consumed.
    pub handlers: BTreeMap<StageName, Arc<dyn Handler>>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Hears everything.
    pub observer: Arc<dyn Observer>,
    /// Which process this is, with its incarnation.
    pub holder: Holder,
    /// On which host.
    pub hostname: String,
}

/// Where a stage's actors live. Asked again when its supervisor was lost; after a freeze the answer
/// should be an arbiter that works. None of them should be the root's own, which watches them.
pub type Arbiters = Box<dyn Fn(&StageName, Option<Loss>) -> ArbiterHandle + Send + Sync>;

/// Starts the actors.
pub struct Root {
    setup: Arc<Setup>,
    arbiters: Arc<Arbiters>,
}

/// The actors at work. Dropped without [`Running::drain`], they end where they are, and what they
/// had in hand goes back to the broker.
pub struct Running {
    stations: BTreeMap<StageName, Arc<Station>>,
    supervisors: Arc<Mutex<BTreeMap<StageName, Addr<Supervisor>>>>,
    stop: watch::Sender<bool>,
    keepers: JoinSet<()>,
}

/// Answers, from any thread, which version of its handler each stage has now, as far as it can be
/// started.
pub type Versions = Arc<dyn Fn() -> BTreeMap<StageName, Version> + Send + Sync>;

/// The versions of these handlers, looked at anew each time. One that is being replaced is not
/// there for a moment, or half written, and is no version then.
pub fn versions(handlers: BTreeMap<StageName, Arc<dyn Handler>>) -> Versions {
    Arc::new(move || {
        let handlers = handlers.iter();
        let looked = handlers.map(|(stage, handler)| (stage.clone(), handler.inspect()));
        let can_start = looked.filter(|(_, inspection)| inspection.obstacle.is_none());
        can_start
            .map(|(stage, inspection)| (stage, inspection.version))
            .collect()
    })
}

impl Root {
    /// A root for this setup; `arbiters` says where each stage's actors live.
    pub fn new(setup: Arc<Setup>, arbiters: Arbiters) -> Self {
        Self {
            setup,
            arbiters: Arc::new(arbiters),
        }
    }

    /// Starts a supervisor for every stage that has a handler, and looks at handlers again while
    /// their stage is on hold. Call inside an actix system.
    pub fn start(self) -> Running {
        let mut running = Running {
            stations: BTreeMap::new(),
            supervisors: Arc::default(),
            stop: watch::Sender::new(false),
            keepers: JoinSet::new(),
        };
        let trial = Arc::new(Semaphore::new(1));
        for (stage, handler) in &self.setup.handlers {
            let Some(rules) = self.setup.flows.stage(stage) else {
                continue; // A handler without a stage has no queue to take from.
            };
            let setup = Arc::clone(&self.setup);
            let handler = Arc::clone(handler);
            let station = Station::new(rules.clone(), handler, setup, Arc::clone(&trial));
            let keeper = Keeper {
                station: Arc::new(station),
                arbiters: Arc::clone(&self.arbiters),
                supervisors: Arc::clone(&running.supervisors),
                losses: Vec::new(),
            };
            running
                .stations
                .insert(stage.clone(), Arc::clone(&keeper.station));
            // Not on the stage's thread: the fleet waits for every worker to keep to a revision.
            let follow = supervisor::follow(Arc::clone(&keeper.station));
            running.keepers.spawn_local(follow);
            let stop = running.stop.subscribe();
            running.keepers.spawn_local(keeper.keep(stop));
        }
        let looker = holds::Looker::new(Arc::clone(&self.setup), running.stations.clone());
        let stop = running.stop.subscribe();
        running.keepers.spawn_local(looker.look(stop));
        // It watches to the end of a drain as well; then it is dropped.
        let overseer = Overseer::new(running.stations.values().cloned().collect());
        running.keepers.spawn_local(overseer.watch());
        running
    }
}

/// Keeps one stage supervised.
struct Keeper {
    station: Arc<Station>,
    arbiters: Arc<Arbiters>,
    supervisors: Arc<Mutex<BTreeMap<StageName, Addr<Supervisor>>>>,
    losses: Vec<Instant>,
}

impl Keeper {
    async fn keep(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.keep_for_ever() => {}
        }
    }

    async fn keep_for_ever(&mut self) {
        let mut loss = None;
        loop {
            let why = match self.start(loss).await {
                Ok(supervisor) => watch_over(&supervisor).await,
                Err(why) => why,
            };
            let why = if self.station.has_panicked() {
                Loss::Panicked
            } else {
                why
            };
            if why == Loss::Frozen {
                self.station.leave_settler();
                self.station.leave_intake();
                self.leave_supervisor();
            }
            let stage = self.station.rules.name.clone();
            self.station.observe(&Event::SupervisorLost { stage, why });
            loss = Some(why);
            sleep(self.pause()).await;
        }
    }

    /// Should the frozen one ever answer again, it must not take deliveries in beside the next.
    fn leave_supervisor(&self) {
        let supervisors = lock(&self.supervisors);
        if let Some(frozen) = supervisors.get(&self.station.rules.name) {
            frozen.do_send(End);
        }
    }

    /// Starts the supervisor on its arbiter; the error says what is wrong with that arbiter.
    async fn start(&self, last: Option<Loss>) -> Result<Addr<Supervisor>, Loss> {
        let stage = &self.station.rules.name;
        let (tell, told) = oneshot::channel();
        let station = Arc::clone(&self.station);
        let is_alive = (self.arbiters)(stage, last).spawn_fn(move || {
            let supervisor = Supervisor::new(Arc::clone(&station)).start();
            if let Err(unwanted) = tell.send(supervisor) {
                return unwanted.do_send(End); // Nobody waits for it any more.
            }
            if last == Some(Loss::Frozen) {
                station.take_over();
            }
        });
        if !is_alive {
            return Err(Loss::Stopped);
        }
        let told = timeout(FROZEN_AFTER, told)
            .await
            .map_err(|_| Loss::Frozen)?;
        let supervisor = told.map_err(|_| Loss::Stopped)?;
        lock(&self.supervisors).insert(stage.clone(), supervisor.clone());
        Ok(supervisor)
    }

    /// How long to wait before the next start: not at all, until losses come too often.
    fn pause(&mut self) -> Duration {
        let now = Instant::now();
        self.losses
            .retain(|at| now.duration_since(*at) < INTENSITY_WINDOW);
        self.losses.push(now);
        let excess = self.losses.len().saturating_sub(INTENSITY);
        match u32::try_from(excess) {
            Ok(0) => Duration::ZERO,
            Ok(excess) => PAUSE_FIRST
                .saturating_mul(1 << excess.min(8))
                .min(PAUSE_MAX),
            Err(_) => PAUSE_MAX,
        }
    }
}

/// Returns once the supervisor is lost, and how.
async fn watch_over(supervisor: &Addr<Supervisor>) -> Loss {
    tokio::select! {
        biased;
        // It answers this only by being gone.
        _ = supervisor.send(Watch) => Loss::Stopped,
        () = ping_for_ever(supervisor) => Loss::Frozen,
    }
}

async fn ping_for_ever(supervisor: &Addr<Supervisor>) {
    loop {
        sleep(PING_EVERY).await;
        match timeout(FROZEN_AFTER, supervisor.send(Ping)).await {
            Ok(Ok(())) => {}
            // It is gone rather than frozen: the watch says so.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => return,
        }
    }
}

impl Running {
    /// Answers, from any thread, whether every stage has a supervisor that is there; the error
    /// names the first stage that has none.
    pub fn readiness(&self) -> Arc<dyn Fn() -> Result<(), String> + Send + Sync> {
        let supervisors = Arc::clone(&self.supervisors);
        let stages: Vec<StageName> = self.stations.keys().cloned().collect();
        let stop = self.stop.subscribe();
        Arc::new(move || {
            if *stop.borrow() {
                return Err("going down: finishing what is in hand, taking no more".into());
            }
            let supervisors = lock(&supervisors);
            match stages
                .iter()
                .find(|stage| !supervisors.get(*stage).is_some_and(Addr::connected))
            {
                Some(stage) => Err(format!("stage {stage} has no supervisor at the moment")),
                None => Ok(()),
            }
        })
    }

    /// Takes no more, lets what is in hand finish until `deadline`, then stops it, and waits until
    /// every outcome is durable or `deadline` and the longest grace are over. Returns whether
    /// everything landed; what did not goes back and nothing is counted as a crash.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.stop.send_replace(true);
        for station in self.stations.values() {
            station.go_quiet();
        }
        let mut landed = self.wait_idle(deadline).await;
        if !landed {
            self.stations
                .values()
                .for_each(|station| station.hands.stop(StopReason::Drain));
            let grace = self
                .stations
                .values()
                .map(|station| station.rules.grace)
                .max();
            landed = self
                .wait_idle(grace.unwrap_or_default() + FROZEN_AFTER)
                .await;
        }
        landed
    }

    async fn wait_idle(&self, deadline: Duration) -> bool {
        let all_idle = async {
            while !self.stations.values().all(|station| station.is_idle()) {
                sleep(DRAIN_LOOK).await;
            }
        };
        timeout(deadline, all_idle).await.is_ok()
    }

    /// Makes the supervisor of a stage panic; for tests of what happens then.
    pub fn make_panic(&self, stage: &StageName) {
        if let Some(supervisor) = lock(&self.supervisors).get(stage) {
            supervisor.do_send(Panic);
        }
    }

    /// Makes the supervisor of a stage end without being asked to; for tests of what happens then.
    pub fn make_end(&self, stage: &StageName) {
        if let Some(supervisor) = lock(&self.supervisors).get(stage) {
            supervisor.do_send(End);
        }
    }
}

impl Drop for Running {
    /// Everything ends where it is, as if the process had died; after a drain there is nothing left
    /// to end.
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for supervisor in lock(&self.supervisors).values() {
            supervisor.do_send(End);
        }
        for station in self.stations.values() {
            station.end();
        }
    }
}
