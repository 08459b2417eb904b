//! Verdicts about waits that only the controller can end.

use crate::admission;
use crate::books::Books;
use crate::codes::{self, Count};
use crate::deaths;
use crate::error::Fault;
use crate::repair;
use crate::rows::parsed;
use crate::spot::{Found, Note, Spot};
use crate::trials;
use domain::names::StageName;
use domain::verdict::Verdict;
use domain::wait::{Condition, Reason};
use rusqlite::{Connection, params};
use std::borrow::Cow;

/// Carries out verdicts; returns how many counted.
pub(crate) fn judge(
    books: &mut Books,
    db: &Connection,
    verdicts: &[Verdict],
) -> Result<u64, Fault> {
    let mut counted = 0;
    for verdict in verdicts {
        counted += u64::from(carry_out(books, db, verdict)?);
    }
    Ok(counted)
}

fn carry_out(books: &mut Books, db: &Connection, verdict: &Verdict) -> Result<bool, Fault> {
    if close_orphan(books, db, verdict)? {
        return Ok(true);
    }
    let judged = [Reason::Suspect, Reason::Pending].map(|reason| Some(codes::of_reason(reason)));
    let found = match Found::by_id(db, verdict.of.ticket)? {
        Some(found) if found.name == verdict.of && judged.contains(&found.reason) => found,
        _ => return Ok(false),
    };
    if !verdict.is_due(found.until) {
        return Ok(false);
    }
    let wait = &verdict.wait;
    note_verdict(books, db, &found, verdict)?;
    let newer = match (&found.lock_key, &wait.condition) {
        (None, _) | (_, Condition::Suspect { .. }) => None,
        (Some(key), _) => Found::in_line(db, found.stage, key)?,
    };
    let Some(newer) = newer else {
        let mut spot = Spot::waiting(found.stage, verdict.name, Cow::Borrowed(wait));
        spot.lock_key = found.lock_key.as_deref();
        spot.update(db, found.seq)?;
        books.waits(&wait.condition);
        trials::begin(books, db, (found.seq, found.stage), &wait.condition)?;
        tell(books, db, &found, verdict)?;
        return Ok(true);
    };
    admission::supersede(books, db, &found, (newer.name, wait.since))?;
    let stage = stage_name(db, found.stage)?;
    let key = found.lock_key.as_deref().unwrap_or_default();
    admission::let_next_in(books, db, (&stage, found.stage), (key, wait.since))?;
    tell(books, db, &found, verdict)?;
    Ok(true)
}

/// Tells the breakers of the stage what has become of an attempt that nobody spoke for.
fn tell(books: &mut Books, db: &Connection, found: &Found, verdict: &Verdict) -> Result<(), Fault> {
    let Some(died) = &verdict.died else {
        return repair::never_ran(books, db, (found.seq, found.stage), verdict.of);
    };
    let stage = stage_name(db, found.stage)?;
    let of = repair::Subject {
        seq: found.seq,
        stop: books.stop(db, &stage)?,
        stage: &stage,
    };
    repair::heard(books, db, of, died)
}

/// The verdict is about an attempt whose ticket was given up: it is reported, and that is all.
fn close_orphan(books: &mut Books, db: &Connection, verdict: &Verdict) -> Result<bool, Fault> {
    let Some(found) = Found::by_id(db, verdict.of.ticket)? else {
        return Ok(false);
    };
    let name = verdict.of;
    let closed = db
        .prepare_cached(
            "DELETE FROM orphans
             WHERE ticket = ?1 AND generation = ?2 AND hop = ?3 AND attempt = ?4",
        )?
        .execute(params![
            found.seq,
            name.generation.0,
            name.hop.0,
            name.attempt.0
        ])?;
    if closed == 1 {
        note_verdict(books, db, &found, verdict)?;
    }
    Ok(closed == 1)
}

fn note_verdict(
    books: &mut Books,
    db: &Connection,
    found: &Found,
    verdict: &Verdict,
) -> Result<(), Fault> {
    let wait = &verdict.wait;
    deaths::judged(db, found.seq)?;
    if wait.oops.is_some() {
        books.count(found.stage, Count::AttemptsFailed, 1);
    }
    let note = Note {
        at: wait.since,
        name: found.name,
        stage: found.stage,
        what: "judged",
        why: &wait.because,
        oops: wait.oops,
    };
    note.insert(db, found.seq)
}

fn stage_name(db: &Connection, stage: i64) -> Result<StageName, Fault> {
    let name: String = db
        .prepare_cached("SELECT name FROM stages WHERE id = ?1")?
        .query_row([stage], |row| row.get(0))?;
    parsed(&name, StageName::new)
}
