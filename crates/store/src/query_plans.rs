//! The plans of the hot queries: each must go through its partial index. A query that does not
//! match its index exactly reads everything instead, and is hundreds of times slower.

use crate::schema::BOOKS;
use crate::{counts, deaths, feeder, repair, retention, selecting, trials, waiting, waits};
use rusqlite::Connection;
use tempfile::TempDir;

fn plan(db: &Connection, query: &str) -> String {
    let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
    for at in 1..=explain.parameter_count() {
        explain.raw_bind_parameter(at, 1).unwrap();
    }
    let mut rows = explain.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        plan.push(row.get::<_, String>(3).unwrap());
    }
    plan.join("; ")
}

#[test]
fn every_hot_query_goes_through_its_index_and_sorts_nothing() {
    let folder = TempDir::new().unwrap();
    let db = BOOKS.open(folder.path()).unwrap();
    let cases = format!("{}{}", crate::rows::ENTRIES, waits::SUSPECTS);
    let overdue = format!("{}{}", crate::rows::ENTRIES, waits::OVERDUE);
    let held = format!("SELECT count(*) FROM places p WHERE {}", selecting::HELD);
    let of_breaker = format!("{}WHERE {}", waiting::WAITERS, selecting::HELD);
    let oldest = format!("{of_breaker} AND p.since <= ? ORDER BY p.since LIMIT ?");
    let newest = format!("{of_breaker} AND p.since <= ? ORDER BY p.since DESC LIMIT ?");
    let chosen = format!(
        "{}{}1, 4) ORDER BY c.position LIMIT ?",
        waiting::WAITERS,
        selecting::CHOSEN
    );
    for (query, index) in [
        (
            feeder::READ_AHEAD,
            "USING INDEX runnable (stage=? AND ready_seq>?)",
        ),
        (waiting::DUE, "USING INDEX timed (reason=? AND until<?)"),
        (
            waiting::NEXT,
            "USING COVERING INDEX timed (reason=? AND until>?)",
        ),
        (
            waiting::OF_STAGE,
            "USING INDEX waiting (reason=? AND stage=?)",
        ),
        (
            waiting::OLDEST_HELD,
            "USING INDEX repairs (stage=? AND detail=?)",
        ),
        (
            held.as_str(),
            "USING COVERING INDEX repairs (stage=? AND detail=? AND since>?)",
        ),
        (
            oldest.as_str(),
            "USING INDEX repairs (stage=? AND detail=? AND since>? AND since<?)",
        ),
        (
            newest.as_str(),
            "USING INDEX repairs (stage=? AND detail=? AND since>? AND since<?)",
        ),
        (chosen.as_str(), "USING PRIMARY KEY (plan=?)"),
        (retention::OLDEST, "USING INDEX ended"),
        (counts::RUNNABLE, "USING COVERING INDEX runnable"),
        (counts::WAITING, "USING COVERING INDEX waiting"),
        (counts::OLDEST, "USING INDEX runnable (stage=?)"),
        (cases.as_str(), "USING INDEX waiting (reason=?)"),
        (overdue.as_str(), "USING INDEX timed (reason=? AND until<?)"),
    ] {
        let plan = plan(&db, query);
        assert!(plan.contains(index), "{query}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{query}\n{plan}");
        assert!(
            !plan.contains("SCAN t") && !plan.contains("SCAN p;"),
            "{query}\n{plan}"
        );
    }
}

#[test]
fn what_was_accepted_since_is_read_once_and_each_place_found_by_its_row() {
    let folder = TempDir::new().unwrap();
    let db = BOOKS.open(folder.path()).unwrap();
    let plan = plan(&db, counts::SINCE);
    assert!(plan.contains("SCAN t"), "{plan}");
    let by_row = "SEARCH p USING INTEGER PRIMARY KEY (rowid=?)";
    assert!(plan.contains(by_row), "{plan}");
    assert!(!plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn whose_turn_it_is_on_trial_is_found_in_the_order_of_time() {
    let folder = TempDir::new().unwrap();
    let db = BOOKS.open(folder.path()).unwrap();
    for (query, index) in [
        (waiting::TURN, "USING INDEX timed (reason=? AND until<?)"),
        (trials::NEXT, "USING INDEX timed (reason=? AND until>?)"),
    ] {
        let plan = plan(&db, query);
        assert!(plan.contains(index), "{query}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{query}\n{plan}");
    }
    let plan = plan(&db, deaths::COMPANY);
    assert!(!plan.contains("SCAN alone"), "{plan}");
    assert!(!plan.contains("SCAN deaths"), "{plan}");
}

#[test]
fn the_statements_that_move_tickets_find_them_by_their_row() {
    let folder = TempDir::new().unwrap();
    let db = BOOKS.open(folder.path()).unwrap();
    for query in [crate::settling::FINISH, crate::settling::HAND_ON] {
        let plan = plan(&db, query);
        assert_eq!(plan, "SEARCH places USING INTEGER PRIMARY KEY (rowid=?)");
    }
}

#[test]
fn what_a_breaker_does_with_many_at_once_finds_them_through_its_index() {
    let folder = TempDir::new().unwrap();
    let db = BOOKS.open(folder.path()).unwrap();
    for (query, index) in [
        (repair::HOLD, "USING INDEX waiting (reason=? AND stage=?)"),
        (
            repair::MAKE_DUE,
            "USING INDEX repairs (stage=? AND detail=? AND since>?)",
        ),
        (selecting::OUT, "USING INDEX out_of_plan (plan=?)"),
        (
            selecting::NEWEST_HELD,
            "USING COVERING INDEX repairs (stage=? AND detail=? AND since>?)",
        ),
    ] {
        let plan = plan(&db, query);
        assert!(plan.contains(index), "{query}\n{plan}");
    }
}
