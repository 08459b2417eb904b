//! The real `goaround worker` on RabbitMQ: what it costs when it has nothing to do, and how soon
//! its ticket runs elsewhere when it is killed.

use crate::afar::{Afar, CONCURRENCY, Plan};
use crate::lapin_loop::{self, Bare};
use crate::latency::at;
use crate::table::Table;
use crate::up::Up;
use crate::{Size, cpu};
use anyhow::Context as _;
use domain::fleet::LAPSE;
use domain::flow::Journal;
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::time::{Duration, Instant};

const PLAN: Plan = Plan {
    stages: 1,
    concurrency: CONCURRENCY,
    journal: Journal::Full,
};
/// A worker that dies with nobody to tell of it, as with its whole host.
const ALONE: [&str; 2] = ["worker", "--no-launcher"];
const UNDER_LAUNCHER: [&str; 1] = ["worker"];
/// What is done once at the start is not idling.
const START_OVER: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(20);
/// Of workers under their launchers: the middle one of few says little.
const KILLS: usize = 15;
const KILLS_OF_HOSTS: usize = 5;
/// How long a killed worker's ticket may take to run elsewhere, before we give up.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(2);

pub(crate) fn idle(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let servers = size.servers()?;
    actix_rt::System::new().block_on(async {
        let afar = Afar::start(servers.place(), PLAN, "[\"/bin/true\"]").await?;
        let folder = tempfile::tempdir()?;
        let (worker, _) = Up::start_as(&ALONE, afar.config(), folder.path())?;
        std::thread::sleep(START_OVER);
        let before = cpu::of_threads(worker.pid())?;
        std::thread::sleep(IDLE);
        let used = cpu::of_threads(worker.pid())?.saturating_sub(before);
        let busy = 100.0 * used.as_secs_f64() / IDLE.as_secs_f64();
        let what = "idle worker process, CPU";
        table.bound(what, format!("{busy:.2} %"), "0.0 %", busy < 0.05);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let (pss, rss) = (
            mib(cpu::proportional_bytes(worker.pid())?),
            mib(worker.resident_bytes()?),
        );
        // As the figures of others are given.
        let what = "idle worker process, memory (PSS)";
        let told = format!("{pss:.1} MiB (RSS {rss:.1})");
        table.bound(what, told, "<= 12 MiB", pss <= 12.0);
        anyhow::Ok(())
    })
}

pub(crate) fn recovery(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let servers = size.servers()?;
    actix_rt::System::new().block_on(async {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("starts");
        std::fs::write(&log, "")?;
        // The first attempt hangs until it is killed, the second lands. What is measured is not the
        // back-off.
        let run = format!(
            r#"["/bin/sh", "-c", "echo $PPID >> {}; test $GOAROUND_ATTEMPT -gt 1 || exec sleep 600"]
retry = {{ first = "1ms", jitter = 0.0 }}"#,
            log.display()
        );
        let afar = Afar::start(servers.place(), PLAN, &run).await?;
        // A leader that has just begun believes nobody dead before everybody could be heard.
        tokio::time::sleep(LAPSE * 2).await;
        let bare = Bare::connect(&servers.broker(), "recovery").await?;
        let to = (afar.place.prefix.as_str(), "s1");
        let channel = bare.publisher().await?;
        for (what, roles, kills, p50_max) in [
            ("under its launcher", &UNDER_LAUNCHER[..], KILLS, 0.05),
            (
                "with its host",
                &ALONE[..],
                KILLS_OF_HOSTS,
                LAPSE.as_secs_f64() + 1.0,
            ),
        ] {
            let mut seconds = Vec::new();
            for kill in 0..kills {
                let start = |who: &str| {
                    let home = folder.path().join(format!("{what}-{kill}-{who}"));
                    Up::start_as(roles, afar.config(), &home)
                };
                let (victim, _) = start("victim")?;
                let begun = starts(&log)?;
                lapin_loop::fill(&channel, to, 1).await?;
                wait_for(&log, begun + 1)?;
                let (_heir, _) = start("heir")?;
                // Its beginning is not part of what is measured.
                std::thread::sleep(START_OVER);
                let killed = Instant::now();
                kill_worker(&victim, roles.len() == ALONE.len())?;
                wait_for(&log, begun + 2)?;
                seconds.push(killed.elapsed().as_secs_f64());
            }
            let (p50, longest) = (at(&mut seconds, 0.5), at(&mut seconds, 1.0));
            let what = format!("worker killed {what}: its ticket runs again ({kills} kills)");
            let told = format!("p50 {p50:.3} s, longest {longest:.3} s");
            table.bound(&what, told, &format!("p50 {p50_max} s"), p50 <= p50_max);
        }
        bare.close().await;
        anyhow::Ok(())
    })
}

/// Kills the worker itself: the process that was started, or the one that its launcher has.
fn kill_worker(up: &Up, is_alone: bool) -> anyhow::Result<()> {
    if is_alone {
        return up.signal(Signal::KILL);
    }
    let children = cpu::children(up.pid())?;
    let child = children.first().and_then(|pid| i32::try_from(*pid).ok());
    let child = child
        .and_then(Pid::from_raw)
        .context("the launcher has no child")?;
    Ok(kill_process(child, Signal::KILL)?)
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
