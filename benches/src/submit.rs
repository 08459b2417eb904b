//! Submitting: one large file through the command line, and many callers at once.

use crate::up::Up;
use crate::{Size, bare, noop, table::Table, table::median};
use std::fmt::Write as _;
use std::time::Instant;

const SUBMITTERS: usize = 64;

/// A stage on which nothing runs: the one worker waits, so that submitting is measured alone.
const CONFIG: &str = "[flow.bench]\nstages = [\"s1\"]\n[stage.s1]\nrun = [\"/bin/sleep\", \"600\"]\nconcurrency = 1\nstop_grace = \"100ms\"\n[shutdown]\ndrain = \"0s\"\n";

pub(crate) fn from_file(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let config = scratch.path().join("goaround.toml");
    std::fs::write(&config, CONFIG)?;
    let file = scratch.path().join("tickets.jsonl");
    let mut lines = String::new();
    for n in 0..size.tickets {
        writeln!(lines, r#"{{"flow":"bench","payload":"{n:064}"}}"#)?;
    }
    std::fs::write(&file, lines)?;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..size.rounds {
        let folder = tempfile::tempdir()?;
        bare.push(bare::insert(folder.path(), size.tickets)?);
        let (up, _) = Up::start(&config, &scratch.path().join(format!("data{round}")))?;
        let start = Instant::now();
        up.goaround(&["submit", "--jsonl", &file.to_string_lossy()])?;
        ours.push(size.tickets as f64 / start.elapsed().as_secs_f64());
    }
    table.rates(
        "submit of one JSONL file by the command line",
        &mut bare,
        &mut ours,
        0.5,
    );
    Ok(())
}

pub(crate) fn concurrent(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let mut rounds = Vec::new();
    for _ in 0..size.rounds {
        let folder = tempfile::tempdir()?;
        rounds.push(submitters(folder.path(), size.tickets)?);
    }
    let rate = median(&mut rounds);
    let what = "64 submitters at once, each answered after its fsync";
    table.bound(
        what,
        format!("{rate:.0}/s"),
        ">= 50,000/s",
        rate >= 50_000.0,
    );
    Ok(())
}

fn submitters(folder: &std::path::Path, tickets: usize) -> anyhow::Result<f64> {
    actix_rt::System::new().block_on(async {
        let (line, _) = noop::line(folder, noop::flows(1, 1))?;
        let line = std::rc::Rc::new(line);
        let each = tickets / SUBMITTERS;
        let start = Instant::now();
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..SUBMITTERS {
            let line = std::rc::Rc::clone(&line);
            callers.spawn_local(async move {
                let desk = line.desk();
                for _ in 0..each {
                    // Made when it is submitted, as by the API: ids of one moment lie together.
                    desk.submit(noop::tickets(&line, 1)).await?;
                }
                Ok::<_, domain::ports::StoreError>(())
            });
        }
        while let Some(caller) = callers.join_next().await {
            caller??;
        }
        Ok((each * SUBMITTERS) as f64 / start.elapsed().as_secs_f64())
    })
}
