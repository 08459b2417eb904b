//! Breakers and plans as rows: read when a transaction takes them in hand, written when it ends.
//! A row that cannot be read must not stop the line: its tickets are let go, and it counts anew.

use super::gates;
use super::{Carried, Post, Repairs, Todo};
use crate::postgres::fault::Fault;
use crate::postgres::writing::execute;
use deadpool_postgres::Transaction;
use domain::breaker::{Action, Board, Breaker, Changes, Roster, Scope};
use domain::names::StageName;
use domain::plan::{Plan, PlanId, Source, State};
use domain::ports::PLANS_MAX;
use domain::time::Timestamp;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;

/// Which stages have something that a landing or a start may change. A live plan hears of every
/// end; it is told by an empty name.
const ALERT: &str = "SELECT stage FROM boards WHERE is_tripped
 UNION ALL SELECT '' WHERE EXISTS (SELECT FROM plans WHERE is_live)";
const BOARDS: &str = "SELECT stage, roster, permits FROM boards WHERE stage = ANY($1)";
const BREAKERS: &str = "SELECT stage, scope, body FROM breakers WHERE stage = ANY($1)";
const PLAN: &str = "SELECT body FROM plans WHERE id = $1";
const PUT_BOARD: &str = "INSERT INTO boards (stage, roster, next_at, is_tripped, permits)
 VALUES ($1, $2, $3, $4, $5) ON CONFLICT (stage) DO UPDATE SET roster = excluded.roster,
   next_at = excluded.next_at, is_tripped = excluded.is_tripped, permits = excluded.permits";
const PUT_BREAKER: &str = "INSERT INTO breakers (stage, scope, body) VALUES ($1, $2, $3)
 ON CONFLICT (stage, scope) DO UPDATE SET body = excluded.body";
const FORGET_BREAKER: &str = "DELETE FROM breakers WHERE stage = $1 AND scope = $2";
const NEW_PLAN: &str = "INSERT INTO plans (id, next_at, is_live, body) VALUES ($1, $2, $3, $4)";
const PUT_PLAN: &str = "UPDATE plans SET next_at = $2, is_live = $3, body = $4 WHERE id = $1";

/// The oldest of those that are over, once there are more than anybody is shown.
const FORGET_PLANS: &str = "DELETE FROM plans WHERE next_at IS NULL AND NOT is_live
 AND seq <= (SELECT seq FROM plans ORDER BY seq DESC OFFSET $1 LIMIT 1)";
const REST: &str = "UPDATE plans SET next_at = NULL, is_live = false WHERE id = $1";

/// Time is looked at again no sooner, whatever a breaker says.
const TICK_MIN: Duration = Duration::from_millis(100);

/// What is not quiet.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Alert {
    pub(in crate::postgres) stages: BTreeSet<StageName>,
    /// A plan waits for the ends of tickets that it has released.
    pub(in crate::postgres) has_plans: bool,
}

impl Alert {
    /// Nothing has failed anywhere and nothing is released.
    pub(in crate::postgres) fn is_quiet(&self) -> bool {
        self.stages.is_empty() && !self.has_plans
    }
}

/// What is not quiet; by the statement, one look at two small tables.
pub(in crate::postgres) async fn alert(tx: &Transaction<'_>) -> Result<Alert, Fault> {
    let query = tx.prepare_cached(ALERT).await?;
    let mut alert = Alert::default();
    for row in tx.query(&query, &[]).await? {
        let stage: &str = row.try_get(0)?;
        match stage.is_empty() {
            true => alert.has_plans = true,
            false => alert.stages.extend(StageName::new(stage).ok()),
        }
    }
    Ok(alert)
}

/// The column of a scope.
pub(super) fn word(scope: Scope) -> String {
    match scope {
        Scope::Stage => String::new(),
        Scope::Signature(signature) => signature.to_string(),
    }
}

fn scope(word: &str) -> Option<Scope> {
    match word.is_empty() {
        true => Some(Scope::Stage),
        false => word.parse().ok().map(Scope::Signature),
    }
}

