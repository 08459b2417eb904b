//! Breakers and release plans on a real PostgreSQL: what its rows must bear.

use crate::support::{Bench, MANY, bench, due, flows, holder, publish, stage};
use domain::books::{Fact, Place};
use domain::breaker::Scope;
use domain::names::Version;
use domain::outcome::OutcomeKind;
use domain::ports::{Action, Catalog, Desk, Election, Ledger, Order, Plans, Serving};
use domain::record::{Arrived, Fate, Record, Said};
use domain::signature::SignatureId;
use domain::ticket::Ticket;
use domain::wait::{Condition, Reason, Wait};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::{Postgres, PostgresConfig};

pub(crate) const PROBE: Duration = Duration::from_secs(60);
pub(crate) const SIGNATURE: SignatureId = SignatureId::new(1, 7);

pub(crate) fn serving(version: &str, by: &[&str]) -> Serving {
    let holders: BTreeMap<_, _> = by.iter().map(|name| (holder(name), None)).collect();
    let version = Version::new(version).unwrap();
    Serving::from([(stage("frail"), BTreeMap::from([(version, holders)]))])
}

impl Bench {
    /// The attempt begins on this version.
    pub(crate) fn started_on(&self, by: &str, ticket: &Ticket, version: &str) -> Record {
        let mut record = self.started(by, ticket);
        if let Said::Started(started) = &mut record.said {
            let mut scene = (*started.scene).clone();
            scene.version = Version::new(version).unwrap();
            started.scene = Arc::new(scene);
        }
        record
    }

    /// An attempt at a ticket of `frail` fails so, on this version.
    async fn fails(&self, ledger: &Arc<dyn Ledger>, ticket: &Ticket, version: &str) {
        let wait = Wait {
            condition: Condition::Backoff {
                until: self.now().plus(Duration::from_secs(3_600)),
            },
            since: self.now(),
            because: "attempt 1 failed: X: y".into(),
            oops: None,
        };
        let arrived = Arrived {
            ticket: ticket.clone(),
            name: ticket.name.charged(),
            wait,
        };
        let to = Fate::Waits(Box::new(arrived));
        let mut record = self.ended("worker/1", ticket, OutcomeKind::Failed, to);
        if let Said::Ended(parted) = &mut record.said
            && let Some(ended) = &mut parted.ended
        {
            ended.signature = Some(SIGNATURE);
            let mut scene = (*ended.scene).clone();
            scene.version = Version::new(version).unwrap();
            ended.scene = Arc::new(scene);
        }
        let group = vec![self.started("worker/1", ticket), record];
        ledger.apply(group).await.unwrap();
    }

    /// So many tickets of `frail` fail alike and are held.
    pub(crate) async fn held(
        &self,
        (store, ledger): (&Postgres, &Arc<dyn Ledger>),
        count: usize,
    ) -> Vec<Ticket> {
        ledger
            .serving(serving("v1", &["worker/1"]), self.now())
            .await
            .unwrap();
        let tickets: Vec<Ticket> = (0..count).map(|_| self.ticket("frail")).collect();
        store.submit(tickets.clone()).await.unwrap();
        for ticket in &tickets {
            publish(ledger, ticket.name).await;
            self.fails(ledger, ticket, "v1").await;
        }
        for ticket in &tickets {
            assert_eq!(self.condition(store, ticket).await, REPAIR);
        }
        tickets
    }

    async fn condition(&self, store: &Postgres, ticket: &Ticket) -> Condition {
        let entry = store.ticket(ticket.id()).await.unwrap().unwrap();
        match entry.place {
            Place::Waiting(wait) => wait.condition,
            other => panic!("expected a wait, it is {other:?}"),
        }
    }
}

const REPAIR: Condition = Condition::Repair {
    signature: SIGNATURE,
};

async fn repairs_left(store: &Postgres) -> u64 {
    let balance = store.balance(None).await.unwrap();
    balance.waiting.get(&Reason::Held).copied().unwrap_or(0)
}

