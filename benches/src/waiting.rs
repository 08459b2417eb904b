//! A million waiting tickets: how soon `up` is ready, how much it holds, what idling costs.

use crate::up::Up;
use crate::{Size, noop, table::Table};
use actix_rt::Arbiter;
use async_trait::async_trait;
use domain::outcome::{Attempted, Outcome};
use domain::ports::{Context, Handler, Inspection};
use domain::ticket::Ticket;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const WAITING: u64 = 1_000_000;
const START_OVER: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);

/// Puts every ticket off for an hour.
struct Later;

#[async_trait]
impl Handler for Later {
    async fn handle(&self, _: Arc<Ticket>, _: Context) -> Attempted {
        Outcome::NotNow {
            after: Some(Duration::from_secs(3_600)),
        }
        .into()
    }

    fn inspect(&self) -> Inspection {
        Inspection {
            version: noop::constant("later-1"),
            obstacle: None,
        }
    }
}

pub(crate) fn a_million(_: &Size, table: &mut Table) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().join("data");
    std::fs::create_dir(&folder)?;
    fill(&folder)?;
    let config = scratch.path().join("goaround.toml");
    std::fs::write(
        &config,
        "[flow.bench]\nstages = [\"s1\"]\n[stage.s1]\nrun = [\"/bin/true\"]\n",
    )?;
    let (up, took) = Up::start(&config, &folder)?;
    let seconds = took.as_secs_f64();
    let what = "start to ready with 1,000,000 waiting tickets";
    table.bound(what, format!("{seconds:.2} s"), "<= 5 s", seconds <= 5.0);
    // What is done once at the start is not idling.
    std::thread::sleep(START_OVER);
    let before = up.cpu_ticks()?;
    std::thread::sleep(IDLE);
    let busy = (up.cpu_ticks()? - before) as f64 / (IDLE.as_secs_f64() * 100.0);
    table.bound(
        "idle CPU with them",
        format!("{:.2} %", busy * 100.0),
        "< 1 %",
        busy < 0.01,
    );
    let mib = up.resident_bytes()? >> 20;
    table.bound(
        "resident memory with them",
        format!("{mib} MiB"),
        "< 286 MiB",
        mib < 286,
    );
    Ok(())
}

fn fill(folder: &Path) -> anyhow::Result<()> {
    actix_rt::System::new().block_on(async {
        let (line, _) = noop::line(folder, noop::flows(1, 256))?;
        noop::submit(&line, usize::try_from(WAITING)?).await?;
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        let later = Arc::new(Later) as Arc<dyn Handler>;
        let handlers = BTreeMap::from([(noop::constant("s1"), later)]);
        let running = line.start(handlers, Box::new(move |_, _| handle.clone()));
        while line.catalog().balance(None).await?.waiting_total() < WAITING {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        running.drain(Duration::from_secs(10)).await;
        arbiter.stop();
        line.close();
        anyhow::Ok(())
    })
}
