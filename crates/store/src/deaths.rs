//! In what company each attempt was that died with its process. Written down when the death becomes
//! known: whoever is judged is no suspect any more, and the last one must not pass for alone.

use crate::error::Fault;
use domain::trial::Company;
use rusqlite::{Connection, params};

pub(crate) const COMPANY: &str = "SELECT (SELECT beside FROM deaths WHERE ticket = ?1), \
     EXISTS (SELECT 1 FROM alone WHERE ticket = ?1)";

/// Forgets what no verdict goes by any more.
pub(crate) fn prune(db: &Connection) -> Result<(), Fault> {
    db.execute(
        "DELETE FROM deaths WHERE NOT EXISTS (
           SELECT 1 FROM places WHERE seq = deaths.ticket AND state = 2 AND reason = 7)
         AND NOT EXISTS (SELECT 1 FROM orphans WHERE ticket = deaths.ticket)",
        [],
    )?;
    Ok(())
}

/// The attempts at these tickets died with one process.
pub(crate) fn write(db: &Connection, tickets: &[i64]) -> Result<(), Fault> {
    let beside = tickets.len().saturating_sub(1) as i64;
    let mut write = db.prepare("INSERT OR REPLACE INTO deaths (ticket, beside) VALUES (?1, ?2)")?;
    for ticket in tickets {
        write.execute(params![ticket, beside])?;
    }
    Ok(())
}

/// The verdict about the ticket's attempt is given.
pub(crate) fn judged(db: &Connection, ticket: i64) -> Result<(), Fault> {
    db.prepare_cached("DELETE FROM deaths WHERE ticket = ?1")?
        .execute([ticket])?;
    Ok(())
}

/// In what company the ticket's attempt died. One that was let go while its process lived on was
/// by itself.
pub(crate) fn company(db: &Connection, ticket: i64) -> Result<Company, Fault> {
    let mut query = db.prepare_cached(COMPANY)?;
    let company = query.query_row([ticket], |row| {
        let beside: Option<u32> = row.get(0)?;
        Ok(Company {
            beside: beside.unwrap_or(0),
            alone: row.get(1)?,
        })
    });
    Ok(company?)
}
