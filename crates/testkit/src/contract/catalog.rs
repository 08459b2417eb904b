//! Promises of `Catalog`.

use super::Stand;
use super::stand::{failed, pending_for, rejected, stage};
use domain::books::{Balance, Fact, Line, StageCounts};
use domain::explain::explain;
use domain::names::Kind;
use domain::outcome::{Outcome, OutcomeKind};
use domain::ports::{Action, Depth, Listing, Page, Sort};
use domain::ticket::{Generation, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::Reason;
use std::collections::BTreeMap;
use std::time::Duration;

super::suite!(catalog_contract catalog ($)
    a_ticket_that_nobody_submitted_is_not_there,
    tickets_are_found_by_what_they_are,
    tickets_are_found_by_where_they_are,
    a_filter_negates_and_joins,
    a_list_has_an_order_and_a_limit,
    the_history_tells_everything_oldest_first,
    the_history_tells_why_a_ticket_was_parked,
    the_history_of_nobody_is_empty,
    the_sums_count_every_ticket_once,
    the_sums_since_a_time_are_those_of_what_was_accepted_since,
    stages_count_their_tickets_and_attempts,
    stages_count_what_a_call_back_ends,
    a_healthy_store_finds_itself_healthy,
    every_ticket_can_be_explained,
);

async fn list(stand: &Stand, listing: Listing) -> Page<TicketId> {
    let page = stand.world().catalog().tickets(listing).await;
    let page = page.expect("the books can be read");
    Page {
        rows: page.rows.iter().map(|entry| entry.ticket.id()).collect(),
        more: page.more,
    }
}

async fn found(stand: &Stand, query: &str) -> Vec<TicketId> {
    list(stand, stand.listing(query)).await.rows
}

/// Not an error.
pub async fn a_ticket_that_nobody_submitted_is_not_there(stand: Stand) {
    let nobody = stand.ticket("build").id();
    let entry = stand.world().catalog().ticket(nobody).await;
    assert_eq!(entry.expect("the books can be read"), None);
}

/// By id, stage, flow, kind, key and text.
pub async fn tickets_are_found_by_what_they_are(stand: Stand) {
    let ci = stand.submit(stand.ci()).await;
    stand.skip(Duration::from_millis(5));
    let keyed = stand.submit(stand.keyed("test", "rust-1.95")).await;
    stand.skip(Duration::from_millis(5));
    let nut = Ticket {
        kind: Kind::new("nut").expect("it is plain"),
        ..stand.ticket("picky")
    };
    let nut = stand.submit(nut).await;
    for (query, expected) in [
        (String::new(), vec![ci, keyed, nut]),
        (format!("id:{ci}"), vec![ci]),
        ("stage:build".into(), vec![ci]),
        ("stage:build,test".into(), vec![ci, keyed]),
        ("flow:ci".into(), vec![ci]),
        ("kind:nut".into(), vec![nut]),
        ("key:rust*".into(), vec![keyed]),
        ("RUST-1".into(), vec![keyed]),
        ("stage:nowhere".into(), vec![]),
    ] {
        assert_eq!(found(&stand, &query).await, expected, "{query}");
    }
}

/// By state and by reason.
pub async fn tickets_are_found_by_where_they_are(stand: Stand) {
    let backoff = stand.attempted(stand.ticket("build"), failed()).await;
    let parked = stand.attempted(stand.ticket("build"), rejected()).await;
    let done = stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    let dropped = stand.submit(stand.ticket("build")).await;
    stand.done(dropped, Action::Cancel).await;
    let runnable = stand.submit(stand.ticket("build")).await;
    for (query, expected) in [
        ("is:waiting", vec![backoff, parked]),
        ("is:backoff", vec![backoff]),
        ("is:parked", vec![parked]),
        ("is:done", vec![done]),
        ("is:dropped", vec![dropped]),
        ("is:runnable", vec![runnable]),
        ("is:ended", vec![done, dropped]),
        ("is:live", vec![backoff, parked, runnable]),
        ("attempts:>1", vec![backoff, parked]),
    ] {
        assert_eq!(found(&stand, query).await, expected, "{query}");
    }
}

/// Terms must all hold, negations must not.
pub async fn a_filter_negates_and_joins(stand: Stand) {
    let build = stand.submit(stand.ticket("build")).await;
    let test = stand.submit(stand.ticket("test")).await;
    let solo = stand.submit(stand.ticket("solo")).await;
    assert_eq!(found(&stand, "-stage:build").await, [test, solo]);
    assert_eq!(found(&stand, "is:runnable stage:test").await, [test]);
    let either = found(&stand, "(stage:build OR stage:solo)").await;
    assert_eq!(either, [build, solo]);
}

/// What is cut is said.
pub async fn a_list_has_an_order_and_a_limit(stand: Stand) {
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(stand.submit(stand.ticket("build")).await);
        stand.skip(Duration::from_millis(5));
    }
    let newest = Listing {
        limit: 2,
        sort: Sort::NewestFirst,
        ..stand.listing("")
    };
    let page = list(&stand, newest).await;
    assert_eq!(page.rows, [ids[4], ids[3]]);
    assert!(page.more);
    let all = Listing {
        limit: 5,
        ..stand.listing("")
    };
    let page = list(&stand, all).await;
    assert_eq!(page.rows, ids);
    assert!(!page.more);
}

