//! The one ticket that is tried while its like are held.

use super::with_board;
use crate::books::Books;
use crate::codes;
use crate::error::Fault;
use crate::spot::Found;
use crate::waiting::{self, Waiter};
use domain::breaker::{Canary, Probe, Scope};
use domain::control::Permit;
use domain::ticket::Name;
use domain::time::Timestamp;
use domain::wait::Reason;
use rusqlite::{Connection, OptionalExtension, params};

/// Sends a canary.
pub(super) fn probe(
    books: &mut Books,
    db: &Connection,
    stage: i64,
    probe: &Probe,
    now: Timestamp,
) -> Result<(), Fault> {
    let (scope, number) = (probe.scope, probe.number);
    let Scope::Signature(signature) = scope else {
        permit(books, stage, number);
        return feed(books, db, stage, now);
    };
    let values = params![stage, signature.to_string()];
    let Some(waiter) = waiting::waiters(db, waiting::OLDEST_HELD, values)?.pop() else {
        return with_board(books, db, stage, now, |board| {
            board.nobody(scope, number, now)
        });
    };
    let why = format!("canary for {signature}: it alone is tried");
    let name = release(books, db, &waiter, (now, &why))?;
    with_board(books, db, stage, now, |board| match name {
        Some(name) => {
            board.sent(scope, number, name);
            Vec::new()
        }
        None => board.lost(scope, number, now),
    })
}

/// One delivery of the stage may be taken. Here there is one process, and it is it that may.
fn permit(books: &mut Books, stage: i64, number: u64) {
    let holder = books.holder.clone();
    let name = books.boards.stage(stage).cloned();
    let gate = name.and_then(|name| {
        let gate = books.control.snapshot().gates.get(&name)?.clone();
        Some((name, gate))
    });
    if let Some((name, mut gate)) = gate {
        gate.permit = Some(Permit { number, holder });
        books.control.gate(name, Some(gate));
    }
}

/// A stage whose queue is empty probes with a ticket that is held.
fn feed(books: &mut Books, db: &Connection, stage: i64, now: Timestamp) -> Result<(), Fault> {
    let runnable: Option<i64> = db
        .prepare_cached("SELECT seq FROM places WHERE state = 0 AND stage = ?1 LIMIT 1")?
        .query_row([stage], |row| row.get(0))
        .optional()?;
    if runnable.is_some() {
        return Ok(());
    }
    if let Some(waiter) = waiting::waiters(db, waiting::OLDEST_HELD_OF_STAGE, [stage])?.pop() {
        let why = "canary for its whole stage: it alone is tried";
        release(books, db, &waiter, (now, why))?;
    }
    Ok(())
}

/// Returns the name under which it is runnable now, if it is.
fn release(
    books: &mut Books,
    db: &Connection,
    waiter: &Waiter,
    (now, why): (Timestamp, &str),
) -> Result<Option<Name>, Fault> {
    waiting::released(books, db, waiter, (now, why))?;
    let found = Found::by_seq(db, waiter.seq())?;
    let found = found.filter(|found| found.state == codes::RUNNABLE);
    Ok(found.map(|found| found.name))
}

/// Looks a canary up that was not heard of for long.
pub(super) fn check(
    books: &mut Books,
    db: &Connection,
    stage: i64,
    (scope, canary): (Scope, &Canary),
    now: Timestamp,
) -> Result<(), Fault> {
    let number = canary.number;
    let is_out = match canary.name {
        Some(name) => is_out(books, db, (stage, scope), name)?,
        None => !is_used(books, stage, number),
    };
    if !is_out {
        return with_board(books, db, stage, now, |board| {
            board.lost(scope, number, now)
        });
    }
    if let Some(board) = books.boards.tell(stage) {
        board.still_out(scope, number, now);
    }
    match scope {
        Scope::Stage => feed(books, db, stage, now),
        Scope::Signature(_) => Ok(()),
    }
}

fn is_out(
    books: &Books,
    db: &Connection,
    (stage, scope): (i64, Scope),
    name: Name,
) -> Result<bool, Fault> {
    let found = Found::by_id(db, name.ticket)?.filter(|found| found.name == name);
    let Some(found) = found else {
        return Ok(false);
    };
    Ok(match scope {
        _ if is_suspect(&found) => true,
        Scope::Signature(_) => found.state == codes::RUNNABLE,
        // That of a stage has a name since somebody had it. In the queue again it is like all
        // others there, and its permit is used.
        Scope::Stage => {
            let queue = books.boards.stage(stage);
            let queue = queue.and_then(|name| books.queues.find(name));
            let is_taken = queue.is_some_and(|queue| queue.is_taken(found.seq));
            is_taken && found.state == codes::RUNNABLE
        }
    })
}

fn is_suspect(found: &Found) -> bool {
    found.reason == Some(codes::of_reason(Reason::Suspect))
}

/// The canary of a stage that the last process had started, but of which it left no word behind:
/// after a power loss, or without its intent file. What became of it nobody will tell.
pub(super) fn lose(
    books: &mut Books,
    db: &Connection,
    stage: i64,
    now: Timestamp,
) -> Result<(), Fault> {
    let breaker = books
        .boards
        .at(stage)
        .and_then(|it| it.breaker(Scope::Stage));
    let canary = breaker.and_then(|it| it.canary());
    let Some((number, name)) = canary.and_then(|it| Some((it.number, it.name?))) else {
        return Ok(());
    };
    let found = Found::by_id(db, name.ticket)?;
    let is_case = found.is_some_and(|found| found.name == name && is_suspect(&found));
    if is_case {
        return Ok(());
    }
    with_board(books, db, stage, now, |board| {
        board.lost(Scope::Stage, number, now)
    })
}

/// Whether somebody has taken a delivery under this permit.
fn is_used(books: &Books, stage: i64, number: u64) -> bool {
    let name = books.boards.stage(stage);
    let queue = name.and_then(|name| books.queues.find(name));
    queue.is_some_and(|queue| queue.permit_used() >= number)
}
