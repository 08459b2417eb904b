//! Release plans made by hand on a real PostgreSQL: of many tickets, of damaged ones, and broken
//! off in the middle.

use crate::support::{Bench, bench, due, publish};
use domain::plan::{Choice, Order, Plan, Ramp, State, Terms};
use domain::ports::{Catalog, PlanError, PlanOrder, Plans};
use domain::record::{Fate, Parted, Said};
use domain::wait::Reason;
use std::sync::Arc;
use std::time::Duration;
use store::Postgres;

/// Tickets of `build` as if they had waited for years; the oldest have the smallest `seq`.
pub(crate) fn waiting(bench: &Bench, count: usize, (kind, reason): (&str, u8)) {
    bench.sql(&format!(
        "INSERT INTO tickets (id, kind, key, created_at, root, depth, payload, body_generation,
             body_hop)
           SELECT gen_random_uuid(), '{kind}', 'key ' || n % 50, n, gen_random_uuid(), 0,
             convert_to('load of ' || n, 'UTF8'), 1, 0 FROM generate_series(1, {count}) n;
         INSERT INTO places (id, state, stage, generation, hop, attempt, since, reason, until,
             because, signature)
           SELECT id, 2, 'build', 1, 0, 1, seq, {reason}, 9000000000000000, 'x: y',
             'v1-0000000000000007'
           FROM tickets WHERE kind = '{kind}';
         INSERT INTO counts VALUES ('', 1, 3, {count}), ('build', 20 + {reason}, 3, {count})
           ON CONFLICT (stage, what, shard) DO UPDATE SET n = counts.n + excluded.n"
    ));
}

/// All at once.
pub(crate) fn at_once() -> Terms {
    Terms {
        ramp: Ramp::none(),
        ..Terms::default()
    }
}

pub(crate) async fn made(store: &Postgres, query: &str) -> Plan {
    let query = query.parse().unwrap();
    store.make(query, at_once(), "ann").await.unwrap()
}

pub(crate) async fn ordered(store: &Postgres, plan: &Plan, order: PlanOrder) -> Plan {
    store.order(plan.id, order, "ann").await.unwrap()
}

fn drop_all() -> PlanOrder {
    PlanOrder::Drop(Choice::Everything, "no use".into())
}

/// One row that nobody can read.
fn damage(bench: &Bench, kind: &str) {
    bench.sql(&format!(
        "UPDATE places SET attempt = -1 WHERE id = (SELECT id FROM tickets WHERE kind = '{kind}'
           ORDER BY seq LIMIT 1)"
    ));
}

#[tokio::test]
async fn postgres_a_damaged_row_stops_no_plan() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    waiting(&bench, 3, ("load", 4));
    waiting(&bench, 3, ("other", 4));
    for kind in ["load", "other"] {
        damage(&bench, kind);
    }
    // By the filter alone, by what SQL cannot say, and by nothing at all.
    let one = made(&store, "is:parked kind:load").await;
    let two = made(&store, "is:parked -kind:load").await;
    let all = made(&store, "").await;
    let totals = [&one, &two, &all].map(|plan| plan.counts.total);
    assert_eq!(totals, [2, 2, 4]);
    let one = ordered(&store, &one, PlanOrder::Release(Choice::Everything, None)).await;
    assert_eq!(one.state, State::Running);
    assert_eq!(due(&ledger, bench.now()).await.len(), 2);
    let all = ordered(&store, &all, drop_all()).await;
    assert_eq!((all.counts.dropped, all.counts.left()), (2, 2), "{all:?}");
    // What is left of it is not waited for: the next count of the books finds none of it.
    let release = PlanOrder::Release(Choice::Everything, None);
    let refused = store.order(all.id, release, "ann").await;
    assert!(matches!(refused, Err(PlanError::Refused(_))), "{refused:?}");
    assert_eq!(bench.count("places WHERE state = 2 AND reason = 4"), 2);
}

#[tokio::test]
async fn postgres_a_plan_without_a_filter_comes_to_its_end_beside_a_damaged_row() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    waiting(&bench, 4, ("load", 1));
    let plan = made(&store, "").await;
    assert_eq!(plan.counts.total, 4);
    damage(&bench, "load");
    let plan = ordered(&store, &plan, PlanOrder::Release(Choice::Everything, None)).await;
    let found = due(&ledger, bench.now()).await;
    assert_eq!(found.len(), 3);
    let plan = store.plan(plan.id).await.unwrap().unwrap();
    assert_eq!((plan.counts.released, plan.counts.gone), (3, 1));
}

