//! How a transaction writes back what it has in mind: each kind of row with one statement.

use super::bodies::{self, Body, NEW_TICKETS, SHOWN_TICKETS};
use super::fault::Fault;
use super::lines::{self, Names};
use super::rows::{self, Barrier, Placed};
use super::steering;
use super::text::sayable;
use super::working::{Kept, Open, Sums, Working, Written};
use deadpool_postgres::Transaction;
use domain::ticket::{Name, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::Condition;
use std::borrow::Cow;
use std::collections::HashMap;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

macro_rules! place_arrays {
    () => {
        "unnest($1::uuid[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
   $7::bigint[], $8::text[], $9::text[], $10::boolean[], $11::smallint[], $12::bigint[],
   $13::text[], $14::text[], $15::bigint[], $16::uuid[], $17::bigint[], $18::text[], $19::text[],
   $20::text[], $21::uuid[], $22::text[], $23::boolean[])"
    };
}

const NEW_PLACES: &str = concat!(
    "INSERT INTO places (id, state, stage, generation, hop, attempt, since, holder, version,
   claimed, reason, until, because, detail, mark, oops, barrier, lock_key, next_key, signature,
   plan, avoid, alone)
 SELECT * FROM ",
    place_arrays!()
);

const MOVED_PLACES: &str = concat!(
    "UPDATE places p SET state = u.state, stage = u.stage, generation = u.generation, hop = u.hop,
   attempt = u.attempt, since = u.since, holder = u.holder, version = u.version,
   claimed = u.claimed, reason = u.reason, until = u.until, because = u.because,
   detail = u.detail, mark = u.mark, oops = u.oops, barrier = u.barrier, lock_key = u.lock_key,
   next_key = u.next_key, signature = u.signature, plan = u.plan, avoid = u.avoid,
   alone = u.alone FROM ",
    place_arrays!(),
    " AS u (id, state, stage, generation, hop, attempt, since, holder, version, claimed, reason,
   until, because, detail, mark, oops, barrier, lock_key, next_key, signature, plan, avoid,
   alone)
 WHERE p.id = u.id"
);

const OPENED: &str = "INSERT INTO attempts (ticket, generation, hop, attempt, stage, holder,
   hostname, version, started_at, claimed)
 SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
   $7::text[], $8::text[], $9::bigint[], $10::boolean[])";

const CLOSED: &str = "DELETE FROM attempts a
 USING unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[])
   AS u (ticket, generation, hop, attempt)
 WHERE a.ticket = u.ticket AND a.generation = u.generation AND a.hop = u.hop
   AND a.attempt = u.attempt";

const SUMS: &str = "INSERT INTO counts (stage, what, shard, n)
 SELECT stage, what, $4::smallint, n FROM unnest($1::text[], $2::smallint[], $3::bigint[])
   AS u (stage, what, n) ORDER BY stage, what
 ON CONFLICT (stage, what, shard) DO UPDATE SET n = counts.n + excluded.n";

pub(crate) type Values<'a> = [&'a (dyn ToSql + Sync)];

pub(crate) async fn execute(
    tx: &Transaction<'_>,
    sql: &str,
    values: &Values<'_>,
) -> Result<u64, Fault> {
    let statement = tx.prepare_cached(sql).await?;
    Ok(tx.execute(&statement, values).await?)
}

/// Writes everything back.
pub(crate) async fn write(
    working: Working,
    tx: &Transaction<'_>,
    shard: i16,
) -> Result<Written, Fault> {
    let revision = steering::write(&working, tx).await?;
    write_places(&working, tx, revision).await?;
    write_attempts(&working, tx).await?;
    lines::write(&working.lines, tx).await?;
    let mut sums = working.sums();
    let released = steering::release(&working.releases, &mut sums, tx).await?;
    write_sums(&sums, tx, shard).await?;
    Ok(Written { revision, released })
}

