//! Stages that fail as a whole, over the files: what the end of a process leaves behind, and what
//! a write that fails.

use crate::repair::{MANY, done, serving, settle};
use crate::support::{Bench, fresh, is_quiet, stage};
use domain::books::Place;
use domain::breaker::Rules;
use domain::delivery::{Delivery, Started};
use domain::flow::{Flows, Stage};
use domain::outcome::{Failure, Outcome};
use domain::plan::PlanId;
use domain::ports::{Broker, Catalog, Consumer, Desk, PlanOrder, Plans, Waits};
use std::collections::BTreeMap;
use std::time::Duration;

const PROBE: Duration = Duration::from_secs(60);

/// Nothing of the breakers can be written.
const STUCK: &str = "CREATE TRIGGER stuck BEFORE INSERT ON breakers
   BEGIN SELECT RAISE(ABORT, 'no room'); END";
/// Nor of those of the stage `weak`.
const WEAK_STUCK: &str = "CREATE TRIGGER stuck BEFORE INSERT ON breakers
   WHEN NEW.stage = (SELECT id FROM stages WHERE name = 'weak')
   BEGIN SELECT RAISE(ABORT, 'no room'); END";

/// Two stages with breakers.
fn flows() -> Flows {
    let stages = ["frail", "weak"].map(|name| Stage {
        breaker: Some(Rules::default()),
        ..Stage::new(stage(name))
    });
    Flows::new(stages.into(), BTreeMap::new()).unwrap()
}

/// A store whose stage fails as a whole, with so many tickets in its queue.
async fn tripped(count: usize) -> Bench {
    let mut bench = Bench::new();
    bench.reopen_with(flows());
    let now = bench.now();
    bench.store.serving(serving("1.0"), now).await.unwrap();
    trip(&bench, "frail", count).await;
    bench
}

async fn trip(bench: &Bench, name: &str, count: usize) {
    submit(bench, name, 20).await;
    let mut consumer = bench.consume(name, 20).await;
    let mut group = Vec::new();
    let started = bench.start(fresh(&mut *consumer, 20).await).await;
    for (n, started) in started.into_iter().enumerate() {
        let failure = Failure::new("Broken", format!("odd {}", "x".repeat(n + 1)));
        group.push(bench.settlement(started, Outcome::Failed(failure)).await);
    }
    settle(bench, group).await;
    submit(bench, name, count).await;
    let snapshot = bench.store.snapshot().await.unwrap();
    assert!(snapshot.gates.contains_key(&stage(name)));
}

async fn submit(bench: &Bench, name: &str, count: usize) {
    let tickets = (0..count).map(|_| bench.ticket(name)).collect();
    bench.store.submit(tickets).await.unwrap();
}

async fn is_shut(bench: &Bench) -> bool {
    let snapshot = bench.store.snapshot().await.unwrap();
    snapshot.gates.contains_key(&stage("frail"))
}

async fn round(bench: &Bench) {
    bench.store.release(bench.now(), MANY).await.unwrap();
}

/// The next canary has been let in, and started.
async fn canary(bench: &Bench, consumer: &mut dyn Consumer) -> Delivery<Started> {
    bench.clock.skip(PROBE);
    round(bench).await;
    bench.start(fresh(consumer, 1).await).await.remove(0)
}

/// Its canary has landed, and so many of the first step of its release are out.
async fn let_in(bench: &Bench, out: usize) -> PlanId {
    let mut consumer = bench.consume("frail", 100).await;
    let canary = canary(bench, &mut *consumer).await;
    let landed = bench.settlement(canary, done()).await;
    settle(bench, vec![landed]).await;
    round(bench).await;
    let mut group = Vec::new();
    let fresh = fresh(&mut *consumer, 10 - out).await;
    for started in bench.start(fresh).await {
        group.push(bench.settlement(started, done()).await);
    }
    settle(bench, group).await;
    let plan = bench.store.plans().await.unwrap().remove(0);
    assert_eq!(plan.counts.out(), out as u64);
    plan.id
}

async fn order(bench: &Bench, id: PlanId, order: PlanOrder) {
    bench.store.order(id, order, "ann").await.unwrap();
}

fn execute(bench: &Bench, sql: &str) {
    let db = rusqlite::Connection::open(bench.path.join("books.db")).unwrap();
    db.execute_batch(sql).unwrap();
}

