//! Lists, history, holds and retention over real files.

use crate::support::{Bench, STAGES, failed, fresh, stage};
use domain::books::{Fact, Place, State};
use domain::control::{Change, Hold};
use domain::outcome::{Outcome, OutcomeKind};
use domain::ports::{
    Action, Broker, Catalog, Desk, Listing, Oopses, Retention, Settled, Sort, Waits,
};
use domain::time::Timestamp;
use std::time::Duration;

async fn found(bench: &Bench, query: &str) -> usize {
    let page = bench.store.tickets(bench.listing(query)).await.unwrap();
    page.rows.len()
}

#[tokio::test]
async fn a_list_of_what_is_in_hand_does_not_look_at_what_has_ended() {
    let bench = Bench::new();
    for _ in 0..30 {
        bench.submit(bench.ticket("build")).await;
        bench.attempt("build", Outcome::done()).await;
    }
    bench.submit(bench.ticket("build")).await;
    bench.attempt("build", failed()).await;
    bench.submit(bench.keyed("test", "rust")).await;
    bench.submit(bench.ticket("test")).await;
    let mut consumer = bench.consume("test", 1).await;
    let running = bench.start(fresh(&mut *consumer, 1).await).await;
    for (query, count) in [
        ("is:done", 30),
        ("is:waiting", 1),
        ("is:backoff", 1),
        ("is:running", 1),
        ("is:runnable", 1),
        ("is:live", 3),
        ("is:live stage:test", 2),
        ("is:ended", 30),
        ("is:running key:rust", 1),
        ("-is:done", 3),
        ("is:running,backoff", 2),
        ("attempts:>1", 1),
        ("worker:host/1", 1),
        ("version:1.0", 31),
        ("is:parked", 0),
        ("created:-1h", 33),
        ("is:crashed", 0),
        ("parked:-1h", 0),
        ("group:*", 0),
        ("key:~\"^r.st$\"", 1),
        ("is:live key:~\"x\"", 0),
    ] {
        assert_eq!(found(&bench, query).await, count, "{query}");
    }
    drop(running);
}

#[tokio::test]
async fn a_page_says_whether_there_is_more() {
    let bench = Bench::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(bench.submit(bench.ticket("build")).await);
    }
    for (sort, query) in [
        (Sort::NewestFirst, ""),
        (Sort::OldestFirst, ""),
        (Sort::NewestFirst, "is:runnable"),
        (Sort::OldestFirst, "is:live"),
    ] {
        for (limit, more) in [(1, true), (4, true), (5, false), (100, false)] {
            let listing = Listing {
                limit,
                sort,
                ..bench.listing(query)
            };
            let page = bench.store.tickets(listing).await.unwrap();
            let mut expected = ids.clone();
            if sort == Sort::NewestFirst {
                expected.reverse();
            }
            expected.truncate(limit);
            let got: Vec<_> = page.rows.iter().map(|entry| entry.ticket.id()).collect();
            assert_eq!((got, page.more), (expected, more), "{query} {limit}");
        }
    }
}

#[tokio::test]
async fn an_attempt_whose_ticket_was_given_up_is_shown_and_changes_nothing() {
    let bench = Bench::new();
    let id = bench.submit(bench.ticket("build")).await;
    let mut consumer = bench.consume("build", 1).await;
    let started = bench.start(fresh(&mut *consumer, 1).await).await;
    bench.order(id, Action::Drop("a duplicate".into())).await;
    let settlement = bench
        .settlement(started.into_iter().next().unwrap(), failed())
        .await;
    let settled = bench.store.settle(vec![settlement]).await.unwrap();
    assert_eq!(settled, [Settled::Stale]);
    let entry = bench.store.ticket(id).await.unwrap().unwrap();
    assert!(matches!(&entry.place, Place::Dropped { by, .. } if by == "ada"));
    assert_eq!(entry.oopses.len(), 1, "its report is found all the same");
    let history = bench.store.history(id).await.unwrap();
    let failed = |line: &domain::books::Line| match &line.fact {
        Fact::Attempted { outcome, .. } => *outcome == OutcomeKind::Failed,
        Fact::Noted { .. } => false,
    };
    assert!(history.iter().any(failed), "{history:?}");
    bench.assert_balanced().await;
}

#[tokio::test]
async fn holds_and_what_waits_for_them_end_when_the_process_is_started_again() {
    let mut bench = Bench::new();
    bench.submit(bench.ticket("build")).await;
    let unstartable = domain::outcome::Failure::new("NoSuchFile", "./build.sh");
    let id = bench
        .attempt("build", Outcome::Unstartable(unstartable))
        .await;
    let hold = Hold {
        since: bench.now(),
        reason: "it cannot be started".into(),
        by: "goaround".into(),
        version: None,
        oops: None,
    };
    let change = Change::Hold(stage("build"), hold);
    let snapshot = bench.store.change(change).await.unwrap();
    bench.reopen(&STAGES);
    let now = bench.store.snapshot().await.unwrap();
    assert!(now.holds.is_empty());
    assert!(now.revision > snapshot.revision);
    let entry = bench.store.ticket(id).await.unwrap().unwrap();
    assert_eq!(entry.place.state(), State::Runnable);
}

#[tokio::test]
async fn fences_have_a_bound_and_the_newest_stay() {
    let bench = Bench::with(|config| store::Config {
        read_ahead_tickets: 2_048,
        ..config
    });
    let count = domain::control::Snapshot::FENCES_MAX + 3;
    let tickets: Vec<_> = (0..count).map(|_| bench.ticket("build")).collect();
    let ids: Vec<_> = tickets.iter().map(|ticket| ticket.id()).collect();
    bench.store.submit(tickets).await.unwrap();
    let mut consumer = bench.consume("build", count).await;
    let in_hand = fresh(&mut *consumer, count).await;
    for id in &ids {
        bench.order(*id, Action::Cancel).await;
    }
    let snapshot = bench.store.snapshot().await.unwrap();
    assert_eq!(snapshot.fences.len(), domain::control::Snapshot::FENCES_MAX);
    assert!(!snapshot.fences.contains_key(&ids[0]));
    assert!(snapshot.fences.contains_key(&ids[count - 1]));
    drop(in_hand);
    bench.assert_balanced().await;
}

#[tokio::test]
async fn retention_forgets_in_slices_and_ends() {
    let bench = Bench::with(|config| store::Config {
        retention_slice: 10,
        ..config
    });
    for _ in 0..25 {
        bench.submit(bench.ticket("build")).await;
        bench.attempt("build", Outcome::done()).await;
    }
    bench.submit(bench.ticket("build")).await;
    bench.attempt("build", failed()).await;
    bench.clock.skip(Duration::from_secs(60));
    let sums = bench.store.balance(None).await.unwrap();
    let keep = |tickets_max| Retention {
        before: Timestamp::EPOCH,
        tickets_max,
    };
    for expected in [10, 10, 2, 0] {
        assert_eq!(bench.store.retain(keep(3)).await.unwrap(), expected);
    }
    assert_eq!(found(&bench, "is:done").await, 3);
    let everything = Retention {
        before: bench.now(),
        tickets_max: u64::MAX,
    };
    assert_eq!(bench.store.retain(everything).await.unwrap(), 3);
    assert_eq!(bench.store.balance(None).await.unwrap(), sums);
    assert_eq!(found(&bench, "").await, 1, "what waits is not forgotten");
    assert_eq!(bench.store.oopses().retain(keep(0)).await.unwrap(), 1);
}
