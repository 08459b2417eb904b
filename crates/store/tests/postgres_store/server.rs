//! What becomes of the store when its server is not there, not right, or dies.

use crate::support;

use crate::support::{Bench, bench, flows, holder};
use domain::ports::{Accepted, Catalog, Desk, Election, StoreError};
use domain::ticket::TicketId;
use std::sync::Arc;
use std::time::Duration;
use store::{Postgres, PostgresConfig, PostgresError};
use testkit::clock::TestClock;

async fn refused(url: String) -> String {
    let mut config = PostgresConfig::new(url);
    config.connect_timeout = Duration::from_secs(2);
    let clock = Arc::new(TestClock::new(1));
    let opened = Postgres::open(config, flows(), clock, holder("controller/1")).await;
    let said = opened.err().expect("it is refused").to_string();
    assert!(!said.contains("not-a-secret"), "{said}");
    said
}

#[tokio::test]
async fn postgres_that_cannot_be_reached_is_refused_in_words_for_people() {
    let Some(bench) = bench() else { return };
    let wrong_port = bench
        .url
        .replace(&format!(":{}", bench.server.port()), ":1");
    let said = refused(wrong_port).await;
    assert!(
        said.contains("start the server there, or correct store.url"),
        "{said}"
    );
    let said = refused(bench.url.replace("not-a-secret", "nonsense")).await;
    assert!(said.contains("correct user and password"), "{said}");
    let said = refused(bench.url.replace(&bench.database, "nowhere")).await;
    assert!(said.contains("create the database"), "{said}");
    let said = refused(bench.url.replace("sslmode=disable", "sslmode=require")).await;
    assert!(said.contains("TLS"), "{said}");
}

#[tokio::test]
async fn postgres_tables_of_a_newer_goaround_are_refused() {
    let Some(bench) = bench() else { return };
    drop(bench.open("controller/1").await);
    bench.sql("UPDATE meta SET version = 99");
    let config = PostgresConfig::new(&*bench.url);
    let opened = Postgres::open(config, flows(), bench.clock.clone(), holder("c/2")).await;
    let error = opened.err().unwrap();
    assert!(
        matches!(error, PostgresError::Newer { found: 99, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("start that one"), "{error}");
}

#[tokio::test]
async fn postgres_is_opened_by_many_controllers_at_once() {
    let Some(bench) = bench() else { return };
    let opened = tokio::join!(bench.open("c/1"), bench.open("c/2"), bench.open("c/3"));
    let ticket = bench.ticket("build");
    opened.0.submit(vec![ticket.clone()]).await.unwrap();
    let known = opened.2.submit(vec![ticket.clone()]).await.unwrap();
    assert_eq!(known, [Accepted::Known(ticket.id())]);
}

/// Submits and publishes until the server is gone; returns what was confirmed.
async fn submit_until_it_fails(bench: &Bench, store: &Postgres) -> (Vec<TicketId>, StoreError) {
    let mut confirmed = Vec::new();
    loop {
        let tickets: Vec<_> = (0..20).map(|_| bench.ticket("build")).collect();
        match store.submit(tickets).await {
            Ok(accepted) => confirmed.extend(accepted.iter().map(|accepted| match accepted {
                Accepted::New(id) | Accepted::Known(id) => *id,
            })),
            Err(error) => return (confirmed, error),
        }
    }
}

#[tokio::test]
async fn postgres_killed_in_the_middle_loses_nothing_that_was_confirmed() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let server = Arc::clone(&bench.server);
    let killer = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(700));
        server.kill();
    });
    let (confirmed, error) = submit_until_it_fails(&bench, &store).await;
    killer.await.unwrap();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(!error.to_string().contains("not-a-secret"), "{error}");
    assert!(!confirmed.is_empty());
    assert!(store.balance(None).await.is_err());
    let server = Arc::clone(&bench.server);
    let restart = tokio::task::spawn_blocking(move || server.restart());
    restart.await.unwrap();
    for id in &confirmed {
        assert!(store.ticket(*id).await.unwrap().is_some(), "{id} is lost");
    }
    bench.assert_balanced(&store).await;
    // The connection that held the lead is gone, and the lead with it.
    assert!(ledger.due(bench.now(), support::MANY).await.is_err());
    drop(ledger);
    let ledger = store.lead().await.unwrap();
    assert!(!support::due(&ledger, bench.now()).await.is_empty());
}
