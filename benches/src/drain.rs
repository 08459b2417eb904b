//! Draining a full queue: what supervision, the books and the history cost beside bare SQLite.

use crate::{Size, bare, noop, table::Table};
use actix_rt::Arbiter;
use domain::names::StageName;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const CONCURRENCY: usize = 256;

pub(crate) fn one_stage(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    compare("drain, one stage", (1, 0.35), size, table)
}

pub(crate) fn three_stages(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    compare("hand-off through three stages", (3, 0.5), size, table)
}

fn compare(
    what: &str,
    (stages, floor): (usize, f64),
    size: &Size,
    table: &mut Table,
) -> anyhow::Result<()> {
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        let folder = tempfile::tempdir()?;
        bare.push(bare::drain(
            folder.path(),
            size.tickets,
            i64::try_from(stages)?,
        )?);
        let folder = tempfile::tempdir()?;
        ours.push(drained(folder.path(), stages, size.tickets)?);
    }
    table.rates(what, &mut bare, &mut ours, floor);
    Ok(())
}

/// Submits the tickets first, then lets the workers at them; how many a second are done for good.
pub(crate) fn drained(folder: &Path, stages: usize, tickets: usize) -> anyhow::Result<f64> {
    actix_rt::System::new().block_on(async {
        let (line, finished) = noop::line(folder, noop::flows(stages, CONCURRENCY))?;
        noop::submit(&line, tickets).await?;
        let start = Instant::now();
        // A thread for each stage, as in `goaround up`.
        let threads: BTreeMap<StageName, Arbiter> = line
            .flows()
            .stages()
            .iter()
            .map(|stage| (stage.name.clone(), Arbiter::new()))
            .collect();
        let handles: BTreeMap<_, _> = threads
            .iter()
            .map(|(stage, thread)| (stage.clone(), thread.handle()))
            .collect();
        let running = line.start(
            noop::handlers(&line),
            Box::new(move |stage, _| handles[stage].clone()),
        );
        finished.wait_for(tickets).await;
        let seconds = start.elapsed().as_secs_f64();
        let balance = line.catalog().balance(None).await?;
        anyhow::ensure!(
            balance.is_balanced(),
            "the books do not balance: {balance:?}"
        );
        running.drain(Duration::from_secs(10)).await;
        threads.values().for_each(|thread| {
            thread.stop();
        });
        line.close();
        Ok(tickets as f64 / seconds)
    })
}