async fn write_places(
    working: &Working,
    tx: &Transaction<'_>,
    revision: Option<u64>,
) -> Result<(), Fault> {
    let newcomers: Vec<&Kept> = working
        .newcomers
        .iter()
        .filter_map(|id| working.places.get(id))
        .collect();
    if !newcomers.is_empty() {
        let rows = newcomers
            .iter()
            .map(|kept| Body::of(&kept.now, working.bodies.get(&kept.now.name.ticket)))
            .collect();
        let added = bodies::write(rows, tx, NEW_TICKETS).await?;
        if added != newcomers.len() as u64 {
            // Somebody submitted one of them since we looked: seen by the next try.
            let first = newcomers.first().map(|kept| kept.now.name.ticket);
            return Err(Fault::Collision(
                first.unwrap_or(TicketId::from_bytes([0; 16])),
            ));
        }
        let places = newcomers.iter().map(|kept| &kept.now).collect();
        Columns::of(places, revision, &working.bodies)
            .write(tx, NEW_PLACES)
            .await?;
    }
    let known = working.places.values().filter(|kept| kept.before.is_some());
    let moved: Vec<&Placed> = known
        .filter(|kept| kept.before.as_ref() != Some(&kept.now))
        .map(|kept| &kept.now)
        .collect();
    if !moved.is_empty() {
        Columns::of(moved, revision, &working.bodies)
            .write(tx, MOVED_PLACES)
            .await?;
    }
    let is_known = |id: &TicketId| {
        working
            .places
            .get(id)
            .is_some_and(|kept| kept.before.is_some())
    };
    let shown: Vec<Body> = working
        .bodies
        .iter()
        .filter(|(id, _)| is_known(id))
        .map(|(_, ticket)| Body::shown(ticket))
        .collect();
    if !shown.is_empty() {
        bodies::write(shown, tx, SHOWN_TICKETS).await?;
    }
    Ok(())
}

/// The columns of places, an array each.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    states: Vec<i16>,
    stages: Vec<&'a str>,
    generations: Vec<i64>,
    hops: Vec<i64>,
    attempts: Vec<i64>,
    since: Vec<i64>,
    holders: Vec<Option<&'a str>>,
    versions: Vec<Option<&'a str>>,
    claimed: Vec<bool>,
    reasons: Vec<Option<i16>>,
    until: Vec<Option<i64>>,
    because: Vec<Option<Cow<'a, str>>>,
    details: Vec<Option<String>>,
    marks: Vec<Option<i64>>,
    oopses: Vec<Option<Uuid>>,
    barriers: Vec<Option<i64>>,
    lock_keys: Vec<Option<&'a str>>,
    next_keys: Vec<Option<&'a str>>,
    signatures: Vec<Option<String>>,
    plans: Vec<Option<Uuid>>,
    avoid: Vec<Option<String>>,
    alone: Vec<bool>,
}

impl<'a> Columns<'a> {
    /// The rows in the order of their ids, since that is the order in which rows are locked.
    fn of(
        mut places: Vec<&'a Placed>,
        revision: Option<u64>,
        bodies: &HashMap<TicketId, Ticket>,
    ) -> Self {
        places.sort_unstable_by_key(|placed| placed.name.ticket);
        let mut columns = Self::default();
        for placed in places {
            columns.add(placed, revision);
            columns.add_wait(placed, bodies.get(&placed.name.ticket));
        }
        columns
    }

    fn add(&mut self, placed: &'a Placed, revision: Option<u64>) {
        let name = &placed.name;
        self.ids.push(name.ticket.uuid());
        self.states.push(placed.state);
        self.stages.push(placed.stage.as_str());
        self.generations.push(name.generation.0.into());
        self.hops.push(name.hop.0.into());
        self.attempts.push(name.attempt.0.into());
        self.since.push(placed.since.as_micros());
        self.holders
            .push(placed.holder.as_ref().map(|holder| holder.as_str()));
        self.versions
            .push(placed.version.as_ref().map(|version| version.as_str()));
        self.claimed.push(placed.is_claimed);
        let revision = match placed.barrier {
            Some(Barrier::At(revision)) => Some(revision),
            Some(Barrier::New) => revision,
            None => None,
        };
        self.barriers.push(revision.map(u64::cast_signed));
        self.lock_keys.push(placed.lock_key.as_deref());
        self.next_keys.push(placed.next_key.as_deref());
        self.signatures
            .push(placed.signature.map(|signature| signature.to_string()));
        self.plans.push(placed.plan.map(|plan| plan.uuid()));
        self.avoid.push(rows::lines(&placed.avoid));
        self.alone.push(placed.is_alone);
    }

