//! Looks again at handlers that could not be started, and opens their stages when they changed.

use super::STORE_RETRY;
use crate::root::{Running, Setup};
use actix::AsyncContext;
use actix::fut::WrapFuture;
use domain::control::{Change, Snapshot};
use domain::event::Event;
use domain::names::StageName;
use domain::ports::{Inspection, StoreError};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often a handler on hold is looked at; nothing is looked at while nothing is on hold.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Ends holds when the handler has changed.
pub(crate) struct Holds {
    setup: Arc<Setup>,
    running: Rc<Running>,
}

impl Holds {
    pub(crate) fn new(setup: Arc<Setup>, running: Rc<Running>) -> Self {
        Self { setup, running }
    }
}

impl actix::Actor for Holds {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let run = run(Arc::clone(&self.setup), Rc::clone(&self.running));
        context.spawn(run.into_actor(self));
    }
}

async fn run(setup: Arc<Setup>, running: Rc<Running>) {
    loop {
        if let Err(error) = follow(&setup, &running).await {
            let event = Event::StoreFailed {
                what: "unhold",
                why: error.to_string(),
            };
            setup.observer.observe(setup.clock.now(), &event);
        }
        sleep(STORE_RETRY).await;
    }
}

async fn follow(setup: &Setup, running: &Running) -> Result<(), StoreError> {
    let mut follower = setup.broker.follow().await?;
    let mut snapshot = follower.next().await?;
    release_left_over(setup, &snapshot).await;
    // What each handler was when its stage was put on hold.
    let mut seen: BTreeMap<StageName, Inspection> = BTreeMap::new();
    loop {
        look(setup, running, &snapshot, &mut seen).await?;
        let next = follower.next();
        if snapshot.holds.is_empty() {
            snapshot = next.await?;
        } else if let Ok(newer) = timeout(LOOK_EVERY, next).await {
            snapshot = newer?;
        }
    }
}

/// A process that died between opening a stage and releasing its tickets leaves them waiting.
async fn release_left_over(setup: &Setup, snapshot: &Snapshot) {
    for stage in setup.handlers.keys() {
        if !snapshot.holds.contains_key(stage) {
            setup.unhold_waits(stage).await;
        }
    }
}

async fn look(
    setup: &Setup,
    running: &Running,
    snapshot: &Snapshot,
    seen: &mut BTreeMap<StageName, Inspection>,
) -> Result<(), StoreError> {
    seen.retain(|stage, _| snapshot.holds.contains_key(stage));
    for (stage, hold) in &snapshot.holds {
        let Some(handler) = setup.handlers.get(stage) else {
            continue; // Not ours to look at.
        };
        let now = handler.inspect();
        let then = seen.entry(stage.clone()).or_insert_with(|| now.clone());
        let has_changed = *then != now || hold.version.as_ref() != Some(&now.version);
        if has_changed && now.obstacle.is_none() {
            open(setup, running, stage, now).await?;
        }
    }
    Ok(())
}

async fn open(
    setup: &Setup,
    running: &Running,
    stage: &StageName,
    inspection: Inspection,
) -> Result<(), StoreError> {
    setup.desk.change(Change::Unhold(stage.clone())).await?;
    let event = Event::StageUnheld {
        stage: stage.clone(),
        version: inspection.version,
    };
    setup.observer.observe(setup.clock.now(), &event);
    // In this order: what is settled as held from now on is released by the settler.
    running.unhold(stage);
    setup.unhold_waits(stage).await;
    Ok(())
}
