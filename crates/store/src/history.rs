//! The bound of a live ticket's history: one that is put off or fails for ever must not fill the
//! disk. Its beginning and its newest lines stay.

use crate::error::Fault;
use domain::ticket::Name;
use rusqlite::{Connection, params};

/// How many attempts, and how many notes, of one ticket are kept, but for those since last looked.
const LINES_MAX: i64 = 1_000;
/// How many of the first ones stay: they tell how it began.
const FIRST_KEPT: i64 = 50;
/// It is looked at whenever a ticket has moved on this often; each look reads its own lines only.
const LOOKED_AT_EVERY: u64 = 64;

const ATTEMPTS: (&str, &str) = (
    "SELECT count(*) FROM attempts WHERE ticket = ?1",
    "DELETE FROM attempts WHERE ticket = ?1 AND (hop, generation, attempt) IN (
       SELECT hop, generation, attempt FROM attempts WHERE ticket = ?1
       ORDER BY hop, generation, attempt LIMIT ?2 OFFSET ?3)",
);
const NOTES: (&str, &str) = (
    "SELECT count(*) FROM notes WHERE ticket = ?1",
    "DELETE FROM notes WHERE id IN (
       SELECT id FROM notes WHERE ticket = ?1 ORDER BY id LIMIT ?2 OFFSET ?3)",
);

/// After an attempt of this name was written down.
pub(crate) fn trim_attempts(db: &Connection, seq: i64, name: &Name) -> Result<(), Fault> {
    trim(db, seq, name, ATTEMPTS)
}

/// After a note under this name was written down.
pub(crate) fn trim_notes(db: &Connection, seq: i64, name: &Name) -> Result<(), Fault> {
    trim(db, seq, name, NOTES)
}

fn trim(
    db: &Connection,
    seq: i64,
    name: &Name,
    (count, delete): (&str, &str),
) -> Result<(), Fault> {
    let Name {
        generation,
        hop,
        attempt,
        ..
    } = name;
    let moves = u64::from(generation.0) + u64::from(hop.0) + u64::from(attempt.0);
    if !moves.is_multiple_of(LOOKED_AT_EVERY) {
        return Ok(());
    }
    let count: i64 = db
        .prepare_cached(count)?
        .query_row([seq], |row| row.get(0))?;
    if count > LINES_MAX {
        db.prepare_cached(delete)?
            .execute(params![seq, count - LINES_MAX, FIRST_KEPT])?;
    }
    Ok(())
}
