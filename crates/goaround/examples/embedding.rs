//! The program of a Rust team: a worker whose handler is part of it, on its own broker and store
//! (`one DOOR FOLDER KINDS`) or on servers (`servers DOOR URL PREFIX`).
//!
//! Its handler does what none should: at the first attempt of a ticket of the kind `blocks` it
//! blocks its thread until there is a file, the door. What happens is said on the standard output:
//! `oops`, `done` and `lost`, with ticket and attempt.

use actix_rt::{Arbiter, System};
use actors::root::Arbiters;
use anyhow::Context as _;
use async_trait::async_trait;
use domain::event::{Event, Loss, SettledAs};
use domain::flow::{Flows, Stage};
use domain::names::{Kind, StageName, Version};
use domain::outcome::{Attempted, Outcome};
use domain::ports::{Context, Handler, Inspection, Observer};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use goaround::line::{Ground, Line, LineConfig, WorkerLine};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

struct Blocking {
    door: PathBuf,
    version: Version,
}

#[async_trait]
impl Handler for Blocking {
    async fn handle(&self, ticket: Arc<Ticket>, _: Context) -> Attempted {
        if ticket.kind.as_str() == "blocks" && ticket.name.attempt.0 == 1 {
            while !self.door.exists() {
                std::thread::sleep(LOOK_EVERY);
            }
        }
        Outcome::done().into()
    }

    fn inspect(&self) -> Inspection {
        Inspection {
            version: self.version.clone(),
            obstacle: None,
        }
    }
}

struct Speaker;

impl Observer for Speaker {
    #[expect(clippy::print_stdout, reason = "it is how the test hears of it")]
    fn observe(&self, _: Timestamp, event: &Event) {
        match event {
            Event::OopsRecorded { name, .. } => println!("oops {} {}", name.ticket, name.attempt),
            Event::TicketSettled {
                name,
                settled: SettledAs::Finished,
                ..
            } => println!("done {} {}", name.ticket, name.attempt),
            Event::SupervisorLost { why, .. } => println!("lost {}", why.as_str()),
            _ => {}
        }
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| {
        arguments
            .next()
            .with_context(|| format!("{what} is missing"))
    };
    let (way, door) = (next("which line")?, PathBuf::from(next("the door")?));
    let place = next("the place")?;
    let rest = next("the kinds or the prefix")?;
    System::new().block_on(async {
        match way.as_str() {
            "one" => of_one(place.into(), door, &rest).await,
            _ => of_servers(&place, door, &rest).await,
        }
    })
}

/// Everything in this process; submits a ticket of each of these kinds first.
async fn of_one(folder: PathBuf, door: PathBuf, kinds: &str) -> anyhow::Result<()> {
    let mut config = LineConfig::new(folder, flows()?);
    config.observers.push(Arc::new(Speaker));
    let line = Line::open(config)?;
    let _running = line.start(handlers(door)?, arbiters());
    for kind in kinds.split_terminator(',') {
        let id = line.clock().ticket_id();
        let ticket = Ticket {
            kind: Kind::new(kind)?,
            ..Ticket::new(id, work()?, line.clock().now())
        };
        line.desk().submit(vec![ticket]).await?;
    }
    std::future::pending().await
}

async fn of_servers(url: &str, door: PathBuf, prefix: &str) -> anyhow::Result<()> {
    let mut broker = amqp::Config::new(url)?;
    broker.names = amqp::Names::new(prefix)?;
    let ground = Ground::new(flows()?, vec![Arc::new(Speaker)])?;
    let handlers = handlers(door)?;
    let line = WorkerLine::open(broker, &ground, &handlers, PAYLOAD_BYTES_MAX).await?;
    let _running = line.start(handlers, arbiters());
    std::future::pending().await
}

fn work() -> anyhow::Result<StageName> {
    Ok("work".parse()?)
}

fn flows() -> anyhow::Result<Flows> {
    let mut stage = Stage::new(work()?);
    stage.concurrency = NonZeroUsize::MIN.saturating_add(1);
    stage.deadline = DEADLINE;
    Flows::new(vec![stage], BTreeMap::new()).map_err(|bad| anyhow::anyhow!("{bad:?}"))
}

fn handlers(door: PathBuf) -> anyhow::Result<BTreeMap<StageName, Arc<dyn Handler>>> {
    let version = Version::new("1")?;
    let handler = Arc::new(Blocking { door, version });
    Ok(BTreeMap::from([(work()?, handler as Arc<dyn Handler>)]))
}

/// A thread for the stage, and another one after a freeze.
fn arbiters() -> Arbiters {
    let threads = Mutex::new(vec![Arbiter::new()]);
    Box::new(move |_, last| {
        let mut threads = threads.lock().unwrap_or_else(|error| error.into_inner());
        if last == Some(Loss::Frozen) {
            threads.push(Arbiter::new());
        }
        threads
            .last()
            .map_or_else(Arbiter::current, Arbiter::handle)
    })
}
