//! Payloads that a worker could not show the books, on a real PostgreSQL.

use crate::support::{bench, due};
use bytes::Bytes;
use domain::books::Place;
use domain::ports::{Action, Answer, Catalog, Desk, Order};
use domain::record::{Arrived, Said};
use domain::ticket::Ticket;
use domain::wait::{Condition, Reason, Wait};

/// Too large for any record, so that only its quarantine has it.
fn parked(ticket: &Ticket, at: domain::time::Timestamp) -> Said {
    let mut ticket = ticket.clone();
    ticket.payload = wire::record::left_out();
    let wait = Wait {
        condition: Condition::Parked,
        since: at,
        because: "it is too large".into(),
        oops: None,
    };
    let name = ticket.name.charged();
    Said::Arrived(Box::new(Arrived { ticket, name, wait }))
}

#[tokio::test]
async fn postgres_a_ticket_whose_body_was_left_out_is_not_run_on_nothing() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let foreign = bench.ticket("build");
    let group = vec![bench.record("worker/1", parked(&foreign, bench.now()))];
    ledger.apply(group).await.unwrap();
    let entry = store.ticket(foreign.id()).await.unwrap().unwrap();
    let Place::Waiting(wait) = &entry.place else {
        panic!("{entry:?}");
    };
    assert_eq!(wait.condition.reason(), Reason::Parked);
    let retry = Order {
        ticket: foreign.id(),
        action: Action::Retry,
        by: "ann".into(),
        at: bench.now(),
    };
    let answers = store.carry_out(vec![retry]).await.unwrap();
    let Some(Answer::Refused { why, .. }) = answers.first() else {
        panic!("{answers:?}");
    };
    assert!(why.contains("not shown"), "{why}");
    assert!(due(&ledger, bench.now()).await.is_empty());
}

#[tokio::test]
async fn postgres_what_the_books_have_of_the_same_copy_stays() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let known = bench.ticket("build");
    store.submit(vec![known.clone()]).await.unwrap();
    crate::support::publish(&ledger, known.name).await;
    let group = vec![bench.record("worker/1", parked(&known, bench.now()))];
    ledger.apply(group).await.unwrap();
    let entry = store.ticket(known.id()).await.unwrap().unwrap();
    assert_ne!(known.payload.bytes, Bytes::new());
    assert_eq!(entry.ticket.payload, known.payload);
}
