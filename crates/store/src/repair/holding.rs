//! What a breaker holds: tickets that failed alike, or the queue of a whole stage.

use crate::books::Books;
use crate::codes;
use crate::error::Fault;
use crate::queue::Allowance;
use crate::spot::REPAIR;
use domain::control::Gate;
use domain::names::StageName;
use domain::signature::SignatureId;
use domain::time::Timestamp;
use domain::wait::Reason;
use rusqlite::{Connection, params};

/// The mark of a ticket whose breaker has closed: its wait is over.
pub(crate) const REPAIRED: i64 = 2;

/// Holds what goes on by itself at a stage after failing so: what backs off, and what is to be
/// tried alone after a death that is laid to it.
pub(crate) const HOLD: &str = "UPDATE places SET reason = ?3, until = NULL, detail = ?2, \
     mark = ?4, because = because || '; held, its breaker is open' \
     WHERE state = 2 AND reason IN (1, 9) AND stage = ?1 AND signature = ?2";
const NOTE_HELD: &str = "INSERT INTO notes \
     (ticket, at, generation, hop, attempt, stage, what, why) \
     SELECT seq, ?3, generation, hop, attempt, stage, 'held', ?4 FROM places \
     WHERE state = 2 AND reason IN (1, 9) AND stage = ?1 AND signature = ?2";
/// Ends the wait of what waits for a repair at a stage.
pub(crate) const MAKE_DUE: &str = "UPDATE places SET reason = ?3, until = ?4, detail = NULL, \
     mark = ?5 \
     WHERE state = 2 AND reason = 5 AND mark = 1 AND stage = ?1 AND detail = ?2 AND since >= 0";

/// Holds what backs off after failing so: one statement each for tickets and for their histories,
/// however many they are.
pub(super) fn hold(
    db: &Connection,
    stage: i64,
    (signature, why): (SignatureId, &str),
    now: Timestamp,
) -> Result<(), Fault> {
    let signature = signature.to_string();
    let told = params![stage, signature, now.as_micros(), why];
    db.prepare_cached(NOTE_HELD)?.execute(told)?;
    let held = params![stage, signature, codes::of_reason(Reason::Held), REPAIR];
    db.prepare_cached(HOLD)?.execute(held)?;
    Ok(())
}

/// Holds this ticket, if it would go on by itself.
pub(super) fn hold_one(
    db: &Connection,
    seq: i64,
    signature: SignatureId,
    now: Timestamp,
) -> Result<(), Fault> {
    let held = db
        .prepare_cached(
            "UPDATE places SET reason = ?3, until = NULL, detail = ?2, mark = ?4,
               because = because || '; held, its breaker is open'
             WHERE seq = ?1 AND state = 2 AND reason IN (?5, ?6, ?7)",
        )?
        .execute(params![
            seq,
            signature.to_string(),
            codes::of_reason(Reason::Held),
            REPAIR,
            codes::of_reason(Reason::Backoff),
            codes::of_reason(Reason::NotNow),
            codes::of_reason(Reason::Trial),
        ])?;
    if held == 1 {
        db.prepare_cached(
            "INSERT INTO notes (ticket, at, generation, hop, attempt, stage, what, why)
             SELECT seq, ?2, generation, hop, attempt, stage, 'held', ?3 FROM places
             WHERE seq = ?1",
        )?
        .execute(params![
            seq,
            now.as_micros(),
            format!("its breaker is open: {signature}")
        ])?;
    }
    Ok(())
}

/// What waits for this repair at the stage is due now: one statement, however much it is.
pub(super) fn make_due(
    db: &Connection,
    stage: i64,
    signature: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    db.prepare_cached(MAKE_DUE)?.execute(params![
        stage,
        signature,
        codes::of_reason(Reason::NotNow),
        now.as_micros(),
        REPAIRED,
    ])?;
    Ok(())
}

/// The stage takes one delivery a permit from now on.
pub(super) fn shut_gate(books: &mut Books, stage: i64, reason: String, now: Timestamp) {
    if let Some(name) = books.boards.stage(stage).cloned() {
        let gate = Gate {
            since: now,
            reason,
            permit: None,
        };
        books.allow(name.clone(), Allowance::Exactly(0));
        books.control.gate(name, Some(gate));
    }
}

/// Nothing of the stage is let in for now, whether its gate was shut or not.
pub(crate) fn rest_gate(books: &mut Books, stage: &StageName, why: &str, now: Timestamp) {
    let gates = &books.control.snapshot().gates;
    let mut gate = gates.get(stage).cloned().unwrap_or_else(|| Gate {
        since: now,
        reason: why.to_owned(),
        permit: None,
    });
    gate.permit = None;
    books.allow(stage.clone(), Allowance::Exactly(0));
    books.control.gate(stage.clone(), Some(gate));
}

/// The stage takes what it likes.
pub(crate) fn open_gate(books: &mut Books, stage: i64) {
    if let Some(name) = books.boards.stage(stage).cloned() {
        books.allow(name.clone(), Allowance::Exactly(0));
        books.control.gate(name, None);
    }
}
