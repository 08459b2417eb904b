//! The gate of a stage that fails as a whole, and the permits that let one ticket through, on a
//! real PostgreSQL.

use crate::repair::{PROBE, serving};
use crate::support::{bench, due, holder, publish, stage};
use crate::trials::cases;
use domain::names::Version;
use domain::ports::{Action, Catalog, Desk, Order};
use domain::ticket::Ticket;
use std::collections::BTreeMap;
use std::time::Duration;

#[tokio::test]
async fn postgres_gives_the_permit_to_one_who_serves_the_wanted_version() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 20).await;
    let snapshot = store.snapshot().await.unwrap();
    let gate = &snapshot.gates[&stage("frail")];
    assert_eq!(gate.permit, None);
    let revision = snapshot.revision;
    let v2 = Version::new("v2").unwrap();
    let mut both = serving("v1", &["a", "z"]);
    let versions = both.get_mut(&stage("frail")).unwrap();
    versions.insert(v2, BTreeMap::from([(holder("m"), None)]));
    ledger.serving(both, bench.now()).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert!(snapshot.revision > revision, "everybody is told");
    let permit = snapshot.gates[&stage("frail")].permit.clone().unwrap();
    assert_eq!((permit.number, permit.holder), (1, holder("m")));
    assert_eq!(
        due(&ledger, bench.now()).await.len(),
        1,
        "the queue was empty"
    );
    // Nobody but its holder can use it up, and who is gone is not waited for.
    let canary = due(&ledger, bench.now()).await.remove(0).ticket;
    publish(&ledger, canary.name).await;
    ledger
        .serving(serving("v1", &["a", "z"]), bench.now())
        .await
        .unwrap();
    bench.clock.skip(PROBE);
    due(&ledger, bench.now()).await;
    due(&ledger, bench.now().plus(Duration::from_secs(1))).await;
    let snapshot = store.snapshot().await.unwrap();
    let permit = snapshot.gates[&stage("frail")].permit.clone().unwrap();
    assert_eq!((permit.number, permit.holder), (2, holder("z")));
    bench.assert_balanced(&store).await;
}

/// One of them may be alive and have no slot free for hours.
#[tokio::test]
async fn postgres_gives_permits_in_turn_to_those_who_serve_the_wanted_version() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 20).await;
    let mut both = serving("v2", &["a", "b", "c"]);
    let versions = both.get_mut(&stage("frail")).unwrap();
    let v1 = Version::new("v1").unwrap();
    versions.insert(v1, BTreeMap::from([(holder("ab"), None)]));
    ledger.serving(both, bench.now()).await.unwrap();
    let mut holders = Vec::new();
    for _ in 0..4 {
        for seconds in [0, 1] {
            due(&ledger, bench.now().plus(Duration::from_secs(seconds))).await;
        }
        let snapshot = store.snapshot().await.unwrap();
        let permit = snapshot.gates[&stage("frail")].permit.clone().unwrap();
        holders.push(permit.holder.to_string());
        bench.clock.skip(PROBE * 3 / 2);
    }
    assert_eq!(holders, ["a", "b", "c", "a"]);
}

/// The worker has used its permit, and waits for another; the books have heard of no start that
/// they could believe.
#[tokio::test]
async fn postgres_gives_another_permit_when_the_one_that_went_with_it_was_cancelled() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 20).await;
    let v2 = serving("v2", &["worker/1"]);
    ledger.serving(v2, bench.now()).await.unwrap();
    let mut used = 0;
    for number in 1..=4 {
        let fed = due(&ledger, bench.now()).await;
        assert_eq!(fed.len(), 1, "the queue was empty");
        let snapshot = store.snapshot().await.unwrap();
        let permit = snapshot.gates[&stage("frail")].permit.clone().unwrap();
        assert!(permit.number > used, "{permit:?} was used up");
        let ticket = &fed[0].ticket;
        publish(&ledger, ticket.name).await;
        let cancel = Order {
            ticket: ticket.id(),
            action: Action::Cancel,
            by: "ann".into(),
            at: bench.now(),
        };
        let crossing = match number {
            // Nobody has taken it.
            1 => Vec::new(),
            2 => vec![bench.started("worker/1", ticket)],
            _ => vec![bench.handed_back("worker/1", ticket)],
        };
        if !crossing.is_empty() {
            used = permit.number;
        }
        store.carry_out(vec![cancel]).await.unwrap();
        ledger.apply(crossing).await.unwrap();
        bench.clock.skip(PROBE * 3 / 2);
    }
    bench.assert_balanced(&store).await;
}

