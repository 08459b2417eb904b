//! What every role stands on: the time, who listens, and who we are.

use super::{Ears, SystemClock, Watchful};
use domain::flow::Flows;
use domain::invariants::{Checker, Scope};
use domain::names::{Holder, StageName};
use domain::ports::{Clock, Observer};
use std::sync::Arc;
use telemetry::Metrics;

/// What every role stands on. Cheap to clone.
#[derive(Clone)]
pub struct Ground {
    /// What is configured.
    pub flows: Arc<Flows>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Everybody who listens.
    pub ears: Arc<Ears>,
    /// Counts what happens.
    pub metrics: Arc<Metrics>,
    /// Which process this is, with its incarnation.
    pub holder: Holder,
    /// On which host.
    pub hostname: String,
}

impl Ground {
    /// The ground for these flows; metrics, log and the invariant checker listen in any case.
    ///
    /// # Errors
    /// When the metrics cannot be set up.
    pub fn new(flows: Flows, observers: Vec<Arc<dyn Observer>>) -> anyhow::Result<Self> {
        let hostname = hostname();
        let metrics = Metrics::new(&stage_names(&flows), env!("CARGO_PKG_VERSION"))?;
        let metrics = Arc::new(metrics);
        let mut ears = observers;
        ears.push(Arc::clone(&metrics) as Arc<dyn Observer>);
        ears.push(Arc::new(telemetry::Logs));
        let checker = Checker::new(Scope::InHand);
        ears.push(Arc::new(Watchful::new(checker, Arc::clone(&metrics))));
        Ok(Self {
            flows: Arc::new(flows),
            clock: Arc::new(SystemClock),
            ears: Arc::new(Ears::new(ears)),
            metrics,
            holder: Self::new_holder()?,
            hostname,
        })
    }

    /// Names this process and its incarnation: a process id alone comes around again.
    ///
    /// # Errors
    /// When the host's name makes no name for a holder.
    pub fn new_holder() -> anyhow::Result<Holder> {
        let incarnation = uuid::Uuid::now_v7().simple().to_string();
        let (host, pid) = (hostname(), std::process::id());
        Ok(Holder::new(&format!(
            "{host}:{pid}:{}",
            &incarnation[20..]
        ))?)
    }

    /// The configured stages.
    pub(crate) fn stage_names(&self) -> Vec<StageName> {
        stage_names(&self.flows)
    }

    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.ears) as Arc<dyn Observer>
    }
}

fn stage_names(flows: &Flows) -> Vec<StageName> {
    let stages = flows.stages();
    stages.iter().map(|stage| stage.name.clone()).collect()
}

fn hostname() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let printable: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    if printable.is_empty() {
        "localhost".into()
    } else {
        printable
    }
}
