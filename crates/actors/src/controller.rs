//! The controller's actors: they move waiting tickets on.

mod holds;
mod retention;
mod waits;

use crate::root::{Running, Setup};
use actix::Actor;
use domain::ports::Retention as Keep;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

pub use retention::Keeping;

/// The controller at work; dropped, its actors end.
pub struct Controller {
    _waits: actix::Addr<waits::Waits>,
    _holds: actix::Addr<holds::Holds>,
    _retention: actix::Addr<retention::Retention>,
}

impl Controller {
    /// Starts the controller's actors on the current arbiter. `running` are the stages of this
    /// process, whose handlers the controller looks at again while they are on hold.
    pub fn start(setup: &Arc<Setup>, running: &Rc<Running>, keeping: Keeping) -> Self {
        Self {
            _waits: waits::Waits::new(Arc::clone(setup)).start(),
            _holds: holds::Holds::new(Arc::clone(setup), Rc::clone(running)).start(),
            _retention: retention::Retention::new(Arc::clone(setup), keeping).start(),
        }
    }
}

/// How long to wait after the store failed.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// The share of ended tickets and reports that is kept.
const fn keep(before: domain::time::Timestamp, tickets_max: u64) -> Keep {
    Keep {
        before,
        tickets_max,
    }
}
