//! Tickets that are held and let go by their hundreds of thousands: a slice with one statement,
//! which writes their history as well.

use super::Repairs;
use crate::postgres::fault::Fault;
use crate::postgres::rows::{self, PUBLISHING, RUNNABLE, RUNNING, WAITING};
use crate::postgres::working::{Sums, Working, waiting_sum};
use crate::postgres::writing::{execute, write_sums};
use deadpool_postgres::Transaction;
use domain::books::{Fact, Line};
use domain::breaker::Scope;
use domain::names::{StageName, Version};
use domain::plan::PlanId;
use domain::signature::SignatureId;
use domain::ticket::{Name, TicketId};
use domain::wait::{Condition, Reason, Wait};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// How many tickets one statement moves.
const SLICE: i64 = 10_000;
/// How often the oldest ticket is looked for when others hold its row.
const TRIES: u32 = 3;

/// Why tickets are due that a breaker or a plan has let go; their history says more.
const CANARY: &str = "it is tried alone, as a canary";
const PLANNED: &str = "a release plan let it go";
const CLOSED: &str = "nothing is known to be wrong with its stage any more";

/// They waited to be tried again; `held` is written into their history.
macro_rules! hold {
    ($reason:literal) => {
        concat!(
            "WITH held AS (UPDATE places SET reason = 5, until = NULL, detail = $2,
   mark = 1,
   because = coalesce(because, '') || '; it is held until ' || $2 || ' is repaired'
 WHERE id IN (SELECT id FROM places WHERE state = 2 AND reason = ",
            $reason,
            " AND stage = $1
   AND signature = $2 ORDER BY id LIMIT $5 FOR UPDATE)
 RETURNING id, generation, hop, attempt, stage)
 INSERT INTO history (at, ticket, generation, hop, attempt, stage, what, why)
 SELECT $4, id, generation, hop, attempt, stage, 'held', $3 FROM held"
        )
    };
}
/// They waited for their back-off.
pub(in crate::postgres) const HOLD: &str = hold!("1");
/// They waited for their trial, and each was charged: else it would have no signature.
pub(in crate::postgres) const HOLD_TRIALS: &str = hold!("9");
/// They are due now.
pub(in crate::postgres) const CLOSE: &str =
    "WITH freed AS (UPDATE places SET reason = 2, until = $3, since = $3,
   because = $4, detail = NULL, mark = NULL
 WHERE id IN (SELECT id FROM places WHERE state = 2 AND reason = 5 AND mark = 1 AND stage = $1
   AND detail = $2 ORDER BY since, id LIMIT $6 FOR UPDATE)
 RETURNING id, generation, hop, attempt, stage)
 INSERT INTO history (at, ticket, generation, hop, attempt, stage, what, why)
 SELECT $3, id, generation, hop, attempt, stage, 'released', $5 FROM freed";
pub(in crate::postgres) const OLDEST_HELD: &str =
    "SELECT id FROM places WHERE state = 2 AND reason = 5
   AND mark = 1 AND stage = $1 AND detail = $2 ORDER BY since, id LIMIT 1 FOR UPDATE";
const ANY_HELD: &str = "SELECT id FROM places WHERE state = 2 AND reason = 5
   AND mark = 1 AND stage = $1 ORDER BY since, id LIMIT 1 FOR UPDATE";
pub(in crate::postgres) const HELD: &str =
    "SELECT count(*) FROM places WHERE state = 2 AND reason = 5
   AND mark = 1 AND stage = $1 AND detail = $2";
const IS_QUEUED: &str = "SELECT EXISTS (SELECT FROM places WHERE state = 0 AND stage = $1)";
const QUEUED: &str =
    "SELECT coalesce(sum(n), 0)::bigint FROM counts WHERE stage = $1 AND what = 10";

/// Whether the history says already why this wait has ended.
pub(in crate::postgres) fn is_told(because: &str) -> bool {
    [CANARY, PLANNED, CLOSED].contains(&because)
}

/// Why tickets are let go.
#[derive(Clone, Copy)]
pub(super) enum Freed {
    Canary,
    Plan(PlanId),
}

pub(super) async fn held_count(
    tx: &Transaction<'_>,
    stage: &StageName,
    signature: SignatureId,
) -> Result<u64, Fault> {
    let query = tx.prepare_cached(HELD).await?;
    let detail = signature.to_string();
    let row = tx.query_one(&query, &[&stage.as_str(), &detail]).await?;
    Ok(row.try_get::<_, i64>(0)?.cast_unsigned())
}

/// How many are in the stage's queue, by the sums.
pub(super) async fn queued(tx: &Transaction<'_>, stage: &StageName) -> Result<u64, Fault> {
    let row = tx.query_one(QUEUED, &[&stage.as_str()]).await?;
    Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
}

pub(super) async fn is_queued(tx: &Transaction<'_>, stage: &StageName) -> Result<bool, Fault> {
    Ok(tx
        .query_one(IS_QUEUED, &[&stage.as_str()])
        .await?
        .try_get(0)?)
}