async fn history(stand: &Stand, id: TicketId) -> Vec<Line> {
    let history = stand.world().catalog().history(id).await;
    history.expect("the books can be read")
}

/// Accepted, tried, released, tried again.
pub async fn the_history_tells_everything_oldest_first(stand: Stand) {
    let id = stand.attempted(stand.ticket("build"), failed()).await;
    stand.skip(Duration::from_secs(2));
    stand.done(id, Action::Retry).await;
    let mut consumer = stand.consume("build", 1).await;
    let delivery = stand.fresh(&mut *consumer).await;
    let started = stand.start(delivery).await;
    stand.end(started, Outcome::done()).await;
    let lines = history(&stand, id).await;
    assert!(lines.is_sorted_by_key(|line| line.at), "{lines:#?}");
    let outcomes: Vec<_> = lines
        .iter()
        .filter_map(|line| match &line.fact {
            Fact::Attempted { outcome, oops, .. } => Some((*outcome, oops.is_some())),
            Fact::Noted { .. } => None,
        })
        .collect();
    let expected = [(OutcomeKind::Failed, true), (OutcomeKind::Done, false)];
    assert_eq!(outcomes, expected, "{lines:#?}");
    let is_told = |word: &str| {
        lines
            .iter()
            .any(|line| matches!(&line.fact, Fact::Noted { what, .. } if what == word))
    };
    assert!(is_told("accepted") && is_told("retried"), "{lines:#?}");
}

/// "Failed" alone reads as if it were tried again.
pub async fn the_history_tells_why_a_ticket_was_parked(stand: Stand) {
    // The first back-off is a second.
    let late = Ticket {
        deadline: Some(stand.now().plus(Duration::from_millis(500))),
        ..stand.ticket("build")
    };
    let late = stand.attempted(late, failed()).await;
    let refused = stand.attempted(stand.ticket("build"), rejected()).await;
    let pending = pending_for(Duration::from_secs(60));
    let called_back = stand.attempted(stand.ticket("build"), pending).await;
    let order = Action::Complete(Generation::FIRST, rejected());
    stand.done(called_back, order).await;
    for (id, why) in [
        (
            late,
            "not tried again: that would be after its own deadline",
        ),
        (refused, "rejected by the handler: BadInput: it is no nut"),
        (
            called_back,
            "rejected by the handler: BadInput: it is no nut",
        ),
    ] {
        let lines = history(&stand, id).await;
        let last = &lines.last().expect("something happened").fact;
        let Fact::Noted {
            what, why: said, ..
        } = last
        else {
            panic!("expected that it was parked, got {lines:#?}");
        };
        assert_eq!(what, "parked", "{lines:#?}");
        assert!(said.contains(why), "{said}");
        assert_eq!(stand.entry(id).await.oopses.len(), 1, "it is reported once");
    }
}

/// Not an error.
pub async fn the_history_of_nobody_is_empty(stand: Stand) {
    let nobody = stand.ticket("build").id();
    assert_eq!(history(&stand, nobody).await, []);
}

/// In exactly one place.
pub async fn the_sums_count_every_ticket_once(stand: Stand) {
    stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    stand.attempted(stand.ticket("build"), failed()).await;
    let running = stand.started(stand.ticket("build")).await;
    stand.submit(stand.ticket("test")).await;
    let cancelled = stand.submit(stand.ticket("test")).await;
    stand.done(cancelled, Action::Cancel).await;
    let balance = stand.balance().await;
    let sums = [balance.accepted, balance.runnable, balance.running];
    assert_eq!(sums, [5, 1, 1]);
    assert_eq!((balance.done, balance.dropped), (1, 1));
    assert_eq!(balance.waiting[&Reason::Backoff], 1);
    drop(running);
}

