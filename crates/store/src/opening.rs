//! What is put right when the folder is opened: attempts that died with the last process, stages
//! that are configured now and were not before, or the other way round. One transaction.

use crate::books::{Books, stage_id};
use crate::codes;
use crate::deaths;
use crate::error::Fault;
use crate::repair;
use crate::spot::{Found, Spot};
use crate::{waiting, waits};
use domain::flow::Unique;
use domain::names::{Holder, StageName};
use domain::oops::Scene;
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use rusqlite::{Connection, OptionalExtension, params};
use std::borrow::Cow;
use std::sync::Arc;
use wire::intent::Intents;

/// How many tickets are let in at once; the loop goes on until there are none.
const SLICE: usize = 10_000;

/// The row number and the position that come next.
pub(crate) fn numbers(db: &Connection) -> Result<(i64, i64), Fault> {
    let last: i64 = db.query_row("SELECT coalesce(max(seq), 0) FROM tickets", [], |row| {
        row.get(0)
    })?;
    let mut newest = db.prepare(
        "SELECT ready_seq FROM places WHERE state = 0 AND stage = ?1
         ORDER BY ready_seq DESC LIMIT 1",
    )?;
    let mut ready = 0;
    for (stage, _) in stages(db)? {
        let found: Option<i64> = newest.query_row([stage], |row| row.get(0)).optional()?;
        ready = ready.max(found.unwrap_or(0));
    }
    Ok((last + 1, ready + 1))
}

fn stages(db: &Connection) -> Result<Vec<(i64, StageName)>, Fault> {
    let mut query = db.prepare("SELECT id, name FROM stages ORDER BY id")?;
    let mut rows = query.query([])?;
    let mut stages = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(1)?;
        stages.push((row.get(0)?, crate::rows::parsed(&name, StageName::new)?));
    }
    Ok(stages)
}

/// Puts everything right. The caller commits, then tells.
pub(crate) fn put_right(
    books: &mut Books,
    db: &Connection,
    left_behind: Option<&Intents>,
) -> Result<(), Fault> {
    let now = books.clock.now();
    let flows = Arc::clone(&books.flows);
    books.boards.load(db, &flows)?;
    books.trials.load(db)?;
    deaths::prune(db)?;
    if let Some(intents) = left_behind {
        suspect(books, db, intents, now)?;
    }
    for (id, stage) in stages(db)? {
        unclaim(books, db, (id, &stage), now)?;
        let_go(db, id)?;
        waiting::advance_line(books, db, id, now)?;
        let unique = books.flows.stage(&stage).map(|rules| rules.unique);
        match unique {
            Some(Unique::ByKey) => waiting::lock(books, db, id, now)?,
            Some(Unique::No) | None => unlock(books, db, (id, &stage), now)?,
        }
        let why = "the handler of its stage may have changed while we were down";
        release_all(books, db, (&stage, Reason::Held), (now, why))?;
        claim(books, db, &stage, now)?;
    }
    repair::put_right(books, db, now)
}

/// What had been started and is still runnable under that name was running when the process died.
fn suspect(
    books: &mut Books,
    db: &Connection,
    intents: &Intents,
    now: Timestamp,
) -> Result<(), Fault> {
    let holder = &intents.holder;
    let mut died = Vec::new();
    for begun in &intents.begun {
        let found = match Found::by_id(db, begun.name.ticket)? {
            Some(found) if found.name == begun.name => found,
            _ => continue,
        };
        if found.state == codes::DROPPED && orphan(db, &found, (holder, begun.at), now)? {
            books.has_case();
            died.push(found.seq);
        }
        if found.state != codes::RUNNABLE {
            continue;
        }
        died.push(found.seq);
        let wait = Wait {
            condition: Condition::Suspect {
                holder: holder.clone(),
                started_at: Some(begun.at),
            },
            since: now,
            because: format!("{holder} had it and did not settle it before its process ended"),
            oops: None,
        };
        books.waits(&wait.condition);
        let mut spot = Spot::waiting(found.stage, found.name, Cow::Owned(wait));
        spot.lock_key = found.lock_key.as_deref();
        spot.update(db, found.seq)?;
        ran_by(books, db, &found, holder)?;
    }
    deaths::write(db, &died)
}

/// The version that served the stage then, if that is known: the one that serves it now must not be
/// blamed for a death that came before it.
fn ran_by(books: &mut Books, db: &Connection, found: &Found, holder: &Holder) -> Result<(), Fault> {
    let roster = books.boards.at(found.stage).map(|board| board.roster());
    let Some(version) = roster.and_then(|roster| Some(roster.wanted()?.version.clone())) else {
        return Ok(());
    };
    let scene = Scene {
        holder: holder.clone(),
        hostname: waits::UNKNOWN_HOST.into(),
        version,
    };
    let scene = books.scene(db, &Arc::new(scene))?;
    db.prepare_cached("UPDATE places SET scene = ?2 WHERE seq = ?1")?
        .execute([found.seq, scene])?;
    Ok(())
}

