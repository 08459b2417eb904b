//! What a new term looks for: tickets that wait for a repair that nobody waits for any more. Their
//! stage has no breakers now, or the breaker's row was lost; they must not wait for ever.

use super::{Repairs, Todo};
use crate::postgres::fault::Fault;
use crate::postgres::rows;
use crate::postgres::writing::execute;
use deadpool_postgres::Transaction;
use domain::breaker::{Action, Scope, State};
use domain::names::StageName;
use std::collections::BTreeSet;

const KNOWN: &str = "SELECT stage FROM boards UNION SELECT stage FROM gates";
const WAITED_FOR: &str = "SELECT DISTINCT stage, detail FROM places
 WHERE state = 2 AND reason = 5 AND mark = 1";
const OFF: &str = "UPDATE boards SET next_at = NULL, is_tripped = false WHERE stage = $1";
const FORGET: &str = "DELETE FROM breakers WHERE stage = $1";

/// Takes every stage in hand that has breakers, and lets go what none of them holds.
pub(in crate::postgres) async fn sweep(
    tx: &Transaction<'_>,
    repairs: &mut Repairs<'_>,
) -> Result<(), Fault> {
    let mut stages = BTreeSet::new();
    for row in tx.query(KNOWN, &[]).await? {
        stages.insert(rows::parsed(row.try_get(0)?, StageName::new)?);
    }
    repairs.load_more(tx, stages.clone()).await?;
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
    for row in tx.query(WAITED_FOR, &[]).await? {
        let stage = rows::parsed(row.try_get(0)?, StageName::new)?;
        let signature = rows::parsed(row.try_get(1)?, str::parse)?;
        let scope = Scope::Signature(signature);
        let post = repairs.posts.get(&stage);
        let breaker = post.and_then(|post| post.board.breaker(scope));
        if breaker.is_none_or(|it| matches!(it.state, State::Closed { .. })) {
            tracing::warn!(stage = %stage, "stage {stage}: nothing holds {signature} any more");
            let close = Action::Close { scope };
            repairs.todo.push_back(Todo::Act(stage, close));
        }
    }
    Ok(())
}
