//! Command handlers: one `/bin/true` a ticket, beside a bare loop that spawns and waits.

use crate::{Size, bare, noop, table::Table};
use actix_rt::Arbiter;
use domain::names::StageName;
use domain::ports::Handler;
use handlers::{Exec, ExecConfig, Limits, Spawner, SpawnerCommand};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Commands of one round: spawning is a hundred times slower than a no-op.
const SHARE: usize = 20;

pub(crate) fn small(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    compare("/bin/true a ticket, concurrency = cores", 0.85, size, table)
}

pub(crate) fn large(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let heap = vec![1u8; 1 << 30];
    compare(
        "the same with a heap of 1 GiB in the parent",
        0.75,
        size,
        table,
    )?;
    anyhow::ensure!(
        std::hint::black_box(&heap)
            .iter()
            .step_by(4096)
            .all(|b| *b == 1)
    );
    Ok(())
}

fn compare(what: &str, floor: f64, size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    let count = size.tickets / SHARE;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        bare.push(bare::spawn(count, cores)?);
        let folder = tempfile::tempdir()?;
        ours.push(through_the_line(folder.path(), count, cores)?);
    }
    table.rates(what, &mut bare, &mut ours, floor);
    Ok(())
}

fn through_the_line(folder: &Path, count: usize, cores: usize) -> anyhow::Result<f64> {
    actix_rt::System::new().block_on(async {
        let (line, finished) = noop::line(folder, noop::flows(1, cores))?;
        noop::submit(&line, count).await?;
        let program = std::env::current_exe()?;
        let spawner = Spawner::start(SpawnerCommand {
            program,
            args: vec!["--spawner".into()],
        })?;
        let stage: StageName = noop::constant("s1");
        let handlers = BTreeMap::from([(stage, exec(folder, &spawner)?)]);
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        let start = Instant::now();
        let running = line.start(handlers, Box::new(move |_, _| handle.clone()));
        finished.wait_for(count).await;
        let seconds = start.elapsed().as_secs_f64();
        running.drain(Duration::from_secs(10)).await;
        arbiter.stop();
        spawner.close().await;
        line.close();
        Ok(count as f64 / seconds)
    })
}

fn exec(folder: &Path, spawner: &Spawner) -> anyhow::Result<Arc<dyn Handler>> {
    let config = ExecConfig {
        command: vec!["/bin/true".into()],
        folder: folder.to_owned(),
        env: BTreeMap::new(),
        version: None,
        limits: Limits::default(),
        callback_url: None,
        // The store has a lock of its own in the folder itself.
        work_folder: folder.join("work"),
    };
    Ok(Arc::new(Exec::new(config, spawner.clone())?))
}
