//! How many attempts a second the ledger records on a PostgreSQL of its own, with fsync.
//!
//! `cargo run --release -p goaround-store --example postgres_speed [RECORDS_A_GROUP] [GROUPS]`

use domain::delivery::Ended;
use domain::flow::Flows;
use domain::names::{Holder, Kind, StageName, Version};
use domain::oops::{Scene, Span};
use domain::outcome::{OutcomeKind, Usage};
use domain::ports::{Catalog, Clock, Desk, Election, Ledger, Sent};
use domain::record::{Fate, Parted, Record, Said, Started};
use domain::ticket::{Lineage, Name, Payload, Ticket};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Postgres, PostgresConfig};
use testkit::clock::TestClock;
use testkit::partners::postgres::PostgresServer;

/// The payload of each ticket, in bytes.
const PAYLOAD: usize = 512;

struct Bench {
    clock: Arc<TestClock>,
    scene: Arc<Scene>,
    stages: [StageName; 3],
}

impl Bench {
    fn new() -> Self {
        let scene = Scene {
            holder: Holder::new("worker-7f9c/1@1795269802").expect("a holder"),
            hostname: "worker-7f9c".into(),
            version: Version::new("2026.11.1").expect("a version"),
        };
        Self {
            clock: Arc::new(TestClock::new(1)),
            scene: Arc::new(scene),
            stages: ["build", "test", "publish"].map(|name| StageName::new(name).expect("a stage")),
        }
    }

    fn ticket(&self) -> Ticket {
        let id = self.clock.ticket_id();
        Ticket {
            name: Name::first(id),
            kind: Kind::unnamed(),
            flow: None,
            stage: self.stages[0].clone(),
            key: None,
            payload: Payload::untyped(vec![7; PAYLOAD]),
            deadline: None,
            created_at: self.clock.now(),
            lineage: Lineage::root(id),
            trace: None,
        }
    }

    fn record(&self, said: Said) -> Record {
        Record {
            by: self.scene.holder.clone(),
            at: self.clock.now(),
            said,
        }
    }

    fn started(&self, ticket: &Ticket, hop: usize) -> Record {
        self.record(Said::Started(Box::new(Started {
            name: name(ticket, hop),
            stage: self.stages[hop].clone(),
            scene: Arc::clone(&self.scene),
            ticket: None,
            claimed: false,
        })))
    }

    fn ended(&self, ticket: &Ticket, hop: usize) -> Record {
        let now = self.clock.now();
        let ended = Ended {
            span: Span {
                started_at: now,
                ended_at: now,
            },
            outcome: OutcomeKind::Done,
            oops: None,
            usage: Usage::default(),
            scene: Arc::clone(&self.scene),
            signature: None,
        };
        let to = self.stages.get(hop + 1).cloned();
        self.record(Said::Ended(Box::new(Parted {
            name: name(ticket, hop),
            stage: self.stages[hop].clone(),
            ended: Some(ended),
            to: to.map_or(Fate::Finished, Fate::Forwarded),
            emits: Vec::new(),
        })))
    }
}

fn name(ticket: &Ticket, hop: usize) -> Name {
    (0..hop).fold(ticket.name, |name, _| name.handed_on())
}

fn told(what: &str, count: usize, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    println!("{what:<44} {count:>8} in {took:>8.2?} = {rate:>8.0} a second");
}

async fn submit_and_publish(
    bench: &Bench,
    store: &Postgres,
    ledger: &Arc<dyn Ledger>,
    (group, groups): (usize, usize),
) -> Vec<Vec<Ticket>> {
    let batches: Vec<Vec<Ticket>> = (0..groups)
        .map(|_| (0..group).map(|_| bench.ticket()).collect())
        .collect();
    let begun = Instant::now();
    for batch in &batches {
        store.submit(batch.clone()).await.expect("accepted");
    }
    told("submitted", group * groups, begun.elapsed());
    let begun = Instant::now();
    let max = NonZeroUsize::new(group).expect("not zero");
    for _ in 0..groups {
        let dues = ledger.due(bench.clock.now(), max).await.expect("due");
        let names = || dues.due.iter().map(|due| due.ticket.name);
        for sent in [Sent::Begun, Sent::Confirmed] {
            let sent = names().map(|name| (name, sent)).collect();
            ledger.sent(sent).await.expect("sent");
        }
    }
    told(
        "found due, begun, confirmed",
        group * groups,
        begun.elapsed(),
    );
    batches
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |or: usize| {
        arguments
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(or)
    };
    let (records, groups) = (number(4_000), number(30));
    let group = records / 2;
    let server = PostgresServer::start().expect("PostgreSQL is installed");
    let bench = Bench::new();
    let clock: Arc<dyn Clock> = bench.clock.clone();
    let config = PostgresConfig::new(server.create_database("speed"));
    let holder = Holder::new("controller/1").expect("a holder");
    let opened = Postgres::open(config, Arc::new(Flows::default()), clock, holder).await;
    let store = opened.expect("it opens");
    let ledger = store.lead().await.expect("it leads");
    let batches = submit_and_publish(&bench, &store, &ledger, (group, groups)).await;
    for (what, is_apart) in [
        ("attempts, start and end in one group", false),
        ("attempts, start and end apart", true),
    ] {
        let hop = usize::from(is_apart);
        let begun = Instant::now();
        for batch in &batches {
            let started: Vec<_> = batch
                .iter()
                .map(|ticket| bench.started(ticket, hop))
                .collect();
            let ended: Vec<_> = batch
                .iter()
                .map(|ticket| bench.ended(ticket, hop))
                .collect();
            if is_apart {
                ledger.apply(started).await.expect("applied");
                ledger.apply(ended).await.expect("applied");
            } else {
                ledger
                    .apply([started, ended].concat())
                    .await
                    .expect("applied");
            }
        }
        told(what, group * groups, begun.elapsed());
    }
    let begun = Instant::now();
    let balance = store.balance(None).await.expect("the sums");
    println!("sums in {:?}: {balance:?}", begun.elapsed());
}
