//! Forgetting what ended long ago: history a day at a time, tickets a slice at a time.

use super::{Books, deaths};
use crate::codes::Count;
use crate::postgres::fault::Fault;
use crate::postgres::partitions::{self, HISTORY};
use crate::postgres::submit::LEDGER_SHARD;
use crate::postgres::working::Working;
use deadpool_postgres::Transaction;
use domain::ports::Retention;
use std::time::Duration;
use uuid::Uuid;

/// The most tickets that one call forgets.
const SLICE: i64 = 5_000;
/// A fence outlives the end of its ticket for so long: a ghost may still lie in a queue.
const FENCE_KEPT: Duration = Duration::from_secs(3_600);

/// How many ended tickets are kept, by the sums.
const KEPT: &str = "SELECT coalesce(sum(CASE what WHEN 4 THEN -n ELSE n END), 0)::bigint
 FROM counts WHERE stage = '' AND what IN (2, 3, 4)";

/// The tickets that ended first, but for those with an attempt that has yet to be told, and those
/// that somebody still has, with the lock on their key.
pub(crate) const OLDEST: &str = "SELECT id, since FROM places p WHERE state IN (3, 4)
   AND lock_key IS NULL AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.ticket = p.id)
 ORDER BY since LIMIT $1";
pub(crate) const FORGET_PLACES: &str = "DELETE FROM places WHERE id = ANY($1)";
pub(crate) const FORGET_TICKETS: &str = "DELETE FROM tickets WHERE id = ANY($1)";

const FENCES: &str = "DELETE FROM fences f WHERE NOT EXISTS (
   SELECT 1 FROM places p WHERE p.id = f.ticket AND (p.state NOT IN (3, 4) OR p.since >= $1))";

impl Books {
    pub(super) async fn forget(&self, retention: Retention) -> Result<u64, Fault> {
        let now = self.now();
        let days = &self.store.shared.days;
        let mut client = self.client().await?;
        partitions::drop_before(&client, days, HISTORY, retention.before).await?;
        days.cover(&client, HISTORY, [now.plus(DAY)].into_iter(), now)
            .await?;
        let tx = self.begin(&mut client).await?;
        let doomed = doomed(&tx, retention).await?;
        for sql in [FORGET_PLACES, FORGET_TICKETS] {
            let forget = tx.prepare_cached(sql).await?;
            tx.execute(&forget, &[&doomed]).await?;
        }
        tx.execute(FENCES, &[&now.minus(FENCE_KEPT).as_micros()])
            .await?;
        deaths::forget_old(&tx, now).await?;
        let mut working = Working::default();
        working.count(
            "",
            Count::Forgotten,
            i64::try_from(doomed.len()).unwrap_or(0),
        );
        working.write(&tx, LEDGER_SHARD).await?;
        tx.commit().await?;
        Ok(doomed.len() as u64)
    }
}

/// What ended before the time, and what is not among the newest; at most a slice of it.
async fn doomed(tx: &Transaction<'_>, retention: Retention) -> Result<Vec<Uuid>, Fault> {
    let kept: i64 = tx.query_one(KEPT, &[]).await?.try_get(0)?;
    let most = i64::try_from(retention.tickets_max).unwrap_or(i64::MAX);
    let too_many = usize::try_from(kept.saturating_sub(most)).unwrap_or(0);
    let oldest = tx.prepare_cached(OLDEST).await?;
    let mut doomed = Vec::new();
    for row in tx.query(&oldest, &[&SLICE]).await? {
        let since: i64 = row.try_get(1)?;
        if since >= retention.before.as_micros() && doomed.len() >= too_many {
            break;
        }
        doomed.push(row.try_get(0)?);
    }
    Ok(doomed)
}

const DAY: Duration = Duration::from_secs(86_400);
