//! What a new term looks for: tickets that wait for a repair that nobody waits for any more. Their
//! stage has no breakers now, or the breaker's row was lost; they must not wait for ever.

use super::{BY, Repairs};
use crate::postgres::fault::Fault;
use crate::postgres::rows;
use crate::postgres::writing::execute;
use deadpool_postgres::Transaction;
use domain::breaker::{Scope, State};
use domain::names::StageName;
use domain::plan::{self, By, PlanId, Source, Why};
use domain::signature::SignatureId;
use std::collections::BTreeSet;
use tokio_postgres::Row;

const KNOWN: &str = "SELECT stage FROM boards UNION SELECT stage FROM gates";
/// Each by a look at the index, however many wait for it: this is asked in every round until the
/// last of them has gone.
const WAITED_FOR: &str = "WITH RECURSIVE w (stage, detail) AS (
   (SELECT stage, detail FROM places WHERE state = 2 AND reason = 5 AND mark = 1
      AND detail IS NOT NULL ORDER BY stage, detail LIMIT 1)
   UNION ALL SELECT n.stage, n.detail FROM w CROSS JOIN LATERAL (
     SELECT stage, detail FROM places WHERE state = 2 AND reason = 5 AND mark = 1
       AND (stage, detail) > (w.stage, w.detail) ORDER BY stage, detail LIMIT 1) n)
 SELECT stage, detail FROM w";
const LIVE: &str = "SELECT id FROM plans WHERE is_live";
const OFF: &str = "UPDATE boards SET next_at = NULL, is_tripped = false WHERE stage = $1";
const FORGET: &str = "DELETE FROM breakers WHERE stage = $1";

/// Takes every stage in hand that has breakers, and lets go what none of them holds.
pub(in crate::postgres) async fn sweep(
    tx: &Transaction<'_>,
    repairs: &mut Repairs<'_>,
) -> Result<(), Fault> {
    let stages = readable(&tx.query(KNOWN, &[]).await?);
    repairs.load_more(tx, stages.clone()).await?;
    repairs.stop_lost_plans(tx).await?;
    for stage in &stages {
        match repairs.posts.get_mut(stage) {
            Some(post) => {
                // By the rules in force the next time may be another one.
                post.is_touched = true;
                let breaker = post.board.breaker(Scope::Stage);
                let is_releasing =
                    breaker.is_some_and(|it| matches!(it.state, State::Releasing { .. }));
                if !post.board.holds_stage() && !is_releasing {
                    post.gate = None;
                }
            }
            None => {
                execute(tx, OFF, &[&stage.as_str()]).await?;
                execute(tx, FORGET, &[&stage.as_str()]).await?;
                repairs.ungate(stage);
            }
        }
    }
    repairs.halt_lost_releases(tx).await?;
    repairs.let_unheld_go(tx).await
}

/// The stages that these rows begin with. A name that cannot be read must not stop the others.
pub(in crate::postgres) fn readable(rows: &[Row]) -> BTreeSet<StageName> {
    let stage = |row: &Row| rows::parsed(row.try_get(0)?, StageName::new);
    let mut stages = BTreeSet::new();
    for row in rows {
        match stage(row) {
            Ok(stage) => {
                stages.insert(stage);
            }
            Err(fault) => tracing::error!("a stage is passed over, its row is damaged: {fault}"),
        }
    }
    stages
}

impl Repairs<'_> {
    /// A breaker that waits for a plan which is not there any more holds again.
    async fn stop_lost_plans(&mut self, tx: &Transaction<'_>) -> Result<(), Fault> {
        let now = self.setting.now;
        let mut waits: Vec<(StageName, Scope, PlanId)> = Vec::new();
        for (stage, post) in &self.posts {
            for breaker in post.board.breakers() {
                if let State::Releasing { plan: Some(id), .. } = breaker.state {
                    waits.push((stage.clone(), breaker.scope, id));
                }
            }
        }
        let stopped = plan::State::Stopped(Why::StageFails);
        for (stage, scope, id) in waits {
            if self.plan(tx, id).await?.is_some() {
                continue;
            }
            tracing::warn!(stage = %stage, "stage {stage}: plan {id} of {scope} is lost");
            if let Some(post) = self.posts.get_mut(&stage) {
                let actions = post.board.plan_is(scope, (id, &stopped), 0, now);
                self.want(&stage, actions);
            }
        }
        Ok(())
    }

    /// The release of a queue goes on only if the breaker of its stage waits for it: nobody else
    /// tells it how its tickets end.
    async fn halt_lost_releases(&mut self, tx: &Transaction<'_>) -> Result<(), Fault> {
        let at = self.setting.now;
        for row in tx.query(LIVE, &[]).await? {
            let id = PlanId::new(row.try_get(0)?);
            let Some(carried) = self.plan(tx, id).await? else {
                continue;
            };
            let selection = &carried.plan.selection;
            let (Source::Queue, Some(stage)) = (selection.source, selection.stage.clone()) else {
                continue;
            };
            let post = self.posts.get(&stage);
            let breaker = post.and_then(|post| post.board.breaker(Scope::Stage));
            let is_awaited = breaker.is_some_and(|it| match it.state {
                State::Releasing { plan, .. } => plan == Some(id),
                State::Closed { .. } | State::Open { .. } | State::Probing { .. } => false,
            });
            if is_awaited {
                continue;
            }
            if let Some(carried) = self.plans.get_mut(&id) {
                // One that has ended meanwhile needs no stopping.
                carried.plan.halt(Why::Unawaited, By { who: BY, at }).ok();
                carried.is_touched = true;
            }
        }
        Ok(())
    }

    async fn let_unheld_go(&mut self, tx: &Transaction<'_>) -> Result<(), Fault> {
        for row in tx.query(WAITED_FOR, &[]).await? {
            let (stage, detail): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
            let Ok(stage) = StageName::new(stage) else {
                tracing::error!("tickets of stage {stage:?} stay held: that is no name of one");
                continue;
            };
            // What is no signature is one that no breaker holds.
            let signature = detail.parse::<SignatureId>().ok();
            let post = self.posts.get(&stage);
            let breaker = signature.and_then(|it| post?.board.breaker(Scope::Signature(it)));
            if breaker.is_none_or(|it| matches!(it.state, State::Closed { .. })) {
                tracing::warn!(stage = %stage, "stage {stage}: nothing holds {detail} any more");
                self.close(tx, (&stage, detail)).await?;
            }
        }
        Ok(())
    }
}
