//! What breakers are told, and what they want done: in the transaction that tells them.

mod canaries;
mod holding;
mod starting;

use crate::boards::Boards;
use crate::books::{Books, Stop};
use crate::error::Fault;
use crate::releases;
use domain::breaker::{Action, Attempt, Board, Canary, End, Scope};
use domain::delivery::Ended;
use domain::names::StageName;
use domain::plan::{By, TicketEnd};
use domain::ports::Serving;
use domain::ticket::{Name, TicketId};
use domain::time::Timestamp;
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

pub(crate) use holding::REPAIRED;
#[cfg(test)]
pub(crate) use holding::{HOLD, MAKE_DUE};
pub(crate) use holding::{open_gate, rest_gate};
pub(crate) use starting::put_right;

/// Who speaks when a breaker does something.
pub(crate) const BREAKER: &str = "breaker";

/// A ticket at its stage.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) seq: i64,
    pub(crate) stop: Stop,
    pub(crate) stage: &'a StageName,
}

/// What the breakers of the stage hear of this attempt; `None` when it is news for nobody, which
/// costs one look at what is in mind.
pub(crate) fn news(boards: &Boards, stop: Stop, name: Name, ended: &Ended) -> Option<Attempt> {
    let end = End::of(ended.outcome, ended.signature);
    let is_calm = boards.is_quiet(stop.id) || stop.breaker.is_none();
    let is_news = match end {
        End::Landed | End::Rejected | End::Nothing | End::NotRun => {
            !is_calm || boards.is_releasing()
        }
        End::Failed(_) => true,
    };
    is_news.then(|| Attempt {
        name,
        version: ended.scene.version.clone(),
        span: ended.span,
        end,
    })
}

/// The end of an attempt counts. To be told once for each, after its ticket has moved.
pub(crate) fn heard(
    books: &mut Books,
    db: &Connection,
    of: Subject,
    attempt: &Attempt,
) -> Result<(), Fault> {
    let now = books.clock.now();
    if let End::Failed(Some(signature)) = attempt.end {
        db.prepare_cached("UPDATE places SET signature = ?2 WHERE seq = ?1 AND state = 2")?
            .execute(params![of.seq, signature.to_string()])?;
    }
    let id = of.stop.id;
    let fallout = match of.stop.breaker {
        Some(rules) => books.boards.of(id, of.stage, rules).ended(attempt, now),
        None => Default::default(),
    };
    if let Some(signature) = fallout.held_by {
        holding::hold_one(db, of.seq, signature, now)?;
    }
    let plans = releases::ended_for(books, db, (of.seq, id), &TicketEnd::from(&attempt.end))?;
    carry_out(books, db, id, fallout.actions, now)?;
    for plan in plans {
        releases::tell_board(books, db, plan, now)?;
    }
    Ok(())
}

/// A person or a rule has ended the ticket, or given it another name.
pub(crate) fn taken_away(
    books: &mut Books,
    db: &Connection,
    (seq, stage): (i64, i64),
    ticket: TicketId,
) -> Result<(), Fault> {
    let now = books.clock.now();
    if !books.boards.is_quiet(stage) {
        with_board(books, db, stage, now, |board| board.taken_away(ticket, now))?;
    }
    for plan in releases::ended_for(books, db, (seq, stage), &TicketEnd::Undecided)? {
        releases::tell_board(books, db, plan, now)?;
    }
    Ok(())
}

/// An attempt that never ran: if it was a canary, its ticket goes back in line.
pub(crate) fn never_ran(
    books: &mut Books,
    db: &Connection,
    (seq, stage): (i64, i64),
    was: Name,
) -> Result<(), Fault> {
    let now = books.clock.now();
    let is_it = |canary: &Canary| canary.name == Some(was);
    let prober = books.boards.at(stage).and_then(|board| {
        let mut breakers = board.breakers();
        let found = breakers.find(|it| it.canary().is_some_and(is_it));
        found.map(|it| it.scope)
    });
    let Some(scope) = prober else {
        return Ok(());
    };
    if let Scope::Signature(signature) = scope {
        holding::hold_one(db, seq, signature, now)?;
    }
    let ticket = was.ticket;
    with_board(books, db, stage, now, |board| board.taken_away(ticket, now))
}

