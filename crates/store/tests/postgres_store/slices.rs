//! Very many tickets that are held or let go on a real PostgreSQL: a part in each round, so that no
//! call is cut short and begins anew for ever.

use crate::support::{Bench, MANY, bench, holder, stage};
use domain::fleet::Heartbeat;
use domain::names::Version;
use domain::ports::{Catalog, Dues, Election, Ledger};
use domain::record::Said;
use domain::wait::Reason;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::Postgres;

impl Bench {
    /// So many more tickets of `frail`, with these columns of their places.
    fn fill(&self, count: u32, reason: Reason, columns: (&str, &str)) {
        let (names, values) = columns;
        let sum = match reason {
            Reason::Held => 25,
            Reason::Unclaimed => 26,
            _ => 21,
        };
        self.sql(&format!(
            "INSERT INTO tickets (id, kind, created_at, root, depth, payload, body_generation,
                 body_hop)
               SELECT gen_random_uuid(), 'many', n, gen_random_uuid(), 0, 'x', 1, 0
               FROM generate_series(1, {count}) n;
             INSERT INTO places (id, state, stage, generation, hop, attempt, since, signature,
                 {names})
               SELECT id, 2, 'frail', 1, 0, 1, 1, 'v1-0000000000000007', {values}
               FROM tickets WHERE kind = 'many';
             INSERT INTO counts VALUES ('', 1, 3, {count}), ('frail', {sum}, 3, {count})"
        ));
    }
}

async fn held(store: &Postgres) -> u64 {
    let balance = store.balance(None).await.unwrap();
    balance.waiting.get(&Reason::Held).copied().unwrap_or(0)
}

async fn round(ledger: &Arc<dyn Ledger>, bench: &Bench) -> Dues {
    ledger.due(bench.now(), MANY).await.unwrap()
}

#[tokio::test]
async fn postgres_lets_very_many_go_a_part_in_each_round_when_a_term_begins() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 5).await;
    drop(ledger);
    bench.sql("DELETE FROM breakers");
    let columns = ("reason, detail, mark", "5, 'v1-0000000000000007', 1");
    bench.fill(60_000, Reason::Held, columns);
    // No round trips over what stands in the tables beside them.
    bench.sql("INSERT INTO boards (stage, next_at) VALUES ('', 0)");
    let ledger = store.lead().await.unwrap();
    let dues = round(&ledger, &bench).await;
    assert_eq!(dues.due.len(), 1_000);
    assert!(dues.next.is_some_and(|next| next <= bench.now()));
    assert_eq!(held(&store).await, 10_005);
    bench.assert_balanced(&store).await;
    round(&ledger, &bench).await;
    assert_eq!(held(&store).await, 0);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_holds_very_many_a_part_in_each_round() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let later = bench.now().plus(Duration::from_secs(3_600));
    let values = format!("1, {}", later.as_micros());
    bench.fill(60_000, Reason::Backoff, ("reason, until", &values));
    bench.held((&store, &ledger), 5).await;
    let first = held(&store).await;
    assert!((50_000..60_000).contains(&first), "{first}");
    bench.assert_balanced(&store).await;
    bench.clock.skip(Duration::from_secs(1));
    round(&ledger, &bench).await;
    assert_eq!(held(&store).await, 60_005);
    bench.assert_balanced(&store).await;
    let next = round(&ledger, &bench).await.next;
    let soon = bench.now().plus(Duration::from_secs(1));
    assert!(next.is_some_and(|next| next > soon), "{next:?}");
}

/// Every beat of whoever takes them goes on with it.
#[tokio::test]
async fn postgres_a_beat_lets_very_many_unclaimed_in_a_part_at_a_time() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.fill(15_000, Reason::Unclaimed, ("reason", "6"));
    let unclaimed = async || {
        let balance = store.balance(None).await.unwrap();
        balance.waiting.get(&Reason::Unclaimed).copied()
    };
    let beat = || {
        let beat = Heartbeat {
            holder: holder("worker/1"),
            hostname: "host".into(),
            stages: BTreeMap::from([(stage("frail"), Version::new("1").unwrap())]),
            kinds: BTreeMap::new(),
            revision: 1,
            in_hand: Vec::new(),
        };
        bench.record("worker/1", Said::Beat(Box::new(beat)))
    };
    assert_eq!(unclaimed().await, Some(15_000));
    ledger.apply(vec![beat()]).await.unwrap();
    assert_eq!(unclaimed().await, Some(5_000));
    bench.assert_balanced(&store).await;
    ledger.apply(vec![beat()]).await.unwrap();
    assert_eq!(unclaimed().await.unwrap_or(0), 0);
    bench.assert_balanced(&store).await;
}
