//! How fast groups of records become bytes and records again:
//! `cargo run --release -p goaround-wire --example records`.

use domain::names::{Holder, Kind, StageName, Version};
use domain::oops::{Scene, Span};
use domain::outcome::{OutcomeKind, Usage};
use domain::record::{Fate, Parted, Record, Said, Started};
use domain::settlement::Ended;
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const GROUP: u32 = 512;
const ROUNDS: u32 = 2_000;
const AT: Timestamp = Timestamp::from_micros(1_795_269_802_120_000);

fn name(n: u32) -> Name {
    let mut id = [0x5a; 16];
    id[12..].copy_from_slice(&n.to_be_bytes());
    Name::first(TicketId::from_bytes(id))
}

fn stage(n: u32) -> StageName {
    StageName::new(["fetch", "build", "test", "publish"][n as usize % 4]).expect("a stage")
}

fn ticket(n: u32) -> Ticket {
    Ticket {
        name: name(n),
        kind: Kind::new("package").expect("a kind"),
        flow: Some("release".parse().expect("a flow")),
        stage: stage(n),
        key: Some(format!("key-{n}").parse().expect("a key")),
        payload: Payload::json(format!("{{\"number\": {n}, \"text\": \"some more\"}}")),
        deadline: None,
        created_at: AT,
        lineage: Lineage::root(name(n).ticket),
        trace: None,
    }
}

fn started(n: u32, scene: &Arc<Scene>) -> Started {
    Started {
        name: name(n),
        stage: stage(n),
        scene: scene.clone(),
        ticket: None,
        claimed: false,
    }
}

fn ended(n: u32, scene: &Arc<Scene>) -> Parted {
    Parted {
        name: name(n),
        stage: stage(n),
        ended: Some(Ended {
            span: Span {
                started_at: AT,
                ended_at: AT.plus(Duration::from_millis(3)),
            },
            outcome: OutcomeKind::Done,
            oops: None,
            usage: Usage {
                memory_bytes_max: Some(4_000_000),
                cpu_user: Some(Duration::from_micros(1_200)),
                cpu_system: Some(Duration::from_micros(300)),
            },
            scene: scene.clone(),
            signature: None,
        }),
        to: Fate::Forwarded(stage(n + 1)),
        emits: Vec::new(),
    }
}

fn measure(what: &str, records: &[Record]) {
    let bytes = wire::record::encode(records);
    assert_eq!(wire::record::decode(&bytes).as_deref(), Ok(records));
    let encoding = Instant::now();
    for _ in 0..ROUNDS {
        black_box(wire::record::encode(black_box(records)));
    }
    let encoding = encoding.elapsed();
    let decoding = Instant::now();
    for _ in 0..ROUNDS {
        black_box(wire::record::decode(black_box(&bytes)).is_ok());
    }
    let decoding = decoding.elapsed();
    let count = u128::from(ROUNDS) * records.len() as u128;
    println!(
        "{what}: {} bytes, encoded in {} ns and decoded in {} ns a record",
        bytes.len() / records.len(),
        encoding.as_nanos() / count,
        decoding.as_nanos() / count,
    );
}

fn main() {
    let holder = Holder::new("worker-host-1/4242-1795269802").expect("a holder");
    let scene = Arc::new(Scene {
        holder: holder.clone(),
        hostname: "worker-host-1".into(),
        version: Version::new("1.2.3").expect("a version"),
    });
    let group = |said: &dyn Fn(u32) -> Said| -> Vec<Record> {
        let record = |n| Record {
            by: holder.clone(),
            at: AT,
            said: said(n),
        };
        (0..GROUP).map(record).collect()
    };
    let begins = group(&|n| Said::Started(Box::new(started(n, &scene))));
    let ends = group(&|n| Said::Ended(Box::new(ended(n, &scene))));
    let carried = group(&|n| {
        Said::Started(Box::new(Started {
            ticket: Some(Box::new(ticket(n))),
            ..started(n, &scene)
        }))
    });
    measure("512 started", &begins);
    measure("512 ended", &ends);
    measure("512 started + 512 ended", &[begins, ends].concat());
    measure("512 started with their tickets", &carried);
}