/// Who serves each stage, and nobody else.
pub(crate) fn serving(
    books: &mut Books,
    db: &Connection,
    (serving, now): &(Serving, Timestamp),
) -> Result<(), Fault> {
    for stage in serving.keys() {
        let stop = books.stop(db, stage)?;
        if let Some(rules) = stop.breaker {
            books.boards.of(stop.id, stage, rules);
        }
    }
    for (id, stage) in books.boards.stages() {
        let versions = serving.get(&stage);
        let here: BTreeSet<_> =
            versions.map_or_else(BTreeSet::new, |versions| versions.keys().cloned().collect());
        with_board(books, db, id, *now, |board| board.versions(&here, *now))?;
    }
    Ok(())
}

/// Time has passed.
pub(crate) fn tick(books: &mut Books, db: &Connection, now: Timestamp) -> Result<(), Fault> {
    for stage in books.boards.due(now) {
        with_board(books, db, stage, now, |board| board.tick(now))?;
    }
    Ok(())
}

/// A person wants the next canary of a breaker now. False when there is no such breaker.
pub(crate) fn ask(
    books: &mut Books,
    db: &Connection,
    (stage, scope): &(StageName, Scope),
) -> Result<bool, Fault> {
    let now = books.clock.now();
    let stop = books.stop(db, stage)?;
    let board = books.boards.at(stop.id);
    let is_there = board.is_some_and(|board| board.breakers().any(|it| it.scope == *scope));
    if is_there {
        with_board(books, db, stop.id, now, |board| board.ask(*scope, now))?;
    }
    Ok(is_there)
}

/// A delivery of a stage whose gate is shut was started: it is the one under the permit.
pub(crate) fn begun(
    books: &mut Books,
    db: &Connection,
    (stage, name): &(StageName, Name),
) -> Result<(), Fault> {
    let stop = books.stop(db, stage)?;
    let gate = books.control.snapshot().gates.get(stage);
    let permit = gate.and_then(|gate| gate.permit.as_ref());
    let Some(number) = permit.map(|permit| permit.number) else {
        return Ok(());
    };
    let breaker = books.boards.at(stop.id);
    let canary = breaker.and_then(|board| board.breaker(Scope::Stage)?.canary());
    let is_unnamed = canary.is_some_and(|canary| canary.name.is_none());
    if let (true, Some(board)) = (is_unnamed, books.boards.tell(stop.id)) {
        board.sent(Scope::Stage, number, *name);
    }
    Ok(())
}

/// Does something with the breakers of a stage, and then what they want done.
pub(crate) fn with_board(
    books: &mut Books,
    db: &Connection,
    stage: i64,
    now: Timestamp,
    act: impl FnOnce(&mut Board) -> Vec<Action>,
) -> Result<(), Fault> {
    let actions = books.boards.tell(stage).map_or_else(Vec::new, act);
    carry_out(books, db, stage, actions, now)
}

/// Carries out what the breakers of a stage want done.
fn carry_out(
    books: &mut Books,
    db: &Connection,
    stage: i64,
    actions: Vec<Action>,
    now: Timestamp,
) -> Result<(), Fault> {
    for action in actions {
        match action {
            Action::Hold {
                scope: Scope::Stage,
                why,
            } => holding::shut_gate(books, stage, why, now),
            Action::Hold {
                scope: Scope::Signature(signature),
                why,
            } => holding::hold(db, stage, (signature, &why), now)?,
            Action::Probe(probe) => canaries::probe(books, db, stage, &probe, now)?,
            Action::Check { scope, canary } => {
                canaries::check(books, db, stage, (scope, &canary), now)?;
            }
            Action::StartPlan { scope, terms, .. } => {
                releases::start(books, db, stage, (scope, terms), now)?;
            }
            Action::StopPlan { plan, why } => {
                let by = By {
                    who: BREAKER,
                    at: now,
                };
                // One that has stopped already needs no word.
                books
                    .boards
                    .with_plan(db, plan, |plan| plan.halt(why, by).ok())?;
            }
            Action::Close {
                scope: Scope::Stage,
            } => holding::open_gate(books, stage),
            Action::Close {
                scope: Scope::Signature(signature),
            } => holding::make_due(db, stage, &signature.to_string(), now)?,
        }
    }
    Ok(())
}