fn live_plans(bench: &Bench) -> i64 {
    let db = rusqlite::Connection::open(bench.path.join("books.db")).unwrap();
    let count = "SELECT count(*) FROM plans WHERE is_live = 1";
    db.query_row(count, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_canary_of_a_stage_that_nobody_remembers_is_followed_by_the_next() {
    let mut bench = tripped(5).await;
    let mut consumer = bench.consume("frail", 1).await;
    let canary = canary(&bench, &mut *consumer).await;
    bench.store.close();
    drop((canary, consumer));
    // As after a power loss: what was committed is there, what was only written is not.
    std::fs::remove_file(bench.path.join("intents")).unwrap();
    bench.reopen_with(flows());
    let mut consumer = bench.consume("frail", 10).await;
    assert!(is_quiet(&mut *consumer).await, "a start is no permit");
    bench.clock.skip(PROBE);
    round(&bench).await;
    assert_eq!(fresh(&mut *consumer, 1).await.len(), 1);
    assert!(is_quiet(&mut *consumer).await);
}

#[tokio::test]
async fn a_canary_that_died_is_waited_for_until_it_is_judged() {
    let mut bench = tripped(5).await;
    let mut consumer = bench.consume("frail", 1).await;
    let canary = canary(&bench, &mut *consumer).await;
    bench.store.close();
    drop((canary, consumer));
    bench.reopen_with(flows());
    bench.clock.skip(PROBE * 2);
    round(&bench).await;
    let mut consumer = bench.consume("frail", 10).await;
    assert!(is_quiet(&mut *consumer).await);
    let tripped = bench.store.tripped(None).await.unwrap();
    assert_eq!(tripped[0].breaker.state.as_str(), "probing");
}

#[tokio::test]
async fn a_canary_that_did_not_start_is_followed_by_the_next() {
    let bench = tripped(5).await;
    trip(&bench, "weak", 5).await;
    bench.clock.skip(PROBE);
    round(&bench).await;
    let mut consumer = bench.consume("frail", 10).await;
    let mut taken = fresh(&mut *consumer, 1).await;
    taken.extend(fresh(&mut *bench.consume("weak", 10).await, 1).await);
    // The first one of the group is known as a canary by then.
    execute(&bench, WEAK_STUCK);
    let refused = bench.store.start(taken, &bench.start_now()).await;
    drop(refused.unwrap_err().deliveries);
    execute(&bench, "DROP TRIGGER stuck");
    assert!(is_quiet(&mut *consumer).await, "its permit is used");
    bench.clock.skip(PROBE);
    round(&bench).await;
    assert_eq!(fresh(&mut *consumer, 1).await.len(), 1);
}

#[tokio::test]
async fn what_did_not_start_is_not_charged_with_a_death() {
    let mut bench = tripped(5).await;
    let mut consumer = bench.consume("frail", 10).await;
    bench.clock.skip(PROBE);
    round(&bench).await;
    execute(&bench, STUCK);
    let taken = fresh(&mut *consumer, 1).await;
    let name = taken[0].ticket().name;
    let refused = bench.store.start(taken, &bench.start_now()).await;
    drop(refused.unwrap_err().deliveries);
    execute(&bench, "DROP TRIGGER stuck");
    bench.clock.skip(PROBE);
    round(&bench).await;
    let again = fresh(&mut *consumer, 1).await;
    assert_eq!(again[0].ticket().name, name, "it is as fresh as before");
    bench.store.close();
    drop((again, consumer));
    bench.reopen_with(flows());
    assert_eq!(bench.store.cases(bench.now(), MANY).await.unwrap(), []);
    let place = bench
        .store
        .ticket(name.ticket)
        .await
        .unwrap()
        .unwrap()
        .place;
    assert!(
        matches!(place, Place::Runnable { .. }),
        "nor by the next process: {place:?}"
    );
}

#[tokio::test]
async fn a_release_of_a_queue_that_was_stopped_has_nothing_to_hear() {
    let mut bench = tripped(50).await;
    let id = let_in(&bench, 4).await;
    assert_eq!(live_plans(&bench), 1);
    order(&bench, id, PlanOrder::Stop).await;
    assert_eq!(live_plans(&bench), 0);
    bench.store.close();
    execute(&bench, "UPDATE plans SET is_live = 1");
    bench.reopen_with(flows());
    assert_eq!(live_plans(&bench), 0, "as an older version wrote it");
    assert!(is_shut(&bench).await);
    let mut consumer = bench.consume("frail", 10).await;
    assert!(is_quiet(&mut *consumer).await);
}

#[tokio::test]
async fn a_gate_whose_breakers_cannot_be_read_is_opened() {
    let mut bench = tripped(50).await;
    let id = let_in(&bench, 4).await;
    bench.store.close();
    execute(&bench, "UPDATE breakers SET body = x'FF00FF'");
    bench.reopen_with(flows());
    assert!(!is_shut(&bench).await);
    let plan = bench.store.plan(id).await.unwrap().unwrap();
    assert_eq!(plan.state.as_str(), "stopped");
}

#[tokio::test]
async fn a_gate_of_a_stage_without_breakers_is_opened_and_its_release_stopped() {
    let mut bench = tripped(50).await;
    let id = let_in(&bench, 4).await;
    bench.store.close();
    let stages = vec![Stage::new(stage("frail"))];
    bench.reopen_with(Flows::new(stages, BTreeMap::new()).unwrap());
    assert!(!is_shut(&bench).await);
    let plan = bench.store.plan(id).await.unwrap().unwrap();
    assert_eq!(plan.why().unwrap(), "no breaker waits for it any more");
    let mut consumer = bench.consume("frail", 100).await;
    assert_eq!(fresh(&mut *consumer, 43).await.len(), 43);
}