    fn add_wait(&mut self, placed: &'a Placed, body: Option<&Ticket>) {
        let wait = placed.wait.as_ref();
        let condition = wait.map(|wait| &wait.condition);
        let dropped = placed.dropped.as_ref();
        let (detail, mark) = condition.map_or((None, None), rows::detail);
        let because = wait.map(|wait| wait.because.as_str());
        let reason = condition.map(|condition| rows::code_of_reason(condition.reason()));
        let until = condition.and_then(|condition| condition.until());
        self.reasons.push(reason);
        self.until.push(until.map(Timestamp::as_micros));
        let because = because.or(dropped.map(|(why, _)| why.as_str()));
        self.because.push(because.map(sayable));
        let by = dropped.map(|(_, by)| sayable(by).into_owned());
        // Whoever takes only some kinds finds it by its own.
        let is_unclaimed = matches!(condition, Some(Condition::Unclaimed));
        let kind = body
            .filter(|_| is_unclaimed)
            .map(|body| body.kind.to_string());
        self.details.push(detail.or(by).or(kind));
        self.marks.push(mark);
        self.oopses
            .push(wait.and_then(|wait| wait.oops).map(rows::oops_uuid));
    }

    async fn write(&self, tx: &Transaction<'_>, sql: &str) -> Result<u64, Fault> {
        let values: &Values = &[
            &self.ids,
            &self.states,
            &self.stages,
            &self.generations,
            &self.hops,
            &self.attempts,
            &self.since,
            &self.holders,
            &self.versions,
            &self.claimed,
            &self.reasons,
            &self.until,
            &self.because,
            &self.details,
            &self.marks,
            &self.oopses,
            &self.barriers,
            &self.lock_keys,
            &self.next_keys,
            &self.signatures,
            &self.plans,
            &self.avoid,
            &self.alone,
        ];
        execute(tx, sql, values).await
    }
}

async fn write_attempts(working: &Working, tx: &Transaction<'_>) -> Result<(), Fault> {
    let tracked = || working.attempts.values();
    let opened: Vec<&Open> = tracked()
        .filter(|tracked| !tracked.is_stored && !tracked.is_over)
        .map(|tracked| &tracked.open)
        .collect();
    if !opened.is_empty() {
        let names = Names::of(opened.iter().map(|open| &open.name));
        let stages: Vec<&str> = opened.iter().map(|open| open.stage.as_str()).collect();
        let holders: Vec<&str> = opened.iter().map(|open| open.holder.as_str()).collect();
        let hosts: Vec<_> = opened.iter().map(|open| sayable(&open.hostname)).collect();
        let versions: Vec<&str> = opened.iter().map(|open| open.version.as_str()).collect();
        let started: Vec<i64> = opened
            .iter()
            .map(|open| open.started_at.as_micros())
            .collect();
        let claimed: Vec<bool> = opened.iter().map(|open| open.is_claimed).collect();
        let values: &Values = &[
            &names.tickets,
            &names.generations,
            &names.hops,
            &names.attempts,
            &stages,
            &holders,
            &hosts,
            &versions,
            &started,
            &claimed,
        ];
        execute(tx, OPENED, values).await?;
    }
    let closed: Vec<&Name> = tracked()
        .filter(|tracked| tracked.is_stored && tracked.is_over)
        .map(|tracked| &tracked.open.name)
        .collect();
    if !closed.is_empty() {
        let names = Names::of(closed.iter().copied());
        let values: &Values = &[
            &names.tickets,
            &names.generations,
            &names.hops,
            &names.attempts,
        ];
        execute(tx, CLOSED, values).await?;
    }
    Ok(())
}

/// Adds to the sums, in the order of their keys, so that two transactions never wait in a circle.
pub(crate) async fn write_sums(sums: &Sums, tx: &Transaction<'_>, shard: i16) -> Result<(), Fault> {
    let changed = || sums.iter().filter(|(_, by)| **by != 0);
    let stages: Vec<&str> = changed().map(|((stage, _), _)| stage.as_str()).collect();
    if stages.is_empty() {
        return Ok(());
    }
    let what: Vec<i16> = changed().map(|((_, what), _)| *what).collect();
    let by: Vec<i64> = changed().map(|(_, by)| *by).collect();
    let values: &Values = &[&stages, &what, &by, &shard];
    execute(tx, SUMS, values).await?;
    Ok(())
}
