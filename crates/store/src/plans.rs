//! The plans of the hot queries: each must go through its partial index. A query that does not
//! match its index exactly reads everything instead, and is hundreds of times slower.

use crate::schema::BOOKS;
use crate::{counts, feeder, retention, waiting, waits};
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
fn the_statements_that_move_tickets_find_them_by_their_row() {
    let folder = TempDir::new().unwrap();
    let db = BOOKS.open(folder.path()).unwrap();
    for query in [crate::settling::FINISH, crate::settling::HAND_ON] {
        let plan = plan(&db, query);
        assert_eq!(plan, "SEARCH places USING INTEGER PRIMARY KEY (rowid=?)");
    }
}