/// A breaker's row; which one cannot be read.
pub(in crate::postgres) fn breaker(row: &Row) -> Result<Result<Breaker, String>, Fault> {
    let (word, body): (&str, &[u8]) = (row.try_get(1)?, row.try_get(2)?);
    let read = wire::breaker::decode(body).map_err(|error| error.to_string());
    Ok(match read {
        Ok(breaker) if scope(word) == Some(breaker.scope) => Ok(breaker),
        Ok(_) => Err(format!("expected the breaker of {word:?}, got another's")),
        Err(why) => Err(why),
    })
}

/// The versions of a stage; none, and a word in the log, if they cannot be read.
pub(in crate::postgres) fn roster(stage: &StageName, body: Option<&[u8]>) -> Roster {
    let read = body.map(wire::breaker::decode_roster);
    read.unwrap_or_else(|| Ok(Roster::default()))
        .unwrap_or_else(|error| {
            tracing::error!("the versions of stage {stage} are forgotten: {error}");
            Roster::default()
        })
}

impl Repairs<'_> {
    /// Takes further stages in hand, but for those that have no breakers.
    pub(in crate::postgres) async fn load_more(
        &mut self,
        tx: &Transaction<'_>,
        stages: BTreeSet<StageName>,
    ) -> Result<(), Fault> {
        let flows = self.setting.flows;
        let rules = |stage: &StageName| flows.stage(stage).and_then(|stage| stage.breaker);
        let wanted: BTreeMap<StageName, _> = stages
            .into_iter()
            .filter(|stage| !self.posts.contains_key(stage))
            .filter_map(|stage| rules(&stage).map(|rules| (stage, rules)))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = wanted.keys().map(StageName::as_str).collect();
        let mut boards: BTreeMap<String, (Option<Vec<u8>>, i64)> = BTreeMap::new();
        let query = tx.prepare_cached(BOARDS).await?;
        for row in tx.query(&query, &[&names]).await? {
            boards.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
        }
        let mut breakers: BTreeMap<String, Vec<Breaker>> = BTreeMap::new();
        let query = tx.prepare_cached(BREAKERS).await?;
        for row in tx.query(&query, &[&names]).await? {
            let stage: &str = row.try_get(0)?;
            match breaker(&row)? {
                Ok(breaker) => breakers.entry(stage.into()).or_default().push(breaker),
                Err(why) => self.give_up(tx, (stage, row.try_get(1)?), &why).await?,
            }
        }
        let mut gates = gates::load(tx, &names).await?;
        for (stage, rules) in wanted {
            let (body, permits) = boards.remove(stage.as_str()).unwrap_or_default();
            let roster = roster(&stage, body.as_deref());
            let breakers = breakers.remove(stage.as_str()).unwrap_or_default();
            let gate = gates.remove(&stage);
            let post = Post {
                board: Board::recalled(rules, roster, breakers),
                stored_gate: gate.clone(),
                gate,
                permits: permits.cast_unsigned(),
                is_touched: false,
                is_half_held: false,
            };
            self.posts.insert(stage, post);
        }
        Ok(())
    }

    /// A breaker that cannot be read: it is as if there were none, and holds nobody.
    async fn give_up(
        &mut self,
        tx: &Transaction<'_>,
        (stage, word): (&str, &str),
        why: &str,
    ) -> Result<(), Fault> {
        tracing::error!("breaker {word:?} of stage {stage} begins anew, its tickets go: {why}");
        execute(tx, FORGET_BREAKER, &[&stage, &word]).await?;
        if let (Ok(stage), Some(scope)) = (StageName::new(stage), scope(word)) {
            let close = Action::Close { scope };
            self.todo.push_back(Todo::Act(stage, close));
        }
        Ok(())
    }

    /// The plan, if the table has one that can be read.
    pub(super) async fn plan(
        &mut self,
        tx: &Transaction<'_>,
        id: PlanId,
    ) -> Result<Option<&mut Carried>, Fault> {
        match self.plans.entry(id) {
            Entry::Occupied(known) => Ok(Some(known.into_mut())),
            Entry::Vacant(room) => Ok(read_or_rest(tx, id).await?.map(|plan| {
                room.insert(Carried {
                    plan,
                    is_new: false,
                    is_touched: false,
                })
            })),
        }
    }

    /// Writes down what has changed.
    pub(super) async fn save(&mut self, tx: &Transaction<'_>) -> Result<(), Fault> {
        for (stage, post) in &mut self.posts {
            let changes = post.board.changes();
            if post.is_touched || changes != Changes::default() {
                save_board(tx, (stage, post), changes, self.setting.now).await?;
            }
        }
        self.save_gates(tx).await?;
        let plans: Vec<&Carried> = self.plans.values().filter(|it| it.is_touched).collect();
        for Carried { plan, is_new, .. } in plans {
            let sql = if *is_new { NEW_PLAN } else { PUT_PLAN };
            let id: Uuid = plan.id.uuid();
            let next = plan.next_at().map(Timestamp::as_micros);
            let is_live = is_live(plan);
            let body = wire::plan::encode(plan);
            execute(tx, sql, &[&id, &next, &is_live, &&*body]).await?;
            if *is_new {
                execute(tx, FORGET_PLANS, &[&(PLANS_MAX as i64)]).await?;
            }
        }
        Ok(())
    }
}