#[tokio::test]
async fn postgres_of_before_breakers_is_brought_up_to_date_with_what_is_in_it() {
    let Some(bench) = bench() else { return };
    bench.sql(&format!(
        "CREATE SCHEMA goaround; SET search_path = goaround; {};
         CREATE TABLE meta (one boolean PRIMARY KEY DEFAULT true CHECK (one),
           version bigint NOT NULL); INSERT INTO meta (version) VALUES (1);
         INSERT INTO tickets (id, kind, created_at, root, depth, payload, body_generation, body_hop)
           SELECT gen_random_uuid(), 'ticket', n, gen_random_uuid(), 0, 'x', 1, 0
           FROM generate_series(1, 20) n;
         INSERT INTO places (id, state, stage, generation, hop, attempt, since, reason, until)
           SELECT id, 2, 'frail', 1, 0, 1, seq, 1, seq FROM tickets;
         INSERT INTO counts VALUES ('', 1, 0, 20), ('frail', 21, 0, 20)",
        include_str!("../../src/postgres/migrations/0001.sql")
    ));
    let (store, ledger) = bench.leading().await;
    assert_eq!(due(&ledger, bench.now()).await.len(), 20);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_tells_a_canary_which_versions_it_must_not_run_on() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 5).await;
    assert!(due(&ledger, bench.now()).await.is_empty());
    let v2 = serving("v2", &["worker/1"]);
    ledger.serving(v2, bench.now()).await.unwrap();
    let found = due(&ledger, bench.now()).await;
    assert_eq!(found.len(), 1, "one alone");
    let v1 = Version::new("v1").unwrap();
    assert_eq!(found[0].avoid, std::slice::from_ref(&v1));
    let canary = found[0].ticket.clone();
    publish(&ledger, canary.name).await;
    // A worker of the old version hands it back: it is the canary still, and avoids the same.
    let back = bench.handed_back("worker/1", &canary);
    ledger.apply(vec![back]).await.unwrap();
    let again = due(&ledger, bench.now()).await;
    assert_eq!((again.len(), &again[0].avoid), (1, &vec![v1]));
    let name = again[0].ticket.name;
    assert_eq!(name, canary.name.renewed());
    publish(&ledger, name).await;
    bench.clock.skip(PROBE * 3 / 2);
    assert!(
        due(&ledger, bench.now()).await.is_empty(),
        "it is still out"
    );
    bench.fails(&ledger, &again[0].ticket, "v2").await;
    assert_eq!(bench.condition(&store, &canary).await, REPAIR);
    assert!(due(&ledger, bench.now()).await.is_empty());
    bench.clock.skip(PROBE);
    assert_eq!(due(&ledger, bench.now()).await.len(), 1);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_says_in_each_history_who_held_a_ticket_and_who_let_it_go() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = bench.held((&store, &ledger), 5).await;
    ledger
        .serving(serving("v2", &["worker/1"]), bench.now())
        .await
        .unwrap();
    let canary = due(&ledger, bench.now()).await.remove(0).ticket;
    publish(&ledger, canary.name).await;
    let history = store.history(canary.id()).await.unwrap();
    let told: Vec<(String, String)> = history
        .into_iter()
        .filter_map(|line| match line.fact {
            Fact::Noted { what, why, .. } => Some((what, why)),
            Fact::Attempted { .. } => None,
        })
        .collect();
    let what: Vec<&str> = told.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(what, ["accepted", "held", "released"]);
    assert!(
        told[1].1.contains("5 times in a row on version v1"),
        "{told:?}"
    );
    assert!(
        told[2].1.contains("canary for v1-0000000000000007 on v2"),
        "{told:?}"
    );
    let last = store.history(tickets[4].id()).await.unwrap();
    let is_held = |fact: &Fact| matches!(fact, Fact::Noted { what, .. } if what == "held");
    assert!(last.iter().any(|line| is_held(&line.fact)), "{last:?}");
}

#[tokio::test]
async fn postgres_lets_tickets_go_whose_breaker_cannot_be_read() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 5).await;
    bench.sql("UPDATE breakers SET body = 'nonsense'; UPDATE boards SET next_at = 0");
    assert_eq!(due(&ledger, bench.now()).await.len(), 5);
    assert_eq!(repairs_left(&store).await, 0);
    assert_eq!(store.tripped(None).await.unwrap(), []);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_lets_tickets_go_that_nobody_holds_any_more_when_a_term_begins() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let first = bench.held((&store, &ledger), 5).await;
    drop(ledger);
    bench.sql("DELETE FROM breakers");
    let ledger = store.lead().await.unwrap();
    assert_eq!(due(&ledger, bench.now()).await.len(), 5);
    for ticket in &first {
        let history = store.history(ticket.id()).await.unwrap();
        let is_released =
            |fact: &Fact| matches!(fact, Fact::Noted { what, .. } if what == "released");
        assert!(history.iter().any(|line| is_released(&line.fact)));
    }
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_lets_tickets_go_whose_stage_is_configured_without_breakers() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 5).await;
    drop(ledger);
    drop(store);
    let flows = flows();
    let stages = flows.stages().into_iter().cloned();
    let stages = stages.map(|stage| domain::flow::Stage {
        breaker: None,
        ..stage
    });
    let flows = domain::flow::Flows::new(stages.collect(), BTreeMap::new()).unwrap();
    let config = PostgresConfig::new(&*bench.url);
    let store = Postgres::open(config, Arc::new(flows), bench.clock.clone(), holder("c/2"));
    let store = store.await.unwrap();
    let ledger = store.lead().await.unwrap();
    assert_eq!(due(&ledger, bench.now()).await.len(), 5);
    assert_eq!(bench.count("breakers"), 0);
}

