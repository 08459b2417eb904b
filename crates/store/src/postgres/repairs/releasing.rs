//! Release plans at work: a round at a time, as many as the plan lets go and the round has room
//! for.

use super::moving::{DAMAGED_MAX, Freed, lock_readable, queued};
use super::picking::{self, Pick};
use super::{Carried, Repairs, Todo};
use crate::postgres::fault::Fault;
use crate::postgres::working::Working;
use deadpool_postgres::Transaction;
use domain::names::Version;
use domain::plan::{Plan, PlanId, Refusal, Source};
use domain::ticket::TicketId;

/// How many tickets that the plan had released have not ended an attempt since.
const OUT: &str = "SELECT count(*) FROM places WHERE plan = $1";

/// How many of the plan's tickets are left, and how many are out.
async fn left_and_out(tx: &Transaction<'_>, plan: &Plan) -> Result<(u64, u64), Fault> {
    let left = picking::count(tx, Pick::all(&plan.selection)).await?;
    Ok((left, out(tx, plan).await?))
}

/// How many of the plan's tickets are out.
pub(in crate::postgres) async fn out(tx: &Transaction<'_>, plan: &Plan) -> Result<u64, Fault> {
    match (plan.selection.source, &plan.selection.stage) {
        (Source::Queue, Some(stage)) => queued(tx, stage).await,
        (Source::Queue, None) => Ok(0),
        (Source::Waiting(_) | Source::AnyWait, _) => {
            let row = tx.query_one(OUT, &[&plan.id.uuid()]).await?;
            Ok(row.try_get::<_, i64>(0)?.cast_unsigned())
        }
    }
}

pub(super) fn refused(refusal: &Refusal) -> Fault {
    Fault::row("a release plan", refusal)
}

/// What a plan may let go.
struct Found {
    working: Working,
    ids: Vec<TicketId>,
    /// Whether there are no others.
    is_all: bool,
}

/// The next tickets, at most so many, beside those whose rows are damaged: these stay, and would be
/// the next ones again and again.
async fn find_readable(tx: &Transaction<'_>, pick: Pick<'_>, limit: usize) -> Result<Found, Fault> {
    let mut damaged = 0;
    loop {
        let wanted = limit.saturating_add(damaged);
        let found = picking::find(tx, pick, wanted).await?;
        let is_last = found.len() < wanted;
        // What another transaction has in hand is not skipped for ever.
        let is_all = is_last && picking::count(tx, pick).await? <= found.len() as u64;
        let working = lock_readable(tx, &found).await?;
        let is_readable = |id: &TicketId| working.get(*id).is_some();
        let mut ids: Vec<TicketId> = found.iter().copied().filter(is_readable).collect();
        damaged = found.len() - ids.len();
        if is_last || ids.len() >= limit || damaged > DAMAGED_MAX {
            ids.truncate(limit);
            return Ok(Found {
                working,
                ids,
                is_all,
            });
        }
    }
}

impl Repairs<'_> {
    /// It is the plan's time: releases what may go, or counts the books.
    pub(super) async fn release_some(
        &mut self,
        tx: &Transaction<'_>,
        id: PlanId,
        room: u64,
    ) -> Result<(), Fault> {
        let now = self.setting.now;
        let Some(Carried { plan, .. }) = self.plan(tx, id).await? else {
            return Ok(());
        };
        let (before, stage) = (plan.state.clone(), plan.selection.stage.clone());
        let allowed = plan.allow(now).min(room);
        self.load_more(tx, stage.iter().cloned().collect()).await?;
        match allowed {
            0 => self.recount(tx, id).await?,
            count => self.free(tx, id, count).await?,
        }
        if let Some(carried) = self.plans.get_mut(&id) {
            carried.is_touched = true;
            if carried.plan.state != before {
                self.todo.push_back(Todo::PlanIs(id));
            }
        }
        Ok(())
    }

    /// The versions that the plan's tickets must not run on: those that its breaker has seen fail.
    fn avoided(&self, plan: &Plan) -> Vec<Version> {
        let (Some(scope), Some(stage)) = (plan.repairs, plan.selection.stage.as_ref()) else {
            return Vec::new();
        };
        let post = self.posts.get(stage);
        let breaker = post.and_then(|post| post.board.breaker(scope));
        breaker.map_or_else(Vec::new, |breaker| breaker.failed_on.clone())
    }

    async fn free(&mut self, tx: &Transaction<'_>, id: PlanId, count: u64) -> Result<(), Fault> {
        let now = self.setting.now;
        let Some(Carried { plan, .. }) = self.plans.get(&id) else {
            return Ok(());
        };
        let Some(goal) = plan.current() else {
            return Ok(());
        };
        let avoid = self.avoided(plan);
        let pick = Pick {
            selection: &plan.selection,
            choice: &goal.choice,
            order: goal.terms.order,
        };
        let limit = usize::try_from(count).unwrap_or(usize::MAX);
        let Found {
            working,
            ids,
            is_all,
        } = find_readable(tx, pick, limit).await?;
        let why = format!("plan {id} released it");
        let freed = (Freed::Plan(id), why.as_str(), avoid.as_slice());
        let names = self.let_go(tx, (working, &ids), freed).await?;
        if let Some(Carried { plan, .. }) = self.plans.get_mut(&id) {
            let released = plan.released(names.len() as u64, now);
            released.map_err(|refusal| refused(&refusal))?;
            if is_all {
                plan.exhausted(now);
            }
        }
        Ok(())
    }

    /// The end of some ticket may have been told to nobody.
    async fn recount(&mut self, tx: &Transaction<'_>, id: PlanId) -> Result<(), Fault> {
        let now = self.setting.now;
        if let Some(Carried { plan, .. }) = self.plans.get_mut(&id) {
            let (left, out) = left_and_out(tx, plan).await?;
            plan.counted(left, out, now);
        }
        Ok(())
    }
}
