//! Canaries of signatures on a real PostgreSQL: which copy is the one that is tried, and where it
//! may run.

use crate::repair::serving;
use crate::support::{Bench, bench, doubt_stranded, due, holder, publish, stage};
use domain::books::Fact;
use domain::names::Version;
use domain::ports::{Catalog, Due, Election, Ledger, Plans, Sent, Serving};
use domain::ticket::{Name, Ticket};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Postgres;

type Books = Arc<dyn Ledger>;

impl Bench {
    /// Five are held, a new version serves, and this one is tried; it is not published yet.
    async fn canary(&self, (store, ledger): (&Postgres, &Books)) -> Ticket {
        self.held((store, ledger), 5).await;
        let v2 = serving("v2", &["worker/1"]);
        ledger.serving(v2, self.now()).await.unwrap();
        only(ledger, self).await.ticket
    }

    /// The ticket is at work on the new version, and lands.
    pub(crate) async fn lands(&self, ledger: &Books, ticket: &Ticket) {
        let group = vec![
            self.started_on("worker/1", ticket, "v2"),
            self.finished("worker/1", ticket),
        ];
        ledger.apply(group).await.unwrap();
    }
}

async fn only(ledger: &Books, bench: &Bench) -> Due {
    let mut found = due(ledger, bench.now()).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

async fn is_sent(ledger: &Books, name: Name, sent: Sent) {
    ledger.sent(vec![(name, sent)]).await.unwrap();
}

#[tokio::test]
async fn postgres_a_canary_whose_publish_ended_in_doubt_is_one_still() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let canary = bench.canary((&store, &ledger)).await;
    is_sent(&ledger, canary.name, Sent::Begun).await;
    is_sent(&ledger, canary.name, Sent::Doubtful).await;
    let again = only(&ledger, &bench).await;
    assert!(again.barrier.is_some());
    assert_eq!(again.ticket.name, canary.name.renewed());
    publish(&ledger, again.ticket.name).await;
    bench.lands(&ledger, &again.ticket).await;
    assert_eq!(store.plans().await.unwrap().len(), 1, "the others follow");
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_a_canary_that_was_being_published_when_the_leader_died_is_one_still() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let canary = bench.canary((&store, &ledger)).await;
    is_sent(&ledger, canary.name, Sent::Begun).await;
    drop(ledger);
    let ledger = store.lead().await.unwrap();
    doubt_stranded((&store, &ledger)).await;
    let again = only(&ledger, &bench).await;
    assert_eq!(again.ticket.name, canary.name.renewed());
    publish(&ledger, again.ticket.name).await;
    bench.lands(&ledger, &again.ticket).await;
    assert_eq!(store.plans().await.unwrap().len(), 1, "the others follow");
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_somebody_leads_though_what_was_being_published_cannot_be_read() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let canary = bench.canary((&store, &ledger)).await;
    is_sent(&ledger, canary.name, Sent::Begun).await;
    bench.sql("UPDATE places SET hop = -1 WHERE state = 5");
    drop(ledger);
    let ledger = store.lead().await.unwrap();
    assert!(due(&ledger, bench.now()).await.is_empty());
}

/// The version that it was released for is rolled back: all that are left would hand it back, once
/// a second, and no other canary would go.
#[tokio::test]
async fn postgres_a_canary_that_nobody_could_take_goes_to_anybody() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let canary = bench.canary((&store, &ledger)).await;
    publish(&ledger, canary.name).await;
    let (v1, v2) = (Version::new("v1").unwrap(), Version::new("v2").unwrap());
    let by = |name: &str| BTreeMap::from([(holder(name), None)]);
    let both = BTreeMap::from([(v1.clone(), by("worker/1")), (v2, by("worker/2"))]);
    let both = Serving::from([(stage("frail"), both)]);
    ledger.serving(both, bench.now()).await.unwrap();
    let back = bench.handed_back("worker/1", &canary);
    ledger.apply(vec![back]).await.unwrap();
    let again = only(&ledger, &bench).await;
    assert_eq!(again.avoid, [v1], "somebody can take it");
    publish(&ledger, again.ticket.name).await;
    ledger.serving(Serving::new(), bench.now()).await.unwrap();
    let back = bench.handed_back("worker/1", &again.ticket);
    ledger.apply(vec![back]).await.unwrap();
    let again = only(&ledger, &bench).await;
    assert_eq!(again.avoid.len(), 1, "somebody may come");
    let v1 = serving("v1", &["worker/1"]);
    ledger.serving(v1, bench.now()).await.unwrap();
    let again = only(&ledger, &bench).await;
    assert_eq!(again.avoid, []);
    let history = store.history(canary.id()).await.unwrap();
    let is_told = |fact: &Fact| matches!(fact, Fact::Noted { what, .. } if what == "unbound");
    let told = history.iter().filter(|line| is_told(&line.fact));
    assert_eq!(told.count(), 1);
    assert_eq!(only(&ledger, &bench).await.avoid, []);
    publish(&ledger, again.ticket.name).await;
    bench.assert_balanced(&store).await;
}
