//! A whole pipeline in one process: the embedded broker and store, the actors, the controller.
//!
//! This is what `goaround up` runs, and what a Rust team embeds:
//!
//! ```no_run
//! # use std::collections::BTreeMap;
//! # use std::sync::Arc;
//! # use goaround::line::{Line, LineConfig};
//! # use domain::{flow::Flows, ports::Handler};
//! # async fn run(flows: Flows, handler: Arc<dyn Handler>) -> anyhow::Result<()> {
//! let stage = "resize".parse()?;
//! let handlers = BTreeMap::from([(stage, handler)]);
//! let line = Line::open(LineConfig::new(".goaround".into(), flows))?;
//! // A thread for each stage, and another one should a handler block that.
//! let running = line.start(handlers, Box::new(|_, _| actix_rt::Arbiter::new().handle()));
//! // … line.desk().submit(…) …
//! running.drain(std::time::Duration::from_secs(20)).await;
//! # Ok(()) }
//! ```

mod announce;
pub(crate) mod broker;
mod clock;
mod controller;
mod ears;
mod ground;
mod worker;

pub use announce::Announced;
pub use clock::SystemClock;
pub use controller::{ControllerLine, RunningController};
pub use ears::{Ears, Watchful};
pub use ground::Ground;
pub use worker::WorkerLine;

use actors::controller::Keeping;
use actors::root::Arbiters;
use actors::watchdog::Reaches;
use actors::{Controller, ControllerSetup, Deaths, Root, Running, Setup};
use domain::control::Reach;
use domain::flow::{Flows, Stage};
use domain::names::{Holder, StageName};
use domain::obituary::Obituary;
use domain::ports::{Catalog, Clock, Desk, Handler, Observer, Oopses, Plans};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use store::Embedded;
use telemetry::Metrics;

/// What a line needs to know before it opens.
pub struct LineConfig {
    /// The data folder; one process at a time owns it.
    pub folder: PathBuf,
    /// The stages and flows.
    pub flows: Flows,
    /// What is kept of ended tickets and old reports.
    pub keeping: Keeping,
    /// Who else listens to what happens.
    pub observers: Vec<Arc<dyn Observer>>,
    /// The name that a launcher gave to this process; without one it names itself.
    pub holder: Option<Holder>,
    /// How processes died that had this folder before, as far as a launcher has told.
    pub obituaries: BTreeMap<Holder, Obituary>,
}

impl LineConfig {
    /// The default keeping, and nobody who listens.
    pub fn new(folder: PathBuf, flows: Flows) -> Self {
        Self {
            folder,
            flows,
            keeping: Keeping::default(),
            observers: Vec::new(),
            holder: None,
            obituaries: BTreeMap::new(),
        }
    }
}

/// An opened pipeline: tickets can be submitted and read, nothing runs yet.
pub struct Line {
    embedded: Embedded,
    desk: Arc<dyn Desk>,
    ground: Ground,
    keeping: Keeping,
    deaths: Deaths,
}

impl Line {
    /// Opens the data folder, and finds what the last process left there.
    ///
    /// # Errors
    /// When the folder is in use, cannot be written, or holds something that is not ours; says
    /// what to do.
    pub fn open(config: LineConfig) -> anyhow::Result<Self> {
        let mut ground = Ground::new(config.flows, config.observers)?;
        if let Some(holder) = config.holder {
            ground.holder = holder;
        }
        let embedded = Embedded::open(
            store::Config::new(config.folder),
            Arc::clone(&ground.flows),
            Arc::clone(&ground.clock),
            ground.holder.clone(),
        )?;
        let (clock, ears) = (Arc::clone(&ground.clock), Arc::clone(&ground.ears));
        let desk = Announced::new(embedded.clone(), clock, ears);
        Ok(Self {
            embedded,
            desk: Arc::new(desk),
            ground,
            keeping: config.keeping,
            deaths: Arc::new(move |holder| config.obituaries.get(holder).cloned()),
        })
    }

    /// Where tickets are submitted and orders given.
    pub fn desk(&self) -> Arc<dyn Desk> {
        Arc::clone(&self.desk)
    }

    /// The books, for reading.
    pub fn catalog(&self) -> Arc<dyn Catalog> {
        Arc::new(self.embedded.clone())
    }

    /// The reports.
    pub fn oopses(&self) -> Arc<dyn Oopses> {
        self.embedded.oopses()
    }

    /// Breakers and release plans.
    pub fn plans(&self) -> Arc<dyn Plans> {
        Arc::new(self.embedded.clone())
    }

    /// What is configured.
    pub fn flows(&self) -> Arc<Flows> {
        Arc::clone(&self.ground.flows)
    }

    /// Tells the time.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.ground.clock)
    }

    /// Counts what happens.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.ground.metrics)
    }

    /// Tells how far the desired state has come. There is one worker, this process, and the store
    /// answers whoever changes it only once its own queues keep to that.
    pub fn reaches(&self) -> Reaches {
        let (flows, holder) = (Arc::clone(&self.ground.flows), self.ground.holder.clone());
        Arc::new(move |revision| {
            let alone = |stage: &Stage| {
                let mut reach = Reach::new(revision);
                reach.add(&holder, revision);
                (stage.name.clone(), reach)
            };
            Some(flows.stages().into_iter().map(alone).collect())
        })
    }

    /// Answers, from any thread, whether the files can be written to.
    pub fn writable(&self) -> Arc<dyn Fn() -> Result<(), String> + Send + Sync> {
        let embedded = self.embedded.clone();
        Arc::new(move || embedded.alive())
    }

    /// Starts the workers of these stages, and the controller. `arbiters` says where each stage's
    /// actors live. Call inside an actix system.
    pub fn start(
        &self,
        handlers: BTreeMap<StageName, Arc<dyn Handler>>,
        arbiters: Arbiters,
    ) -> RunningLine {
        let setup = Arc::new(Setup {
            broker: Arc::new(self.embedded.clone()),
            reporter: self.embedded.oopses(),
            holds: Arc::new(self.embedded.clone()),
            flows: Arc::clone(&self.ground.flows),
            handlers,
            clock: Arc::clone(&self.ground.clock),
            observer: Arc::clone(&self.ground.ears) as Arc<dyn Observer>,
            holder: self.ground.holder.clone(),
            hostname: self.ground.hostname.clone(),
        });
        let running = Rc::new(Root::new(Arc::clone(&setup), arbiters).start());
        let waits = Arc::new(self.embedded.clone());
        let beside = ControllerSetup::beside(&setup, waits, self.embedded.oopses())
            .after(Arc::clone(&self.deaths));
        let controller = Controller::start(&Arc::new(beside), self.keeping);
        RunningLine {
            running,
            _controller: controller,
        }
    }

    /// Closes the files. Everything that was confirmed is in them already.
    pub fn close(self) {
        self.embedded.close();
    }
}

/// A pipeline at work.
pub struct RunningLine {
    running: Rc<Running>,
    /// Works until it is dropped.
    _controller: Controller,
}

impl RunningLine {
    /// The actors at work.
    pub fn stages(&self) -> &Rc<Running> {
        &self.running
    }

    /// Takes no more, finishes or hands back what is in hand; returns whether everything landed.
    pub async fn drain(&self, deadline: Duration) -> bool {
        self.running.drain(deadline).await
    }
}
