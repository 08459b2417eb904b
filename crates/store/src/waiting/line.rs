//! Who is in line for a key when the folder is opened: what was configured meanwhile decides anew.

use super::{released, waiters};
use crate::admission::Turn;
use crate::books::Books;
use crate::error::Fault;
use domain::names::Key;
use domain::time::Timestamp;
use rusqlite::{Connection, params};

/// Tickets that are in line for a key that nobody is at work on any more.
pub(crate) fn advance_line(
    books: &mut Books,
    db: &Connection,
    stage: i64,
    now: Timestamp,
) -> Result<(), Fault> {
    let query = concat!(
        waiters!(),
        "WHERE p.stage = ?1 AND p.next_key IS NOT NULL AND NOT EXISTS (SELECT 1 FROM places o \
         WHERE o.stage = ?1 AND o.lock_key = p.next_key) ORDER BY p.seq"
    );
    let why = "the other ticket with its key is gone from the stage";
    for waiter in waiters(db, query, params![stage])? {
        released(books, db, &waiter, (now, why))?;
    }
    Ok(())
}

/// Live tickets with a key that have none of the locks that their stage wants; such a stage was
/// only now configured so. The older make room for the newest, as if it had just come.
pub(crate) fn lock(
    books: &mut Books,
    db: &Connection,
    stage: i64,
    now: Timestamp,
) -> Result<(), Fault> {
    let unlocked = [
        concat!(
            waiters!(),
            "WHERE p.state = 0 AND p.stage = ?1 AND p.lock_key IS NULL AND t.key IS NOT NULL"
        ),
        concat!(
            waiters!(),
            "WHERE p.state = 2 AND p.reason IN (1, 2, 3, 4, 5, 7, 9) AND p.stage = ?1 \
             AND p.lock_key IS NULL AND t.key IS NOT NULL"
        ),
    ];
    let mut found = Vec::new();
    for query in unlocked {
        found.extend(waiters(db, query, params![stage])?);
    }
    found.sort_by_key(|waiter| waiter.found.seq);
    for waiter in &found {
        let stop = books.stop(db, &waiter.stage)?;
        let newcomer = waiter.newcomer(stop, (waiter.found.name, now));
        let Some(key) = waiter.key.as_ref().map(Key::as_str) else {
            continue;
        };
        match newcomer.take_lock(books, db, key)? {
            Turn::After(other) => newcomer.in_line(other, key).update(db, waiter.found.seq)?,
            Turn::Never(newer) => {
                let spot = newcomer.superseded(books, db, newer)?;
                spot.update(db, waiter.found.seq)?;
            }
            Turn::Now => {
                db.prepare_cached("UPDATE places SET lock_key = ?2 WHERE seq = ?1")?
                    .execute(params![waiter.found.seq, key])?;
            }
        }
    }
    Ok(())
}
