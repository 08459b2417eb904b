//! The books under load, and what survives the end of the process in the middle of it.

use crate::support::{Bench, STAGES, failed, fresh, stage};
use domain::books::State;
use domain::outcome::{Emit, Outcome};
use domain::ports::{Action, Answer, Broker, Catalog, Desk, Settled, Waits};
use domain::ticket::Payload;
use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::LocalSet;

const TICKETS: usize = 600;

fn outcome(number: usize) -> Outcome {
    match number % 7 {
        0 => failed(),
        1 => Outcome::NotNow { after: None },
        2 => Outcome::Done(domain::outcome::Done {
            emit: vec![Emit {
                stage: stage("publish"),
                kind: None,
                key: None,
                payload: Payload::default(),
            }],
            ..Default::default()
        }),
        _ => Outcome::done(),
    }
}

/// Works on a stage until it was asked to stop.
async fn work(bench: Arc<Bench>, name: &'static str) {
    let mut consumer = bench.consume(name, 64).await;
    let mut number = 0;
    loop {
        let next = consumer.next(NonZeroUsize::new(32).unwrap());
        let Ok(incoming) = tokio::time::timeout(Duration::from_millis(500), next).await else {
            return;
        };
        let deliveries = incoming
            .unwrap()
            .into_iter()
            .map(|incoming| match incoming {
                domain::delivery::Incoming::Fresh(delivery) => delivery,
                other => panic!("expected a fresh delivery, got {other:?}"),
            });
        let started = bench.start(deliveries.collect()).await;
        let mut group = Vec::new();
        for delivery in started {
            number += 1;
            group.push(bench.settlement(delivery, outcome(number)).await);
        }
        for settled in bench.store.settle(group).await.unwrap() {
            assert!(matches!(settled, Settled::Applied | Settled::Stale));
        }
    }
}

async fn submit(bench: Arc<Bench>, offset: usize) {
    for number in 0..TICKETS / 6 {
        let ticket = match (number + offset) % 3 {
            0 => bench.keyed("solo", &format!("key-{}", number % 5)),
            _ => bench.ci(),
        };
        let id = bench.submit(ticket).await;
        if number % 11 == 0 {
            let answer = bench.order(id, Action::Cancel).await;
            assert!(!matches!(answer, Answer::NotFound));
        }
    }
}

