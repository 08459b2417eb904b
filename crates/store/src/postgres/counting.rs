//! Tickets counted from their rows, where no sums are kept.

use super::fault::Fault;
use super::listing::is_broken_off;
use super::rows::{DONE, DROPPED, PUBLISHING, RUNNABLE, RUNNING, WAITING};
use crate::codes;
use crate::error::UNCOUNTED;
use domain::books::Balance;
use domain::ports::StoreError;
use domain::time::Timestamp;
use std::time::Duration;
use tokio_postgres::{Row, Transaction};

/// After so long it is too much.
const TIME_MAX: Duration = Duration::from_secs(20);
/// No index knows when a ticket was accepted, since every ticket would pay for it and this is
/// hardly ever asked: all of them are read, within the time that a statement may take.
const SINCE: &str = "SELECT p.state, p.reason, count(*) FROM tickets t \
     LEFT JOIN places p ON p.id = t.id WHERE t.created_at >= $1 GROUP BY p.state, p.reason";

/// The sums over what was accepted since and is not forgotten; `None` when there is too much of it.
pub(super) async fn since(
    moment: &Transaction<'_>,
    since: Timestamp,
) -> Result<Option<Balance>, Fault> {
    let limit = format!("SET LOCAL statement_timeout = {}", TIME_MAX.as_millis());
    moment.batch_execute(&limit).await?;
    let rows = match moment.query(SINCE, &[&since.as_micros()]).await {
        Err(error) if is_broken_off(&error) => return Ok(None),
        rows => rows?,
    };
    let mut balance = Balance::default();
    for row in &rows {
        add(&mut balance, row)?;
    }
    Ok(Some(balance))
}

/// What somebody hears who asked for more than can be counted.
pub(super) fn too_much() -> Fault {
    Fault::Said(StoreError::Unavailable(UNCOUNTED.into()))
}

fn add(balance: &mut Balance, row: &Row) -> Result<(), Fault> {
    let (state, reason): (Option<i16>, Option<i16>) = (row.try_get(0)?, row.try_get(1)?);
    let count = row.try_get::<_, i64>(2)?.cast_unsigned();
    balance.accepted += count;
    match state {
        // Tickets in no place, or in one that makes no sense: that they are in none of the sums
        // tells of them.
        Some(RUNNABLE | PUBLISHING) => balance.runnable += count,
        Some(RUNNING) => balance.running += count,
        Some(WAITING) => {
            if let Some(reason) = reason.and_then(|code| codes::reason(code.into())) {
                *balance.waiting.entry(reason).or_default() += count;
            }
        }
        Some(DONE) => balance.done += count,
        Some(DROPPED) => balance.dropped += count,
        None | Some(_) => {}
    }
    Ok(())
}
