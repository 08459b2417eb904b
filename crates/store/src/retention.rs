//! Forgetting what ended long ago, a slice at a time, so that no ticket in hand waits for it.

use crate::books::Books;
use crate::codes::Count;
use crate::error::Fault;
use domain::ports::Retention;
use rusqlite::{Connection, params};

/// The tickets that ended first, but for those with an attempt that is yet to be reported, and
/// those that somebody still has, with the lock on their key.
pub(crate) const OLDEST: &str = "SELECT seq, since FROM places WHERE state >= 3 \
     AND lock_key IS NULL \
     AND NOT EXISTS (SELECT 1 FROM orphans WHERE ticket = seq) ORDER BY since LIMIT ?1";

/// Forgets a slice; returns how many tickets were forgotten. The sums keep them.
pub(crate) fn forget(
    books: &mut Books,
    db: &Connection,
    retention: Retention,
) -> Result<u64, Fault> {
    let kept = kept(db)?;
    let too_many = kept.saturating_sub(retention.tickets_max);
    let mut oldest = db.prepare_cached(OLDEST)?;
    let mut rows = oldest.query([books.retention_slice as i64])?;
    let mut doomed: Vec<i64> = Vec::new();
    while let Some(row) = rows.next()? {
        let since: i64 = row.get(1)?;
        if since >= retention.before.as_micros() && doomed.len() as u64 >= too_many {
            break;
        }
        doomed.push(row.get(0)?);
    }
    for table in [
        "DELETE FROM attempts WHERE ticket = ?1",
        "DELETE FROM notes WHERE ticket = ?1",
        "DELETE FROM places WHERE seq = ?1",
        "DELETE FROM tickets WHERE seq = ?1",
    ] {
        let mut forget = db.prepare_cached(table)?;
        for seq in &doomed {
            forget.execute(params![seq])?;
        }
    }
    let count = doomed.len() as u64;
    books.count(0, Count::Forgotten, i64::try_from(count).unwrap_or(0));
    Ok(count)
}

/// How many ended tickets there are, from the sums: counting them would cost with history.
fn kept(db: &Connection) -> Result<u64, Fault> {
    let kept: i64 = db
        .prepare_cached(
            "SELECT coalesce(sum(CASE what WHEN ?1 THEN -n ELSE n END), 0) FROM counters
             WHERE stage = 0 AND what IN (?1, ?2, ?3)",
        )?
        .query_row(
            params![
                Count::Forgotten.code(),
                Count::Done.code(),
                Count::Dropped.code()
            ],
            |row| row.get(0),
        )?;
    Ok(u64::try_from(kept).unwrap_or(0))
}