#[tokio::test]
async fn the_books_balance_at_every_instant_under_load() {
    let bench = Arc::new(Bench::new());
    let local = LocalSet::new();
    for offset in 0..6 {
        local.spawn_local(submit(Arc::clone(&bench), offset));
    }
    for name in STAGES {
        local.spawn_local(work(Arc::clone(&bench), name));
    }
    let releasing = Arc::clone(&bench);
    local.spawn_local(async move {
        for _ in 0..40 {
            releasing.clock.skip(Duration::from_secs(400));
            let max = NonZeroUsize::new(1_000).unwrap();
            releasing.store.release(releasing.now(), max).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let auditing = Arc::clone(&bench);
    let audit = local.spawn_local(async move {
        for _ in 0..200 {
            auditing.assert_balanced().await;
            let stages = auditing.store.stages().await.unwrap();
            assert!(stages.len() <= STAGES.len());
        }
    });
    local.await;
    audit.await.unwrap();
    let balance = bench.store.balance(None).await.unwrap();
    assert!(balance.is_balanced(), "{balance:?}");
    assert_eq!(balance.running, 0);
    assert!(balance.done > 0 && balance.dropped > 0, "{balance:?}");
}

#[tokio::test]
async fn every_ticket_is_found_after_the_process_went_away_in_the_middle() {
    let mut bench = Bench::new();
    for _ in 0..300 {
        bench.submit(bench.ci()).await;
    }
    let mut consumer = bench.consume("build", 128).await;
    let started = bench.start(fresh(&mut *consumer, 100).await).await;
    let in_hand = fresh(&mut *consumer, 28).await;
    let mut group = Vec::new();
    let mut running = HashSet::new();
    for (number, delivery) in started.into_iter().enumerate() {
        match number % 2 {
            0 => group.push(bench.settlement(delivery, Outcome::done()).await),
            _ => {
                running.insert(delivery.ticket().id());
                // Still with its handler when the process goes.
                std::mem::forget(delivery);
            }
        }
    }
    bench.store.settle(group).await.unwrap();
    bench.reopen(&STAGES);
    drop((in_hand, consumer));

    let cases = bench
        .store
        .cases(bench.now(), NonZeroUsize::new(1_000).unwrap());
    let cases: HashSet<_> = cases
        .await
        .unwrap()
        .iter()
        .map(|case| case.ticket.id())
        .collect();
    assert_eq!(cases, running, "exactly what ran is a suspect");
    bench.assert_balanced().await;
    let mut consumer = bench.consume("build", 300).await;
    let untouched = fresh(&mut *consumer, 200).await;
    assert!(crate::support::is_quiet(&mut *consumer).await);
    let mut next = bench.consume("test", 300).await;
    let handed_on = fresh(&mut *next, 50).await;
    assert!(crate::support::is_quiet(&mut *next).await);
    drop((untouched, handed_on));
}

#[tokio::test]
async fn more_than_one_transaction_can_take_is_all_carried_out() {
    let bench = Arc::new(Bench::with(|config| store::Config {
        group_tickets_max: 16,
        requests_max: 4,
        ..config
    }));
    let local = LocalSet::new();
    for _ in 0..40 {
        let bench = Arc::clone(&bench);
        local.spawn_local(async move {
            let tickets = (0..10).map(|_| bench.ticket("build")).collect();
            assert_eq!(bench.store.submit(tickets).await.unwrap().len(), 10);
        });
    }
    local.await;
    assert_eq!(bench.store.balance(None).await.unwrap().runnable, 400);
}

#[tokio::test]
async fn two_subscribers_of_a_stage_never_hold_the_same_ticket() {
    let bench = Bench::with(|config| store::Config {
        read_ahead_tickets: 8,
        ..config
    });
    for _ in 0..60 {
        bench.submit(bench.ticket("build")).await;
    }
    let mut one = bench.consume("build", 40).await;
    let mut two = bench.consume("build", 40).await;
    let (first, second) = tokio::join!(fresh(&mut *one, 30), fresh(&mut *two, 30));
    let ids = first
        .iter()
        .chain(&second)
        .map(|delivery| delivery.ticket().id());
    assert_eq!(ids.collect::<HashSet<_>>().len(), 60);
    drop(first);
    let again = fresh(&mut *two, 10).await;
    assert_eq!(
        again.len(),
        10,
        "what the other gave back is there for everybody"
    );
}

#[tokio::test]
async fn an_intent_file_is_written_anew_before_it_grows_without_end() {
    let mut bench = Bench::with(|config| store::Config {
        intents_bytes_max: 2_048,
        ..config
    });
    for _ in 0..200 {
        bench.submit(bench.ticket("build")).await;
    }
    let mut consumer = bench.consume("build", 8).await;
    let held = bench.start(fresh(&mut *consumer, 1).await).await;
    let running = held[0].ticket().id();
    for _ in 0..150 {
        let started = bench.start(fresh(&mut *consumer, 1).await).await;
        let delivery = started.into_iter().next().unwrap();
        let settlement = bench.settlement(delivery, Outcome::done()).await;
        bench.store.settle(vec![settlement]).await.unwrap();
    }
    let size = std::fs::metadata(bench.path.join("intents")).unwrap().len();
    assert!(size < 4_096, "{size}");
    bench.reopen(&STAGES);
    drop(held);
    let cases = bench
        .store
        .cases(bench.now(), NonZeroUsize::new(10).unwrap());
    let cases = cases.await.unwrap();
    assert_eq!(cases.len(), 1);
    assert_eq!(cases[0].ticket.id(), running);
}

#[tokio::test]
async fn a_stage_that_is_no_longer_configured_keeps_its_tickets_until_it_is_again() {
    let mut bench = Bench::new();
    let id = bench.submit(bench.ticket("test")).await;
    bench.reopen(&["build"]);
    let entry = bench.store.ticket(id).await.unwrap().unwrap();
    assert_eq!(entry.place.state(), State::Waiting);
    bench.assert_balanced().await;
    bench.reopen(&STAGES);
    let mut consumer = bench.consume("test", 1).await;
    assert_eq!(fresh(&mut *consumer, 1).await[0].ticket().id(), id);
}

#[tokio::test]
async fn a_stage_that_becomes_unique_keeps_only_the_newest_of_each_key() {
    let mut bench = Bench::new();
    bench.reopen(&["build", "test", "publish"]);
    let old = bench.submit(bench.keyed("solo", "rust")).await;
    let new = bench.submit(bench.keyed("solo", "rust")).await;
    let other = bench.submit(bench.keyed("solo", "gcc")).await;
    bench.reopen(&STAGES);
    for (id, state) in [
        (old, State::Dropped),
        (new, State::Runnable),
        (other, State::Runnable),
    ] {
        let entry = bench.store.ticket(id).await.unwrap().unwrap();
        assert_eq!(entry.place.state(), state, "{id}");
    }
    bench.assert_balanced().await;
}

#[tokio::test]
async fn a_settlement_whose_caller_went_away_counts_all_the_same() {
    let bench = Bench::new();
    let id = bench.submit(bench.ticket("build")).await;
    let mut consumer = bench.consume("build", 1).await;
    let started = bench.start(fresh(&mut *consumer, 1).await).await;
    let delivery = started.into_iter().next().unwrap();
    let settlement = bench.settlement(delivery, Outcome::done()).await;
    {
        let settle = bench.store.settle(vec![settlement]);
        tokio::pin!(settle);
        // Polled once, so that the group is on its way, then dropped.
        let polled = futures_poll_once(settle.as_mut()).await;
        assert!(polled.is_none());
    }
    bench.submit(bench.ticket("solo")).await;
    let entry = bench.store.ticket(id).await.unwrap().unwrap();
    assert_eq!(entry.place.state(), State::Done);
    assert!(
        crate::support::is_quiet(&mut *consumer).await,
        "it does not come back"
    );
}

async fn futures_poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        let polled = std::pin::Pin::new(&mut future).poll(context);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
