//! The real `goaround worker` on RabbitMQ: what it costs when it has nothing to do, and how soon
//! its ticket runs elsewhere when it is killed.

use crate::afar::{Afar, Plan};
use crate::lapin_loop::{self, Bare};
use crate::latency::at;
use crate::table::Table;
use crate::up::Up;
use crate::Size;
use domain::flow::Journal;
use domain::fleet::LAPSE;
use rustix::process::Signal;
use std::path::Path;
use std::time::{Duration, Instant};

const PLAN: Plan = Plan {
    stages: 1,
    journal: Journal::Full,
};
/// What is done once at the start is not idling.
const START_OVER: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(10);
const KILLS: usize = 5;
/// How long a killed worker's ticket may take to run elsewhere, before we give up.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub(crate) fn idle(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let servers = size.servers()?;
    actix_rt::System::new().block_on(async {
        let afar = Afar::start(servers.place(), PLAN, "[\"/bin/true\"]").await?;
        let folder = tempfile::tempdir()?;
        let (worker, _) = Up::start_as("worker", afar.config(), folder.path())?;
        std::thread::sleep(START_OVER);
        let before = worker.cpu_ticks()?;
        std::thread::sleep(IDLE);
        let busy = (worker.cpu_ticks()? - before) as f64 / IDLE.as_secs_f64();
        let what = "idle worker process, CPU";
        // One tick in ten seconds is 0.1 %.
        table.bound(what, format!("{busy:.1} %"), "0.0 %", busy < 0.05);
        let mib = worker.resident_bytes()? as f64 / f64::from(1 << 20);
        let what = "idle worker process, resident memory";
        table.bound(what, format!("{mib:.1} MiB"), "<= 12 MiB", mib <= 12.0);
        anyhow::Ok(())
    })
}

pub(crate) fn recovery(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let servers = size.servers()?;
    actix_rt::System::new().block_on(async {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("starts");
        std::fs::write(&log, "")?;
        let run = format!(
            r#"["/bin/sh", "-c", "echo $PPID >> {}; exec sleep 600"]"#,
            log.display()
        );
        let afar = Afar::start(servers.place(), PLAN, &run).await?;
        let bare = Bare::connect(&servers.broker(), "recovery").await?;
        let to = (afar.place.prefix.as_str(), "s1");
        let channel = bare.publisher().await?;
        let mut millis = Vec::new();
        let start = |n: usize| Up::start_as("worker", afar.config(), &folder.path().join(format!("w{n}")));
        for round in 0..KILLS {
            let (victim, _) = start(2 * round)?;
            let begun = starts(&log)?;
            lapin_loop::fill(&channel, to, 1).await?;
            wait_for(&log, begun + 1)?;
            let (_heir, _) = start(2 * round + 1)?;
            let killed = Instant::now();
            victim.signal(Signal::KILL)?;
            wait_for(&log, begun + 2)?;
            millis.push(killed.elapsed().as_secs_f64() * 1e3);
        }
        let (p50, p99) = (at(&mut millis, 0.5) / 1e3, at(&mut millis, 1.0) / 1e3);
        let what = format!("a killed worker's ticket runs elsewhere, no launcher; of {KILLS}");
        let bound = LAPSE.as_secs_f64();
        table.bound(
            &what,
            format!("p50 {p50:.1} s, longest {p99:.1} s"),
            &format!("3 heartbeats, {bound} s"),
            p50 <= bound + 1.0,
        );
        bare.close().await;
        anyhow::Ok(())
    })
}

/// How many attempts have begun.
fn starts(log: &Path) -> anyhow::Result<usize> {
    Ok(std::fs::read_to_string(log)?.lines().count())
}

fn wait_for(log: &Path, count: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    while starts(log)? < count {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "the ticket is not started");
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
