//! Reports: many at once, wild ones, and how they are forgotten.

use crate::bench::{Bench, Leader};
use crate::support::bench;
use domain::oops::{OopsId, Report, Source, Span};
use domain::outcome::{Failure, OutcomeKind};
use domain::ports::{Clock, Oopses, Reporter, Retention};
use domain::time::Timestamp;
use std::time::Duration;
use tokio::task::JoinSet;

const DAY: Duration = Duration::from_secs(86_400);

fn report(bench: &Bench, error_type: &str) -> Report {
    let now = bench.clock.now();
    let span = Span {
        started_at: now,
        ended_at: now,
    };
    let failure = Failure::new(error_type, "it broke");
    let ticket = bench.ticket("build");
    Report::new(&ticket, OutcomeKind::Failed, failure, &Bench::scene(), span)
}

async fn list(bench: &Bench, query: &str) -> Vec<OopsId> {
    let Leader { store, .. } = bench.leader().await;
    let page = store.list(bench.listing(query)).await.unwrap();
    page.rows.iter().map(|report| report.id).collect()
}

#[tokio::test]
async fn postgres_writes_reports_that_come_at_once_in_few_transactions() {
    let Some(bench) = bench() else { return };
    let Leader { store, .. } = bench.leader().await;
    let mut callers = JoinSet::new();
    for _ in 0..400 {
        let (store, report) = (store.clone(), report(&bench, "Broken"));
        callers.spawn(async move { store.record(report).await });
    }
    for recorded in callers.join_all().await {
        recorded.unwrap();
    }
    let groups = "SELECT count(DISTINCT xmin::text), count(*) FROM goaround.oops_ids";
    let said = bench.sql(groups);
    let (groups, rows) = said.split_once('|').unwrap();
    assert_eq!(rows, "400");
    assert!(groups.parse::<u32>().unwrap() < 40, "{groups} transactions");
}

#[tokio::test]
async fn postgres_keeps_one_report_when_two_controllers_tell_of_the_same_deaths() {
    let Some(bench) = bench() else { return };
    let stores = [bench.leader().await.store, bench.another().await];
    let mut callers = JoinSet::new();
    let mut near = Vec::new();
    for _ in 0..40 {
        let told = report(&bench, "Broken");
        near.push(told.clone());
        for (store, source) in stores.iter().zip([Source::Worker, Source::Controller]) {
            let (store, mut report) = (store.clone(), told.clone());
            report.source = source;
            // The days differ, and so do the partitions.
            if source == Source::Controller {
                report.time = report.time.plus(DAY);
            }
            callers.spawn(async move { store.record(report).await });
        }
    }
    for recorded in callers.join_all().await {
        recorded.unwrap();
    }
    for told in near {
        let ticket = format!("ticket:{}", told.name.ticket);
        let page = stores[0].list(bench.listing(&ticket)).await.unwrap();
        assert_eq!(page.rows, [told]);
    }
}

#[tokio::test]
async fn postgres_takes_reports_with_zeros_and_with_wild_times() {
    let Some(bench) = bench() else { return };
    let Leader { store, .. } = bench.leader().await;
    let mut told = Vec::new();
    for micros in [0, i64::MAX, -1, i64::MIN] {
        let mut report = report(&bench, "Bro\0ken");
        report.failure.message = "a\0b\nc".into();
        report.hostname = "\0".into();
        report.trace = Some("\0".into());
        report.time = Timestamp::from_micros(micros);
        store.record(report.clone()).await.unwrap();
        told.push(report);
    }
    told.sort_by_key(|report| report.time);
    let page = store.list(bench.listing("")).await.unwrap();
    assert_eq!(page.rows, told);
    let ids: Vec<_> = told.iter().map(|report| report.id).collect();
    assert_eq!(list(&bench, "type:\"Bro\u{0}ken\"").await, ids);
    assert_eq!(list(&bench, "type:Broken").await, []);
}

#[tokio::test]
async fn postgres_forgets_reports_of_whole_days_with_their_tables() {
    let Some(bench) = bench() else { return };
    let Leader { store, .. } = bench.leader().await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        for _ in 0..3 {
            let report = report(&bench, "Broken");
            ids.push(store.record(report).await.unwrap());
            bench.clock.skip(Duration::from_secs(1));
        }
        bench.clock.skip(DAY);
    }
    let tables = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'goaround.oopses'::regclass";
    let before: u32 = bench.sql(tables).parse().unwrap();
    let retention = Retention {
        // The reports of the third day came some seconds after that time of day.
        before: bench.clock.now().minus(DAY + DAY + Duration::from_secs(10)),
        tickets_max: 4,
    };
    // Six are too old, two more are too many.
    assert_eq!(Oopses::retain(&store, retention).await.unwrap(), 8);
    assert_eq!(list(&bench, "").await, ids[8..]);
    let after: u32 = bench.sql(tables).parse().unwrap();
    assert_eq!(before - after, 2);
    assert_eq!(Oopses::retain(&store, retention).await.unwrap(), 0);
}