#[tokio::test]
async fn postgres_releases_the_oldest_first_whatever_they_wait_for() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    for (kind, reason) in [("a", 4), ("b", 5), ("c", 3), ("d", 1), ("e", 9), ("f", 6)] {
        waiting(&bench, 2, (kind, reason));
    }
    // One of each waits in turn; nobody may end the wait of an unclaimed one.
    bench.sql(
        "UPDATE places p SET since = u.nth FROM (SELECT t.id, row_number() OVER
           (ORDER BY t.created_at, t.seq) nth FROM tickets t) u WHERE u.id = p.id",
    );
    for (order, expected) in [
        (Order::OldestFirst, ["a", "b", "c", "d", "e", "a"]),
        (Order::NewestFirst, ["e", "d", "c", "b", "e", "d"]),
    ] {
        let terms = Terms {
            order,
            ramp: Ramp::of(&[1, 1, 1, 1, 1]),
            rate: Some(domain::plan::Rate::per_second(1).unwrap()),
            ..Terms::default()
        };
        let plan = store.make("".parse().unwrap(), terms, "ann").await.unwrap();
        let mut kinds = Vec::new();
        ordered(&store, &plan, PlanOrder::Release(Choice::Everything, None)).await;
        for _ in 0..3 {
            for due in due(&ledger, bench.now()).await {
                let kind = due.ticket.kind.to_string();
                crate::support::publish(&ledger, due.ticket.name).await;
                let group = vec![
                    bench.started("worker/1", &due.ticket),
                    bench.finished("worker/1", &due.ticket),
                ];
                ledger.apply(group).await.unwrap();
                kinds.push(kind);
            }
            bench.clock.skip(Duration::from_secs(1));
        }
        ordered(&store, &plan, PlanOrder::Stop).await;
        assert_eq!(kinds, expected[..3], "{order:?}");
    }
}

#[tokio::test]
async fn postgres_finds_the_tickets_of_a_plan_by_what_they_carry() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    waiting(&bench, 30, ("many", 4));
    let plan = made(&store, "is:parked (\"LOAD OF 7\" OR kind:none)").await;
    assert_eq!(plan.counts.total, 1);
    ordered(&store, &plan, PlanOrder::Release(Choice::Everything, None)).await;
    let found = due(&ledger, bench.now()).await;
    assert_eq!(found.len(), 1);
    assert_eq!(&*found[0].ticket.payload.bytes, b"load of 7");
    assert_eq!(made(&store, "-\"load of\"").await.counts.total, 0);
}

#[tokio::test]
async fn postgres_a_drop_that_was_broken_off_is_carried_on_by_the_next() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    waiting(&bench, 2_500, ("many", 4));
    let plan = made(&store, "is:parked").await;
    // The server gives way when 1,000 tickets are gone and the next are about to go.
    bench.sql(
        "CREATE FUNCTION give_way() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION 'the disk is gone'; END $$;
         CREATE TRIGGER give_way BEFORE UPDATE ON places FOR EACH ROW
           WHEN (OLD.since > 1500) EXECUTE FUNCTION give_way()",
    );
    let broken = store.order(plan.id, drop_all(), "ann").await;
    assert!(matches!(broken, Err(PlanError::Store(_))), "{broken:?}");
    let left = store.plan(plan.id).await.unwrap().unwrap();
    assert_eq!((left.counts.dropped, left.counts.left()), (1_000, 1_500));
    assert_eq!(left.state, State::Ready);
    bench.sql("DROP TRIGGER give_way ON places");
    let done = ordered(&store, &plan, drop_all()).await;
    assert_eq!((done.counts.dropped, done.state), (2_500, State::Done));
    assert_eq!(bench.count("history WHERE what = 'dropped'"), 2_500);
    let deeds = done.trail.deeds.iter();
    let told = deeds.filter(|deed| deed.what.contains("dropped"));
    assert_eq!(told.count(), 2, "each order once: {:?}", done.trail);
    assert!(due(&ledger, bench.now()).await.is_empty());
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_a_drop_lets_others_change_breakers_and_plans_in_between() {
    let Some(bench) = bench() else { return };
    let (store, _ledger) = bench.leading().await;
    waiting(&bench, 3_000, ("many", 4));
    let plan = made(&store, "is:parked").await;
    let dropping = ordered(&store, &plan, drop_all());
    let watching = async {
        loop {
            let seen = store.plan(plan.id).await.unwrap().unwrap();
            if seen.counts.dropped > 0 {
                return seen.counts.dropped;
            }
            tokio::task::yield_now().await;
        }
    };
    let (done, first_seen) = tokio::join!(dropping, watching);
    assert!(first_seen < 3_000, "{first_seen} at once");
    assert_eq!((done.counts.dropped, done.state), (3_000, State::Done));
}