#[tokio::test]
async fn postgres_a_plan_that_cannot_be_read_stops_nobody_else() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = bench.held((&store, &ledger), 5).await;
    ledger
        .serving(serving("v2", &["worker/1"]), bench.now())
        .await
        .unwrap();
    let canary = due(&ledger, bench.now()).await.remove(0).ticket;
    publish(&ledger, canary.name).await;
    let group = vec![
        bench.started("worker/1", &canary),
        bench.finished("worker/1", &canary),
    ];
    ledger.apply(group).await.unwrap();
    assert_eq!(store.plans().await.unwrap().len(), 1);
    bench.sql("UPDATE plans SET body = 'nonsense'");
    let other = bench.published(&store, &ledger).await;
    assert!(due(&ledger, bench.now()).await.is_empty());
    ledger
        .apply(vec![bench.started("worker/1", &other)])
        .await
        .unwrap();
    assert_eq!(store.plans().await.unwrap(), []);
    // Whoever looks finds the others still held, and can let them go.
    let order = |ticket: &Ticket| Order {
        ticket: ticket.id(),
        action: Action::Retry,
        by: "ann".into(),
        at: bench.now(),
    };
    let orders: Vec<Order> = tickets[1..].iter().map(order).collect();
    store.carry_out(orders).await.unwrap();
    assert_eq!(due(&ledger, bench.now()).await.len(), 4);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_hears_of_a_canary_from_every_controller() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 5).await;
    let other = bench.open("controller/2").await;
    let scope = Scope::Signature(SIGNATURE);
    assert!(other.probe(&stage("frail"), scope).await.unwrap());
    assert!(!other.probe(&stage("build"), scope).await.unwrap());
    let found = due(&ledger, bench.now()).await;
    assert_eq!(found.len(), 1);
    let cancel = Order {
        ticket: found[0].ticket.id(),
        action: Action::Cancel,
        by: "ann".into(),
        at: bench.now(),
    };
    other.carry_out(vec![cancel]).await.unwrap();
    assert!(due(&ledger, bench.now()).await.is_empty());
    bench.clock.skip(PROBE);
    assert_eq!(due(&ledger, bench.now()).await.len(), 1);
}

#[tokio::test]
async fn postgres_the_same_group_read_twice_tells_breakers_once() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let ticket = bench.ticket("frail");
    store.submit(vec![ticket.clone()]).await.unwrap();
    publish(&ledger, ticket.name).await;
    for _ in 0..6 {
        bench.fails(&ledger, &ticket, "v1").await;
    }
    let tripped = store.tripped(None).await.unwrap();
    let failures: Vec<u64> = tripped.iter().map(|it| it.breaker.failures).collect();
    assert_eq!(failures, [1, 1]);
    assert!(matches!(
        bench.condition(&store, &ticket).await,
        Condition::Backoff { .. }
    ));
}

#[tokio::test]
async fn postgres_holds_and_frees_many_at_once_and_the_sums_stay_right() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 5).await;
    // 25,000 more that had backed off after the same failure, as if they had been there before.
    bench.sql(
        "INSERT INTO tickets (id, kind, created_at, root, depth, payload, body_generation, body_hop)
           SELECT gen_random_uuid(), 'many', n, gen_random_uuid(), 0, 'x', 1, 0
           FROM generate_series(1, 25000) n;
         INSERT INTO places (id, state, stage, generation, hop, attempt, since, reason, detail,
             mark, signature)
           SELECT id, 2, 'frail', 1, 0, 1, 1, 5, 'v1-0000000000000007', 1, 'v1-0000000000000007'
           FROM tickets WHERE kind = 'many';
         INSERT INTO counts VALUES ('', 1, 3, 25000), ('frail', 25, 3, 25000)",
    );
    bench.sql("UPDATE breakers SET body = 'nonsense'; UPDATE boards SET next_at = 0");
    assert_eq!(
        ledger.due(bench.now(), MANY).await.unwrap().due.len(),
        1_000
    );
    assert_eq!(repairs_left(&store).await, 0);
    // Five were released when they were submitted, without a word; now each says why it goes.
    assert_eq!(bench.count("history WHERE what = 'released'"), 25_005);
    bench.assert_balanced(&store).await;
}
