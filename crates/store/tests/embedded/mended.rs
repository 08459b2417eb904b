//! What a store must do with rows and orders that come at a bad moment.

use crate::support::{Bench, STAGES, failed, fresh, holder, is_quiet, stage, try_open};
use domain::books::{Fact, Place};
use domain::delivery::{Delivery, Incoming, Unreadable};
use domain::flow::{Flows, Stage, Unique};
use domain::names::{Kind, StageName};
use domain::outcome::Outcome;
use domain::ports::{Action, Catalog, Clock, Consumer, Desk, Retention, Waits};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use store::{Config, Embedded};
use tempfile::TempDir;

fn spoil(path: &Path, sql: &str) {
    let db = rusqlite::Connection::open(path.join("books.db")).unwrap();
    assert_eq!(db.execute(sql, []).unwrap(), 1, "{sql}");
}

fn count(path: &Path, sql: &str) -> i64 {
    let db = rusqlite::Connection::open(path.join("books.db")).unwrap();
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn unreadable(consumer: &mut dyn Consumer) -> Delivery<Unreadable> {
    let incoming = consumer.next(NonZeroUsize::MIN).await.unwrap();
    match incoming.into_iter().next() {
        Some(Incoming::Unreadable(delivery)) => delivery,
        other => panic!("expected an unreadable delivery, got {other:?}"),
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_delivered_as_such_and_the_others_go_on() {
    let mut bench = Bench::new();
    let bad = bench.submit(bench.ticket("build")).await;
    let good = bench.submit(bench.ticket("build")).await;
    spoil(&bench.path, "UPDATE tickets SET kind = '' WHERE seq = 1");
    bench.reopen(&STAGES);
    let mut consumer = bench.consume("build", 2).await;
    let delivery = unreadable(&mut *consumer).await;
    assert_eq!(delivery.ticket().id(), bad);
    assert_eq!(fresh(&mut *consumer, 1).await[0].ticket().id(), good);
    let performed = delivery.rejected(bench.start_now());
    let report = performed.to_report().unwrap();
    assert!(
        report.failure.message.contains("unreadable columns: kind"),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_suspect_that_cannot_be_read_does_not_hide_the_others() {
    let mut bench = Bench::new();
    bench.submit(bench.ticket("build")).await;
    let good = bench.submit(bench.ticket("build")).await;
    let mut consumer = bench.consume("build", 2).await;
    let started = bench.start(fresh(&mut *consumer, 2).await).await;
    bench.reopen(&STAGES);
    drop(started);
    spoil(&bench.path, "UPDATE tickets SET kind = '' WHERE seq = 1");
    let max = NonZeroUsize::new(10).unwrap();
    let cases = bench.store.cases(bench.now(), max).await.unwrap();
    let ids: Vec<_> = cases.iter().map(|case| case.ticket.id()).collect();
    assert_eq!(ids, [good]);
}

fn picky(kind: &str) -> Flows {
    let solo = Stage {
        unique: Unique::ByKey,
        kinds: Some(BTreeSet::from([Kind::new(kind).unwrap()])),
        ..Stage::new(stage("solo"))
    };
    Flows::new(vec![solo], BTreeMap::new()).unwrap()
}

#[tokio::test]
async fn the_one_in_line_goes_in_when_nobody_takes_the_one_at_work_any_more() {
    let bench = Bench::new();
    let of_kind = |kind: &str| Ticket {
        kind: Kind::new(kind).unwrap(),
        ..bench.keyed("solo", "rust")
    };
    let old = bench.submit(of_kind("bolt")).await;
    let mut consumer = bench.consume("solo", 1).await;
    let in_hand = fresh(&mut *consumer, 1).await;
    let new = bench.submit(of_kind("nut")).await;
    let Bench {
        store, clock, path, ..
    } = &bench;
    store.close();
    drop(in_hand);
    let clock: Arc<dyn Clock> = Arc::<crate::support::StillClock>::clone(clock);
    let flows = Arc::new(picky("nut"));
    let store = Embedded::open(Config::new(path), flows, clock, holder()).unwrap();
    let place = store.ticket(old).await.unwrap().unwrap().place;
    assert!(matches!(place, Place::Waiting(_)), "{place:?}");
    let place = store.ticket(new).await.unwrap().unwrap().place;
    assert!(matches!(place, Place::Runnable { .. }), "{place:?}");
}

#[tokio::test]
async fn a_ticket_that_is_forgotten_leaves_no_attempt_behind() {
    let bench = Bench::new();
    let id = bench.submit(bench.ticket("build")).await;
    let mut consumer = bench.consume("build", 1).await;
    let started = bench.start(fresh(&mut *consumer, 1).await).await.remove(0);
    bench.order(id, Action::Cancel).await;
    bench.clock.skip(Duration::from_secs(60));
    let retention = Retention {
        before: bench.now(),
        tickets_max: 100,
    };
    assert_eq!(Waits::retain(&bench.store, retention).await.unwrap(), 1);
    let late = bench.settlement(started, Outcome::Abandoned).await;
    domain::ports::Broker::settle(&bench.store, vec![late])
        .await
        .unwrap();
    assert_eq!(count(&bench.path, "SELECT count(*) FROM attempts"), 0);
}

#[tokio::test]
async fn a_refusal_of_one_file_leaves_the_other_unmade() {
    let folder = TempDir::new().unwrap();
    let foreign = rusqlite::Connection::open(folder.path().join("books.db")).unwrap();
    foreign
        .execute_batch("CREATE TABLE mine (id INTEGER)")
        .unwrap();
    drop(foreign);
    let clock = Arc::new(crate::support::StillClock::default());
    assert!(try_open(Config::new(folder.path()), &STAGES, &clock).is_err());
    assert!(!folder.path().join("oopses.db").exists());
}

#[tokio::test]
async fn a_ticket_that_fails_for_ever_keeps_its_first_and_its_newest_lines() {
    let bench = Bench::new();
    let id = bench.submit(bench.ticket("build")).await;
    for _ in 0..2_100 {
        let ran = bench.attempt("build", failed()).await;
        assert_eq!(ran, id);
        bench.clock.skip(Duration::from_secs(86_400));
        let max = NonZeroUsize::new(10).unwrap();
        if bench
            .store
            .release(bench.now(), max)
            .await
            .unwrap()
            .released
            == 0
        {
            bench.order(id, Action::Retry).await;
        }
    }
    let lines = bench.store.history(id).await.unwrap();
    assert!((1_500..2_200).contains(&lines.len()), "{}", lines.len());
    let is_attempt = |line: &&domain::books::Line| matches!(line.fact, Fact::Attempted { .. });
    let attempts: Vec<_> = lines.iter().filter(is_attempt).collect();
    let first = attempts.first().unwrap().name;
    assert_eq!((first.generation.0, first.attempt.0), (1, 1));
    let newest = attempts.last().unwrap();
    assert!(newest.at > Timestamp::from_micros(crate::support::BEGIN + 2_000 * 86_400_000_000));
}

#[tokio::test]
async fn stages_that_nothing_refers_to_are_forgotten() {
    let bench = Bench::new();
    let kept = bench.submit(bench.ticket("kept")).await;
    for round in 0..4 {
        let tickets = (0..200).map(|n| bench.ticket(&format!("typo-{round}-{n}")));
        let tickets: Vec<Ticket> = tickets.collect();
        let ids: Vec<_> = tickets.iter().map(Ticket::id).collect();
        bench.store.submit(tickets).await.unwrap();
        for id in ids {
            bench.order(id, Action::Cancel).await;
        }
    }
    bench.clock.skip(Duration::from_secs(60));
    let retention = Retention {
        before: bench.now(),
        tickets_max: 0,
    };
    for _ in 0..10 {
        Waits::retain(&bench.store, retention).await.unwrap();
    }
    let stages = count(&bench.path, "SELECT count(*) FROM stages");
    assert!(stages < 300, "{stages} stages are left");
    let names: Vec<StageName> = {
        let stages = bench.store.stages().await.unwrap();
        stages.into_iter().map(|stage| stage.stage).collect()
    };
    assert!(names.contains(&stage("kept")), "{names:?}");
    assert!(bench.store.ticket(kept).await.unwrap().is_some());
    bench.submit(bench.ticket("typo-0-0")).await;
    let mut consumer = bench.consume("build", 1).await;
    assert!(is_quiet(&mut *consumer).await);
}
