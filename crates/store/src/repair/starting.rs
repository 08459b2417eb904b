//! What is put right about breakers when the folder is opened: they may be configured otherwise
//! now, and what cannot be read must not hold anything for ever.

use super::{BREAKER, canaries, holding, with_board};
use crate::boards;
use crate::books::Books;
use crate::error::Fault;
use crate::queue::Allowance;
use domain::breaker::{Scope, State};
use domain::control::Gate;
use domain::names::StageName;
use domain::plan::{self, By, Plan, PlanId, Why};
use domain::signature::SignatureId;
use domain::time::Timestamp;
use rusqlite::Connection;
use std::collections::BTreeSet;

/// Puts everything right. The caller commits, then tells.
pub(crate) fn put_right(books: &mut Books, db: &Connection, now: Timestamp) -> Result<(), Fault> {
    let flows = std::sync::Arc::clone(&books.flows);
    books.boards.load(db, &flows)?;
    forget_others(books, db)?;
    let stages: Vec<i64> = books.boards.stages().into_keys().collect();
    for stage in &stages {
        stop_lost_plans(books, db, *stage, now)?;
    }
    let_go(books, db, now)?;
    halt_lost_releases(books, db, now)?;
    put_gates_right(books, now);
    for stage in stages {
        canaries::lose(books, db, stage, now)?;
    }
    Ok(())
}

/// Stages without breakers have none.
fn forget_others(books: &Books, db: &Connection) -> Result<(), Fault> {
    let stages = books.boards.stages();
    let known = stages.keys().map(ToString::to_string).collect::<Vec<_>>();
    let known = known.join(",");
    for table in ["breakers", "rosters"] {
        db.execute_batch(&format!("DELETE FROM {table} WHERE stage NOT IN ({known})"))?;
    }
    Ok(())
}

/// A breaker that waits for a plan which is not there any more holds again.
fn stop_lost_plans(
    books: &mut Books,
    db: &Connection,
    stage: i64,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut lost: Vec<(Scope, PlanId)> = Vec::new();
    let breakers = books
        .boards
        .at(stage)
        .into_iter()
        .flat_map(|it| it.breakers());
    for breaker in breakers {
        if let State::Releasing { plan: Some(id), .. } = breaker.state
            && books.boards.plan(db, id)?.is_none()
        {
            lost.push((breaker.scope, id));
        }
    }
    for (scope, id) in lost {
        let stopped = plan::State::Stopped(Why::StageFails);
        with_board(books, db, stage, now, |board| {
            board.plan_is(scope, (id, &stopped), 0, now)
        })?;
    }
    Ok(())
}

/// What no breaker holds goes on.
fn let_go(books: &Books, db: &Connection, now: Timestamp) -> Result<(), Fault> {
    let mut query = db.prepare(
        "SELECT DISTINCT stage, detail FROM places WHERE state = 2 AND reason = 5 AND mark = 1",
    )?;
    let mut rows = query.query([])?;
    let mut free: Vec<(i64, String)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (stage, detail): (i64, String) = (row.get(0)?, row.get(1)?);
        let signature = detail.parse::<SignatureId>().ok();
        let board = books.boards.at(stage);
        let breaker = signature.and_then(|it| board?.breaker(Scope::Signature(it)));
        if breaker.is_none_or(|breaker| matches!(breaker.state, State::Closed { .. })) {
            free.push((stage, detail));
        }
    }
    for (stage, detail) in free {
        holding::make_due(db, stage, &detail, now)?;
    }
    Ok(())
}

/// The release of a queue goes on only if the breaker of its stage waits for it: nobody else opens
/// the gate when it is done.
fn halt_lost_releases(books: &mut Books, db: &Connection, now: Timestamp) -> Result<(), Fault> {
    let stages = books.boards.stages().into_keys();
    let awaited = stages.filter_map(|id| {
        let breaker = books.boards.at(id)?.breaker(Scope::Stage)?;
        match breaker.state {
            State::Releasing { plan, .. } => plan,
            State::Closed { .. } | State::Open { .. } | State::Probing { .. } => None,
        }
    });
    let awaited: BTreeSet<PlanId> = awaited.collect();
    let of_queues = books.boards.live_plans().filter(|plan| of_queue(plan));
    let lost = of_queues.filter(|plan| !awaited.contains(&plan.id));
    for id in lost.map(|plan| plan.id).collect::<Vec<_>>() {
        let by = By {
            who: BREAKER,
            at: now,
        };
        books
            .boards
            .with_plan(db, id, |plan| plan.halt(Why::Unawaited, by).ok())?;
    }
    Ok(())
}

/// Whether it releases a queue, or will when it is resumed.
fn of_queue(plan: &Plan) -> bool {
    plan.selection.source == plan::Source::Queue && boards::is_under_way(plan)
}

/// How much of its queue a stage may take that is being released in steps. What it had let in is
/// let in again: nobody knows any more how much of it was taken.
fn let_in(books: &Books, stage: &StageName) -> Option<Allowance> {
    let mut plans = books.boards.live_plans();
    let plan = plans.find(|it| of_queue(it) && it.selection.stage.as_ref() == Some(stage))?;
    Some(Allowance::Exactly(match plan.state {
        plan::State::Running => plan.counts.out(),
        _ => 0,
    }))
}

/// The gates that are shut are those of the stages that are held, or let in in steps.
fn put_gates_right(books: &mut Books, now: Timestamp) {
    let held = books.boards.stages().into_iter().filter(|(id, _)| {
        let board = books.boards.at(*id);
        board.is_some_and(|board| board.holds_stage())
    });
    let held: Vec<(i64, StageName)> = held.collect();
    let shut = books.control.snapshot().gates.clone();
    for (stage, gate) in &shut {
        if held.iter().any(|(_, name)| name == stage) {
            continue;
        }
        let allowance = let_in(books, stage);
        // The permit of the canary has been used, by a process that is no more.
        let kept = allowance.map(|_| Gate {
            permit: None,
            ..gate.clone()
        });
        if let Some(allowance) = allowance {
            books.allow(stage.clone(), allowance);
        }
        books.control.gate(stage.clone(), kept);
    }
    for (id, stage) in held {
        let breaker = books.boards.at(id).and_then(|it| it.breaker(Scope::Stage));
        let reason = breaker.and_then(|it| it.waits_for()).unwrap_or_default();
        let is_started = breaker.and_then(|it| it.canary()?.name).is_some();
        let kept = shut.get(&stage).cloned();
        let mut gate = kept.unwrap_or(Gate {
            since: now,
            reason,
            permit: None,
        });
        if is_started {
            // Who has used it is not known any more.
            gate.permit = None;
        }
        books.control.gate(stage, Some(gate));
    }
}
