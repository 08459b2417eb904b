//! How fast the embedded store is: submit, drain through one stage, hand on through three.
//!
//! `cargo run --release -p goaround-store --example throughput [tickets] [folder]`

use domain::delivery::{Decision, Delivery, Incoming, Start, Started};
use domain::flow::{Flows, Stage};
use domain::names::{FlowName, Holder, Kind, StageName, Version};
use domain::oops::Scene;
use domain::outcome::Outcome;
use domain::ports::{Broker, Catalog, Clock, Desk};
use domain::retry::Chance;
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::error::Error;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use store::{Config, Embedded};

const SUBMIT_GROUP: usize = 512;
const SETTLE_GROUP: usize = 256;
const GROUPS_IN_FLIGHT: usize = 4;
const SUBMITTERS: usize = 64;

type Res<T> = Result<T, Box<dyn Error>>;

struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        let tick = self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp::from_micros(1_795_269_802_000_000 + i64::try_from(tick).unwrap_or(0))
    }

    fn chance(&self) -> Chance {
        Chance::new(0.5)
    }

    fn ticket_id(&self) -> TicketId {
        let tick = self.0.fetch_add(1, Ordering::Relaxed);
        let mut bits = [0; 16];
        bits[..8].copy_from_slice(&(0x0192_f0c1_0000_0000_u64 + tick).to_be_bytes());
        bits[8..].copy_from_slice(&(tick.wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_be_bytes());
        TicketId::from_bytes(bits)
    }
}

struct Bench {
    store: Embedded,
    flows: Arc<Flows>,
    clock: Arc<Ticking>,
    start: Start,
}

fn flows() -> Res<Flows> {
    let names = ["one", "build", "test", "publish"];
    let mut stages = Vec::new();
    for name in names {
        stages.push(Stage::new(StageName::new(name)?));
    }
    let stops = names[1..].iter().map(|name| StageName::new(name));
    let stops = stops.collect::<Result<Vec<_>, _>>()?;
    let flows = BTreeMap::from([(FlowName::new("ci")?, stops)]);
    Flows::new(stages, flows).map_err(|_| "the flows are wrong".into())
}

impl Bench {
    fn open(folder: &Path) -> Res<Self> {
        let flows = Arc::new(flows()?);
        let clock = Arc::new(Ticking(AtomicU64::new(0)));
        let holder = Holder::new("bench/1")?;
        let store = Embedded::open(
            Config::new(folder),
            Arc::clone(&flows),
            Arc::<Ticking>::clone(&clock),
            holder.clone(),
        )?;
        let scene = Scene {
            holder,
            hostname: "bench".into(),
            version: Version::new("1.0")?,
        };
        let start = Start {
            scene: Arc::new(scene),
            at: clock.now(),
        };
        Ok(Self {
            store,
            flows,
            clock,
            start,
        })
    }

    fn ticket(&self, flow: Option<&FlowName>, stage: &StageName) -> Ticket {
        let id = self.clock.ticket_id();
        Ticket {
            name: Name::first(id),
            kind: Kind::unnamed(),
            flow: flow.cloned(),
            stage: stage.clone(),
            key: None,
            payload: Payload::untyped(
                &b"sixty-four bytes of payload, as in the other measurements here.."[..],
            ),
            deadline: None,
            created_at: self.clock.now(),
            lineage: Lineage::root(id),
            trace: None,
        }
    }

    async fn submit(&self, count: usize, flow: Option<&FlowName>, stage: &StageName) -> Res<()> {
        let mut left = count;
        let mut in_flight = std::collections::VecDeque::new();
        while left > 0 {
            let group: Vec<_> = (0..SUBMIT_GROUP.min(left))
                .map(|_| self.ticket(flow, stage))
                .collect();
            left -= group.len();
            in_flight.push_back(self.store.submit(group));
            if in_flight.len() >= GROUPS_IN_FLIGHT {
                let all = futures_join(in_flight.drain(..).collect()).await;
                for accepted in all {
                    accepted?;
                }
            }
        }
        for accepted in futures_join(in_flight.into_iter().collect()).await {
            accepted?;
        }
        Ok(())
    }

    async fn drain(&self, stage: &StageName, count: usize) -> Res<()> {
        let prefetch = NonZeroUsize::new(8 * SETTLE_GROUP).ok_or("zero")?;
        let max = NonZeroUsize::new(SETTLE_GROUP).ok_or("zero")?;
        let mut consumer = self.store.consume(stage, prefetch).await?;
        let rules = self.flows.stage(stage).ok_or("no stage")?;
        let mut left = count;
        let mut in_flight = Vec::new();
        while left > 0 {
            let incoming = consumer.next(max).await?;
            left -= incoming.len();
            let fresh = incoming
                .into_iter()
                .filter_map(|incoming| match incoming {
                    Incoming::Fresh(delivery) => Some(delivery),
                    Incoming::Suspect(_) | Incoming::Unreadable(_) => None,
                })
                .collect();
            let started = self.store.start(fresh, &self.start).await?;
            in_flight.push(self.settle(started, rules));
            if in_flight.len() >= GROUPS_IN_FLIGHT {
                for settled in futures_join(std::mem::take(&mut in_flight)).await {
                    settled?;
                }
            }
        }
        for settled in futures_join(in_flight).await {
            settled?;
        }
        Ok(())
    }

