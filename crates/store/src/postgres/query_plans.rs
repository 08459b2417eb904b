//! The plans of the queries that are asked all the time: their cost must not follow what has ended.

use super::connect::PostgresConfig;
use super::ledger::{DUE, FORGET_PLACES, FORGET_TICKETS, NEXT, OLDEST, OVERDUE, SUSPECTS, TRIALS};
use super::{Postgres, keys, repairs, steering, working};
use domain::filter::Query;
use domain::flow::Flows;
use domain::names::Holder;
use domain::plan::{Choice, Order, Selection};
use domain::time::Timestamp;
use std::sync::Arc;
use testkit::clock::TestClock;
use testkit::partners::or_skip;
use testkit::partners::postgres::PostgresServer;
use tokio_postgres::Client;

/// Mostly ended tickets, some in every other place; of those that wait, half are on trial.
const FILL: &str = "
    INSERT INTO tickets (id, kind, created_at, root, depth, payload, body_generation, body_hop)
      SELECT gen_random_uuid(), 'ticket', n, gen_random_uuid(), 0, '', 1, 0
      FROM generate_series(1, 40000) n;
    INSERT INTO places (id, state, stage, generation, hop, attempt, since, reason, until, lock_key,
        alone)
      SELECT id, CASE WHEN seq % 50 < 45 THEN 3 WHEN seq % 50 < 47 THEN 2 ELSE seq % 50 - 46 END,
        'build', 1, 0, 1, seq, CASE WHEN seq % 50 IN (45, 46) THEN 1 + seq / 50 % 9 END, seq,
        CASE WHEN seq % 1000 = 47 THEN seq::text END, seq % 50 = 45
      FROM tickets;
    ANALYZE";