async fn balance_since(stand: &Stand, since: Timestamp) -> Balance {
    let balance = stand.world().catalog().balance(Some(since)).await;
    let balance = balance.expect("the books can be read");
    assert!(balance.is_balanced(), "since {since}: {balance:?}");
    balance
}

/// What was accepted before is not among them, wherever it is by now.
pub async fn the_sums_since_a_time_are_those_of_what_was_accepted_since(stand: Stand) {
    let begin = stand.now();
    stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    stand.attempted(stand.ticket("build"), failed()).await;
    stand.submit(stand.ticket("test")).await;
    stand.skip(Duration::from_millis(5));
    let since = stand.now();
    stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    stand.attempted(stand.ticket("build"), rejected()).await;
    let running = stand.started(stand.ticket("build")).await;
    stand.submit(stand.ticket("test")).await;
    let cancelled = stand.submit(stand.ticket("test")).await;
    stand.done(cancelled, Action::Cancel).await;
    let balance = balance_since(&stand, since).await;
    let sums = [balance.accepted, balance.runnable, balance.running];
    assert_eq!(sums, [5, 1, 1]);
    assert_eq!((balance.done, balance.dropped), (1, 1));
    assert_eq!(balance.waiting, BTreeMap::from([(Reason::Parked, 1)]));
    assert_eq!(balance_since(&stand, begin).await, stand.balance().await);
    stand.skip(Duration::from_millis(5));
    let nothing = balance_since(&stand, stand.now()).await;
    assert_eq!(nothing, Balance::default());
    drop(running);
}

/// For the page that shows the stages.
pub async fn stages_count_their_tickets_and_attempts(stand: Stand) {
    stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    stand.attempted(stand.ticket("build"), failed()).await;
    let ready = stand.submit(stand.ticket("build")).await;
    let stages = stand.world().catalog().stages().await;
    let stages = stages.expect("the books can be read");
    let build = stages.iter().find(|counts| counts.stage == stage("build"));
    let build: &StageCounts = build.expect("the stage had tickets");
    assert_eq!((build.ready, build.running), (1, 0));
    assert_eq!((build.done, build.failed), (1, 1));
    assert_eq!(build.waiting[&Reason::Backoff], 1);
    let since = stand.place(ready).await.since();
    assert_eq!(build.oldest_ready, Some(since));
}

/// Whoever ends an attempt, its stage has done or failed at one ticket more.
pub async fn stages_count_what_a_call_back_ends(stand: Stand) {
    for outcome in [Outcome::done(), failed(), Outcome::done()] {
        let pending = pending_for(Duration::from_secs(60));
        let id = stand.attempted(stand.ticket("build"), pending).await;
        let order = Action::Complete(Generation::FIRST, outcome);
        stand.done(id, order).await;
    }
    let stages = stand.world().catalog().stages().await;
    let stages = stages.expect("the books can be read");
    let build = stages.iter().find(|counts| counts.stage == stage("build"));
    let build = build.expect("the stage had tickets");
    assert_eq!((build.done, build.failed), (2, 1));
}

/// The doctor has something to say.
pub async fn a_healthy_store_finds_itself_healthy(stand: Stand) {
    stand.submit(stand.ticket("build")).await;
    for depth in [Depth::Usual, Depth::Deep] {
        let findings = stand.world().catalog().check(depth).await;
        for finding in findings.expect("it can be looked at") {
            assert!(finding.is_fine, "{depth:?}: {finding:?}");
        }
    }
}

/// "Unknown" is a bug.
pub async fn every_ticket_can_be_explained(stand: Stand) {
    stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    stand.attempted(stand.ticket("build"), failed()).await;
    stand.attempted(stand.ticket("build"), rejected()).await;
    stand.submit(stand.ticket("nowhere")).await;
    let running = stand.started(stand.ticket("build")).await;
    let snapshot = stand.world().catalog().snapshot().await;
    let snapshot = snapshot.expect("it can be read");
    for id in found(&stand, "").await {
        let (entry, lines) = (stand.entry(id).await, history(&stand, id).await);
        let told = explain(&entry, &lines, stand.flows(), &snapshot, stand.now());
        assert!(!told.last_events.is_empty(), "{told:?}");
        for text in [&told.waits_for, &told.then, &told.who_may_change] {
            assert!(!text.is_empty() && !text.contains("unknown"), "{told:?}");
        }
    }
    drop(running);
}