    async fn settle(&self, started: Vec<Delivery<Started>>, rules: &Stage) -> Res<()> {
        let decision = Decision {
            stage: rules,
            flows: &self.flows,
            now: self.clock.now(),
            chance: self.clock.chance(),
        };
        let oopses = self.store.oopses();
        let mut group = Vec::with_capacity(started.len());
        for delivery in started {
            let performed = delivery.performed(Outcome::done().into(), decision.now);
            let reported = performed.report(&*oopses).await?;
            group.push(reported.decide(&decision));
        }
        self.store.settle(group).await?;
        Ok(())
    }
}

/// Runs all of them at once on this task.
async fn futures_join<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    std::future::poll_fn(move |context| {
        let mut is_pending = false;
        for (future, output) in &mut running {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => is_pending = true,
                }
            }
        }
        match is_pending {
            true => std::task::Poll::Pending,
            false => {
                std::task::Poll::Ready(running.iter_mut().filter_map(|r| r.1.take()).collect())
            }
        }
    })
    .await
}

/// CPU time of the threads whose name begins so, from the kernel's accounting.
fn cpu(prefix: &str) -> Duration {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let (Some(open), Some(close)) = (stat.find('('), stat.rfind(')')) else {
            continue;
        };
        if stat[open + 1..close].starts_with(prefix) {
            let fields: Vec<&str> = stat[close + 2..].split(' ').collect();
            let field = |at: usize| {
                fields
                    .get(at)
                    .and_then(|f| f.parse::<u64>().ok())
                    .unwrap_or(0)
            };
            ticks += field(11) + field(12);
        }
    }
    Duration::from_millis(ticks * 10)
}

struct Stopwatch {
    began: Instant,
    writer: Duration,
    all: Duration,
}

impl Stopwatch {
    fn begin() -> Self {
        Self {
            began: Instant::now(),
            writer: cpu("write books"),
            all: cpu(""),
        }
    }

    fn tell(&self, what: &str, count: usize) {
        let took = self.began.elapsed();
        let each = |length: Duration| length.as_secs_f64() * 1e6 / count as f64;
        println!(
            "{what:<34} {:>9.0}/s   writer {:>5.2} us each, all threads {:>5.2} us each",
            count as f64 / took.as_secs_f64(),
            each(cpu("write books") - self.writer),
            each(cpu("") - self.all),
        );
    }
}

async fn single_submitters(bench: &Bench, count: usize, stage: &StageName) -> Res<()> {
    let each = count / SUBMITTERS;
    let submitter = || async {
        for _ in 0..each {
            bench.store.submit(vec![bench.ticket(None, stage)]).await?;
        }
        Ok::<(), domain::ports::StoreError>(())
    };
    for done in futures_join((0..SUBMITTERS).map(|_| submitter()).collect()).await {
        done?;
    }
    Ok(())
}

async fn run(folder: &Path, count: usize) -> Res<()> {
    let one = StageName::new("one")?;
    let bench = Bench::open(folder)?;
    let watch = Stopwatch::begin();
    bench.submit(count, None, &one).await?;
    watch.tell("submit, groups of 512", count);
    let watch = Stopwatch::begin();
    bench.drain(&one, count).await?;
    watch.tell("drain, one stage, groups of 256", count);

    let ci = FlowName::new("ci")?;
    let stages = [
        StageName::new("build")?,
        StageName::new("test")?,
        StageName::new("publish")?,
    ];
    bench.submit(count, Some(&ci), &stages[0]).await?;
    let watch = Stopwatch::begin();
    let drains = stages
        .iter()
        .map(|stage| bench.drain(stage, count))
        .collect();
    for drained in futures_join(drains).await {
        drained?;
    }
    watch.tell("three stages, tickets end to end", count);

    let watch = Stopwatch::begin();
    single_submitters(&bench, count / 2, &one).await?;
    watch.tell("64 submitters, one ticket each", count / 2);
    let watch = Stopwatch::begin();
    bench
        .drain(&one, count / 2 / SUBMITTERS * SUBMITTERS)
        .await?;
    watch.tell("drain again, with history", count / 2);
    let began = Instant::now();
    bench.submit(count, None, &one).await?;
    println!("{count} more in {:?}", began.elapsed());
    bench.store.close();
    drop(bench);
    let began = Instant::now();
    let bench = Bench::open(folder)?;
    println!("open with {count} runnable: {:?}", began.elapsed());
    let began = Instant::now();
    let balance = bench.store.balance(None).await?;
    let resident = std::fs::read_to_string("/proc/self/status")?;
    let resident = resident.lines().find(|line| line.starts_with("VmRSS"));
    println!(
        "balanced: {} in {:?}",
        balance.is_balanced(),
        began.elapsed()
    );
    println!("{}", resident.unwrap_or_default());
    bench.store.close();
    Ok(())
}

fn main() -> Res<()> {
    let mut arguments = std::env::args().skip(1);
    let count = arguments
        .next()
        .map_or(Ok(200_000), |count| count.parse())?;
    let folder = tempfile::tempdir()?;
    let place = arguments
        .next()
        .map_or(folder.path().to_owned(), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(run(&place, count))
}
