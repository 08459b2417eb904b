#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes_without_reason,
    clippy::allow_attributes,
    missing_docs
)]
use amqp::*;
use domain::control::Snapshot;
use domain::delivery::*;
use domain::flow::*;
use domain::names::*;
use domain::oops::Scene;
use domain::outcome::*;
use domain::ports::*;
use domain::ticket::*;
use domain::time::Timestamp;
use futures_util::{FutureExt, StreamExt};
use lapin::options::*;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::*;
use std::time::{Duration, Instant};

struct C;
impl Clock for C {
    fn now(&self) -> Timestamp {
        let d = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        Timestamp::from_micros(d.as_micros() as i64)
    }
    fn chance(&self) -> domain::retry::Chance {
        domain::retry::Chance::new(0.5)
    }
    fn ticket_id(&self) -> TicketId {
        TicketId::new(uuid::Uuid::now_v7())
    }
}

fn stage(n: &str) -> StageName {
    StageName::new(n).unwrap()
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let rabbit = (a[1] == "-").then(|| {
        testkit::partners::rabbitmq::Rabbit::start(testkit::partners::rabbitmq::Version::V310)
            .unwrap()
    });
    let url = rabbit.as_ref().map_or(a[1].clone(), |r| r.url());
    let n: usize = a[2].parse().unwrap();
    let mode = a[3].as_str();
    let stages: usize = a[4].parse().unwrap();
    let max: usize = a.get(5).map_or(64, |x| x.parse().unwrap());
    let mut config = Config::new(&url).unwrap();
    let prefix = format!("b{}", uuid::Uuid::now_v7().simple());
    config.names = Names::new(&prefix)
        .unwrap()
        .with_oopses(&format!("{prefix}.o"));
    let names: Vec<StageName> = (1..=stages).map(|i| stage(&format!("s{i}"))).collect();
    let rules = names
        .iter()
        .map(|n| {
            let mut s = Stage::new(n.clone());
            s.concurrency = NonZeroUsize::new(64).unwrap();
            s.deadline = Duration::from_secs(60);
            s
        })
        .collect();
    let flow = FlowName::new("f").unwrap();
    let flows =
        Arc::new(Flows::new(rules, BTreeMap::from([(flow.clone(), names.clone())])).unwrap());
    let controller = Controller::start(
        config.clone(),
        &names,
        Arc::new(C),
        Holder::new("c").unwrap(),
    )
    .await
    .unwrap();
    let now = C.now();
    let t = Instant::now();
    for _ in 0..n / 1000 {
        let tickets: Vec<Ticket> = (0..1000)
            .map(|_| {
                let id = C.ticket_id();
                Ticket {
                    name: Name::first(id),
                    kind: Kind::unnamed(),
                    flow: Some(flow.clone()),
                    stage: names[0].clone(),
                    key: None,
                    payload: Payload::untyped(vec![b'x'; 64]),
                    deadline: None,
                    created_at: now,
                    lineage: Lineage::root(id),
                    trace: None,
                }
            })
            .collect();
        assert!(
            controller
                .publish(tickets)
                .await
                .iter()
                .all(|s| *s == Sent::Confirmed)
        );
    }
    println!(
        "published {} in {:?}: {:.0}/s",
        n,
        t.elapsed(),
        n as f64 / t.elapsed().as_secs_f64()
    );
    if mode == "bare" {
        bare(&config, &url, &names, n).await;
    } else {
        ours(config, flows, names, n, max, &controller).await;
    }
}

