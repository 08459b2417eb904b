//! A stage where everything fails, with a full queue: what it costs while it waits for its repair,
//! what a healthy stage beside it loses, and how fast its tickets are released afterwards.

use crate::{Size, cpu, noop, table::Table, table::median};
use actix_rt::Arbiter;
use async_trait::async_trait;
use domain::breaker::Rules;
use domain::event::Event;
use domain::flow::{Flows, Stage};
use domain::outcome::{Attempted, Failure, Outcome};
use domain::ports::{Context, Handler, Inspection, Observer};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use goaround::line::{Line, LineConfig};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::time::sleep;

/// The tickets of the failing stage.
const FAILING: usize = 100_000;
const CONCURRENCY: usize = 64;
const PROBE: Duration = Duration::from_secs(5);
/// How long idling is looked at.
const IDLE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// Lands every ticket once it may.
struct Healthy(watch::Receiver<bool>);

#[async_trait]
impl Handler for Healthy {
    async fn handle(&self, _: Arc<Ticket>, _: Context) -> Attempted {
        self.0.clone().wait_for(|open| *open).await.ok(); // Whoever opens lives as long.
        Outcome::done().into()
    }

    fn inspect(&self) -> Inspection {
        Inspection {
            version: noop::constant("healthy-1"),
            obstacle: None,
        }
    }
}

/// Fails at every ticket in the same way, or at every second one, until it is repaired. Then it
/// lands so many, and keeps the rest in hand.
struct Broken {
    is_repaired: AtomicBool,
    spares_half: bool,
    lands: AtomicUsize,
}

impl Broken {
    fn new(spares_half: bool, lands: usize) -> Arc<Self> {
        Arc::new(Self {
            is_repaired: AtomicBool::new(false),
            spares_half,
            lands: AtomicUsize::new(lands),
        })
    }

    fn fails_at(&self, ticket: &Ticket) -> bool {
        let is_even = ticket
            .payload
            .bytes
            .last()
            .is_some_and(|byte| byte % 2 == 0);
        !self.is_repaired.load(Ordering::Acquire) && (is_even || !self.spares_half)
    }
}

#[async_trait]
impl Handler for Broken {
    async fn handle(&self, ticket: Arc<Ticket>, _: Context) -> Attempted {
        if self.fails_at(&ticket) {
            let message = "the config file is not where version 1 looks for it";
            return Outcome::Failed(Failure::new("NotFound", message)).into();
        }
        if self.is_repaired.load(Ordering::Acquire) {
            let left = self
                .lands
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
            if left.is_err() {
                std::future::pending::<()>().await;
            }
        }
        Outcome::done().into()
    }

    fn inspect(&self) -> Inspection {
        let version = match self.is_repaired.load(Ordering::Acquire) {
            true => "broken-2",
            false => "broken-1",
        };
        Inspection {
            version: noop::constant(version),
            obstacle: None,
        }
    }
}

/// Counts the attempts of the failing stage.
#[derive(Default)]
struct Attempts(AtomicU64);

impl Attempts {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Waits until no attempt was made for a second.
    async fn rest(&self) {
        let mut last = u64::MAX;
        while last != self.count() {
            last = self.count();
            sleep(Duration::from_secs(1)).await;
        }
    }
}

