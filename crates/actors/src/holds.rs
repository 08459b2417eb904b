//! Looks again at handlers that could not be started, and opens their stages when they changed.
//!
//! Every worker looks at its own handlers only. A stage is opened while its gate is held, so that
//! no group is started and no hold comes into force in the middle of it.

use crate::attempt::DURABLE_RETRY;
use crate::panics::Panic;
use crate::root::Setup;
use crate::station::Station;
use domain::control::Snapshot;
use domain::event::Event;
use domain::names::StageName;
use domain::ports::{Inspection, StoreError};
use futures_util::FutureExt;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// How often a handler on hold is looked at; nothing is looked at while nothing is on hold.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait after the look itself failed.
const LOOK_RETRY: Duration = Duration::from_secs(1);

/// Another worker may open a stage whose handler cannot be started here. After so long what this
/// one had settled as held is released to the others.
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(10);

/// Ends holds when the handler has changed.
pub(crate) struct Looker {
    setup: Arc<Setup>,
    stations: BTreeMap<StageName, Arc<Station>>,
    /// What each handler was when its stage was first seen on hold.
    seen: BTreeMap<StageName, Seen>,
    /// The stages that were not looked at since this process began, or not opened to the end.
    unseen: BTreeSet<StageName>,
}

struct Seen {
    inspection: Inspection,
    at: Instant,
    has_released: bool,
}

impl Looker {
    pub(crate) fn new(setup: Arc<Setup>, stations: BTreeMap<StageName, Arc<Station>>) -> Self {
        Self {
            unseen: stations.keys().cloned().collect(),
            setup,
            stations,
            seen: BTreeMap::new(),
        }
    }

    /// Looks until told to stop.
    pub(crate) async fn look(mut self, mut stop: watch::Receiver<bool>) {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.look_for_ever() => {}
        }
    }

    async fn look_for_ever(&mut self) {
        loop {
            // A handler is somebody else's code: its look may panic.
            let why = match AssertUnwindSafe(self.follow()).catch_unwind().await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error.to_string(),
                Err(panic) => Panic::caught(&*panic).message,
            };
            tell_failed(&self.setup, why);
            sleep(LOOK_RETRY).await;
        }
    }

    /// Never returns but with an error.
    async fn follow(&mut self) -> Result<(), StoreError> {
        let mut follower = self.setup.broker.follow().await?;
        let mut snapshot = follower.next().await?;
        self.begin(&snapshot).await?;
        loop {
            self.look_at_all(&snapshot).await?;
            let next = follower.next();
            if !self.has_held(&snapshot) {
                snapshot = next.await?;
            } else if let Ok(newer) = timeout(LOOK_EVERY, next).await {
                snapshot = newer?;
            }
        }
    }

    fn has_held(&self, snapshot: &Snapshot) -> bool {
        let mut stations = self.stations.iter();
        stations.any(|(stage, station)| snapshot.holds.contains_key(stage) || station.is_held())
    }

    /// A hold does not outlive a start: what kept the handler from being started may have been
    /// put right meanwhile, and one attempt finds out. And a process that died between opening a
    /// stage and releasing its tickets leaves them waiting.
    async fn begin(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        while let Some(stage) = self.unseen.first().cloned() {
            if let Some(station) = self.stations.get(&stage) {
                let is_on_hold = snapshot.holds.contains_key(&stage);
                let inspection = is_on_hold.then(|| station.handler.inspect());
                match inspection {
                    None => unhold(&self.setup, &stage).await?,
                    Some(now) if now.obstacle.is_none() => open(station, now).await?,
                    Some(_) => {}
                }
            }
            self.unseen.remove(&stage);
        }
        Ok(())
    }

    async fn look_at_all(&mut self, snapshot: &Snapshot) -> Result<(), StoreError> {
        for (stage, station) in &self.stations {
            let hold = snapshot.holds.get(stage);
            if hold.is_none() && !station.is_held() {
                self.seen.remove(stage);
                continue;
            }
            // What was tried here says more than what was tried elsewhere: two workers whose
            // handlers are broken in two versions must not open the stage in turn.
            let tried = station
                .held_with()
                .or_else(|| hold.and_then(|hold| hold.version.clone()));
            if hold.is_none() && tried.is_none() {
                continue; // The hold is only about to come into force.
            }
            let now = station.handler.inspect();
            let seen = self.seen.entry(stage.clone());
            let seen = seen.or_insert_with(|| Seen::new(now.clone()));
            let has_changed = seen.inspection != now || tried.as_ref() != Some(&now.version);
            if has_changed && now.obstacle.is_none() {
                // Should it be opened only halfway, nothing would show that tickets still wait.
                self.unseen.insert(stage.clone());
                open(station, now).await?;
                self.unseen.remove(stage);
                self.seen.remove(stage);
            } else if hold.is_none() && seen.is_left_behind() {
                unhold(&self.setup, stage).await?;
                seen.has_released = true;
            }
        }
        Ok(())
    }
}

impl Seen {
    fn new(inspection: Inspection) -> Self {
        Self {
            inspection,
            at: Instant::now(),
            has_released: false,
        }
    }

    fn is_left_behind(&self) -> bool {
        !self.has_released && self.at.elapsed() >= LEFT_BEHIND_AFTER
    }
}

/// What was settled as held while its stage was being opened is released by nobody else.
pub(crate) async fn release_settled(station: &Station) {
    let _gate = station.gate.write().await;
    if station.is_held() {
        return; // Whoever opens the stage releases it.
    }
    while let Err(error) = unhold(&station.setup, &station.rules.name).await {
        tell_failed(&station.setup, error.to_string());
        sleep(DURABLE_RETRY).await;
    }
}

async fn open(station: &Station, inspection: Inspection) -> Result<(), StoreError> {
    let _gate = station.gate.write().await;
    let stage = &station.rules.name;
    unhold(&station.setup, stage).await?;
    station.observe(&Event::StageUnheld {
        stage: stage.clone(),
        version: inspection.version,
    });
    station.unhold();
    Ok(())
}

async fn unhold(setup: &Setup, stage: &StageName) -> Result<(), StoreError> {
    setup.holds.unhold(stage, setup.clock.now()).await
}

fn tell_failed(setup: &Setup, why: String) {
    let event = Event::StoreFailed {
        what: "unhold",
        why,
    };
    setup.observer.observe(setup.clock.now(), &event);
}
