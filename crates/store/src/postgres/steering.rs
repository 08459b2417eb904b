//! The desired state, as a transaction changes it, and the waits that end with such a change.

use super::fault::Fault;
use super::rows;
use super::text::sayable;
use super::working::{Releases, Steer, Sums, Working, waiting_sum};
use super::writing::execute;
use deadpool_postgres::Transaction;
use domain::control::{Gate, Hold, Snapshot};
use domain::names::StageName;
use domain::ports::Kinds;
use domain::ticket::{Generation, TicketId};
use domain::time::Timestamp;
use domain::wait::Reason;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// How many tickets one statement releases: a stage may have held a million.
const RELEASE_SLICE: i64 = 10_000;

const HOLD: &str = "INSERT INTO holds (stage, since, reason, by, version, oops)
 VALUES ($1, $2, $3, $4, $5, $6)
 ON CONFLICT (stage) DO UPDATE SET since = excluded.since, reason = excluded.reason,
   by = excluded.by, version = excluded.version, oops = excluded.oops
 WHERE (holds.reason, holds.version) IS DISTINCT FROM (excluded.reason, excluded.version)";
const UNHOLD: &str = "DELETE FROM holds WHERE stage = $1";
const FENCE: &str = "INSERT INTO fences (ticket, generation, revision)
 SELECT ticket, generation, $3 FROM unnest($1::uuid[], $2::bigint[]) AS u (ticket, generation)
 ON CONFLICT (ticket) DO UPDATE SET revision = excluded.revision,
   generation = greatest(fences.generation, excluded.generation)";
/// The oldest go first.
const TRIM: &str = "DELETE FROM fences WHERE ticket IN
 (SELECT ticket FROM fences ORDER BY revision DESC, ticket OFFSET $1)";
const GATE: &str = "INSERT INTO gates (stage, since, reason, permit, holder, is_used)
 VALUES ($1, $2, $3, $4, $5, false) ON CONFLICT (stage) DO UPDATE SET since = excluded.since,
   reason = excluded.reason, permit = excluded.permit, holder = excluded.holder, is_used = false";
const UNGATE: &str = "DELETE FROM gates WHERE stage = $1";
const BUMP: &str = "UPDATE control SET revision = revision + 1 RETURNING revision";

/// They are due at once, as if they had been put off until now. What is held until something is
/// repaired is let go by its breaker alone.
const RELEASE: &str = "UPDATE places SET reason = 2, until = $3, since = $3, because = $4,
   detail = NULL, mark = NULL
 WHERE id IN (SELECT id FROM places WHERE state = 2 AND reason = $1 AND stage = $2
   AND (reason <> 5 OR mark IS NULL) ORDER BY id LIMIT $5 FOR UPDATE)";

/// The same of what waited for anybody who serves its stage, at most so many: every beat of whoever
/// does goes on with it. What somebody else has in hand is left to the next.
const RELEASE_SOME: &str = "UPDATE places SET reason = 2, until = $3, since = $3, because = $4,
   detail = NULL, mark = NULL
 WHERE id IN (SELECT id FROM places WHERE state = 2 AND reason = $1 AND stage = $2
   AND coalesce(detail, '') = '' LIMIT $5 FOR UPDATE SKIP LOCKED)";

/// The same of what was handed back because nobody there took its kind, which `detail` names.
pub(crate) const RELEASE_KINDS: &str = "UPDATE places SET reason = 2, until = $2, since = $2,
   because = $3, detail = NULL, mark = NULL
 WHERE id IN (SELECT id FROM places WHERE state = 2 AND reason = 6 AND stage = $1
   AND coalesce(detail, '') = ANY(string_to_array($5, E'\\n'))
   LIMIT $4 FOR UPDATE SKIP LOCKED)";
/// The same by somebody who takes every kind.
pub(crate) const RELEASE_ANY_KIND: &str = "UPDATE places SET reason = 2, until = $2, since = $2,
   because = $3, detail = NULL, mark = NULL
 WHERE id IN (SELECT id FROM places WHERE state = 2 AND reason = 6 AND stage = $1
   AND coalesce(detail, '') > '' LIMIT $4 FOR UPDATE SKIP LOCKED)";
/// So many of them at once: whoever does not take them may get them again, and hand them back.
const CLAIM_SLICE: i64 = 1_000;

/// Changes the desired state; returns the revision that is then in force if anything was changed.
pub(crate) async fn write(working: &Working, tx: &Transaction<'_>) -> Result<Option<u64>, Fault> {
    if working.steers.is_empty() {
        return Ok(None);
    }
    // The row is locked whatever comes, so that changes come one after the other.
    let lock = "SELECT revision FROM control FOR UPDATE";
    let now: i64 = tx.query_one(lock, &[]).await?.try_get(0)?;
    let mut is_changed = false;
    for steer in &working.steers {
        is_changed |= match steer {
            Steer::Hold(stage, hold) => put_hold(tx, stage, hold).await?,
            Steer::Unhold(stage) => execute(tx, UNHOLD, &[&stage.as_str()]).await? > 0,
            Steer::Gate(stage, gate) => put_gate(tx, stage, gate).await?,
            Steer::Ungate(stage) => execute(tx, UNGATE, &[&stage.as_str()]).await? > 0,
            Steer::Fence(..) => true,
        };
    }
    if !is_changed {
        return Ok(None);
    }
    write_fences(working, tx, now + 1).await?;
    let revision: i64 = tx.query_one(BUMP, &[]).await?.try_get(0)?;
    Ok(Some(revision.cast_unsigned()))
}

