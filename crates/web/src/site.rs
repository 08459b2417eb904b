//! What every request may need: the ports, the configuration, the gate.

use crate::config::Config;
use crate::gate::Gate;
use crate::live::Live;
use domain::control::Reach;
use domain::flow::Flows;
use domain::names::StageName;
use domain::ports::{Catalog, Clock, Desk, Inspection, Oopses, Plans};
use domain::time::Timestamp;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What the web server shows and hands on to.
#[derive(Clone)]
pub struct Parts {
    /// Where tickets come in and orders are given.
    pub desk: Arc<dyn Desk>,
    /// The books.
    pub catalog: Arc<dyn Catalog>,
    /// The reports.
    pub oopses: Arc<dyn Oopses>,
    /// Breakers and release plans.
    pub plans: Arc<dyn Plans>,
    /// What is configured.
    pub flows: Arc<Flows>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// A look at each stage's handler. Called for pages, so it must not be slow.
    pub handlers: Arc<dyn Fn() -> BTreeMap<StageName, Inspection> + Send + Sync>,
    /// How far a revision of the desired state has come at each stage that a live worker serves;
    /// `None` as long as it is not known who is alive. Called for pages, like `handlers`.
    pub reaches: Arc<dyn Fn(u64) -> Option<BTreeMap<StageName, Reach>> + Send + Sync>,
    /// The metrics page, in the text format of Prometheus.
    pub metrics: Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>,
    /// Whether requests can be served; why not, if they cannot.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// What tells live listeners to look again.
    pub live: Live,
}

/// What a process without API and viewer shows: whether it lives and is ready, and its metrics.
#[derive(Clone)]
pub struct Probes {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The metrics page, in the text format of Prometheus.
    pub metrics: Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>,
    /// Whether it can do its work; why not, if it cannot.
    pub ready: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

impl Parts {
    /// The probes among them.
    pub(crate) fn probes(&self) -> Probes {
        Probes {
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            ready: Arc::clone(&self.ready),
        }
    }
}

/// What every request may need.
pub(crate) struct Site {
    pub(crate) parts: Parts,
    pub(crate) config: Config,
    pub(crate) gate: Arc<Gate>,
    /// One permit for each live listener.
    pub(crate) streams: Arc<Semaphore>,
}

impl Site {
    pub(crate) fn new(config: Config, parts: Parts) -> Self {
        Self {
            gate: Arc::new(Gate::new(&config, parts.clock.as_ref())),
            streams: Arc::new(Semaphore::new(config.limits.streams_max)),
            parts,
            config,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }
}
