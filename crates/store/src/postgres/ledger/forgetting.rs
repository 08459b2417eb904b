//! Forgetting what ended long ago: history a day at a time, tickets a slice at a time.

use super::Books;
use crate::codes::Count;
use crate::postgres::fault::Fault;
use crate::postgres::partitions::{self, HISTORY};
use crate::postgres::submit::LEDGER_SHARD;
use crate::postgres::working::Working;
use domain::ports::Retention;
use std::time::Duration;

/// The most tickets that one call forgets.
const SLICE: i64 = 5_000;
/// A fence outlives the end of its ticket for so long: a ghost may still lie in a queue.
const FENCE_KEPT: Duration = Duration::from_secs(3_600);

/// How many ended tickets are kept, by the sums.
const KEPT: &str = "SELECT coalesce(sum(CASE what WHEN 4 THEN -n ELSE n END), 0)::bigint
 FROM counts WHERE stage = '' AND what IN (2, 3, 4)";

/// The ones that ended first, but for those with an attempt that has yet to be told: of the first
/// `$2` those before `$1`, and the first `$3` in any case.
pub(crate) const FORGET: &str = "WITH oldest AS (
   SELECT id, since, row_number() OVER (ORDER BY since) AS nth FROM (
     SELECT id, since FROM places p WHERE state IN (3, 4)
       AND p.lock_key IS NULL AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.ticket = p.id)
     ORDER BY since LIMIT $2) first),
 doomed AS (SELECT id FROM oldest WHERE since < $1 OR nth <= $3),
 placeless AS (DELETE FROM places p USING doomed d WHERE p.id = d.id RETURNING p.id)
 DELETE FROM tickets t USING placeless d WHERE t.id = d.id";

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
        let kept: i64 = tx.query_one(KEPT, &[]).await?.try_get(0)?;
        let most = i64::try_from(retention.tickets_max).unwrap_or(i64::MAX);
        let too_many = kept.saturating_sub(most).max(0);
        let before = retention.before.as_micros();
        let forget = tx.prepare_cached(FORGET).await?;
        let forgotten = tx.execute(&forget, &[&before, &SLICE, &too_many]).await?;
        tx.execute(FENCES, &[&now.minus(FENCE_KEPT).as_micros()])
            .await?;
        let mut working = Working::default();
        working.count("", Count::Forgotten, i64::try_from(forgotten).unwrap_or(0));
        working.write(&tx, LEDGER_SHARD).await?;
        tx.commit().await?;
        Ok(forgotten)
    }
}

const DAY: Duration = Duration::from_secs(86_400);
