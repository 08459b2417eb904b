//! Release plans, as the writer carries them out.

use crate::boards;
use crate::books::Books;
use crate::error::Fault;
use crate::queue::Allowance;
use crate::repair::{self, BREAKER};
use crate::selecting::{self, Members};
use crate::spot::Found;
use crate::waiting::{self, Waiter};
use domain::breaker::Scope;
use domain::plan::{
    By, Choice, Draft, Plan, PlanId, Release, Selection, Source, State, Terms, TicketEnd,
};
use domain::time::Timestamp;
use domain::wait::Reason;
use rusqlite::{Connection, OptionalExtension, params};

/// Makes a plan of what a breaker holds, and begins its release.
pub(crate) fn start(
    books: &mut Books,
    db: &Connection,
    stage: i64,
    (scope, terms): (Scope, Terms),
    now: Timestamp,
) -> Result<(), Fault> {
    let (source, signature, count, newest) = match scope {
        Scope::Stage => (Source::Queue, None, selecting::runnable(db, stage)?, None),
        Scope::Signature(signature) => {
            let count = selecting::held(db, stage, signature)?;
            let newest = selecting::newest_held(db, stage, signature)?;
            let source = Source::Waiting(Reason::Held);
            (source, Some(signature), count, newest)
        }
    };
    let selection = Selection {
        source,
        stage: books.boards.stage(stage).cloned(),
        signature,
        filter: String::new(),
        // A clock that was put back must not leave anybody out: it would never be its turn.
        cutoff: newest.map_or(now, |newest| newest.max(now)),
        count,
    };
    let id = PlanId::new(books.clock.ticket_id().uuid());
    let by = By {
        who: BREAKER,
        at: now,
    };
    let mut plan = Plan::new(Draft::repairing(id, scope, selection, terms), by);
    let all = Release {
        choice: Choice::Everything,
        count,
        terms: None,
    };
    // One without tickets is done already.
    plan.release(all, by).ok();
    books.boards.keep(db, plan)?;
    if let Some(board) = books.boards.tell(stage) {
        board.plan_made(scope, id);
    }
    tell_board(books, db, id, now)
}

fn allowed(done: Result<(), domain::plan::Refusal>) -> Result<(), Fault> {
    done.map_err(|refusal| Fault::row("a release plan", refusal))
}

/// One round: what the plans allow now, at most `room` tickets. Returns how many were released.
pub(crate) fn carry_on(
    books: &mut Books,
    db: &Connection,
    (now, room): (Timestamp, usize),
) -> Result<usize, Fault> {
    let is_due = |plan: &&Plan| plan.next_at().is_some_and(|at| at <= now);
    let due: Vec<PlanId> = {
        let plans = books.boards.live_plans().filter(is_due);
        plans.map(|plan| plan.id).collect()
    };
    let mut released = 0;
    for id in due {
        if let Some(plan) = books.boards.plan(db, id)?
            && released < room
        {
            released += carry_on_one(books, db, &plan, (now, room - released))?;
        }
    }
    Ok(released)
}

fn carry_on_one(
    books: &mut Books,
    db: &Connection,
    plan: &Plan,
    (now, room): (Timestamp, usize),
) -> Result<usize, Fault> {
    let goal = plan.current().filter(|_| plan.state == State::Running);
    let Some(goal) = goal else {
        return Ok(0);
    };
    let allows = usize::try_from(plan.allow(now)).unwrap_or(usize::MAX);
    if allows == 0 {
        count_books(books, db, plan, now)?;
        return Ok(0);
    }
    if plan.selection.source == Source::Queue {
        let_in(books, db, plan, now)?;
        return Ok(0);
    }
    let wanted = allows.min(room);
    let members = Members::of(db, plan, &goal.choice)?;
    let waiters = members.first(db, goal.terms.order, wanted)?;
    let count = waiters.len();
    let mut gone = 0;
    for waiter in &waiters {
        gone += u64::from(!release(books, db, plan, (waiter, now))?);
    }
    let done = books.boards.with_plan(db, plan.id, |plan| {
        plan.released(count as u64, now)?;
        for _ in 0..gone {
            plan.ended(&TicketEnd::Undecided, now);
        }
        if count < wanted {
            plan.exhausted(now);
        }
        Ok(())
    })?;
    allowed(done.unwrap_or(Ok(())))?;
    tell_board(books, db, plan.id, now)?;
    Ok(count)
}

/// Lets a stage take as many of its queue as the plan allows; the last step opens its gate.
fn let_in(books: &mut Books, db: &Connection, plan: &Plan, now: Timestamp) -> Result<(), Fault> {
    let Some(stage) = &plan.selection.stage else {
        return Ok(());
    };
    let (left, _) = counts(db, plan)?;
    let allows = plan.allow(now);
    let count = allows.min(left);
    match plan.is_wide_open() {
        true => {
            let stop = books.stop(db, stage)?;
            repair::open_gate(books, stop.id);
        }
        false => books.allow(stage.clone(), Allowance::More(count)),
    }
    let done = books.boards.with_plan(db, plan.id, |plan| {
        plan.released(count, now)?;
        if count < allows {
            plan.exhausted(now);
        }
        Ok(())
    })?;
    allowed(done.unwrap_or(Ok(())))?;
    tell_board(books, db, plan.id, now)
}

/// False when it is not runnable after all: it will end no attempt.
fn release(
    books: &mut Books,
    db: &Connection,
    plan: &Plan,
    (waiter, now): (&Waiter, Timestamp),
) -> Result<bool, Fault> {
    if plan.repairs.is_none() {
        db.prepare_cached("DELETE FROM chosen WHERE plan = ?1 AND ticket = ?2")?
            .execute(params![plan.id.uuid().as_bytes(), waiter.seq()])?;
    }
    waiting::released_by(books, db, waiter, (plan.id, now))
}

