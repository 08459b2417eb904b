//! Orders where a broker carries what is runnable, and several controllers give them.

use crate::bench::{Bench, Leader};
use crate::support::{bench, bench_on, stage};
use domain::books::{Fact, Place, State};
use domain::control::Change;
use domain::names::FlowName;
use domain::outcome::{Done, Emit, Outcome};
use domain::ports::{Action, Answer, Catalog, Clock, Depth, Desk, Sent};
use domain::record::{Arrived, Fate, Parted, Said};
use domain::ticket::{Generation, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use testkit::partners::or_skip;
use testkit::partners::postgres::PostgresServer;

fn is_done(answer: &Answer) -> bool {
    matches!(answer, Answer::Done(_))
}

async fn state(bench: &Bench, id: TicketId) -> State {
    let Leader { store, .. } = bench.leader().await;
    let entry = store.ticket(id).await.unwrap().unwrap();
    entry.place.state()
}

/// A ticket of the flow, pending at its second stage with the payload that it began with.
async fn pending(bench: &Arc<Bench>) -> Ticket {
    pending_with_start(bench, None).await
}

/// The same; once it has started it has to end by then.
async fn pending_with_start(bench: &Arc<Bench>, once_started: Option<Timestamp>) -> Ticket {
    let ticket = Ticket {
        flow: Some(FlowName::new("ci").unwrap()),
        ..bench.ticket("build")
    };
    bench.submit(ticket.clone()).await;
    let part = |ticket: &Ticket, to| {
        Said::Ended(Box::new(Parted {
            name: ticket.name,
            stage: ticket.stage.clone(),
            ended: None,
            to,
            emits: Vec::new(),
        }))
    };
    let mut next = ticket.named(ticket.name.handed_on());
    next.stage = stage("test");
    let until = bench.clock.now().plus(Duration::from_secs(60));
    let waits = Fate::Waits(Box::new(Arrived {
        ticket: next.clone(),
        name: next.name,
        wait: bench.wait(Condition::Pending {
            until,
            once_started,
        }),
    }));
    let handed_on = part(&ticket, Fate::Forwarded(stage("test")));
    bench
        .tell(vec![
            bench.started(&ticket),
            handed_on,
            bench.started(&next),
            part(&next, waits),
        ])
        .await;
    next
}

#[tokio::test]
async fn postgres_retries_a_ticket_at_a_later_stage_whose_payload_never_changed() {
    let Some(bench) = bench() else { return };
    let ticket = pending(&bench).await;
    let order = bench.order(ticket.id(), Action::Retry);
    let answers = bench.carry_out(vec![order]).await;
    assert!(is_done(&answers[0]), "{answers:?}");
    let Leader { books, .. } = bench.leader().await;
    let dues = books
        .due(bench.clock.now(), NonZeroUsize::MIN)
        .await
        .unwrap();
    assert_eq!(dues.due[0].ticket, ticket.named(ticket.name.renewed()));
    assert_eq!(dues.due[0].barrier, None, "nothing of it was out there");
    bench.audit();
}

#[tokio::test]
async fn postgres_does_not_retry_what_the_books_were_never_shown() {
    let Some(bench) = bench() else { return };
    let id = pending(&bench).await.id();
    bench.sql("UPDATE goaround.tickets SET payload = NULL");
    let order = bench.order(id, Action::Retry);
    let answers = bench.carry_out(vec![order]).await;
    assert!(matches!(answers[0], Answer::Refused { .. }), "{answers:?}");
    assert_eq!(state(&bench, id).await, State::Waiting);
}

#[tokio::test]
async fn postgres_cancels_a_ticket_that_is_being_published_and_fences_it() {
    let Some(bench) = bench() else { return };
    let Leader { store, books } = bench.leader().await;
    let ticket = bench.ticket("build");
    store.submit(vec![ticket.clone()]).await.unwrap();
    books.sent(vec![(ticket.name, Sent::Begun)]).await.unwrap();
    assert_eq!(state(&bench, ticket.id()).await, State::Runnable);
    let order = |action| bench.order(ticket.id(), action);
    let answers = bench
        .carry_out(vec![order(Action::Retry), order(Action::Cancel)])
        .await;
    assert!(matches!(answers[0], Answer::Refused { .. }), "{answers:?}");
    assert!(is_done(&answers[1]), "{answers:?}");
    books
        .sent(vec![(ticket.name, Sent::Confirmed)])
        .await
        .unwrap();
    bench.tell(vec![bench.started(&ticket)]).await;
    assert_eq!(state(&bench, ticket.id()).await, State::Dropped);
    let snapshot = store.snapshot().await.unwrap();
    assert!(!snapshot.lets_run(ticket.id(), ticket.name.generation));
    assert!(store.balance(None).await.unwrap().is_balanced());
    bench.audit();
}

#[tokio::test]
async fn postgres_fences_a_whole_group_with_one_revision() {
    let Some(bench) = bench() else { return };
    let Leader { store, .. } = bench.leader().await;
    let mut orders = Vec::new();
    for _ in 0..20 {
        let ticket = bench.ticket("build");
        bench.submit(ticket.clone()).await;
        bench
            .tell(vec![Said::Suspect(Box::new(ticket.clone()))])
            .await;
        orders.push(bench.order(ticket.id(), Action::Drop("enough".into())));
    }
    let before = store.snapshot().await.unwrap().revision;
    let answers = bench.carry_out(orders).await;
    assert!(answers.iter().all(is_done), "{answers:?}");
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.revision, before + 1);
    assert_eq!(snapshot.fences.len(), 20);
    bench.audit();
}

