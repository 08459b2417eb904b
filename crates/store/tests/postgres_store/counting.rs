//! Tickets counted from their rows on a real PostgreSQL.

use crate::support::bench;
use domain::ports::{Catalog, Depth, Desk, Finding};
use store::Postgres;

const SUMS: &str = "postgresql: sums";

async fn found(store: &Postgres, depth: Depth) -> Option<Finding> {
    let findings = store.check(depth).await.unwrap();
    findings.into_iter().find(|finding| finding.about == SUMS)
}

#[tokio::test]
async fn postgres_misses_a_ticket_that_is_in_no_place_when_it_counts() {
    let Some(bench) = bench() else { return };
    let (store, _ledger) = bench.leading().await;
    let begin = bench.now();
    let lost = bench.ticket("build");
    let tickets = vec![lost.clone(), bench.ticket("test")];
    store.submit(tickets).await.unwrap();
    let kept = store.balance(None).await.unwrap();
    assert_eq!(store.balance(Some(begin)).await.unwrap(), kept);
    let finding = found(&store, Depth::Deep).await.unwrap();
    assert!(finding.is_fine, "{finding:?}");

    for damaged in ["reason = NULL", "reason = 99", "state = 99"] {
        let id = lost.id();
        bench.sql(&format!("UPDATE places SET {damaged} WHERE id = '{id}'"));
        let counted = store.balance(Some(begin)).await.unwrap();
        assert!(!counted.is_balanced(), "{damaged}: {counted:?}");
        let finding = found(&store, Depth::Deep).await.unwrap();
        assert!(!finding.is_fine, "{damaged}: {finding:?}");
    }
    bench.sql(&format!("DELETE FROM places WHERE id = '{}'", lost.id()));
    let counted = store.balance(Some(begin)).await.unwrap();
    assert_eq!(counted.accepted, 2);
    assert!(!counted.is_balanced(), "{counted:?}");
    assert_eq!(store.balance(None).await.unwrap(), kept, "nobody counted");
    let finding = found(&store, Depth::Deep).await.unwrap();
    assert!(!finding.is_fine && finding.remedy.is_some(), "{finding:?}");
    assert_eq!(found(&store, Depth::Usual).await, None);
}
