//! Waits that end: by time, by a new handler, by a verdict.

use crate::admission::{self, Newcomer};
use crate::books::{Books, Stop, stage_id};
use crate::codes;
use crate::error::Fault;
use crate::releases;
use crate::repair::{self, REPAIRED};
use crate::rows::{self, parsed};
use crate::spot::{Found, Note, Spot};
use crate::trials;
use domain::names::{Key, Kind, StageName};
use domain::plan::PlanId;
use domain::ports::Round;
use domain::ticket::{Name, Ticket};
use domain::time::Timestamp;
use domain::wait::Reason;
use rusqlite::{Connection, OptionalExtension, Params, params};

macro_rules! waiters {
    () => {
        "SELECT p.seq, t.id, p.generation, p.hop, p.attempt, s.name, t.kind, t.key, p.lock_key, \
         p.stage, p.state, p.reason, p.until, p.mark FROM places p \
         JOIN tickets t ON t.seq = p.seq JOIN stages s ON s.id = p.stage "
    };
}

mod line;

pub(crate) use line::{advance_line, lock};

/// Waiting tickets; what stands after the tables says which.
pub(crate) const WAITERS: &str = waiters!();

/// The tickets whose wait for this reason has ended, the first to end first.
pub(crate) const DUE: &str = concat!(
    waiters!(),
    "WHERE p.reason = ?1 AND p.until <= ?2 ORDER BY p.until LIMIT ?3"
);
/// The ticket of a stage whose wait for this reason has ended first.
pub(crate) const TURN: &str = concat!(
    waiters!(),
    "WHERE p.reason = ?1 AND p.until <= ?2 AND +p.stage = ?3 ORDER BY p.until LIMIT 1"
);
/// The tickets of a stage that wait for this reason.
pub(crate) const OF_STAGE: &str = concat!(
    waiters!(),
    "WHERE p.state = 2 AND p.reason = ?1 AND p.stage = ?2 ORDER BY p.seq LIMIT ?3"
);
/// The tickets of a stage that wait for a handler that can be started.
const UNSTARTABLE: &str = concat!(
    waiters!(),
    "WHERE p.state = 2 AND p.reason = ?1 AND p.stage = ?2 AND p.mark IS NULL ORDER BY p.seq \
     LIMIT ?3"
);
/// The ticket that has waited longest for this repair.
pub(crate) const OLDEST_HELD: &str = concat!(
    waiters!(),
    "WHERE p.state = 2 AND p.reason = 5 AND p.mark = 1 AND p.stage = ?1 AND p.detail = ?2 \
     ORDER BY p.since LIMIT 1"
);
/// The ticket of a stage that has waited longest for any repair.
pub(crate) const OLDEST_HELD_OF_STAGE: &str = concat!(
    waiters!(),
    "WHERE p.state = 2 AND p.reason = 5 AND p.mark = 1 AND p.stage = ?1 ORDER BY p.since LIMIT 1"
);
/// When the first wait for this reason ends.
pub(crate) const NEXT: &str =
    "SELECT until FROM places WHERE reason = ?1 AND until IS NOT NULL ORDER BY until LIMIT 1";

/// A waiting ticket, as far as it is needed to let it into its stage again.
pub(crate) struct Waiter {
    found: Found,
    stage: StageName,
    kind: Kind,
    key: Option<Key>,
    mark: Option<i64>,
}

impl Waiter {
    pub(crate) fn of(ticket: &Ticket, found: Found) -> Self {
        Self {
            found,
            stage: ticket.stage.clone(),
            kind: ticket.kind.clone(),
            key: ticket.key.clone(),
            mark: None,
        }
    }

    /// Its row.
    pub(crate) const fn seq(&self) -> i64 {
        self.found.seq
    }

    /// The row of its stage.
    pub(crate) const fn stage_id(&self) -> i64 {
        self.found.stage
    }

    /// Whether it waits for this reason.
    pub(crate) fn is_for(&self, reason: Reason) -> bool {
        self.found.reason == Some(codes::of_reason(reason))
    }

