//! The two workers of the house, each in a process of its own like everybody else's: this program,
//! started again with `--peer NAME fill|work N`.

use super::peer::Peer;
use crate::afar::{Afar, CONCURRENCY, Plan};
use crate::lapin_loop::{self, Bare};
use crate::noop;
use crate::servers::Place;
use anyhow::Context as _;
use domain::flow::Journal;
use std::path::PathBuf;
use testkit::partners::setting;

const PLAN: Plan = Plan {
    stages: 1,
    concurrency: CONCURRENCY,
    journal: Journal::Full,
};

enum Task {
    Fill(usize),
    Work(usize),
}

/// What such a process does.
pub(crate) fn main(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let name = arguments.next();
    let what = arguments.next();
    let count = arguments.next().context("no number of tickets")?.parse()?;
    let task = match what.as_deref() {
        Some("fill") => Task::Fill(count),
        Some("work") => Task::Work(count),
        other => anyhow::bail!("expected fill or work, got {other:?}"),
    };
    let place = Place {
        broker: told("PEERS_URL")?,
        prefix: told("PEERS_QUEUE")?,
        store: told("PEERS_STORE")?,
    };
    let is_ours = name == Some(format!("{:?}", Peer::Ours));
    actix_rt::System::new().block_on(async {
        if is_ours {
            ours(place, task).await
        } else {
            lapin(&place, task).await
        }
    })
}

/// The worker of `goaround worker`, its controller held still while it works.
async fn ours(place: Place, task: Task) -> anyhow::Result<()> {
    let afar = Afar::start(place, PLAN, "[\"/bin/true\"]").await?;
    let worker = afar.worker(noop::handlers_of(&PLAN.flows())).await?;
    match task {
        // The queue is there, since the worker has declared it.
        Task::Fill(count) => {
            let bare = Bare::connect(&afar.place.broker, "fill").await?;
            let to = (afar.place.prefix.as_str(), "s1");
            lapin_loop::fill(&bare.publisher().await?, to, count).await?;
            bare.close().await;
        }
        Task::Work(count) => {
            afar.freeze()?;
            let worker = worker.start();
            let worked = until_told(async {
                worker.finished.wait_for(1).await;
                tell(1)?;
                worker.finished.wait_for(count).await;
                tell(count)
            })
            .await;
            afar.thaw()?;
            worker.close().await;
            worked?;
        }
    }
    Ok(())
}

async fn lapin(place: &Place, task: Task) -> anyhow::Result<()> {
    let bare = Bare::connect(&place.broker, &place.prefix).await?;
    bare.declare(PLAN.stages).await?;
    match task {
        Task::Fill(count) => {
            let queue = bare.queue(0);
            lapin_loop::fill(&bare.publisher().await?, ("", &queue), count).await?;
        }
        Task::Work(count) => {
            let drained = until_told(async {
                tell(1)?; // Some milliseconds before its first one.
                bare.drain(count, PLAN.stages).await?;
                tell(count)
            });
            drained.await?;
        }
    }
    bare.close().await;
    Ok(())
}

/// Does the work, and stays until who measures has let go of the pipe.
async fn until_told(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let (told, mut is_told) = tokio::sync::oneshot::channel();
    // A thread of its own, because nothing ends a read that is under way.
    std::thread::spawn(move || {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).ok(); // An error is an end too.
        told.send(()).ok(); // Nobody may be left to hear it.
    });
    tokio::select! {
        worked = work => worked?,
        _ = &mut is_told => return Ok(()),
    }
    is_told.await.ok(); // It is told or gone, which is the same.
    Ok(())
}

/// Writes down how many were handled.
fn tell(count: usize) -> anyhow::Result<()> {
    let file = PathBuf::from(told("PEERS_COUNTS")?).join("count");
    Ok(std::fs::write(file, (count as u64).to_le_bytes())?)
}

fn told(name: &str) -> anyhow::Result<String> {
    setting(name).with_context(|| format!("{name} is not set: who measures sets it"))
}
