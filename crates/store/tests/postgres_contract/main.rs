//! The promises of the ports, kept by the store in PostgreSQL with a journal in between.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod bench;
mod lists;
mod orders;
mod queues;
mod reports;
mod road;
mod support;
mod world;

use domain::flow::Flows;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use testkit::clock::TestClock;
use testkit::contract::{self, Case, Stand, World};
use testkit::partners::or_skip;
use testkit::partners::postgres::PostgresServer;
use tokio::task::LocalSet;

thread_local! {
    /// The server of the test that runs on this thread.
    static SERVER: RefCell<Option<Arc<PostgresServer>>> = const { RefCell::new(None) };
}

/// How many databases were made: tests of one process share a server.
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A new database.
fn database(server: &PostgresServer) -> String {
    let number = DATABASES.fetch_add(1, Ordering::SeqCst);
    server.create_database(&format!("case_{number}"))
}

fn open(flows: Arc<Flows>, clock: Arc<TestClock>) -> Box<dyn World> {
    // Server and connections live in real time; what the books say of time is driven.
    clock.stop();
    let url = SERVER.with_borrow(|server| {
        let number = DATABASES.fetch_add(1, Ordering::SeqCst);
        server
            .as_ref()
            .unwrap()
            .create_database(&format!("case_{number}"))
    });
    Box::new(world::Distributed::new(flows, clock, url))
}

/// Tries each case of a suite in a database of its own; tells all that broke.
async fn keeps(cases: &[(&str, Case)]) {
    let Some(server) = or_skip(PostgresServer::shared()) else {
        return;
    };
    SERVER.set(Some(server));
    let local = LocalSet::new();
    let mut broken = Vec::new();
    for (name, case) in cases {
        let tried = local.run_until(async {
            let case = case(Stand::new(open));
            tokio::task::spawn_local(case).await
        });
        if let Err(error) = tried.await {
            broken.push(format!("{name}: {error}"));
        }
    }
    SERVER.set(None);
    assert!(broken.is_empty(), "{broken:#?}");
}

macro_rules! suites {
    ($($test:ident $suite:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $test() {
                keeps(contract::$suite::CASES).await;
            }
        )+
    };
}

suites! {
    postgres_keeps_the_promises_of_the_desk desk,
    postgres_keeps_the_promises_about_orders orders,
    postgres_keeps_the_promises_about_unique_keys unique,
    postgres_keeps_the_promises_of_the_catalog catalog,
    postgres_keeps_the_promises_about_reports oopses,
    postgres_keeps_the_promises_of_the_waits waits,
    postgres_keeps_the_promises_about_repair repair,
    postgres_keeps_the_promises_about_what_is_told_of_breakers breakers,
    postgres_keeps_the_promises_about_gates gates,
    postgres_keeps_the_promises_about_releases releases,
    postgres_keeps_the_promises_about_trials trials,
    postgres_keeps_the_promises_of_the_broker_with_a_journal_between broker,
    postgres_keeps_the_promises_about_the_death_of_a_process crash,
}
