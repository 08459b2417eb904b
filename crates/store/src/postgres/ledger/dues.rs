//! What is due, and what must be judged: found by the partial indexes, whatever else there is.

use super::Books;
use super::rounds::next_repair;
use crate::postgres::fault::Fault;
use crate::postgres::rows::{
    self, PLACE_COLUMNS, Placed, TICKET_COLUMNS, place_columns, ticket_columns,
};
use domain::names::{Holder, Version};
use domain::oops::Scene;
use domain::ports::{Due, Dues};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use domain::verdict::Case;
use domain::wait::{Condition, Wait};
use tokio_postgres::Row;

macro_rules! waiters {
    () => {
        concat!(
            "SELECT ",
            ticket_columns!(),
            ", ",
            place_columns!(),
            ", a.holder, a.started_at, a.hostname, a.version FROM places p JOIN tickets t ON t.id = p.id \
             LEFT JOIN attempts a ON a.ticket = p.id AND a.generation = p.generation \
             AND a.hop = p.hop AND a.attempt = p.attempt "
        )
    };
}

/// Where the columns of the open attempt begin.
const ATTEMPT_AT: usize = TICKET_COLUMNS + PLACE_COLUMNS;

pub(crate) const DUE: &str = concat!(
    "SELECT ",
    ticket_columns!(),
    ", p.barrier, p.avoid FROM (SELECT * FROM places WHERE state = 2 AND reason IN (1, 2) AND until <= $1 \
     ORDER BY until LIMIT $2) p JOIN tickets t ON t.id = p.id WHERE t.payload IS NOT NULL \
     ORDER BY p.until"
);
pub(crate) const SUSPECTS: &str = concat!(
    waiters!(),
    "WHERE p.state = 2 AND p.reason = 7 ORDER BY p.since LIMIT $1"
);
pub(crate) const OVERDUE: &str = concat!(
    waiters!(),
    "WHERE p.state = 2 AND p.reason = 3 AND p.until <= $1 ORDER BY p.until LIMIT $2"
);
/// When the next wait ends after this time; of pending ones at any time.
pub(crate) const NEXT: &str = "SELECT least(
   (SELECT min(until) FROM places WHERE state = 2 AND reason IN (1, 2) AND until > $1),
   (SELECT min(until) FROM places WHERE state = 2 AND reason = 3))";

impl Books {
    /// What is due, after breakers and plans have released what it is time for: that much of the
    /// books is changed by asking.
    pub(super) async fn find_due(&self, now: Timestamp, max: usize) -> Result<Dues, Fault> {
        let mut client = self.client().await?;
        let mut tx = self.begin(&mut client).await?;
        let mut repair = next_repair(&tx).await?;
        if self.is_time(repair, now) {
            drop(tx);
            self.repair(now, max).await?;
            tx = self.begin(&mut client).await?;
            repair = next_repair(&tx).await?;
        }
        let (at, limit) = (now.as_micros(), limit(max));
        let (query, next) = tokio::try_join!(tx.prepare_cached(DUE), tx.prepare_cached(NEXT))?;
        let found = tx.query(&query, &[&at, &limit]).await?;
        let next = tx.query_one(&next, &[&at]).await?;
        let next = [rows::time(&next, 0)?, repair].into_iter().flatten().min();
        tx.commit().await?;
        Ok(Dues {
            next: match found.len() < max {
                true => next,
                false => Some(now),
            },
            due: readable(&found, due),
        })
    }

    pub(super) async fn find_cases(&self, now: Timestamp, max: usize) -> Result<Vec<Case>, Fault> {
        let mut client = self.client().await?;
        let tx = self.begin(&mut client).await?;
        let (at, limit) = (now.as_micros(), limit(max));
        let query = tx.prepare_cached(SUSPECTS).await?;
        let suspects = tx.query(&query, &[&limit]).await?;
        let query = tx.prepare_cached(OVERDUE).await?;
        let overdue = tx.query(&query, &[&at, &limit]).await?;
        tx.commit().await?;
        let mut cases = readable(&overdue, case);
        cases.extend(readable(&suspects, case));
        cases.truncate(max);
        Ok(cases)
    }
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

/// A row that cannot be read must not stand in the way of all others.
fn readable<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, Fault>) -> Vec<T> {
    let mut readable = Vec::with_capacity(rows.len());
    for row in rows {
        match read(row) {
            Ok(value) => readable.push(value),
            Err(fault) => {
                let id = rows::ticket_id(row, 0).map(|id| id.to_string());
                let id = id.unwrap_or_else(|_| "without a readable id".into());
                tracing::error!("ticket {id} is left where it is, its row is damaged: {fault}");
            }
        }
    }
    readable
}

fn due(row: &Row) -> Result<Due, Fault> {
    let barrier: Option<i64> = row.try_get(TICKET_COLUMNS)?;
    Ok(Due {
        ticket: rows::ticket(row, 0)?,
        barrier: barrier.map(i64::cast_unsigned),
        avoid: match row.try_get::<_, Option<&str>>(TICKET_COLUMNS + 1)? {
            Some(lines) => rows::versions(lines)?,
            None => Vec::new(),
        },
    })
}

fn case(row: &Row) -> Result<Case, Fault> {
    let ticket: Ticket = rows::ticket(row, 0)?;
    let placed: Placed = rows::placed(row, TICKET_COLUMNS)?;
    let wait = placed
        .wait
        .ok_or_else(|| Fault::row("a wait's reason", "nothing"))?;
    let holder: Option<&str> = row.try_get(ATTEMPT_AT)?;
    let started_at = rows::time(row, ATTEMPT_AT + 1)?;
    let scene = match holder {
        Some(holder) => Some(Scene {
            holder: rows::parsed(holder, Holder::new)?,
            hostname: row.try_get(ATTEMPT_AT + 2)?,
            version: rows::parsed(row.try_get(ATTEMPT_AT + 3)?, Version::new)?,
        }),
        None => None,
    };
    let condition = match (wait.condition, holder) {
        (Condition::Suspect { .. }, Some(holder)) => Condition::Suspect {
            holder: rows::parsed(holder, Holder::new)?,
            started_at,
        },
        (condition, _) => condition,
    };
    Ok(Case {
        ticket,
        wait: Wait { condition, ..wait },
        scene,
    })
}
