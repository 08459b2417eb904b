//! Promises of `Oopses`.

use super::Stand;
use super::stand::failed;
use domain::oops::{OopsId, OopsPrefix, Report, Source, Span};
use domain::outcome::{Failure, OutcomeKind};
use domain::ports::{Listing, Retention, Sort};
use domain::time::Timestamp;
use std::time::Duration;

super::suite!(oopses_contract oopses ($)
    a_report_is_kept_whole,
    the_same_report_again_is_the_same_oops,
    of_several_accounts_of_an_attempt_the_nearest_stays,
    a_report_is_found_by_the_beginning_of_its_id,
    reports_are_found_by_what_they_tell,
    a_list_of_reports_has_an_order_and_a_limit,
    old_reports_are_forgotten,
    only_the_newest_reports_are_kept,
    the_oops_of_an_attempt_is_named_by_its_ticket,
);

fn report(stand: &Stand, error_type: &str) -> Report {
    let failure = Failure {
        trace: "at build.sh:7".into(),
        log_tail: "make: *** no rule".into(),
        exit: Some(domain::outcome::Exit::Status(2)),
        ..Failure::new(error_type, "it broke")
    };
    let span = Span {
        started_at: stand.now(),
        ended_at: stand.now(),
    };
    let ticket = stand.keyed("build", "rust");
    Report::new(&ticket, OutcomeKind::Failed, failure, &Stand::scene(), span)
}

async fn record(stand: &Stand, report: Report) -> OopsId {
    let id = stand.world().oopses().record(report).await;
    id.expect("the report is durable")
}

async fn find(stand: &Stand, prefix: &str) -> Vec<Report> {
    let prefix: OopsPrefix = prefix.parse().expect("a case writes valid ids");
    let found = stand.world().oopses().find(prefix).await;
    found.expect("the reports can be read")
}

async fn list(stand: &Stand, listing: Listing) -> Vec<OopsId> {
    let page = stand.world().oopses().list(listing).await;
    let rows = page.expect("the reports can be read").rows;
    rows.iter().map(|report| report.id).collect()
}

/// What was told is what is shown.
pub async fn a_report_is_kept_whole(stand: Stand) {
    let report = report(&stand, "Broken");
    let id = record(&stand, report.clone()).await;
    assert_eq!(id, report.id);
    assert_eq!(find(&stand, &id.to_string()).await, [report]);
}

/// One death, one report.
pub async fn the_same_report_again_is_the_same_oops(stand: Stand) {
    let report = report(&stand, "Broken");
    let id = record(&stand, report.clone()).await;
    assert_eq!(record(&stand, report).await, id);
    assert_eq!(list(&stand, stand.listing("")).await, [id]);
}

/// Worker, supervisor, launcher and controller may all tell of the same death, in any order.
pub async fn of_several_accounts_of_an_attempt_the_nearest_stays(stand: Stand) {
    let told = |source, message: &str| {
        let mut report = report(&stand, "Broken");
        report.source = source;
        report.failure.message = message.into();
        report
    };
    let far = told(Source::Controller, "the process died");
    let near = Report {
        id: far.id,
        name: far.name,
        ..told(Source::Worker, "it broke at line 7")
    };
    let between = Report {
        id: far.id,
        name: far.name,
        ..told(Source::Launcher, "it was killed")
    };
    let id = record(&stand, far.clone()).await;
    record(&stand, between.clone()).await;
    record(&stand, far.clone()).await;
    let found = find(&stand, &id.to_string()).await;
    assert_eq!(found, std::slice::from_ref(&between));
    assert_eq!(record(&stand, near.clone()).await, id);
    record(&stand, between).await;
    let found = find(&stand, &id.to_string()).await;
    assert_eq!(found, std::slice::from_ref(&near));
    record(&stand, far).await;
    assert_eq!(find(&stand, &id.to_string()).await, [near]);
    assert_eq!(list(&stand, stand.listing("")).await, [id]);
}

/// Two mean that it is not unique.
pub async fn a_report_is_found_by_the_beginning_of_its_id(stand: Stand) {
    let first = record(&stand, report(&stand, "Broken")).await;
    let second = record(&stand, report(&stand, "Broken")).await;
    let third = record(&stand, report(&stand, "Broken")).await;
    assert!(first != second && second != third);
    let text = first.to_string();
    let lower = text[..31].to_lowercase();
    assert_eq!(find(&stand, &lower).await[0].id, first);
    // Tickets of one moment share the beginning of their reports' ids.
    assert_eq!(find(&stand, "0000000000").await, []);
    let common: String = text
        .chars()
        .zip(second.to_string().chars())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a)
        .collect();
    if common.len() >= 15 {
        assert_eq!(find(&stand, &common[..15]).await.len(), 2);
    }
}

/// By class, text, stage and outcome.
pub async fn reports_are_found_by_what_they_tell(stand: Stand) {
    let broken = record(&stand, report(&stand, "Broken")).await;
    stand.skip(Duration::from_millis(5));
    let other = record(&stand, report(&stand, "Timeout")).await;
    for (query, expected) in [
        ("", vec![broken, other]),
        ("type:Broken", vec![broken]),
        ("type:T*", vec![other]),
        ("stage:build", vec![broken, other]),
        ("stage:test", vec![]),
        ("is:failed", vec![broken, other]),
        ("\"no rule\"", vec![broken, other]),
        ("src:worker", vec![broken, other]),
    ] {
        assert_eq!(
            list(&stand, stand.listing(query)).await,
            expected,
            "{query}"
        );
    }
}

/// The latest is what people look for.
pub async fn a_list_of_reports_has_an_order_and_a_limit(stand: Stand) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(record(&stand, report(&stand, "Broken")).await);
        stand.skip(Duration::from_secs(1));
    }
    let listing = Listing {
        limit: 2,
        sort: Sort::NewestFirst,
        ..stand.listing("")
    };
    let page = stand.world().oopses().list(listing.clone()).await;
    assert!(page.expect("the reports can be read").more);
    assert_eq!(list(&stand, listing).await, [ids[2], ids[1]]);
}

async fn retain(stand: &Stand, before: Timestamp, tickets_max: u64) -> u64 {
    let retention = Retention {
        before,
        tickets_max,
    };
    let forgotten = stand.world().oopses().retain(retention).await;
    forgotten.expect("the reports can be tidied")
}

/// A storm does not fill the disk for ever.
pub async fn old_reports_are_forgotten(stand: Stand) {
    record(&stand, report(&stand, "Broken")).await;
    stand.skip(Duration::from_secs(60));
    let before = stand.now();
    stand.skip(Duration::from_secs(1));
    let new = record(&stand, report(&stand, "Broken")).await;
    assert_eq!(retain(&stand, before, u64::MAX).await, 1);
    assert_eq!(list(&stand, stand.listing("")).await, [new]);
    assert_eq!(retain(&stand, before, u64::MAX).await, 0);
}

/// A number bounds them too.
pub async fn only_the_newest_reports_are_kept(stand: Stand) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(record(&stand, report(&stand, "Broken")).await);
        stand.skip(Duration::from_secs(1));
    }
    assert_eq!(retain(&stand, Timestamp::EPOCH, 1).await, 2);
    assert_eq!(list(&stand, stand.listing("")).await, [ids[2]]);
}

/// From the ticket to its reports.
pub async fn the_oops_of_an_attempt_is_named_by_its_ticket(stand: Stand) {
    let id = stand.attempted(stand.ticket("build"), failed()).await;
    let oopses = stand.entry(id).await.oopses;
    let query = format!("ticket:{id}");
    assert_eq!(list(&stand, stand.listing(&query)).await, oopses);
}
