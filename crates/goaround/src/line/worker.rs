//! A worker: stages at work on tickets that a broker somewhere else carries.

use super::Ground;
use super::broker::of_worker;
use actors::root::{Arbiters, versions};
use actors::{Root, Running, Setup};
use anyhow::Context as _;
use domain::names::StageName;
use domain::ports::Handler;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

/// A worker that is connected; nothing runs yet.
pub struct WorkerLine {
    worker: Arc<amqp::Worker>,
    ground: Ground,
}

impl WorkerLine {
    /// Connects, declares the queues of the stages, and proves that the broker behaves.
    ///
    /// # Errors
    /// When the broker cannot be reached, refuses us, or would lose tickets; says what to do.
    pub async fn open(
        broker: amqp::Config,
        ground: &Ground,
        handlers: &BTreeMap<StageName, Arc<dyn Handler>>,
        payload_bytes_max: usize,
    ) -> anyhow::Result<Self> {
        let settings = amqp::WorkerSettings {
            holder: ground.holder.clone(),
            hostname: ground.hostname.clone(),
            flows: Arc::clone(&ground.flows),
            versions: versions(handlers.clone()),
            clock: Arc::clone(&ground.clock),
            payload_bytes_max,
        };
        let place = broker.place();
        let worker = amqp::Worker::start(broker, settings)
            .await
            .with_context(|| format!("the broker at {place} cannot be used"))?;
        ground.metrics.add_broker(of_worker(&worker))?;
        Ok(Self {
            worker,
            ground: ground.clone(),
        })
    }

    /// Starts the workers of these stages. Call inside an actix system.
    pub fn start(
        &self,
        handlers: BTreeMap<StageName, Arc<dyn Handler>>,
        arbiters: Arbiters,
    ) -> Rc<Running> {
        let setup = Setup {
            broker: Arc::clone(&self.worker) as _,
            reporter: Arc::clone(&self.worker) as _,
            holds: Arc::clone(&self.worker) as _,
            flows: Arc::clone(&self.ground.flows),
            handlers,
            clock: Arc::clone(&self.ground.clock),
            observer: self.ground.observer(),
            holder: self.ground.holder.clone(),
            hostname: self.ground.hostname.clone(),
        };
        Rc::new(Root::new(Arc::new(setup), arbiters).start())
    }

    /// Answers, from any thread, whether the broker can be worked with.
    pub fn readiness(&self) -> Arc<dyn Fn() -> Result<(), String> + Send + Sync> {
        let (consuming, publishing) = (self.worker.consuming(), self.worker.publishing());
        let worker = Arc::clone(&self.worker);
        Arc::new(move || {
            for state in [&consuming, &publishing] {
                match &*state.borrow() {
                    amqp::link::State::Connected { .. } => {}
                    amqp::link::State::Blocked { why, .. } => {
                        return Err(format!("the broker takes nothing at the moment: {why}"));
                    }
                    amqp::link::State::Down { why, .. } => {
                        return Err(format!("not connected to the broker: {why}"));
                    }
                }
            }
            match worker.is_instructed() {
                false => Err("no desired state yet: is a controller running?".into()),
                true => Ok(()),
            }
        })
    }

    /// Hands back what was not started, and says that this worker is gone.
    pub async fn close(self) {
        if let Err(error) = self.worker.close().await {
            tracing::warn!("the last word could not be sent: {error}; the controller finds out");
        }
    }
}
