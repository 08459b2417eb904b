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
//! let running = line.start(handlers, Box::new(|_, _| actix_rt::Arbiter::current()));
//! // … line.desk().submit(…) …
//! running.drain(std::time::Duration::from_secs(20)).await;
//! # Ok(()) }
//! ```

mod announce;
mod clock;
mod ears;

pub use announce::Announced;
pub use clock::SystemClock;
pub use ears::{Ears, Watchful};

use actors::controller::Keeping;
use actors::root::Arbiters;
use actors::{Controller, Root, Running, Setup};
use domain::flow::Flows;
use domain::invariants::{Checker, Scope};
use domain::names::{Holder, StageName};
use domain::ports::{Catalog, Clock, Desk, Handler, Observer, Oopses};
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
}

impl LineConfig {
    /// The default keeping, and nobody who listens.
    pub fn new(folder: PathBuf, flows: Flows) -> Self {
        let keeping = Keeping {
            tickets_for: Duration::from_secs(30 * 86_400),
            tickets_max: 2_000_000,
            oopses_for: Duration::from_secs(90 * 86_400),
            oopses_max: 200_000,
        };
        Self {
            folder,
            flows,
            keeping,
            observers: Vec::new(),
        }
    }
}

/// An opened pipeline: tickets can be submitted and read, nothing runs yet.
pub struct Line {
    embedded: Embedded,
    desk: Arc<dyn Desk>,
    flows: Arc<Flows>,
    clock: Arc<dyn Clock>,
    ears: Arc<Ears>,
    metrics: Arc<Metrics>,
    holder: Holder,
    hostname: String,
    keeping: Keeping,
}

impl Line {
    /// Opens the data folder, and finds what the last process left there.
    ///
    /// # Errors
    /// When the folder is in use, cannot be written, or holds something that is not ours; says
    /// what to do.
    pub fn open(config: LineConfig) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let flows = Arc::new(config.flows);
        let hostname = hostname();
        let holder = holder(&hostname)?;
        let stages: Vec<StageName> = flows
            .stages()
            .iter()
            .map(|stage| stage.name.clone())
            .collect();
        let metrics = Arc::new(Metrics::new(&stages, env!("CARGO_PKG_VERSION"))?);
        let mut ears: Vec<Arc<dyn Observer>> = config.observers;
        ears.push(Arc::clone(&metrics) as Arc<dyn Observer>);
        ears.push(Arc::new(telemetry::Logs));
        let watchful = Watchful::new(Checker::new(Scope::InHand), Arc::clone(&metrics));
        ears.push(Arc::new(watchful));
        let store_config = store::Config::new(config.folder);
        let embedded = Embedded::open(
            store_config,
            Arc::clone(&flows),
            Arc::clone(&clock),
            holder.clone(),
        )?;
        let ears = Arc::new(Ears::new(ears));
        let desk = Announced::new(embedded.clone(), Arc::clone(&clock), Arc::clone(&ears));
        let keeping = config.keeping;
        let desk = Arc::new(desk);
        Ok(Self {
            embedded,
            desk,
            flows,
            clock,
            ears,
            metrics,
            holder,
            hostname,
            keeping,
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

    /// What is configured.
    pub fn flows(&self) -> Arc<Flows> {
        Arc::clone(&self.flows)
    }

    /// Tells the time.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Counts what happens.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
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
            desk: Arc::new(self.embedded.clone()),
            waits: Arc::new(self.embedded.clone()),
            oopses: self.embedded.oopses(),
            flows: Arc::clone(&self.flows),
            handlers,
            clock: Arc::clone(&self.clock),
            observer: Arc::clone(&self.ears) as Arc<dyn Observer>,
            holder: self.holder.clone(),
            hostname: self.hostname.clone(),
        });
        let running = Rc::new(Root::new(Arc::clone(&setup), arbiters).start());
        let controller = Controller::start(&setup, &running, self.keeping);
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

/// Names this process and its incarnation: a process id alone comes around again.
fn holder(hostname: &str) -> anyhow::Result<Holder> {
    let incarnation = uuid::Uuid::now_v7().simple().to_string();
    let text = format!("{hostname}:{}:{}", std::process::id(), &incarnation[20..]);
    Ok(Holder::new(&text)?)
}