    /// Why it goes when its time has come.
    fn why_due(&self) -> &'static str {
        match self.is_for(Reason::NotNow) {
            true if self.mark == Some(REPAIRED) => "what it failed of is repaired",
            true => "the time it was put off to has come",
            false if self.is_for(Reason::Trial) => "it is its turn to be tried alone",
            false => "its back-off is over",
        }
    }

    /// Where it waits.
    pub(crate) const fn stage(&self) -> &StageName {
        &self.stage
    }

    const fn newcomer(&self, stop: Stop, (name, at): (Name, Timestamp)) -> Newcomer<'_> {
        Newcomer {
            seq: self.found.seq,
            name,
            stage: &self.stage,
            stop,
            kind: &self.kind,
            key: self.key.as_ref(),
            at,
        }
    }
}

/// The tickets of such a query, in its order.
pub(crate) fn waiters(
    db: &Connection,
    query: &str,
    values: impl Params,
) -> Result<Vec<Waiter>, Fault> {
    let mut query = db.prepare_cached(query)?;
    let mut rows = query.query(values)?;
    let mut waiters = Vec::new();
    while let Some(row) = rows.next()? {
        let id = rows::ticket_id(row, 1)?;
        let key: Option<String> = row.get(7)?;
        waiters.push(Waiter {
            found: Found {
                seq: row.get(0)?,
                state: row.get(10)?,
                reason: row.get(11)?,
                stage: row.get(9)?,
                name: rows::name(row, id, 2)?,
                lock_key: row.get(8)?,
                until: row.get::<_, Option<i64>>(12)?.map(Timestamp::from_micros),
            },
            stage: parsed(&row.get::<_, String>(5)?, StageName::new)?,
            // What cannot be read goes on all the same, and is reported when it is delivered.
            kind: Kind::new(&row.get::<_, String>(6)?).unwrap_or_else(|_| Kind::unnamed()),
            key: key.and_then(|key| Key::new(&key).ok()),
            mark: row.get(13)?,
        });
    }
    Ok(waiters)
}

/// Releases what is due by `now`, the first to end first.
pub(crate) fn release(
    books: &mut Books,
    db: &Connection,
    (now, max): (Timestamp, usize),
) -> Result<Round, Fault> {
    repair::tick(books, db, now)?;
    let mut due = Vec::new();
    for reason in [Reason::Backoff, Reason::NotNow] {
        let values = params![codes::of_reason(reason), now.as_micros(), max as i64];
        due.extend(waiters(db, DUE, values)?);
    }
    due.extend(trials::turns(books, db, now)?);
    due.sort_by_key(|waiter| waiter.found.until);
    // Neither may keep the other waiting for ever.
    let room = max - due.len().min(max / 2);
    let by_plans = releases::carry_on(books, db, (now, room))?;
    due.truncate(max - by_plans);
    // Whoever is on trial and does not wait for its turn goes first: then it is nobody's turn.
    let (turns, others): (Vec<_>, Vec<_>) = due.iter().partition(|it| it.is_for(Reason::Trial));
    let mut count = by_plans as u64;
    for waiter in others.into_iter().chain(turns) {
        if trials::may_go(books, db, waiter)? {
            released(books, db, waiter, (now, waiter.why_due()))?;
            count += 1;
        }
    }
    let next = [next(db)?, trials::next(books, db)?, books.boards.next_at()];
    let next = next.into_iter().flatten().min();
    books.found_next(next);
    Ok(Round {
        released: count,
        next,
    })
}

fn next(db: &Connection) -> Result<Option<Timestamp>, Fault> {
    let mut query = db.prepare_cached(NEXT)?;
    let mut next = None;
    for reason in [Reason::Backoff, Reason::NotNow, Reason::Pending] {
        let until: Option<i64> = query
            .query_row([codes::of_reason(reason)], |row| row.get(0))
            .optional()?;
        next = match (next, until) {
            (Some(next), Some(until)) => Some(until.min(next)),
            (next, until) => next.or(until),
        };
    }
    Ok(next.map(Timestamp::from_micros))
}

/// Releases what waited for the handler of a stage to change, at most `max`.
pub(crate) fn unhold(
    books: &mut Books,
    db: &Connection,
    (stage, now, max): &(StageName, Timestamp, usize),
) -> Result<u64, Fault> {
    let why = "the handler of its stage may have changed";
    release_of_stage(books, db, (stage, Reason::Held), (*now, why, *max))
}