async fn plan(client: &Client, types: &str, query: &str, values: &str) -> String {
    let (types, values) = match types {
        "" => (String::new(), String::new()),
        types => (format!("({types})"), format!("({values})")),
    };
    let sql = format!(
        "DEALLOCATE ALL; SET plan_cache_mode = force_generic_plan; PREPARE q {types} AS {query}"
    );
    client.batch_execute(&sql).await.unwrap();
    let explain = format!("EXPLAIN EXECUTE q{values}");
    let messages = client.simple_query(&explain).await.unwrap();
    let lines = messages.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Few beside what waits, as a slice of a large plan is.
const SLICE: usize = 20;
/// Tickets that wait for each of six reasons, and one in a hundred for an answer that nobody may
/// anticipate.
const FILL_WAITING: &str = "
    INSERT INTO tickets (id, kind, created_at, root, depth, payload, body_generation, body_hop)
      SELECT gen_random_uuid(), 'ticket', n, gen_random_uuid(), 0, '', 1, 0
      FROM generate_series(1, 40000) n;
    INSERT INTO places (id, state, stage, generation, hop, attempt, since, reason)
      SELECT id, 2, CASE WHEN seq % 3 = 0 THEN 'test' ELSE 'build' END, 1, 0, 1, seq,
        CASE WHEN seq % 100 = 0 THEN 6 ELSE (ARRAY[1, 2, 3, 4, 5, 9])[1 + seq % 6] END
      FROM tickets;
    ANALYZE";

async fn open(server: &PostgresServer, database: &str) -> Postgres {
    let config = PostgresConfig::new(server.create_database(database));
    let clock = Arc::new(TestClock::new(1));
    let holder = Holder::new("controller/1").unwrap();
    let store = Postgres::open(config, Arc::new(Flows::default()), clock, holder);
    store.await.unwrap()
}

#[tokio::test]
async fn postgres_finds_what_is_due_by_its_indexes_whatever_has_ended() {
    let Some(server) = or_skip(PostgresServer::shared()) else {
        return;
    };
    let store = open(&server, "plans").await;
    let client = store.client().await.unwrap();
    client.batch_execute(FILL).await.unwrap();
    let id = "ARRAY['0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f'::uuid]";
    let signature = "'build', 'v1'";
    let (to_hold, hold) = (
        "text, text, text, bigint, bigint",
        "'build', 'v1', 'why', 1, 10",
    );
    let stands = "ARRAY['build'], ARRAY['47']";
    for (types, query, values, index) in [
        ("bigint, bigint", DUE, "100, 10", "places_due"),
        ("bigint", TRIALS, "100", "places_trial"),
        ("bigint", TRIALS, "100", "places_alone"),
        ("bigint", NEXT, "100", "places_trial"),
        ("bigint", NEXT, "100", "places_alone"),
        ("bigint", NEXT, "100", "places_due"),
        ("bigint", NEXT, "100", "places_overdue"),
        ("bigint", SUSPECTS, "10", "places_waiting_since"),
        ("bigint, bigint", OVERDUE, "100, 10", "places_overdue"),
        ("bigint", OLDEST, "10", "places_ended"),
        ("uuid[]", FORGET_PLACES, id, "places_pkey"),
        ("uuid[]", FORGET_TICKETS, id, "tickets_id_key"),
        ("uuid[]", working::PLACES, id, "places_pkey"),
        (
            "text, text",
            repairs::OLDEST_HELD,
            signature,
            "places_repair",
        ),
        ("text, text", repairs::HELD, signature, "places_repair"),
        (to_hold, repairs::HOLD, hold, "places_failed"),
        (to_hold, repairs::HOLD_TRIALS, hold, "places_failed"),
        (
            "text, text, bigint, text, text, bigint",
            repairs::CLOSE,
            "'build', 'v1', 1, 'a', 'b', 10",
            "places_repair",
        ),
        ("text[], text[]", keys::AT_WORK, stands, "places_at_work"),
        ("text[], text[]", keys::IN_LINE, stands, "places_in_line"),
    ] {
        let plan = plan(&client, types, query, values).await;
        assert!(plan.contains(index), "{index} is not used:\n{plan}");
        for table in ["places", "tickets"] {
            let scan = format!("Seq Scan on {table}");
            assert!(!plan.contains(&scan), "{query}:\n{plan}");
        }
    }
}

#[tokio::test]
async fn postgres_finds_who_waits_for_its_kind_to_be_taken_by_its_index() {
    let Some(server) = or_skip(PostgresServer::shared()) else {
        return;
    };
    let store = open(&server, "kinds").await;
    let client = store.client().await.unwrap();
    client.batch_execute(FILL).await.unwrap();
    let (any, of) = (steering::RELEASE_ANY_KIND, steering::RELEASE_KINDS);
    let any = ("text, bigint, text, bigint", any, "'build', 1, 'why', 10");
    let of = (
        "text, bigint, text, bigint, text",
        of,
        "'build', 1, 'why', 10, 'nut'",
    );
    for (types, query, values) in [any, of] {
        let plan = plan(&client, types, query, values).await;
        assert!(plan.contains("places_unclaimed"), "{plan}");
    }
}

#[tokio::test]
async fn postgres_walks_through_the_tickets_of_a_plan_by_an_index_without_sorting_them() {
    let Some(server) = or_skip(PostgresServer::shared()) else {
        return;
    };
    let store = open(&server, "walks").await;
    let client = store.client().await.unwrap();
    client.batch_execute(FILL_WAITING).await.unwrap();
    let (since, id) = (20_000, uuid::Uuid::nil());
    for (query, types, values, parts) in [
        ("is:parked", "bigint", "40000", 1),
        ("is:parked -kind:a", "bigint", "40000", 1),
        (
            "is:parked stage:build",
            "text, bigint, text",
            "'build', 40000, 'build'",
            1,
        ),
        ("", "bigint", "40000", 6),
        ("a text", "bigint", "40000", 6),
    ] {
        let query: Query = query.parse().unwrap();
        let selection = Selection::asked(&query, Timestamp::from_micros(40_000));
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let pick = repairs::Pick {
                selection: &selection,
                choice: &Choice::Everything,
                order,
            };
            let [first, next] = repairs::asked(pick, (since, id), SLICE);
            let after = format!("{types}, bigint, uuid");
            let behind = format!("{values}, {since}, '{id}'");
            for (sql, types, values) in [(first, types, values), (next, &after, &behind)] {
                let plan = plan(&client, types, &sql, values).await;
                let walks = plan.matches("places_waiting_since on places").count();
                assert_eq!(walks, parts, "{query}:\n{plan}");
                // At most the slices of each reason are sorted, never what they are cut from.
                let sorts = plan.matches("Sort Key").count();
                assert!(sorts <= usize::from(parts > 1), "{query}:\n{plan}");
                assert!(!plan.contains("Seq Scan on places"), "{query}:\n{plan}");
            }
        }
    }
}