/// Whether the plan is still to hear of something: it is kept, however many are newer. Nothing
/// tells the tickets apart that a queue has given away, so that nothing of them comes to a plan
/// that has ended.
fn is_live(plan: &Plan) -> bool {
    match plan.state {
        State::Running | State::Paused => true,
        State::Ready | State::Stopped(_) | State::Done => {
            plan.selection.source != Source::Queue && plan.counts.out() > 0
        }
    }
}

/// The plan of this id. One that cannot be read rests, and is left for somebody to look at.
async fn read_or_rest(tx: &Transaction<'_>, id: PlanId) -> Result<Option<Plan>, Fault> {
    let query = tx.prepare_cached(PLAN).await?;
    let Some(row) = tx.query_opt(&query, &[&id.uuid()]).await? else {
        return Ok(None);
    };
    match wire::plan::decode(row.try_get(0)?) {
        Ok(plan) => Ok(Some(plan)),
        Err(error) => {
            tracing::error!("release plan {id} rests, it cannot be read: {error}");
            execute(tx, REST, &[&id.uuid()]).await?;
            Ok(None)
        }
    }
}

async fn save_board(
    tx: &Transaction<'_>,
    (stage, post): (&StageName, &mut Post),
    changes: Changes,
    now: Timestamp,
) -> Result<(), Fault> {
    let stage = stage.as_str();
    for breaker in &changes.breakers {
        let body = wire::breaker::encode(breaker);
        let scope = word(breaker.scope);
        execute(tx, PUT_BREAKER, &[&stage, &scope, &&*body]).await?;
    }
    for scope in &changes.forgotten {
        execute(tx, FORGET_BREAKER, &[&stage, &word(*scope)]).await?;
    }
    let roster = wire::breaker::encode_roster(post.board.roster());
    let soonest = now.plus(TICK_MIN);
    let next = post.board.next_at().map(|at| at.max(soonest));
    let next = if post.is_half_held {
        Some(soonest)
    } else {
        next
    };
    let next = next.map(Timestamp::as_micros);
    let is_tripped = !post.board.is_quiet();
    let permits = post.permits.cast_signed();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
        [&stage, &&*roster, &next, &is_tripped, &permits];
    execute(tx, PUT_BOARD, &values).await?;
    post.is_touched = false;
    Ok(())
}

/// A plan's row.
pub(in crate::postgres) fn read_plan(row: &Row) -> Result<Plan, Fault> {
    let body: &[u8] = row.try_get(0)?;
    wire::plan::decode(body).map_err(|error| Fault::row("a release plan", error))
}