impl Observer for Attempts {
    fn observe(&self, _: Timestamp, event: &Event) {
        if let Event::AttemptStarted { stage, .. } = event
            && stage.as_str() == "broken"
        {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }
}

fn flows() -> anyhow::Result<Flows> {
    let rules = |name: &str| -> anyhow::Result<Stage> {
        Ok(Stage {
            concurrency: NonZeroUsize::new(CONCURRENCY).unwrap_or(NonZeroUsize::MIN),
            breaker: Some(Rules::new(5, PROBE)?),
            ..Stage::new(noop::constant(name))
        })
    };
    let stages = vec![rules("s1")?, rules("broken")?];
    let flow = BTreeMap::from([(noop::constant("bench"), vec![noop::constant("s1")])]);
    Flows::new(stages, flow).map_err(|bad| anyhow::anyhow!("{bad:?}"))
}

fn open(folder: &Path) -> anyhow::Result<(Line, Arc<noop::Finished>, Arc<Attempts>)> {
    let (finished, attempts) = (Arc::<noop::Finished>::default(), Arc::<Attempts>::default());
    let mut config = LineConfig::new(folder.to_owned(), flows()?);
    config.observers = vec![Arc::clone(&finished) as _, Arc::clone(&attempts) as _];
    Ok((Line::open(config)?, finished, attempts))
}

async fn submit_failing(line: &Line, count: usize) -> anyhow::Result<()> {
    let desk = line.desk();
    let mut left = count;
    while left > 0 {
        let group = left.min(512);
        let mut tickets = noop::tickets(line, group);
        for (n, ticket) in tickets.iter_mut().enumerate() {
            ticket.flow = None;
            ticket.stage = noop::constant("broken");
            ticket.payload.bytes = vec![b'0' + (n % 2) as u8; 64].into();
        }
        desk.submit(tickets).await?;
        left -= group;
    }
    Ok(())
}

/// Runs both stages, each on a thread of its own.
async fn run<T>(
    line: Line,
    handlers: [Arc<dyn Handler>; 2],
    work: impl AsyncFnOnce(&Line) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let threads = [Arbiter::new(), Arbiter::new()];
    let handles = threads.each_ref().map(Arbiter::handle);
    let names = ["s1", "broken"].map(noop::constant);
    let running = line.start(
        names.into_iter().zip(handlers).collect(),
        Box::new(move |stage, _| handles[usize::from(stage.as_str() == "broken")].clone()),
    );
    let result = work(&line).await;
    running.drain(Duration::ZERO).await;
    for thread in &threads {
        thread.stop();
    }
    line.close();
    result
}

/// What one look at the storm showed.
struct Storm {
    rate: f64,
    idle_cpu: f64,
    probes: u64,
}

/// The rate of the healthy stage with so many failing tickets beside it.
fn healthy(folder: &Path, tickets: usize, failing: usize) -> anyhow::Result<Storm> {
    actix_rt::System::new().block_on(async {
        let (line, finished, attempts) = open(folder)?;
        submit_failing(&line, failing).await?;
        noop::submit(&line, tickets).await?;
        let (open, is_open) = watch::channel(false);
        let handlers: [Arc<dyn Handler>; 2] = [Arc::new(Healthy(is_open)), Broken::new(false, 0)];
        run(line, handlers, async |_| {
            attempts.rest().await;
            let (cpu, tried) = (cpu::own()?, attempts.count());
            sleep(IDLE).await;
            let idle_cpu = (cpu::own()? - cpu) / IDLE.as_secs_f64();
            let probes = attempts.count() - tried;
            let start = Instant::now();
            open.send_replace(true);
            finished.wait_for(tickets).await;
            Ok(Storm {
                rate: tickets as f64 / start.elapsed().as_secs_f64(),
                idle_cpu,
                probes,
            })
        })
        .await
    })
}

pub(crate) fn crash_storm(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let (mut bare, mut ours, mut cpu, mut probes) = (vec![], vec![], vec![], 0);
    // Twice as many as elsewhere: a drain of one second differs too much from the next.
    let tickets = 2 * size.tickets;
    for _ in 0..size.rounds {
        let folder = tempfile::tempdir()?;
        bare.push(healthy(folder.path(), tickets, 0)?.rate);
        let folder = tempfile::tempdir()?;
        let storm = healthy(folder.path(), tickets, FAILING)?;
        ours.push(storm.rate);
        cpu.push(storm.idle_cpu);
        probes = probes.max(storm.probes);
    }
    table.rates(
        "drain of a healthy stage beside 100,000 tickets that all crash",
        &mut bare,
        &mut ours,
        0.95,
    );
    let idle = median(&mut cpu);
    table.bound(
        "CPU while these 100,000 wait for a repair",
        format!("{:.2} %", idle * 100.0),
        "< 2 %",
        idle < 0.02,
    );
    // Ten seconds touch three intervals of five at most.
    table.bound(
        "attempts at them in 10 s, one probe each 5 s",
        probes.to_string(),
        "<= 3",
        probes <= 3,
    );
    Ok(())
}

/// How many are submitted a second into an idle stage, and how many of those that were held are
/// released a second once their plan is past its steps.
fn released(folder: &Path) -> anyhow::Result<(f64, f64)> {
    /// The canary, and the steps of 1, 10 and 100.
    const STEPS: usize = 112;
    actix_rt::System::new().block_on(async {
        let (line, _, attempts) = open(folder)?;
        let start = Instant::now();
        submit_failing(&line, 2 * FAILING).await?;
        let submits = (2 * FAILING) as f64 / start.elapsed().as_secs_f64();
        let broken = Broken::new(true, STEPS);
        let (_open, is_open) = watch::channel(false);
        let handlers: [Arc<dyn Handler>; 2] =
            [Arc::new(Healthy(is_open)), Arc::clone(&broken) as _];
        run(line, handlers, async |line| {
            held(line, &attempts).await?;
            broken.is_repaired.store(true, Ordering::Release);
            let (_, start) = so_many(line, STEPS as u64).await?;
            let (first, _) = so_many(line, STEPS as u64).await?;
            let (last, end) = so_many(line, FAILING as u64 - 1).await?;
            let rate = (last - first) as f64 / (end - start).as_secs_f64();
            Ok((submits, rate))
        })
        .await
    })
}

/// Waits until every second ticket is held and the others are done.
async fn held(line: &Line, attempts: &Attempts) -> anyhow::Result<()> {
    loop {
        attempts.rest().await;
        let tripped = line.plans().tripped(None).await?;
        if tripped.iter().map(|it| it.held).sum::<u64>() >= FAILING as u64 - 1 {
            return Ok(());
        }
    }
}

/// Waits until the newest plan has released at least so many; returns how many, and when.
async fn so_many(line: &Line, count: u64) -> anyhow::Result<(u64, Instant)> {
    loop {
        let plans = line.plans().plans().await?;
        let released = plans.first().map_or(0, |plan| plan.counts.released);
        if released >= count {
            return Ok((released, Instant::now()));
        }
        sleep(LOOK).await;
    }
}

pub(crate) fn release(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let (mut bare, mut ours) = (vec![], vec![]);
    for _ in 0..size.rounds {
        let folder = tempfile::tempdir()?;
        let (submits, releases) = released(folder.path())?;
        bare.push(submits);
        ours.push(releases);
    }
    table.rates(
        "release of 100,000 held tickets, beside submitting them in groups of 512",
        &mut bare,
        &mut ours,
        0.5,
    );
    Ok(())
}
