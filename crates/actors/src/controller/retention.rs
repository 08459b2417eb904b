//! Forgets what ended long ago, a slice at a time, so that the disk does not fill.

use super::{ControllerSetup, kept};
use crate::kept::keep;
use actix::AsyncContext;
use actix::fut::WrapFuture;
use domain::event::Event;
use domain::ports::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often to look for what may be forgotten.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Rest between two slices, so that settling goes first.
const SLICE_REST: Duration = Duration::from_millis(20);

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// How long ended tickets are kept.
    pub tickets_for: Duration,
    /// How many ended tickets are kept at most.
    pub tickets_max: u64,
    /// How long reports are kept.
    pub oopses_for: Duration,
    /// How many reports are kept at most.
    pub oopses_max: u64,
}

impl Default for Keeping {
    /// Tickets for a month, reports for three.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            tickets_for: DAY * 30,
            tickets_max: 2_000_000,
            oopses_for: DAY * 90,
            oopses_max: 200_000,
        }
    }
}

/// Forgets ended tickets and old reports.
pub(crate) struct Retention {
    setup: Arc<ControllerSetup>,
    keeping: Keeping,
}

impl Retention {
    pub(crate) fn new(setup: Arc<ControllerSetup>, keeping: Keeping) -> Self {
        Self { setup, keeping }
    }
}

impl actix::Actor for Retention {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (setup, keeping) = (Arc::clone(&self.setup), self.keeping);
        let work = keep("retain", setup.ears(), async move || {
            run(&setup, keeping).await
        });
        context.spawn(work.into_actor(self));
    }
}

async fn run(setup: &ControllerSetup, keeping: Keeping) -> String {
    loop {
        sleep(LOOK_EVERY).await;
        if let Err(error) = forget(setup, keeping).await {
            let event = Event::StoreFailed {
                what: "retain",
                why: error.to_string(),
            };
            setup.observer.observe(setup.clock.now(), &event);
        }
    }
}

async fn forget(setup: &ControllerSetup, keeping: Keeping) -> Result<(), StoreError> {
    let now = setup.clock.now();
    let tickets = kept(now.minus(keeping.tickets_for), keeping.tickets_max);
    while setup.waits.retain(tickets).await? > 0 {
        sleep(SLICE_REST).await;
    }
    let oopses = kept(now.minus(keeping.oopses_for), keeping.oopses_max);
    while setup.oopses.retain(oopses).await? > 0 {
        sleep(SLICE_REST).await;
    }
    Ok(())
}