async fn put_hold(tx: &Transaction<'_>, stage: &StageName, hold: &Hold) -> Result<bool, Fault> {
    let version = hold.version.as_ref().map(|version| version.as_str());
    let oops = hold.oops.map(rows::oops_uuid);
    let since = hold.since.as_micros();
    let changed = execute(
        tx,
        HOLD,
        &[
            &stage.as_str(),
            &since,
            &sayable(&hold.reason),
            &sayable(&hold.by),
            &version,
            &oops,
        ],
    )
    .await?;
    Ok(changed > 0)
}

async fn put_gate(tx: &Transaction<'_>, stage: &StageName, gate: &Gate) -> Result<bool, Fault> {
    let permit = gate.permit.as_ref();
    let number = permit.map(|permit| permit.number.cast_signed());
    let holder = permit.map(|permit| permit.holder.as_str());
    let since = gate.since.as_micros();
    let values: [&(dyn ToSql + Sync); 5] = [
        &stage.as_str(),
        &since,
        &sayable(&gate.reason),
        &number,
        &holder,
    ];
    Ok(execute(tx, GATE, &values).await? > 0)
}

async fn write_fences(working: &Working, tx: &Transaction<'_>, revision: i64) -> Result<(), Fault> {
    let mut fences: Vec<(TicketId, Generation)> = working
        .steers
        .iter()
        .filter_map(|steer| match steer {
            Steer::Fence(ticket, generation) => Some((*ticket, *generation)),
            Steer::Hold(..) | Steer::Unhold(_) | Steer::Gate(..) | Steer::Ungate(_) => None,
        })
        .collect();
    if fences.is_empty() {
        return Ok(());
    }
    // One row a ticket: the highest generation.
    fences.sort_unstable_by(|a, b| b.cmp(a));
    fences.dedup_by_key(|(ticket, _)| *ticket);
    let tickets: Vec<Uuid> = fences.iter().map(|(ticket, _)| ticket.uuid()).collect();
    let generations: Vec<i64> = fences.iter().map(|(_, lowest)| lowest.0.into()).collect();
    execute(tx, FENCE, &[&tickets, &generations, &revision]).await?;
    execute(tx, TRIM, &[&(Snapshot::FENCES_MAX as i64)]).await?;
    Ok(())
}

/// Ends waits; returns how many.
pub(crate) async fn release(
    releases: &Releases,
    sums: &mut Sums,
    tx: &Transaction<'_>,
) -> Result<u64, Fault> {
    let mut released = 0;
    for ((stage, reason), release) in releases {
        let (of, why) = ((stage, *reason), (release.at, release.because));
        let ended = match reason {
            Reason::Unclaimed => {
                let handed_back = release_kinds(tx, stage, &release.kinds, why).await?;
                handed_back + release_slice(tx, RELEASE_SOME, of, why).await?
            }
            _ => release_all(tx, of, why).await?,
        };
        let by = ended.cast_signed();
        let mut add = |what: i16, by: i64| {
            *sums.entry((stage.to_string(), what)).or_insert(0) += by;
        };
        add(waiting_sum(*reason), -by);
        add(waiting_sum(Reason::NotNow), by);
        released += ended;
    }
    Ok(released)
}

async fn release_all(
    tx: &Transaction<'_>,
    of: (&StageName, Reason),
    why: (Timestamp, &str),
) -> Result<u64, Fault> {
    let mut released = 0;
    loop {
        let slice = release_slice(tx, RELEASE, of, why).await?;
        released += slice;
        if slice < RELEASE_SLICE as u64 {
            return Ok(released);
        }
    }
}

async fn release_kinds(
    tx: &Transaction<'_>,
    stage: &StageName,
    kinds: &Kinds,
    (at, because): (Timestamp, &str),
) -> Result<u64, Fault> {
    let (stage, at) = (stage.as_str(), at.as_micros());
    let any: [&(dyn ToSql + Sync); 4] = [&stage, &at, &because, &CLAIM_SLICE];
    match kinds.as_ref().map(rows::kinds) {
        None => execute(tx, RELEASE_ANY_KIND, &any).await,
        Some(kinds) => {
            let values = [&any[..], &[&kinds]].concat();
            execute(tx, RELEASE_KINDS, &values).await
        }
    }
}

async fn release_slice(
    tx: &Transaction<'_>,
    sql: &str,
    (stage, reason): (&StageName, Reason),
    (at, because): (Timestamp, &str),
) -> Result<u64, Fault> {
    let (reason, at) = (rows::code_of_reason(reason), at.as_micros());
    let values = [
        &reason as &(dyn ToSql + Sync),
        &stage.as_str(),
        &at,
        &because,
        &RELEASE_SLICE,
    ];
    execute(tx, sql, &values).await
}