#[tokio::test]
async fn postgres_carries_out_the_orders_beside_one_whose_ticket_cannot_be_read() {
    let Some(bench) = bench() else { return };
    let damaged = bench.submit(bench.ticket("build")).await;
    let sound = bench.submit(bench.ticket("build")).await;
    bench.sql(&format!(
        "UPDATE goaround.places SET stage = '' WHERE id = '{damaged}'"
    ));
    let order = |id| bench.order(id, Action::Cancel);
    let answers = bench.carry_out(vec![order(damaged), order(sound)]).await;
    let Answer::Refused { why, remedy } = &answers[0] else {
        panic!("expected a refusal, got {answers:?}");
    };
    assert!(
        !why.is_empty() && remedy.contains("restore"),
        "{why} {remedy}"
    );
    assert!(is_done(&answers[1]), "{answers:?}");
}

#[tokio::test]
async fn postgres_gives_each_of_two_controllers_its_own_answer() {
    let Some(bench) = bench() else { return };
    let stores = [bench.leader().await.store, bench.another().await];
    let mut ids = Vec::new();
    for _ in 0..30 {
        ids.push(bench.submit(bench.ticket("build")).await);
    }
    let forth = ids
        .iter()
        .map(|id| bench.order(*id, Action::Cancel))
        .collect();
    let back = ids
        .iter()
        .rev()
        .map(|id| bench.order(*id, Action::Cancel))
        .collect();
    let (a, b) = tokio::join!(stores[0].carry_out(forth), stores[1].carry_out(back));
    let (a, mut b) = (a.unwrap(), b.unwrap());
    b.reverse();
    for (a, b) in a.iter().zip(&b) {
        assert!(is_done(a) != is_done(b), "{a:?} {b:?}");
    }
    assert_eq!(stores[1].balance(None).await.unwrap().dropped, 30);
    bench.audit();
}

#[tokio::test]
async fn postgres_gives_what_has_started_its_whole_time() {
    let Some(bench) = bench() else { return };
    let end = bench.clock.now().plus(Duration::from_secs(3_600));
    let ticket = pending_with_start(&bench, Some(end)).await;
    let Leader { store, .. } = bench.leader().await;
    let before = store.ticket(ticket.id()).await.unwrap().unwrap();
    let start = |generation| bench.order(ticket.id(), Action::Start(generation));
    let stale = start(Generation::FIRST.next());
    let orders = vec![stale, start(Generation::FIRST), start(Generation::FIRST)];
    let answers = bench.carry_out(orders).await;
    assert!(matches!(answers[0], Answer::Refused { .. }), "{answers:?}");
    assert!(is_done(&answers[1]) && is_done(&answers[2]), "{answers:?}");
    let after = store.ticket(ticket.id()).await.unwrap().unwrap();
    let Place::Waiting(wait) = &after.place else {
        panic!("expected it to wait on, it is {:?}", after.place);
    };
    let condition = Condition::Pending {
        until: end,
        once_started: None,
    };
    assert_eq!(
        (&wait.condition, wait.since),
        (&condition, before.place.since())
    );
    let history = store.history(ticket.id()).await.unwrap().into_iter();
    let starts =
        history.filter(|line| matches!(&line.fact, Fact::Noted { what, .. } if what == "started"));
    assert_eq!(starts.count(), 1, "told twice is told once");
    bench.audit();
}

