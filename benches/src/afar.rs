//! A line whose broker is RabbitMQ and whose books are in PostgreSQL: a real controller process,
//! and a worker in this process.

use crate::noop::{self, Finished};
use crate::servers::Place;
use crate::up::Up;
use actix_rt::Arbiter;
use actors::Running;
use domain::flow::{Flows, Journal};
use domain::names::StageName;
use domain::ports::{Catalog, Handler, Observer};
use goaround::line::{Ground, WorkerLine};
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Postgres, PostgresConfig};

/// Tickets in flight at once at each stage, where nothing else is said.
pub(crate) const CONCURRENCY: usize = 256;
/// The longest payload that is taken.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// How long the books may take to hear of everything.
const BOOKS_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is to be measured.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) stages: usize,
    /// Tickets in flight at once at each stage.
    pub(crate) concurrency: usize,
    pub(crate) journal: Journal,
}

impl Plan {
    pub(crate) fn flows(self) -> Flows {
        noop::flows_with(self.stages, self.concurrency, self.journal)
    }
}

/// A controller process that leads, and the books that it keeps.
pub(crate) struct Afar {
    controller: Up,
    pub(crate) place: Place,
    plan: Plan,
    books: Postgres,
    config: PathBuf,
    _folder: tempfile::TempDir,
}

impl Afar {
    /// Starts the controller. Call inside an actix system.
    pub(crate) async fn start(place: Place, plan: Plan, run: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("goaround.toml");
        std::fs::write(&config, written(&place, plan, run)?)?;
        let home = folder.path().join("controller");
        let (controller, _) = Up::start_as(&["controller", "--no-launcher"], &config, &home)?;
        let ground = Ground::new(plan.flows(), Vec::new())?;
        let (flows, clock) = (Arc::clone(&ground.flows), Arc::clone(&ground.clock));
        let books = PostgresConfig::new(place.store.clone());
        let books = Postgres::open(books, flows, clock, ground.holder).await?;
        Ok(Self {
            controller,
            place,
            plan,
            books,
            config,
            _folder: folder,
        })
    }

    /// The configuration that all processes have.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// How this process reaches the broker.
    pub(crate) fn broker(&self) -> anyhow::Result<amqp::Config> {
        let mut broker = amqp::Config::new(&self.place.broker)?;
        broker.names = amqp::Names::new(&self.place.prefix)?;
        Ok(broker)
    }

    /// Connects a worker, and waits until it knows the desired state; nothing runs yet.
    pub(crate) async fn worker(
        &self,
        handlers: BTreeMap<StageName, Arc<dyn Handler>>,
    ) -> anyhow::Result<Afield> {
        let finished = Arc::new(Finished::default());
        let ears = vec![Arc::clone(&finished) as Arc<dyn Observer>];
        let ground = Ground::new(self.plan.flows(), ears)?;
        let line = WorkerLine::open(self.broker()?, &ground, &handlers, PAYLOAD_BYTES_MAX).await?;
        let is_ready = line.readiness();
        let begun = Instant::now();
        while let Err(why) = is_ready() {
            anyhow::ensure!(
                begun.elapsed() < BOOKS_MAX,
                "the worker is not ready: {why}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(Afield {
            line,
            handlers,
            finished,
        })
    }

    /// Holds the controller still, as if it were gone for a while.
    pub(crate) fn freeze(&self) -> anyhow::Result<()> {
        self.controller.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> anyhow::Result<()> {
        self.controller.signal(Signal::CONT)
    }

    /// CPU seconds of the controller so far.
    pub(crate) fn controller_cpu(&self) -> anyhow::Result<f64> {
        Ok(self.controller.cpu_ticks()? as f64 / 100.0)
    }

    /// Waits until the books have so many done tickets; fails when they do not balance then.
    pub(crate) async fn recorded(&self, done: usize) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            let balance = self.books.balance(None).await?;
            if balance.done >= done as u64 {
                anyhow::ensure!(balance.is_balanced(), "unbalanced books: {balance:?}");
                return Ok(());
            }
            anyhow::ensure!(begun.elapsed() < BOOKS_MAX, "not recorded: {balance:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// A connected worker.
pub(crate) struct Afield {
    line: WorkerLine,
    handlers: BTreeMap<StageName, Arc<dyn Handler>>,
    finished: Arc<Finished>,
}

impl Afield {
    /// Lets it at the tickets; each stage has a thread, as in `goaround worker`.
    pub(crate) fn start(self) -> AtWork {
        let stages = self.handlers.keys();
        let threads: BTreeMap<StageName, Arbiter> = stages
            .map(|stage| (stage.clone(), Arbiter::new()))
            .collect();
        let handles: BTreeMap<_, _> = threads
            .iter()
            .map(|(stage, thread)| (stage.clone(), thread.handle()))
            .collect();
        let arbiters = Box::new(move |stage: &StageName, _| handles[stage].clone());
        let running = self.line.start(self.handlers, arbiters);
        AtWork {
            line: self.line,
            finished: self.finished,
            running,
            threads,
        }
    }
}

/// A worker at work.
pub(crate) struct AtWork {
    line: WorkerLine,
    pub(crate) finished: Arc<Finished>,
    running: Rc<Running>,
    threads: BTreeMap<StageName, Arbiter>,
}

impl AtWork {
    pub(crate) async fn close(self) {
        self.running.drain(Duration::from_secs(10)).await;
        drop(self.running);
        self.line.close().await;
        for thread in self.threads.values() {
            thread.stop();
        }
    }
}

fn written(place: &Place, plan: Plan, run: &str) -> anyhow::Result<String> {
    let journal = match plan.journal {
        Journal::Full => "full",
        Journal::Exceptions => "exceptions",
    };
    let names: Vec<String> = (1..=plan.stages).map(|n| format!("\"s{n}\"")).collect();
    let mut text = format!(
        "[broker]\nurl = \"{}\"\nprefix = \"{}\"\n[store]\nurl = \"{}\"\n[flow.bench]\nstages = [{}]\n",
        place.broker,
        place.prefix,
        place.store,
        names.join(", ")
    );
    for name in names {
        write!(
            text,
            "[stage.{name}]\nrun = {run}\nconcurrency = 4\njournal = \"{journal}\"\nstop_grace = \"100ms\"\n"
        )?;
    }
    text.push_str("[shutdown]\ndrain = \"0s\"\n");
    Ok(text)
}
