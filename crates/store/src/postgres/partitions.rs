//! The days that history and reports are divided by, so that old ones go by dropping a table.

use super::fault::Fault;
use domain::time::Timestamp;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use tokio_postgres::Client;

/// The tables that have a partition for each day.
pub(crate) const HISTORY: &str = "history";
/// See [`HISTORY`].
pub(crate) const OOPSES: &str = "oopses";

const DAY_MICROS: i64 = 86_400_000_000;
/// A time further away than this is a wrong clock's: it goes into the partition for the rest, so
/// that no clock can make partitions without end.
const DAYS_BACK_MAX: i64 = 40;
const DAYS_AHEAD_MAX: i64 = 2;

/// Which days certainly have their partition.
#[derive(Default)]
pub(crate) struct Days(Mutex<HashSet<(&'static str, i64)>>);

impl Days {
    /// Makes sure that each of these times has the partition of its day. Outside of transactions,
    /// since it locks the whole table for a moment.
    pub(crate) async fn cover(
        &self,
        client: &Client,
        table: &'static str,
        times: impl Iterator<Item = Timestamp>,
        now: Timestamp,
    ) -> Result<(), Fault> {
        let today = day(now);
        let missing: HashSet<i64> = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            times
                .map(day)
                .filter(|day| (today - DAYS_BACK_MAX..=today + DAYS_AHEAD_MAX).contains(day))
                .filter(|day| !known.contains(&(table, *day)))
                .collect()
        };
        for day in missing {
            make(client, table, day).await?;
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|(_, known)| *known >= today - DAYS_BACK_MAX);
            known.insert((table, day));
        }
        Ok(())
    }

    /// These days have no partition any more.
    fn forget(&self, table: &'static str, days: &[i64]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, day)| *of != table || !days.contains(day));
    }
}

fn day(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(DAY_MICROS)
}

/// The partitions of today and tomorrow.
pub(crate) async fn prepare(client: &Client, now: Timestamp) -> Result<(), Fault> {
    for table in [HISTORY, OOPSES] {
        for day in day(now)..=day(now) + 1 {
            make(client, table, day).await?;
        }
    }
    Ok(())
}

async fn make(client: &Client, table: &str, day: i64) -> Result<(), Fault> {
    let known = "SELECT to_regclass($1) IS NOT NULL";
    let name = format!("{table}_{day}");
    if client.query_one(known, &[&name]).await?.get(0) {
        return Ok(());
    }
    let (from, to) = (day * DAY_MICROS, (day + 1) * DAY_MICROS);
    let made = client
        .batch_execute(&format!(
            "CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table}
             FOR VALUES FROM ({from}) TO ({to})"
        ))
        .await;
    match made {
        Ok(()) => Ok(()),
        // Another controller made it at the same moment, or rows of that day are among the rest:
        // then they stay there, and those that come as well.
        Err(error) if is_there_already(&error) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_there_already(error: &tokio_postgres::Error) -> bool {
    use tokio_postgres::error::SqlState;
    let codes = [
        SqlState::DUPLICATE_TABLE,
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_OBJECT,
        SqlState::CHECK_VIOLATION,
    ];
    error.code().is_some_and(|code| codes.contains(code))
}

/// Drops the partitions of the days that ended before this time; returns how many went. One that
/// somebody is reading stays until the next call.
pub(crate) async fn drop_before(
    client: &Client,
    days: &Days,
    table: &'static str,
    before: Timestamp,
) -> Result<u64, Fault> {
    let found = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = $1::text::regclass";
    let first_kept = day(before);
    let mut old: Vec<i64> = Vec::new();
    for row in client.query(found, &[&table]).await? {
        let name: String = row.get(0);
        let day = name.rsplit('_').next();
        let day: Option<i64> = day.and_then(|day| day.parse().ok());
        old.extend(day.filter(|day| *day < first_kept));
    }
    let mut dropped = 0;
    for day in &old {
        let sql = format!("SET LOCAL lock_timeout = '1s'; DROP TABLE IF EXISTS {table}_{day}");
        match client.batch_execute(&sql).await {
            Ok(()) => dropped += 1,
            Err(error) if error.code() == Some(&LOCKED) => break,
            Err(error) => return Err(error.into()),
        }
    }
    days.forget(table, &old);
    Ok(dropped)
}

const LOCKED: tokio_postgres::error::SqlState = tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE;