#[tokio::test]
async fn postgres_accepts_what_a_call_back_sends_once() {
    let Some(bench) = bench() else { return };
    let id = pending(&bench).await.id();
    let emit = Emit {
        stage: stage("build"),
        kind: None,
        key: None,
        payload: Payload::untyped("child"),
    };
    let outcome = Outcome::Done(Done {
        emit: vec![emit.clone(), emit],
        ..Done::default()
    });
    let complete = Action::Complete(Generation::FIRST, outcome);
    let orders = vec![bench.order(id, complete.clone()), bench.order(id, complete)];
    let answers = bench.carry_out(orders).await;
    assert!(is_done(&answers[0]), "{answers:?}");
    assert!(matches!(answers[1], Answer::Refused { .. }), "{answers:?}");
    let Leader { store, .. } = bench.leader().await;
    let balance = store.balance(None).await.unwrap();
    assert_eq!((balance.accepted, balance.done), (3, 1));
    assert_eq!(balance.waiting[&Reason::NotNow], 2);
    let page = store.tickets(bench.listing("is:waiting")).await.unwrap();
    let parents = page.rows.iter().map(|entry| entry.ticket.lineage.parent);
    assert_eq!(parents.collect::<Vec<_>>(), [Some(id), Some(id)]);
    bench.audit();
}

#[tokio::test]
async fn postgres_raises_the_revision_for_a_roll_call_and_changes_nothing_else() {
    let Some(bench) = bench() else { return };
    let Leader { store, .. } = bench.leader().await;
    let before = store.snapshot().await.unwrap();
    let after = store.change(Change::RollCall).await.unwrap();
    assert_eq!(after.revision, before.revision + 1);
    assert_eq!((after.holds, after.fences), (before.holds, before.fences));
}

#[tokio::test]
async fn postgres_calls_the_leader_when_somebody_else_gives_an_order() {
    let Some(bench) = bench() else { return };
    let id = pending(&bench).await.id();
    let Leader { store, .. } = bench.leader().await;
    let other = bench.another().await;
    // What was said before is heard first.
    while tokio::time::timeout(Duration::from_millis(300), election(&store))
        .await
        .is_ok()
    {}
    let order = vec![bench.order(id, Action::Retry)];
    let called = tokio::time::timeout(Duration::from_secs(3), election(&store));
    let (called, answers) = tokio::join!(called, other.carry_out(order));
    assert!(is_done(&answers.unwrap()[0]));
    assert!(called.is_ok(), "the leader hears of it at once");
}

async fn election(store: &store::Postgres) {
    domain::ports::Election::attention(store).await;
}

#[tokio::test]
async fn postgres_tells_the_doctor_of_a_server_that_forgets() {
    let Some(server) = or_skip(PostgresServer::start()) else {
        return;
    };
    let bench = bench_on(&server);
    let Leader { store, .. } = bench.leader().await;
    let findings = store.check(Depth::Usual).await.unwrap();
    let sick: Vec<_> = findings.iter().filter(|finding| !finding.is_fine).collect();
    assert!(sick.is_empty(), "{sick:?}");
    server.sql("postgres", "ALTER SYSTEM SET full_page_writes = off");
    server.sql("postgres", "ALTER SYSTEM SET synchronous_commit = off");
    server.sql("postgres", "SELECT pg_reload_conf()");
    let mut sick = Vec::new();
    for _ in 0..50 {
        let findings = store.check(Depth::Usual).await.unwrap();
        sick = findings
            .into_iter()
            .filter(|finding| !finding.is_fine)
            .collect();
        if sick.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let about: Vec<_> = sick.iter().map(|finding| finding.about.as_str()).collect();
    let expected = [
        "postgresql: full_page_writes",
        "postgresql: synchronous_commit",
    ];
    assert_eq!(about, expected);
    assert!(sick.iter().all(|finding| finding.remedy.is_some()));
}