/// Corrects a plan that waits for tickets whose end may have been told to nobody.
fn count_books(
    books: &mut Books,
    db: &Connection,
    plan: &Plan,
    now: Timestamp,
) -> Result<(), Fault> {
    let (left, out) = counts(db, plan)?;
    if let (Source::Queue, Some(stage)) = (plan.selection.source, &plan.selection.stage) {
        // What was let in and handed back may be taken again.
        let queue = books.queues.find(stage);
        let in_hand = queue.map_or(0, |queue| queue.in_hand());
        let allowance = Allowance::Exactly(out.saturating_sub(in_hand));
        books.allow(stage.clone(), allowance);
    }
    books
        .boards
        .with_plan(db, plan.id, |plan| plan.counted(left, out, now))?;
    tell_board(books, db, plan.id, now)
}

/// A person has paused the release of a queue, or resumed it.
pub(crate) fn move_gate(
    books: &mut Books,
    db: &Connection,
    plan: &Plan,
    now: Timestamp,
) -> Result<(), Fault> {
    let (Source::Queue, Some(stage)) = (plan.selection.source, &plan.selection.stage) else {
        return Ok(());
    };
    match plan.state {
        State::Paused => {
            let why = format!("its release is paused: plan {}", plan.id);
            repair::rest_gate(books, stage, &why, now);
        }
        State::Running if plan.is_wide_open() && plan.allow(now) == 0 => {
            let stop = books.stop(db, stage)?;
            repair::open_gate(books, stop.id);
        }
        State::Running => count_books(books, db, plan, now)?,
        State::Ready | State::Stopped(_) | State::Done => {}
    }
    Ok(())
}

/// How many tickets of a plan are left, and how many are out.
pub(crate) fn counts(db: &Connection, plan: &Plan) -> Result<(u64, u64), Fault> {
    match (plan.selection.source, &plan.selection.stage) {
        (Source::Queue, Some(stage)) => {
            let stage = crate::books::stage_id(db, stage)?;
            let queued = selecting::runnable(db, stage)?;
            let out = plan.counts.out().min(queued);
            Ok((queued - out, out))
        }
        _ => {
            let left = Members::of(db, plan, &Choice::Everything)?.count(db)?;
            Ok((left, selecting::out(db, plan.id)?))
        }
    }
}

/// Tells the plans that had released the ticket that its next attempt has ended so, or never
/// comes; returns which they are.
pub(crate) fn ended_for(
    books: &mut Books,
    db: &Connection,
    (seq, stage): (i64, i64),
    end: &TicketEnd,
) -> Result<Vec<PlanId>, Fault> {
    if !books.boards.is_releasing() {
        return Ok(Vec::new());
    }
    let now = books.clock.now();
    let mut told: Vec<PlanId> = released_by(db, seq)?.into_iter().collect();
    // A queue is released as a whole: whoever comes next is of the plan.
    let name = books.boards.stage(stage);
    let is_queue = |plan: &&Plan| {
        let selection = &plan.selection;
        let is_here = name.is_some() && selection.stage.as_ref() == name;
        selection.source == Source::Queue && is_here && boards::is_under_way(plan)
    };
    told.extend(books.boards.live_plans().filter(is_queue).map(|it| it.id));
    for id in &told {
        books
            .boards
            .with_plan(db, *id, |plan| plan.ended(end, now))?;
    }
    Ok(told)
}

/// The plan that has released the ticket; it is asked once.
fn released_by(db: &Connection, seq: i64) -> Result<Option<PlanId>, Fault> {
    let plan: Option<Option<Vec<u8>>> = db
        .prepare_cached("SELECT plan FROM places WHERE seq = ?1")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    let Some(plan) = plan.flatten() else {
        return Ok(None);
    };
    db.prepare_cached("UPDATE places SET plan = NULL WHERE seq = ?1")?
        .execute([seq])?;
    boards::plan_id(&plan).map(Some)
}

/// Tells the breaker that waits for the plan what the plan is.
pub(crate) fn tell_board(
    books: &mut Books,
    db: &Connection,
    id: PlanId,
    now: Timestamp,
) -> Result<(), Fault> {
    let Some(plan) = books.boards.plan(db, id)? else {
        return Ok(());
    };
    let (Some(scope), Some(stage)) = (plan.repairs, &plan.selection.stage) else {
        return Ok(());
    };
    let stage = books.stop(db, stage)?.id;
    let left_behind = match (scope, &plan.state) {
        (Scope::Signature(signature), State::Done) => selecting::held(db, stage, signature)?,
        _ => 0,
    };
    repair::with_board(books, db, stage, now, |board| {
        board.plan_is(scope, (id, &plan.state), left_behind, now)
    })
}

/// Gives the tickets of a choice up; returns how many.
pub(crate) fn drop_all(
    books: &mut Books,
    db: &Connection,
    plan: &Plan,
    (choice, reason): (&Choice, &str),
    by: By,
) -> Result<u64, Fault> {
    let members = Members::of(db, plan, choice)?;
    let waiters = members.first(db, domain::plan::Order::OldestFirst, usize::MAX)?;
    for waiter in &waiters {
        if let Some(found) = Found::by_seq(db, waiter.seq())? {
            crate::orders::give_up(books, db, (&found, waiter.stage()), (reason, by))?;
        }
    }
    Ok(waiters.len() as u64)
}
