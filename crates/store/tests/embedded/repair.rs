//! Breakers and release plans over the files: what cannot be read holds nothing for ever, and
//! many tickets at once are no trouble.

use crate::support::{self, Bench, failed, stage};
use crate::trials::{cases, pass_judgement, trials};
use domain::breaker::Rules;
use domain::delivery::Settlement;
use domain::flow::{Flows, Stage};
use domain::names::Version;
use domain::outcome::{Done, Outcome};
use domain::ports::{Broker, Catalog, Desk, Plans, Serving, Settled, Waits};
use domain::wait::Reason;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::time::Duration;

pub(crate) const MANY: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

fn frail() -> Flows {
    let frail = Stage {
        breaker: Some(Rules::default()),
        ..Stage::new(stage("frail"))
    };
    Flows::new(vec![frail], BTreeMap::new()).unwrap()
}

/// A store whose stage holds so many tickets.
async fn holding(count: usize) -> Bench {
    let mut bench = Bench::new();
    bench.reopen_with(frail());
    let mut left = count;
    let mut consumer = bench.consume("frail", 16).await;
    while left > 0 {
        let sick = left.min(15);
        left -= sick;
        let tickets = (0..=sick).map(|_| bench.ticket("frail"));
        bench.store.submit(tickets.collect()).await.unwrap();
        let fresh = support::fresh(&mut *consumer, sick + 1).await;
        let mut group = Vec::new();
        for (n, started) in bench.start(fresh).await.into_iter().enumerate() {
            // A healthy one after them: the stage as a whole works.
            let outcome = if n < sick { failed() } else { done() };
            group.push(bench.settlement(started, outcome).await);
        }
        settle(&bench, group).await;
    }
    assert_eq!(held(&bench).await, count as u64);
    bench
}

pub(crate) fn done() -> Outcome {
    Outcome::Done(Done::default())
}

pub(crate) async fn settle(bench: &Bench, group: Vec<Settlement>) {
    let settled = bench.store.settle(group).await.unwrap();
    assert!(settled.iter().all(|it| *it == Settled::Applied));
}

async fn held(bench: &Bench) -> u64 {
    let balance = bench.store.balance(None).await.unwrap();
    balance.waiting.get(&Reason::Held).copied().unwrap_or(0)
}

pub(crate) fn serving(version: &str) -> Serving {
    let holders = BTreeMap::from([(support::holder(), None)]);
    let versions = BTreeMap::from([(Version::new(version).unwrap(), holders)]);
    Serving::from([(stage("frail"), versions)])
}

fn damage(bench: &Bench, table: &str) {
    let db = rusqlite::Connection::open(bench.path.join("books.db")).unwrap();
    let damaged = db.execute(&format!("UPDATE {table} SET body = x'FF00FF'"), []);
    assert!(damaged.unwrap() > 0);
}

#[tokio::test]
async fn what_an_unreadable_breaker_held_is_tried_again() {
    let mut bench = holding(30).await;
    bench.store.close();
    damage(&bench, "breakers");
    damage(&bench, "rosters");
    bench.reopen_with(frail());
    let now = bench.now();
    bench.store.release(now, MANY).await.unwrap();
    assert_eq!(held(&bench).await, 0);
    assert_eq!(bench.store.balance(None).await.unwrap().runnable, 30);
    bench.attempt("frail", done()).await;
}

#[tokio::test]
async fn a_breaker_whose_plan_cannot_be_read_probes_again() {
    let mut bench = holding(30).await;
    bench.clock.skip(Duration::from_secs(60));
    bench.store.release(bench.now(), MANY).await.unwrap();
    let mut consumer = bench.consume("frail", 1).await;
    let fresh = support::fresh(&mut *consumer, 1).await;
    let started = bench.start(fresh).await.remove(0);
    let landed = bench.settlement(started, done()).await;
    settle(&bench, vec![landed]).await;
    assert_eq!(bench.store.plans().await.unwrap().len(), 1);
    bench.store.close();
    damage(&bench, "plans");
    bench.reopen_with(frail());
    assert_eq!(bench.store.plans().await.unwrap(), []);
    assert_eq!(held(&bench).await, 29);
    bench.clock.skip(Duration::from_secs(60));
    bench.store.release(bench.now(), MANY).await.unwrap();
    assert_eq!(held(&bench).await, 28, "a canary has gone");
}

