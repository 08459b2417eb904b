//! Release plans that breakers made, on a real PostgreSQL: which are kept, and what ends them.

use crate::repair::{PROBE, serving};
use crate::support::{Bench, bench, due, publish};
use domain::breaker::Scope;
use domain::filter::Query;
use domain::plan::{Plan, Source, Terms};
use domain::ports::{Desk, Election, Ledger, PlanOrder, Plans};
use domain::ticket::Ticket;
use std::sync::Arc;
use store::Postgres;

type Books = Arc<dyn Ledger>;

impl Bench {
    /// So many fail alike, a new version serves, and its canary lands: a plan is made.
    async fn repaired(&self, (store, ledger): (&Postgres, &Books), count: usize) -> Plan {
        self.held((store, ledger), count).await;
        let canary = self.sent_canary(ledger).await;
        self.lands(ledger, &canary).await;
        store.plans().await.unwrap().remove(0)
    }

    async fn sent_canary(&self, ledger: &Books) -> Ticket {
        let v2 = serving("v2", &["worker/1"]);
        ledger.serving(v2, self.now()).await.unwrap();
        let canary = due(ledger, self.now()).await.remove(0).ticket;
        publish(ledger, canary.name).await;
        canary
    }

    /// All that becomes due lands, for so many rounds. Returns how many that were in each.
    async fn rounds(&self, ledger: &Books, count: usize) -> Vec<usize> {
        let mut turns = Vec::new();
        for _ in 0..count {
            let found = due(ledger, self.now()).await;
            turns.push(found.len());
            for due in &found {
                publish(ledger, due.ticket.name).await;
                self.lands(ledger, &due.ticket).await;
            }
        }
        turns
    }
}

/// Nothing tells its tickets from others, so no end is ever told to it.
#[tokio::test]
async fn postgres_a_plan_of_a_queue_is_over_when_it_is_stopped() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 20).await;
    let canary = bench.sent_canary(&ledger).await;
    for _ in 0..3 {
        let queued = bench.ticket("frail");
        store.submit(vec![queued.clone()]).await.unwrap();
        publish(&ledger, queued.name).await;
    }
    bench.lands(&ledger, &canary).await;
    let plan = store.plans().await.unwrap().remove(0);
    assert_eq!(plan.selection.source, Source::Queue);
    assert!(plan.counts.out() > 0, "{plan:?}");
    assert_eq!(bench.count("plans WHERE is_live"), 1);
    let stopped = store.order(plan.id, PlanOrder::Stop, "ann").await.unwrap();
    assert!(stopped.counts.out() > 0, "{stopped:?}");
    assert_eq!(bench.count("plans WHERE is_live"), 0);
}

#[tokio::test]
async fn postgres_a_paused_plan_is_kept_however_many_are_newer() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let plan = bench.repaired((&store, &ledger), 5).await;
    assert_eq!(plan.counts.out(), 0);
    store.order(plan.id, PlanOrder::Pause, "ann").await.unwrap();
    bench.sql(
        "INSERT INTO plans (id, is_live, body)
           SELECT gen_random_uuid(), false, body FROM plans, generate_series(1, 1000)",
    );
    let parked: Query = "is:parked".parse().unwrap();
    let made = store.make(parked, Terms::default(), "ann").await;
    made.unwrap();
    assert!(bench.count("plans") < 1_002, "the oldest are forgotten");
    assert!(store.plan(plan.id).await.unwrap().is_some());
    let resumed = store.order(plan.id, PlanOrder::Resume, "ann").await;
    resumed.unwrap();
    assert_eq!(bench.rounds(&ledger, 2).await, [1, 3]);
}

#[tokio::test]
async fn postgres_a_breaker_whose_plan_is_lost_holds_again_when_a_term_begins() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.repaired((&store, &ledger), 5).await;
    drop(ledger);
    bench.sql("DELETE FROM plans");
    let ledger = store.lead().await.unwrap();
    assert!(due(&ledger, bench.now()).await.is_empty());
    let tripped = store.tripped(None).await.unwrap();
    let states: Vec<&str> = tripped.iter().map(|it| it.breaker.state.as_str()).collect();
    assert_eq!(states, ["open"]);
    bench.clock.skip(PROBE);
    assert_eq!(due(&ledger, bench.now()).await.len(), 1);
    bench.assert_balanced(&store).await;
}

/// A worker's clock may be far ahead.
#[tokio::test]
async fn postgres_releases_what_is_held_since_a_time_to_come() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = bench.held((&store, &ledger), 5).await;
    bench.sql(&format!(
        "UPDATE places SET since = since + 600000000 WHERE id = '{}'",
        tickets[4].id()
    ));
    let canary = bench.sent_canary(&ledger).await;
    bench.lands(&ledger, &canary).await;
    assert_eq!(bench.rounds(&ledger, 4).await, [1, 3, 0, 0]);
    assert_eq!(store.plans().await.unwrap().len(), 1);
    assert_eq!(store.tripped(None).await.unwrap(), []);
}

#[tokio::test]
async fn postgres_a_place_that_cannot_be_read_stops_no_release() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 5).await;
    bench.sql(
        "UPDATE places SET hop = -1 WHERE id IN (SELECT id FROM places WHERE mark = 1
           ORDER BY since, id LIMIT 2)",
    );
    let canary = bench.sent_canary(&ledger).await;
    bench.lands(&ledger, &canary).await;
    assert_eq!(bench.rounds(&ledger, 4).await, [1, 1, 0, 0]);
    assert_eq!(store.plans().await.unwrap().len(), 1);
    assert_eq!(store.tripped(None).await.unwrap(), []);
    assert_eq!(bench.count("places WHERE hop = -1"), 2);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_a_canary_that_cannot_be_read_any_more_is_lost() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 5).await;
    let canary = bench.sent_canary(&ledger).await;
    let damaged = format!("UPDATE places SET hop = -1 WHERE id = '{}'", canary.id());
    bench.sql(&damaged);
    bench.clock.skip(PROBE * 3 / 2);
    let found = due(&ledger, bench.now()).await;
    assert_eq!(found.len(), 1, "another is tried");
    let tripped = store.tripped(None).await.unwrap();
    let scopes = tripped.iter().filter(|it| it.breaker.scope != Scope::Stage);
    let states: Vec<&str> = scopes.map(|it| it.breaker.state.as_str()).collect();
    assert_eq!(states, ["probing"]);
}
