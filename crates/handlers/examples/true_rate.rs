//! How many attempts at `/bin/true` a second: bare, and ours; then the same from a process with a
//! heap of 1 GiB. Rounds take turns, and medians count. Run it after
//! `cargo build --release -p goaround-handlers`, with `cargo run --release --example true_rate`.

use async_trait::async_trait;
use domain::names::{Kind, StageName};
use domain::outcome::Outcome;
use domain::ports::{Context, Handler, StopReason, StopSignal};
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use handlers::{Exec, ExecConfig, Limits, Spawner, SpawnerCommand};
use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const ROUNDS: usize = 7;
const RUNS: usize = 1_500;
const HEAP_BYTES: usize = 1 << 30;

struct Never;

#[async_trait]
impl StopSignal for Never {
    async fn stopped(&self) -> StopReason {
        std::future::pending().await
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let slots = std::thread::available_parallelism()?.get();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let folder = tempfile::tempdir()?;
    runtime.block_on(async {
        let exec = Arc::new(exec(folder.path())?);
        println!("{RUNS} runs of /bin/true, {slots} at once, medians of {ROUNDS} rounds");
        measure("small", slots, &exec).await?;
        let heap = vec![1u8; HEAP_BYTES];
        measure("1 GiB", slots, &exec).await?;
        black_box(heap);
        Ok(())
    })
}

fn exec(folder: &std::path::Path) -> Result<Exec, Box<dyn Error>> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).ok_or("not in a target folder")?;
    let spawner = Spawner::start(SpawnerCommand {
        program: target.join("goaround-spawner"),
        args: Vec::new(),
    })?;
    let config = ExecConfig {
        command: vec!["/bin/true".into()],
        folder: folder.into(),
        env: BTreeMap::new(),
        version: None,
        limits: Limits::default(),
        callback_url: None,
        work_folder: folder.into(),
    };
    Ok(Exec::new(config, spawner)?)
}

async fn measure(heap: &str, slots: usize, exec: &Arc<Exec>) -> Result<(), Box<dyn Error>> {
    let ticket = Arc::new(ticket()?);
    let mut rates = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        rates.0.push(bare(slots)?);
        rates.1.push(ours(slots, exec, &ticket).await?);
    }
    let (bare, ours) = (median(rates.0), median(rates.1));
    println!(
        "{heap}: bare {bare:.0}/s, ours {ours:.0}/s, ratio {:.2}",
        ours / bare
    );
    Ok(())
}

/// As many threads as slots, each of which starts, waits, starts.
fn bare(slots: usize) -> Result<f64, Box<dyn Error>> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..slots {
            scope.spawn(|| {
                for _ in 0..RUNS / slots {
                    let status = Command::new("/bin/true").status();
                    assert!(status.is_ok_and(|status| status.success()));
                }
            });
        }
    });
    Ok(rate(begun))
}

async fn ours(slots: usize, exec: &Arc<Exec>, ticket: &Arc<Ticket>) -> Result<f64, Box<dyn Error>> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..slots {
        let (exec, ticket) = (Arc::clone(exec), Arc::clone(ticket));
        tasks.spawn(async move {
            for _ in 0..RUNS / slots {
                let attempted = exec.handle(Arc::clone(&ticket), context()).await;
                assert_eq!(attempted.outcome, Outcome::done());
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(rate(begun))
}

fn rate(begun: Instant) -> f64 {
    RUNS as f64 / begun.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn context() -> Context {
    Context {
        alone: false,
        deadline: Timestamp::EPOCH,
        grace: Duration::ZERO,
        stop: Arc::new(Never),
    }
}

fn ticket() -> Result<Ticket, Box<dyn Error>> {
    let id = TicketId::from_bytes([7; 16]);
    Ok(Ticket {
        name: Name::first(id),
        kind: Kind::unnamed(),
        flow: None,
        stage: StageName::new("true")?,
        key: None,
        payload: Payload::default(),
        deadline: None,
        created_at: Timestamp::EPOCH,
        lineage: Lineage::root(id),
        trace: None,
    })
}