/// Its permit is used up, and nothing is known of the stage.
#[tokio::test]
async fn postgres_gives_another_permit_when_the_canary_died_in_company() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 20).await;
    let serves = serving("v2", &["worker/1"]);
    ledger.serving(serves, bench.now()).await.unwrap();
    let canary = due(&ledger, bench.now()).await.remove(0).ticket;
    publish(&ledger, canary.name).await;
    let other = bench.published(&store, &ledger).await;
    for ticket in [&canary, &other] {
        let started = bench.started_on("worker/1", ticket, "v2");
        let group = vec![started, bench.doubted(ticket)];
        ledger.apply(group).await.unwrap();
    }
    for case in cases(&ledger, bench.now()).await {
        bench.judge(&ledger, &case).await;
    }
    let again = due(&ledger, bench.now()).await;
    let again = again.iter().find(|due| due.ticket.id() == canary.id());
    let again = again.expect("it is tried alone");
    assert_eq!(again.ticket.name.attempt, canary.name.attempt);
    publish(&ledger, again.ticket.name).await;
    bench.clock.skip(PROBE * 3 / 2);
    due(&ledger, bench.now()).await;
    let snapshot = store.snapshot().await.unwrap();
    let permit = snapshot.gates[&stage("frail")].permit.clone().unwrap();
    assert_eq!(permit.number, 2);
}

/// Whoever handed it back did not know that its start was heard of: the permit is used up.
#[tokio::test]
async fn postgres_gives_another_permit_when_the_canary_was_handed_back() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 20).await;
    let serves = serving("v2", &["worker/1"]);
    ledger.serving(serves, bench.now()).await.unwrap();
    let canary = due(&ledger, bench.now()).await.remove(0).ticket;
    publish(&ledger, canary.name).await;
    let started = bench.started_on("worker/1", &canary, "v2");
    let group = vec![started, bench.handed_back("worker/1", &canary)];
    ledger.apply(group).await.unwrap();
    publish(&ledger, canary.name.renewed()).await;
    bench.clock.skip(PROBE * 3 / 2);
    due(&ledger, bench.now()).await;
    let snapshot = store.snapshot().await.unwrap();
    let permit = snapshot.gates[&stage("frail")].permit.clone().unwrap();
    assert_eq!(permit.number, 2);
}

#[tokio::test]
async fn postgres_leaves_a_permit_alone_that_there_is_nothing_for() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = bench.held((&store, &ledger), 20).await;
    ledger
        .serving(serving("v2", &["worker/1"]), bench.now())
        .await
        .unwrap();
    let cancel = |ticket: &Ticket| Order {
        ticket: ticket.id(),
        action: Action::Cancel,
        by: "ann".into(),
        at: bench.now(),
    };
    let orders = tickets.iter().map(cancel).collect();
    store.carry_out(orders).await.unwrap();
    due(&ledger, bench.now()).await;
    let revision = store.snapshot().await.unwrap().revision;
    for _ in 0..3 {
        bench.clock.skip(PROBE * 2);
        assert!(due(&ledger, bench.now()).await.is_empty());
    }
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.revision, revision, "nobody is told anything");
    // Whatever comes later is taken with a permit of its time.
    let late = bench.ticket("frail");
    store.submit(vec![late.clone()]).await.unwrap();
    publish(&ledger, late.name).await;
    bench.clock.skip(PROBE * 2);
    due(&ledger, bench.now()).await;
    let snapshot = store.snapshot().await.unwrap();
    assert!(snapshot.revision > revision);
}