fn cpu() -> (f64, f64) {
    let me = std::process::id();
    let (mut own, mut broker) = (0.0, 0.0);
    for e in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(e.path().join("stat")) else {
            continue;
        };
        let Some((head, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        let f: Vec<&str> = rest.split_whitespace().collect();
        let secs = (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0;
        let pid: u32 = head.split(' ').next().unwrap().parse().unwrap();
        if pid == me {
            own = secs;
        }
        if head.contains("beam.smp") && f[1].parse::<u32>().unwrap() == me {
            broker += secs;
        }
    }
    (own, broker)
}

async fn ours(
    config: Config,
    flows: Arc<Flows>,
    names: Vec<StageName>,
    n: usize,
    max: usize,
    controller: &Controller,
) {
    let settings = WorkerSettings {
        holder: Holder::new("w").unwrap(),
        hostname: "h".into(),
        flows: flows.clone(),
        versions: Arc::new(BTreeMap::new),
        clock: Arc::new(C),
        payload_bytes_max: 1 << 20,
    };
    let worker = Worker::start(config, settings).await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for name in names.clone() {
        let (worker, flows, done) = (worker.clone(), flows.clone(), done.clone());
        let last = name == *names.last().unwrap();
        tasks.spawn(async move {
            let mut c = worker
                .consume(&name, NonZeroUsize::new(64 + 1024).unwrap())
                .await
                .unwrap();
            let rules = flows.stage(&name).unwrap().clone();
            let scene = Arc::new(Scene {
                holder: Holder::new("w").unwrap(),
                hostname: "h".into(),
                version: Version::new("1").unwrap(),
            });
            let mut settling = tokio::task::JoinSet::new();
            loop {
                while settling.len() >= std::env::var("FLY").map_or(4, |x| x.parse().unwrap()) {
                    settling.join_next().await;
                }
                let group = c.next(NonZeroUsize::new(max).unwrap()).await.unwrap();
                let fresh: Vec<_> = group
                    .into_iter()
                    .map(|i| match i {
                        Incoming::Fresh(d) => d,
                        o => panic!("{o:?}"),
                    })
                    .collect();
                let (worker, flows, rules, done, scene) = (
                    worker.clone(),
                    flows.clone(),
                    rules.clone(),
                    done.clone(),
                    scene.clone(),
                );
                let start = Start { scene, at: C.now() };
                let started = Broker::start(&*worker, fresh, &start).await.unwrap();
                settling.spawn(async move {
                    let group: Vec<_> = started
                        .into_iter()
                        .map(|s| {
                            s.performed(Outcome::Done(Done::default()).into(), C.now())
                                .nothing_to_report()
                                .unwrap()
                                .decide(&Decision {
                                    stage: &rules,
                                    flows: &flows,
                                    now: C.now(),
                                    chance: C.chance(),
                                })
                        })
                        .collect();
                    let k = group.len();
                    worker.settle(group).await.unwrap();
                    if last {
                        done.fetch_add(k, Ordering::Relaxed);
                    }
                });
            }
        });
    }
    let before = cpu();
    let t = Instant::now();
    controller
        .spread(&Snapshot {
            revision: 1,
            ..Snapshot::default()
        })
        .await
        .unwrap();
    while done.load(Ordering::Relaxed) < n {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!(
        "ours: {n} through {} stages in {:?}: {:.0}/s {:?}",
        names.len(),
        t.elapsed(),
        n as f64 / t.elapsed().as_secs_f64(),
        worker.tally()
    );
    let after = cpu();
    println!(
        "cpu us/ticket: own {:.1} broker {:.1}",
        (after.0 - before.0) * 1e6 / n as f64,
        (after.1 - before.1) * 1e6 / n as f64
    );
    tasks.shutdown().await;
}

async fn bare(config: &Config, url: &str, names: &[StageName], n: usize) {
    let before = cpu();
    let c = lapin::Connection::connect(url, Default::default())
        .await
        .unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    let t = Instant::now();
    for (i, name) in names.iter().enumerate() {
        let ch = c.create_channel().await.unwrap();
        let p = c.create_channel().await.unwrap();
        p.confirm_select(Default::default()).await.unwrap();
        ch.basic_qos(512, Default::default()).await.unwrap();
        let cons = ch
            .basic_consume(
                config.names.stage(name).as_str().into(),
                "".into(),
                BasicConsumeOptions::default(),
                Default::default(),
            )
            .await
            .unwrap();
        let next = names.get(i + 1).cloned();
        let ex = config.names.exchange().to_string();
        let done = done.clone();
        tasks.spawn(async move {
            cons.for_each_concurrent(64, |d| {
                let (p, next, ex, done) = (&p, &next, &ex, &done);
                async move {
                    let d = d.unwrap();
                    if let Some(next) = next {
                        let confirm = p
                            .basic_publish(
                                ex.as_str().into(),
                                next.as_str().into(),
                                Default::default(),
                                &d.data,
                                d.properties.clone(),
                            )
                            .await
                            .unwrap();
                        confirm.await.unwrap();
                    }
                    d.ack(Default::default()).await.unwrap();
                    if next.is_none() {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
            .await;
        });
    }
    while done.load(Ordering::Relaxed) < n {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    println!(
        "bare: {n} through {} stages in {:?}: {:.0}/s",
        names.len(),
        t.elapsed(),
        n as f64 / t.elapsed().as_secs_f64()
    );
    let after = cpu();
    println!(
        "cpu us/ticket: own {:.1} broker {:.1}",
        (after.0 - before.0) * 1e6 / n as f64,
        (after.1 - before.1) * 1e6 / n as f64
    );
    let _x = async {}.now_or_never();
}