#[tokio::test]
async fn postgres_of_before_plans_by_hand_is_brought_up_to_date_with_what_is_in_it() {
    let Some(bench) = bench() else { return };
    let steps = [
        include_str!("../../src/postgres/migrations/0001.sql"),
        include_str!("../../src/postgres/migrations/0002.sql"),
        include_str!("../../src/postgres/migrations/0003.sql"),
    ];
    bench.sql(&format!(
        "CREATE SCHEMA goaround; SET search_path = goaround; {};
         CREATE TABLE meta (one boolean PRIMARY KEY DEFAULT true CHECK (one),
           version bigint NOT NULL); INSERT INTO meta (version) VALUES (3)",
        steps.join("\n")
    ));
    waiting(&bench, 20, ("many", 4));
    let (store, ledger) = bench.leading().await;
    let plan = made(&store, "is:parked").await;
    ordered(&store, &plan, PlanOrder::Release(Choice::Everything, None)).await;
    assert_eq!(due(&ledger, bench.now()).await.len(), 20);
    let balance = store.balance(None).await.unwrap();
    assert_eq!(balance.waiting.get(&Reason::NotNow), Some(&20));
}

/// How many wait for a lock on the table of tickets, or hold one that shuts all others out.
fn on_tickets(bench: &Bench, which: &str) -> u64 {
    bench.count(&format!(
        "pg_locks WHERE relation = 'tickets'::regclass AND {which} AND database =
           (SELECT oid FROM pg_database WHERE datname = current_database())"
    ))
}

#[tokio::test]
async fn postgres_whoever_reads_for_a_plan_keeps_nobody_from_the_others() {
    let Some(bench) = bench() else { return };
    let (store, _ledger) = bench.leading().await;
    waiting(&bench, 3, ("many", 4));
    let plan = made(&store, "is:parked").await;
    let shut = "mode = 'AccessExclusiveLock' AND granted";
    let bench = Arc::new(bench);
    let holding = Arc::clone(&bench);
    let held = "BEGIN; LOCK TABLE tickets; SELECT pg_sleep(4); COMMIT";
    let held = tokio::task::spawn_blocking(move || holding.sql(held));
    while on_tickets(&bench, shut) == 0 {}
    let others = async {
        // Both want to read tickets, and wait for that.
        while on_tickets(&bench, "NOT granted") < 2 {
            tokio::task::yield_now().await;
        }
        let pause = store.order(plan.id, PlanOrder::Pause, "ann").await;
        assert!(matches!(pause, Err(PlanError::Refused(_))), "{pause:?}");
        assert_eq!(on_tickets(&bench, shut), 1, "it was not waited for");
        held.await.unwrap();
    };
    let release = PlanOrder::Release(Choice::Everything, None);
    let (made, released, ()) = tokio::join!(
        made(&store, "is:parked"),
        ordered(&store, &plan, release),
        others
    );
    assert_eq!(made.counts.total, 3);
    assert_eq!(released.state, State::Running);
}

#[tokio::test]
async fn postgres_a_plan_does_not_wait_for_one_that_nobody_takes() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    waiting(&bench, 3, ("load", 4));
    let query = "is:parked".parse().unwrap();
    let plan = store.make(query, Terms::default(), "ann").await.unwrap();
    ordered(&store, &plan, PlanOrder::Release(Choice::Everything, None)).await;
    let first = due(&ledger, bench.now()).await;
    assert_eq!(first.len(), 1, "one first");
    let ticket = first[0].ticket.clone();
    publish(&ledger, ticket.name).await;
    // It was to avoid the versions that it had failed on; who takes its kind may be one of them.
    bench.sql("UPDATE places SET avoid = '1' WHERE state <> 2");
    assert_eq!(bench.count("places WHERE avoid IS NOT NULL"), 1);
    let handed_back = Said::Ended(Box::new(Parted {
        name: ticket.name,
        stage: ticket.stage.clone(),
        ended: None,
        to: Fate::Waits(Box::new(bench.unclaimed(&ticket))),
        emits: Vec::new(),
    }));
    let group = vec![bench.record("worker/1", handed_back)];
    ledger.apply(group).await.unwrap();
    let next = due(&ledger, bench.now()).await;
    assert!(!next.is_empty(), "the others do not wait for it");
    assert!(next.iter().all(|due| due.ticket.id() != ticket.id()));
    assert_eq!(bench.count("places WHERE avoid IS NOT NULL"), 0);
    bench.assert_balanced(&store).await;
}