impl Repairs<'_> {
    /// Those that are to be tried again after this failure wait for its repair.
    pub(super) async fn hold(
        &mut self,
        tx: &Transaction<'_>,
        (stage, signature): (&StageName, SignatureId),
        why: &str,
    ) -> Result<(), Fault> {
        let (detail, now) = (signature.to_string(), self.setting.now.as_micros());
        let values: [&(dyn ToSql + Sync); 5] = [&stage.as_str(), &detail, &why, &now, &SLICE];
        for (hold, from) in [(HOLD, Reason::Backoff), (HOLD_TRIALS, Reason::Trial)] {
            let moved = in_slices(tx, hold, &values).await?;
            self.moved(tx, stage, (from, Reason::Held), moved).await?;
        }
        Ok(())
    }

    /// Those that wait for this repair are due.
    pub(super) async fn close(
        &mut self,
        tx: &Transaction<'_>,
        (stage, signature): (&StageName, SignatureId),
    ) -> Result<(), Fault> {
        let (detail, now) = (signature.to_string(), self.setting.now.as_micros());
        let why = format!("nothing is known to be wrong with {signature} any more");
        let values: [&(dyn ToSql + Sync); 6] =
            [&stage.as_str(), &detail, &now, &CLOSED, &why, &SLICE];
        let moved = in_slices(tx, CLOSE, &values).await?;
        self.moved(tx, stage, (Reason::Held, Reason::NotNow), moved)
            .await
    }

    async fn moved(
        &self,
        tx: &Transaction<'_>,
        stage: &StageName,
        (from, to): (Reason, Reason),
        count: u64,
    ) -> Result<(), Fault> {
        let mut sums = Sums::new();
        sums.insert((stage.to_string(), waiting_sum(from)), -count.cast_signed());
        sums.insert((stage.to_string(), waiting_sum(to)), count.cast_signed());
        write_sums(&sums, tx, self.setting.shard).await
    }

    /// The ticket that has been held the longest, for this signature or for any, if one is.
    pub(super) async fn oldest_held(
        &self,
        tx: &Transaction<'_>,
        stage: &StageName,
        signature: Option<SignatureId>,
    ) -> Result<Option<TicketId>, Fault> {
        let detail = signature.map(|signature| signature.to_string());
        for _ in 0..TRIES {
            let found = match &detail {
                Some(detail) => {
                    let query = tx.prepare_cached(OLDEST_HELD).await?;
                    tx.query_opt(&query, &[&stage.as_str(), detail]).await?
                }
                None => tx.query_opt(ANY_HELD, &[&stage.as_str()]).await?,
            };
            if let Some(row) = found {
                return Ok(Some(rows::ticket_id(&row, 0)?));
            }
            // Whoever had the row has moved the ticket on: there may be others behind it.
        }
        Ok(None)
    }

    /// Lets these go, under the names that they wait under, to be run on none of these versions.
    /// Returns their names, in the order asked for.
    pub(super) async fn let_go(
        &mut self,
        tx: &Transaction<'_>,
        ids: &[TicketId],
        (freed, why, avoid): (Freed, &str, &[Version]),
    ) -> Result<Vec<Name>, Fault> {
        let now = self.setting.now;
        let mut working = Working::load(tx, ids.to_vec()).await?;
        let mut names = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(placed) = working.get_mut(*id) else {
                continue;
            };
            let Some(wait) = placed.wait.clone() else {
                continue;
            };
            let name = wait.condition.reason().ended_early(placed.name);
            let barrier = placed.barrier;
            let because = match freed {
                Freed::Canary => CANARY,
                Freed::Plan(_) => PLANNED,
            };
            let wait = Wait {
                condition: Condition::NotNow { until: now },
                since: now,
                because: because.into(),
                oops: wait.oops,
            };
            placed.put_waiting(name, wait);
            placed.barrier = barrier;
            placed.avoid = avoid.to_vec();
            if let Freed::Plan(plan) = freed {
                placed.plan = Some(plan);
            }
            let line = Line {
                at: now,
                name,
                stage: placed.stage.clone(),
                fact: Fact::Noted {
                    what: "released".into(),
                    why: why.into(),
                    oops: None,
                },
            };
            working.tell(line);
            names.push(name);
        }
        working.write(tx, self.setting.shard).await?;
        Ok(names)
    }

    /// Whether the books have this copy on its way or at work. A stage's canary has used its
    /// permit: should it have gone back, nobody can take it, so that it is at work or lost.
    pub(super) async fn is_out(
        tx: &Transaction<'_>,
        scope: Scope,
        name: &Name,
    ) -> Result<bool, Fault> {
        let query = "SELECT state, reason, generation, hop, attempt FROM places WHERE id = $1";
        let Some(row) = tx.query_opt(query, &[&name.ticket.uuid()]).await? else {
            return Ok(false);
        };
        let (state, reason): (i16, Option<i16>) = (row.try_get(0)?, row.try_get(1)?);
        let is_same = rows::name(&row, name.ticket, 2)? == *name;
        let reason = reason.and_then(|code| crate::codes::reason(code.into()));
        let is_at_work = state == RUNNING || reason == Some(Reason::Suspect);
        let is_on_its_way = match state {
            RUNNABLE | PUBLISHING => true,
            WAITING => matches!(
                reason,
                Some(Reason::Backoff | Reason::NotNow | Reason::Trial)
            ),
            _ => false,
        };
        Ok(is_same && (is_at_work || is_on_its_way && scope != Scope::Stage))
    }
}

/// The last value is how many one statement moves.
async fn in_slices(
    tx: &Transaction<'_>,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<u64, Fault> {
    let mut moved = 0;
    loop {
        let slice = execute(tx, sql, values).await?;
        moved += slice;
        if slice < SLICE as u64 {
            return Ok(moved);
        }
    }
}

/// As the tables have ids.
pub(super) fn ids(rows: &[tokio_postgres::Row]) -> Result<Vec<TicketId>, Fault> {
    let id = |row: &tokio_postgres::Row| Ok(TicketId::new(row.try_get::<_, Uuid>(0)?));
    rows.iter().map(id).collect()
}
