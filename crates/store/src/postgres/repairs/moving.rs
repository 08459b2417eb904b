//! Tickets that are held and let go by their hundreds of thousands: a slice with one statement,
//! which writes their history as well.

use super::Repairs;
use crate::postgres::fault::Fault;
use crate::postgres::rows::{self, PUBLISHING, RUNNABLE, RUNNING, WAITING};
use crate::postgres::text::sayable;
use crate::postgres::working::{PLACES, Sums, Working, waiting_sum};
use crate::postgres::writing::{execute, write_sums};
use deadpool_postgres::Transaction;
use domain::books::{Fact, Line};
use domain::breaker::Scope;
use domain::names::{StageName, Version};
use domain::plan::PlanId;
use domain::signature::SignatureId;
use domain::ticket::{Name, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// How many tickets one statement moves.
const SLICE: i64 = 10_000;
/// How many slices one round moves, which is about a second: a call that moved millions would be
/// cut short, and the next one would begin anew.
pub(super) const SLICES_MAX: u32 = 5;
/// How many damaged rows are passed over to find one that can be read.
pub(super) const DAMAGED_MAX: usize = 100;
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
/// The same of any signature, if none is named, but for these tickets.
const OTHER_HELD: &str = "SELECT id FROM places WHERE state = 2 AND reason = 5
   AND mark = 1 AND stage = $1 AND ($2::text IS NULL OR detail = $2) AND id <> ALL($3)
 ORDER BY since, id LIMIT 1 FOR UPDATE";
pub(in crate::postgres) const HELD: &str =
    "SELECT count(*), max(since) FROM places WHERE state = 2 AND reason = 5
   AND mark = 1 AND stage = $1 AND detail = $2";
/// Which of these still have tickets to be held.
const HALF_HELD: &str = "SELECT u.stage, u.signature
 FROM unnest($1::text[], $2::text[]) AS u (stage, signature)
 WHERE EXISTS (SELECT FROM places p WHERE p.state = 2 AND p.reason IN (1, 9)
   AND p.stage = u.stage AND p.signature = u.signature)";
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

/// How many are held, and since when the newest of them is.
pub(super) async fn held(
    tx: &Transaction<'_>,
    stage: &StageName,
    signature: SignatureId,
) -> Result<(u64, Option<Timestamp>), Fault> {
    let query = tx.prepare_cached(HELD).await?;
    let detail = signature.to_string();
    let row = tx.query_one(&query, &[&stage.as_str(), &detail]).await?;
    let count = row.try_get::<_, i64>(0)?.cast_unsigned();
    Ok((count, rows::time(&row, 1)?))
}

/// Locks these tickets and reads them. One whose row is damaged is left where it is: it must not
/// stand in the way of all others. Their open attempts are not read.
pub(in crate::postgres) async fn lock_readable(
    tx: &Transaction<'_>,
    ids: &[TicketId],
) -> Result<Working, Fault> {
    let query = tx.prepare_cached(PLACES).await?;
    let uuids: Vec<Uuid> = ids.iter().map(TicketId::uuid).collect();
    let mut working = Working::default();
    for row in tx.query(&query, &[&uuids]).await? {
        match rows::placed(&row, 0) {
            Ok(placed) => working.found(placed),
            Err(fault) => {
                let id = rows::ticket_id(&row, 0)?;
                tracing::error!("ticket {id} is left where it is, its row is damaged: {fault}");
            }
        }
    }
    Ok(working)
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
    /// Those that are to be tried again after this failure wait for its repair. Of very many some
    /// are left to the next rounds: see [`Repairs::hold_rest`].
    pub(super) async fn hold(
        &mut self,
        tx: &Transaction<'_>,
        (stage, signature): (&StageName, SignatureId),
        why: &str,
    ) -> Result<(), Fault> {
        let (detail, now) = (signature.to_string(), self.setting.now.as_micros());
        let why = sayable(why);
        let values: [&(dyn ToSql + Sync); 5] = [&stage.as_str(), &detail, &why, &now, &SLICE];
        for (hold, from) in [(HOLD, Reason::Backoff), (HOLD_TRIALS, Reason::Trial)] {
            let most = self.slices.min(SLICES_MAX);
            let (moved, is_all) = self.in_slices(tx, (hold, &values), most).await?;
            self.moved(tx, stage, (from, Reason::Held), moved).await?;
            if let Some(post) = self.posts.get_mut(stage).filter(|_| !is_all) {
                post.is_half_held = true;
                post.is_touched = true;
            }
        }
        Ok(())
    }

    /// Holds what an earlier transaction has left, of the stages that are in hand.
    pub(in crate::postgres) async fn hold_rest(
        &mut self,
        tx: &Transaction<'_>,
    ) -> Result<(), Fault> {
        let (mut stages, mut signatures) = (Vec::new(), Vec::new());
        for (stage, post) in &self.posts {
            for breaker in post.board.breakers().filter(|breaker| breaker.holds()) {
                if let Scope::Signature(signature) = breaker.scope {
                    stages.push(stage.as_str());
                    signatures.push(signature.to_string());
                }
            }
        }
        if stages.is_empty() {
            return Ok(());
        }
        let query = tx.prepare_cached(HALF_HELD).await?;
        for row in tx.query(&query, &[&stages, &signatures]).await? {
            let stage = rows::parsed(row.try_get(0)?, StageName::new)?;
            let signature: SignatureId = rows::parsed(row.try_get(1)?, str::parse)?;
            let why = format!("its breaker is open: {signature}");
            self.hold(tx, (&stage, signature), &why).await?;
        }
        Ok(())
    }

    /// Those that wait for this repair are due; a signature as the table has it.
    pub(super) async fn close(
        &mut self,
        tx: &Transaction<'_>,
        (stage, signature): (&StageName, &str),
    ) -> Result<(), Fault> {
        let now = self.setting.now.as_micros();
        let why = format!("nothing is known to be wrong with {signature} any more");
        let values: [&(dyn ToSql + Sync); 6] =
            [&stage.as_str(), &signature, &now, &CLOSED, &why, &SLICE];
        let (moved, is_all) = self.in_slices(tx, (CLOSE, &values), self.slices).await?;
        self.done.is_left |= !is_all;
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

    /// Moves at most so many slices; returns how many tickets that was, and whether it was all of
    /// them. The last value is how many one statement moves.
    async fn in_slices(
        &mut self,
        tx: &Transaction<'_>,
        (sql, values): (&str, &[&(dyn ToSql + Sync)]),
        most: u32,
    ) -> Result<(u64, bool), Fault> {
        let mut moved = 0;
        for _ in 0..most {
            let slice = execute(tx, sql, values).await?;
            moved += slice;
            if slice < SLICE as u64 {
                return Ok((moved, true));
            }
            self.slices -= 1;
        }
        Ok((moved, false))
    }

    /// The ticket that has been held the longest, for this signature or for any, if one is. Those
    /// whose row is damaged are passed over.
    pub(super) async fn oldest_held(
        &self,
        tx: &Transaction<'_>,
        stage: &StageName,
        signature: Option<SignatureId>,
    ) -> Result<Option<TicketId>, Fault> {
        let detail = signature.map(|signature| signature.to_string());
        let mut damaged: Vec<Uuid> = Vec::new();
        let mut tries = 0;
        while tries < TRIES && damaged.len() < DAMAGED_MAX {
            let found = match &detail {
                Some(detail) if damaged.is_empty() => {
                    let query = tx.prepare_cached(OLDEST_HELD).await?;
                    tx.query_opt(&query, &[&stage.as_str(), detail]).await?
                }
                _ => {
                    let values: [&(dyn ToSql + Sync); 3] = [&stage.as_str(), &detail, &damaged];
                    tx.query_opt(OTHER_HELD, &values).await?
                }
            };
            let Some(row) = found else {
                // Whoever had the row has moved the ticket on: there may be others behind it.
                tries += 1;
                continue;
            };
            let id = rows::ticket_id(&row, 0)?;
            if lock_readable(tx, &[id]).await?.get(id).is_some() {
                return Ok(Some(id));
            }
            damaged.push(id.uuid());
        }
        Ok(None)
    }

    /// Lets these go, under the names that they wait under, to be run on none of these versions.
    /// Returns their names, in the order asked for.
    pub(super) async fn let_go(
        &self,
        tx: &Transaction<'_>,
        (mut working, ids): (Working, &[TicketId]),
        (freed, why, avoid): (Freed, &str, &[Version]),
    ) -> Result<Vec<Name>, Fault> {
        let now = self.setting.now;
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
        let is_same = match rows::name(&row, name.ticket, 2) {
            Ok(there) => there == *name,
            Err(fault) => {
                tracing::error!("canary {name} counts as lost, its row is damaged: {fault}");
                false
            }
        };
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

/// As the tables have ids.
pub(super) fn ids(rows: &[tokio_postgres::Row]) -> Result<Vec<TicketId>, Fault> {
    let id = |row: &tokio_postgres::Row| Ok(TicketId::new(row.try_get::<_, Uuid>(0)?));
    rows.iter().map(id).collect()
}
