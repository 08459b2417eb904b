//! Roles whose broker is RabbitMQ and whose store is PostgreSQL: one, or all in one process.

use super::role::Role;
use super::serve::{Page, Ready, Serving, all_ready, page_of_books, page_without_books};
use super::stages::{Stages, go_down};
use super::{Launch, UpOptions, greet, wait_for_the_end};
use crate::config::Config;
use crate::line::broker::of_controller;
use crate::line::{ControllerLine, Ground, RunningController, WorkerLine};
use actors::{Running, Watchdog};
use anyhow::Context as _;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use store::PostgresConfig;
use tracing::{info, warn};
use web::{Live, Parts, Probes};

pub(super) async fn run(
    role: Role,
    config: Config,
    options: UpOptions,
    listener: TcpListener,
) -> anyhow::Result<ExitCode> {
    let live = Live::new();
    let mut ground = Ground::new(config.flows.clone(), Vec::new())?;
    if let Launch::By(_, holder) = &options.launch {
        ground.holder = holder.clone();
    }
    let address = listener.local_addr()?;
    let site = Site {
        role,
        config: &config,
        options: &options,
        ground: &ground,
    };
    if let Some(lack) = role.lacks(&config) {
        warn!("{lack}");
    }
    let control = site.control(&live).await?;
    let work = site.work(site.api(address).as_deref()).await?;
    let watchdog = site.watch().await?;
    let ready = all_ready(site.readiness(work.as_ref(), watchdog.as_ref()));
    let serving = match &control {
        Some(control) => {
            let parts = site.parts(control, ready, live);
            Serving::start(&config, listener, parts).await?
        }
        None => Serving::start_probes(&config, listener, site.probes(ready))?,
    };
    greet(role, &config, &options, address);
    wait_for_the_end().await?;
    let landed = match work {
        Some(work) => work.go_down(&config).await,
        None => true,
    };
    drop((control, watchdog));
    serving.stop().await;
    info!("goaround {role} has stopped");
    Ok(if landed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What all parts of the process are built from.
struct Site<'a> {
    role: Role,
    config: &'a Config,
    options: &'a UpOptions,
    ground: &'a Ground,
}

/// The controller's part of a process.
struct Control {
    line: ControllerLine,
    running: RunningController,
}

/// The worker's part of a process.
struct Work {
    line: WorkerLine,
    running: Rc<Running>,
    stages: Stages,
}

impl Site<'_> {
    async fn control(&self, live: &Live) -> anyhow::Result<Option<Control>> {
        if !self.role.controls() {
            return Ok(None);
        }
        let broker = broker(self.config, "controller")?;
        let line = ControllerLine::open(
            broker,
            books(self.config)?,
            self.ground,
            Arc::new(live.clone()),
        )
        .await?;
        let running = line.start(self.config.keeping);
        Ok(Some(Control { line, running }))
    }

    /// Where handlers reach the API; a worker alone has none and only knows what it was told.
    fn api(&self, address: SocketAddr) -> Option<String> {
        let is_here = self.role.controls() || self.config.http.url.is_some();
        is_here.then(|| self.config.api_url(address))
    }

    async fn work(&self, api: Option<&str>) -> anyhow::Result<Option<Work>> {
        if !self.role.works() {
            return Ok(None);
        }
        let stages = Stages::start(self.config, &self.options.data, api)?;
        let handlers = stages.handlers();
        let broker = broker(self.config, "worker")?;
        let payload_bytes_max = self.config.limits.payload_bytes_max;
        let line = WorkerLine::open(broker, self.ground, &handlers, payload_bytes_max).await?;
        let running = line.start(handlers, stages.arbiters());
        Ok(Some(Work {
            line,
            running,
            stages,
        }))
    }

    async fn watch(&self) -> anyhow::Result<Option<Watchdog>> {
        if self.role != Role::Watchdog {
            return Ok(None);
        }
        let broker = broker(self.config, "watchdog")?;
        let place = broker.place();
        let (clock, holder) = (Arc::clone(&self.ground.clock), self.ground.holder.clone());
        let vitals = amqp::Controller::start(broker, &[], Arc::clone(&clock), holder)
            .await
            .with_context(|| format!("the broker at {place} cannot be used"))?;
        let metrics = &self.ground.metrics;
        metrics.add_broker(of_controller(&vitals))?;
        let watchdog = Watchdog::start(vitals, clock, self.ground.observer());
        Ok(Some(watchdog))
    }

    fn readiness(&self, work: Option<&Work>, watchdog: Option<&Watchdog>) -> Vec<Ready> {
        let work = work.map(|work| [work.running.readiness(), work.line.readiness()]);
        let watchdog = watchdog.map(Watchdog::readiness);
        work.into_iter().flatten().chain(watchdog).collect()
    }

    fn parts(&self, control: &Control, ready: Ready, live: Live) -> Parts {
        let line = &control.line;
        let clock = Arc::clone(&self.ground.clock);
        let metrics = Arc::clone(&self.ground.metrics);
        Parts {
            desk: line.desk(),
            catalog: line.catalog(),
            oopses: line.oopses(),
            plans: line.plans(),
            flows: Arc::clone(&self.ground.flows),
            clock: Arc::clone(&clock),
            handlers: line.inspections(),
            reaches: control.running.reaches(),
            metrics: page_of_books(metrics, line.catalog(), clock),
            ready,
            live,
        }
    }

    fn probes(&self, ready: Ready) -> Probes {
        let metrics: Page = page_without_books(Arc::clone(&self.ground.metrics));
        Probes {
            clock: Arc::clone(&self.ground.clock),
            metrics,
            ready,
        }
    }
}

impl Work {
    /// Takes no more, finishes or hands back what is in hand, and says that it is gone.
    async fn go_down(self, config: &Config) -> bool {
        let landed = go_down(&self.running, config.drain, &self.stages).await;
        drop(self.running);
        self.line.close().await;
        self.stages.close().await;
        landed
    }
}

pub(super) fn broker(config: &Config, role: &str) -> anyhow::Result<amqp::Config> {
    let Some(mut broker) = config.broker.connection()? else {
        anyhow::bail!("broker.url: expected amqp://… or amqps://…, got \"embedded\"");
    };
    broker.connection_name = format!("goaround {role}");
    Ok(broker)
}

fn books(config: &Config) -> anyhow::Result<PostgresConfig> {
    let books = config.store.connection()?;
    books.context("store.url: expected postgres://…, got \"embedded\"")
}