/// The ticket was given up while its attempt ran, and no word came of the attempt's end: it died
/// as well, and has to be reported. False when its end is known.
pub(crate) fn orphan(
    db: &Connection,
    found: &Found,
    (holder, started_at): (&Holder, Timestamp),
    now: Timestamp,
) -> Result<bool, Fault> {
    let name = found.name;
    let written = db.execute(
        "INSERT OR IGNORE INTO orphans (ticket, generation, hop, attempt, holder, started_at, since)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (
           SELECT 1 FROM attempts
           WHERE ticket = ?1 AND generation = ?2 AND hop = ?3 AND attempt = ?4)
         AND NOT EXISTS (SELECT 1 FROM notes WHERE ticket = ?1 AND what = 'judged'
           AND generation = ?2 AND hop = ?3 AND attempt = ?4)",
        params![
            found.seq,
            name.generation.0,
            name.hop.0,
            name.attempt.0,
            holder.as_str(),
            started_at.as_micros(),
            now.as_micros(),
        ],
    )?;
    Ok(written == 1)
}

/// Whoever had tickets that were ended is gone, so nobody has their keys any more.
fn let_go(db: &Connection, stage: i64) -> Result<(), Fault> {
    db.execute(
        "UPDATE places SET lock_key = NULL
         WHERE stage = ?1 AND state >= 3 AND lock_key IS NOT NULL",
        [stage],
    )?;
    Ok(())
}

/// Runnable tickets that nobody takes any more wait as unclaimed.
fn unclaim(
    books: &mut Books,
    db: &Connection,
    (id, stage): (i64, &StageName),
    now: Timestamp,
) -> Result<(), Fault> {
    let rules = books.flows.stage(stage);
    let kinds = match rules.map(|rules| &rules.kinds) {
        Some(None) => return Ok(()),
        Some(Some(kinds)) => kinds.iter().map(|kind| kind.as_str().to_owned()).collect(),
        None => Vec::new(),
    };
    let kinds = serde_json::to_string(&kinds).map_err(|error| Fault::row("kinds", error))?;
    let condition = Condition::Unclaimed;
    db.execute(
        "UPDATE places SET state = 2, reason = ?3, since = ?4, lock_key = NULL,
           because = 'no stage is configured that takes it'
         WHERE state = 0 AND stage = ?1 AND NOT EXISTS (
           SELECT 1 FROM tickets t JOIN json_each(?2) k ON k.value = t.kind
           WHERE t.seq = places.seq)",
        params![
            id,
            kinds,
            codes::of_reason(condition.reason()),
            now.as_micros()
        ],
    )?;
    Ok(())
}

/// The stage no longer lets each key in once: locks are lifted, and who was in line goes in.
fn unlock(
    books: &mut Books,
    db: &Connection,
    (id, stage): (i64, &StageName),
    now: Timestamp,
) -> Result<(), Fault> {
    db.execute(
        "UPDATE places SET lock_key = NULL WHERE stage = ?1 AND lock_key IS NOT NULL",
        [id],
    )?;
    let why = "its stage takes several tickets with one key now";
    release_all(books, db, (stage, Reason::Unique), (now, why))
}

/// Tickets that somebody takes now go in; the others stay, so they are told apart first.
fn claim(
    books: &mut Books,
    db: &Connection,
    stage: &StageName,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(rules) = books.flows.stage(stage) else {
        return Ok(());
    };
    let why = "a stage is configured now that takes it";
    if rules.kinds.is_none() {
        return release_all(books, db, (stage, Reason::Unclaimed), (now, why));
    }
    let id = stage_id(db, stage)?;
    let kinds: Vec<String> = {
        let mut query = db.prepare(
            "SELECT DISTINCT t.kind FROM places p JOIN tickets t ON t.seq = p.seq
             WHERE p.state = 2 AND p.reason = ?1 AND p.stage = ?2",
        )?;
        let reason = codes::of_reason(Reason::Unclaimed);
        let kinds = query.query_map([reason, id], |row| row.get(0))?;
        kinds.collect::<Result<_, _>>()?
    };
    for kind in kinds {
        let is_taken =
            domain::names::Kind::new(&kind).is_ok_and(|kind| books.flows.claims(stage, &kind));
        if is_taken {
            waiting::release_kind(books, db, (stage, &kind), (now, why))?;
        }
    }
    Ok(())
}

fn release_all(
    books: &mut Books,
    db: &Connection,
    which: (&StageName, Reason),
    (now, why): (Timestamp, &str),
) -> Result<(), Fault> {
    while waiting::release_of_stage(books, db, which, (now, why, SLICE))? == SLICE as u64 {}
    Ok(())
}