/// Releases the tickets of a stage that wait for this reason, at most `max`.
pub(crate) fn release_of_stage(
    books: &mut Books,
    db: &Connection,
    (stage, reason): (&StageName, Reason),
    (now, why, max): (Timestamp, &str, usize),
) -> Result<u64, Fault> {
    let stage = stage_id(db, stage)?;
    let values = params![codes::of_reason(reason), stage, max as i64];
    // What waits for a repair waits on.
    let query = match reason {
        Reason::Held => UNSTARTABLE,
        _ => OF_STAGE,
    };
    let held = waiters(db, query, values)?;
    for waiter in &held {
        released(books, db, waiter, (now, why))?;
    }
    Ok(held.len() as u64)
}

/// Releases the tickets of a stage and kind that waited for somebody to take them.
pub(crate) fn release_kind(
    books: &mut Books,
    db: &Connection,
    (stage, kind): (&StageName, &str),
    (now, why): (Timestamp, &str),
) -> Result<(), Fault> {
    let stage = stage_id(db, stage)?;
    let query = concat!(
        waiters!(),
        "WHERE p.state = 2 AND p.reason = ?1 AND p.stage = ?2 AND t.kind = ?3 ORDER BY p.seq"
    );
    let values = params![codes::of_reason(Reason::Unclaimed), stage, kind];
    for waiter in waiters(db, query, values)? {
        released(books, db, &waiter, (now, why))?;
    }
    Ok(())
}

/// Notes why it goes, and lets it into its stage again under the name that it has.
pub(crate) fn released(
    books: &mut Books,
    db: &Connection,
    waiter: &Waiter,
    (now, why): (Timestamp, &str),
) -> Result<(), Fault> {
    waiter.note_release(db, (now, why))?;
    admit_again(books, db, waiter, (waiter.found.name, now))
}

/// The same when a plan lets it go, which may be before its time. False when it is not runnable
/// after all: it will end no attempt.
pub(crate) fn released_by(
    books: &mut Books,
    db: &Connection,
    waiter: &Waiter,
    (plan, now): (PlanId, Timestamp),
) -> Result<bool, Fault> {
    waiter.note_release(db, (now, &format!("release plan {plan}")))?;
    let found = &waiter.found;
    let reason = found.reason.and_then(codes::reason);
    let name = reason.map_or(found.name, |reason| reason.ended_early(found.name));
    readmit(books, db, waiter, (name, now), |spot| {
        let is_runnable = spot.state == codes::RUNNABLE;
        match is_runnable {
            true => spot.update_for(plan, db, found.seq)?,
            false => spot.update(db, found.seq)?,
        }
        Ok(is_runnable)
    })
}

impl Waiter {
    fn note_release(&self, db: &Connection, (now, why): (Timestamp, &str)) -> Result<(), Fault> {
        let note = Note {
            at: now,
            name: self.found.name,
            stage: self.found.stage,
            what: "released",
            why,
            oops: None,
        };
        note.insert(db, self.found.seq)
    }
}

/// Lets a waiting ticket into its stage again, under this name. It keeps the lock on its key.
pub(crate) fn admit_again(
    books: &mut Books,
    db: &Connection,
    waiter: &Waiter,
    (name, now): (Name, Timestamp),
) -> Result<(), Fault> {
    readmit(books, db, waiter, (name, now), |spot| {
        spot.update(db, waiter.found.seq)
    })
}

fn readmit<T>(
    books: &mut Books,
    db: &Connection,
    waiter: &Waiter,
    (name, now): (Name, Timestamp),
    write: impl FnOnce(&Spot<'_>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let stop = books.stop(db, &waiter.stage)?;
    let found = &waiter.found;
    let is_claimed = books.claims(stop, &waiter.stage, &waiter.kind);
    let spot = match &found.lock_key {
        Some(key) if is_claimed => {
            let ready_seq = books.rise((stop.id, &waiter.stage), found.seq, || None);
            let mut spot = Spot::runnable(stop.id, ready_seq, name, now);
            spot.lock_key = Some(key);
            spot
        }
        _ => {
            let newcomer = waiter.newcomer(stop, (name, now));
            newcomer.admit(books, db, || None)?
        }
    };
    let written = write(&spot)?;
    if let (false, Some(key)) = (is_claimed, &found.lock_key) {
        admission::let_next_in(books, db, (&waiter.stage, stop.id), (key, now))?;
    }
    Ok(written)
}