#[tokio::test]
async fn what_breakers_held_goes_on_when_they_are_turned_off() {
    let mut bench = holding(30).await;
    bench.store.close();
    let stages = vec![Stage::new(stage("frail"))];
    bench.reopen_with(Flows::new(stages, BTreeMap::new()).unwrap());
    bench.store.release(bench.now(), MANY).await.unwrap();
    assert_eq!(held(&bench).await, 0);
    assert_eq!(bench.store.tripped(None).await.unwrap(), []);
    bench.attempt("frail", failed()).await;
    assert_eq!(held(&bench).await, 0);
}

#[tokio::test]
async fn a_death_is_blamed_on_the_version_that_served_the_stage_then() {
    let mut bench = Bench::new();
    bench.reopen_with(frail());
    let now = bench.now();
    bench.store.serving(serving("1"), now).await.unwrap();
    bench.submit(bench.ticket("frail")).await;
    let mut consumer = bench.consume("frail", 1).await;
    let fresh = support::fresh(&mut *consumer, 1).await;
    let started = bench.start(fresh).await;
    bench.store.close();
    drop((started, consumer));
    bench.reopen_with(frail());
    bench.store.serving(serving("2"), now).await.unwrap();
    let case = bench.store.cases(now, MANY).await.unwrap().remove(0);
    let scene = case.scene.expect("the versions were written down");
    assert_eq!(scene.version.as_str(), "1");
    assert_eq!(scene.holder, support::holder());
}

#[tokio::test]
async fn a_canary_that_died_in_company_is_held_again_and_its_company_tried_alone() {
    let mut bench = holding(30).await;
    bench.clock.skip(Duration::from_secs(60));
    bench.store.release(bench.now(), MANY).await.unwrap();
    bench.submit(bench.ticket("frail")).await;
    let mut consumer = bench.consume("frail", 2).await;
    let fresh = support::fresh(&mut *consumer, 2).await;
    let started = bench.start(fresh).await;
    assert_eq!(held(&bench).await, 29);
    bench.reopen_with(frail());
    drop((started, consumer));
    let died = cases(&bench).await;
    assert!(died.iter().all(|case| !case.company.is_guilty()));
    pass_judgement(&bench, &died).await;
    assert_eq!((held(&bench).await, trials(&bench).await), (30, 1));
    bench.store.release(bench.now(), MANY).await.unwrap();
    assert_eq!((held(&bench).await, trials(&bench).await), (30, 0));
    bench.clock.skip(Duration::from_secs(60));
    bench.store.release(bench.now(), MANY).await.unwrap();
    assert_eq!(held(&bench).await, 29, "the next canary goes");
}

#[tokio::test]
async fn thousands_that_were_held_are_released_in_the_order_in_which_they_waited() {
    let bench = holding(2_000).await;
    bench.clock.skip(Duration::from_secs(60));
    let mut released = Vec::new();
    let mut consumer = bench.consume("frail", 5_000).await;
    while released.len() < 2_000 {
        let round = bench.store.release(bench.now(), MANY).await.unwrap();
        // The canary is not of the round.
        let count = usize::try_from(round.released).unwrap().max(1);
        let fresh = support::fresh(&mut *consumer, count).await;
        released.extend(fresh.iter().map(|delivery| delivery.ticket().id()));
        let mut group = Vec::new();
        for started in bench.start(fresh).await {
            group.push(bench.settlement(started, done()).await);
        }
        settle(&bench, group).await;
    }
    assert_eq!(held(&bench).await, 0);
    assert_eq!(bench.store.plans().await.unwrap()[0].counts.landed, 1_999);
    let mut sorted = released.clone();
    sorted.sort_unstable();
    assert_eq!(released, sorted, "ids are in the order of submission");
    bench.assert_balanced().await;
}
