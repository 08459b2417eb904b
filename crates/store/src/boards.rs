//! Breakers and release plans as the writer of the books has them: read once, kept in mind, and
//! written with the transaction that changed them. What was rolled back is read again.

use crate::error::Fault;
use crate::rows::parsed;
use domain::breaker::{Board, Breaker, Changes, Roster, Rules, Scope};
use domain::flow::Flows;
use domain::names::StageName;
use domain::plan::{Plan, PlanId, Source, State};
use domain::ports::PLANS_MAX;
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// The scope of a stage's own breaker, as the table has it; no signature is written so.
const STAGE: &str = "";

/// The breakers of a stage.
pub(crate) struct Post {
    pub(crate) stage: StageName,
    pub(crate) board: Board,
}

/// The breakers of all stages, and the plans that have something to do.
#[derive(Default)]
pub(crate) struct Boards {
    is_loaded: bool,
    /// By the rows of their stages.
    posts: HashMap<i64, Post>,
    plans: BTreeMap<PlanId, Plan>,
    touched: BTreeSet<i64>,
    touched_plans: BTreeSet<PlanId>,
    /// Whether the end of a ticket may be news for a plan.
    is_releasing: bool,
}

impl Boards {
    /// Reads what is not in mind. What cannot be read is logged and left out: the line goes on.
    pub(crate) fn load(&mut self, db: &Connection, flows: &Flows) -> Result<(), Fault> {
        if self.is_loaded {
            return Ok(());
        }
        let rosters = rosters(db)?;
        let mut breakers = breakers(db)?;
        let ids: BTreeSet<i64> = rosters.keys().chain(breakers.keys()).copied().collect();
        for id in ids {
            let Some(stage) = stage_name(db, id)? else {
                continue;
            };
            if let Some(rules) = flows.stage(&stage).and_then(|stage| stage.breaker) {
                let roster = rosters.get(&id).cloned().unwrap_or_default();
                let breakers = breakers.remove(&id).unwrap_or_default();
                let board = Board::recalled(rules, roster, breakers);
                self.posts.insert(id, Post { stage, board });
            }
        }
        for plan in live_plans(db)? {
            if !is_live(&plan) {
                // It was, as an older version understood it: to be written anew.
                self.touched_plans.insert(plan.id);
            }
            self.plans.insert(plan.id, plan);
        }
        self.is_loaded = true;
        self.look_for_releases();
        Ok(())
    }

    /// The transaction was undone.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    fn look_for_releases(&mut self) {
        self.is_releasing = self.plans.values().any(hears_of_ends);
    }

    /// Whether a landing at this stage is news for nobody here.
    pub(crate) fn is_quiet(&self, stage: i64) -> bool {
        let post = self.posts.get(&stage);
        post.is_none_or(|post| post.board.is_quiet())
    }

    /// Whether the end of a ticket may be news for a plan.
    pub(crate) const fn is_releasing(&self) -> bool {
        self.is_releasing
    }

    /// The stages that have breakers.
    pub(crate) fn stages(&self) -> BTreeMap<i64, StageName> {
        let posts = self.posts.iter();
        posts.map(|(id, post)| (*id, post.stage.clone())).collect()
    }

    pub(crate) fn stage(&self, id: i64) -> Option<&StageName> {
        self.posts.get(&id).map(|post| &post.stage)
    }

    /// The breakers of a stage, to look at.
    pub(crate) fn at(&self, stage: i64) -> Option<&Board> {
        self.posts.get(&stage).map(|post| &post.board)
    }

    /// The breakers of a stage, to be told something.
    pub(crate) fn tell(&mut self, stage: i64) -> Option<&mut Board> {
        let post = self.posts.get_mut(&stage)?;
        self.touched.insert(stage);
        Some(&mut post.board)
    }

    /// As [`Boards::tell`]; makes the first ones of a stage.
    pub(crate) fn of(&mut self, stage: i64, name: &StageName, rules: Rules) -> &mut Board {
        self.touched.insert(stage);
        let make = || Post {
            stage: name.clone(),
            board: Board::new(rules),
        };
        &mut self.posts.entry(stage).or_insert_with(make).board
    }

    /// The stages whose breakers have something to do by now.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<i64> {
        let posts = self.posts.iter();
        let due = posts.filter(|(_, post)| post.board.next_at().is_some_and(|at| at <= now));
        let mut due: Vec<i64> = due.map(|(id, _)| *id).collect();
        due.sort_unstable();
        due
    }

    /// When a breaker or a plan has something to do next.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        let posts = self.posts.values().filter_map(|post| post.board.next_at());
        let plans = self.plans.values().filter_map(Plan::next_at);
        posts.chain(plans).min()
    }

    /// The plans that have something to do.
    pub(crate) fn live_plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.values()
    }

    /// Does something with a plan, whatever it is doing; `None` when there is no such plan.
    pub(crate) fn with_plan<T>(
        &mut self,
        db: &Connection,
        id: PlanId,
        act: impl FnOnce(&mut Plan) -> T,
    ) -> Result<Option<T>, Fault> {
        let plan = match self.plans.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => match plan(db, id)? {
                Some(plan) => place.insert(plan),
                None => return Ok(None),
            },
        };
        let done = act(plan);
        self.is_releasing |= hears_of_ends(plan);
        self.touched_plans.insert(id);
        Ok(Some(done))
    }

    /// The plan as it is now.
    pub(crate) fn plan(&self, db: &Connection, id: PlanId) -> Result<Option<Plan>, Fault> {
        match self.plans.get(&id) {
            Some(plan) => Ok(Some(plan.clone())),
            None => plan(db, id),
        }
    }

    /// A new plan; the oldest that have nothing to do any more make room for it.
    pub(crate) fn keep(&mut self, db: &Connection, plan: Plan) -> Result<(), Fault> {
        let forgotten = db
            .prepare_cached(
                "DELETE FROM plans WHERE id IN (SELECT id FROM plans WHERE is_live = 0 ORDER BY id
                   LIMIT max(0, (SELECT count(*) FROM plans) - ?1))",
            )?
            .execute([PLANS_MAX as i64 - 1])?;
        if forgotten > 0 {
            db.prepare_cached("DELETE FROM chosen WHERE plan NOT IN (SELECT id FROM plans)")?
                .execute([])?;
        }
        self.is_releasing |= hears_of_ends(&plan);
        self.touched_plans.insert(plan.id);
        self.plans.insert(plan.id, plan);
        // Whoever chooses its tickets finds it there.
        self.save_plans(db)
    }

    /// Whether something is to be written.
    pub(crate) fn is_touched(&self) -> bool {
        !self.touched.is_empty() || !self.touched_plans.is_empty()
    }

    /// Writes what this transaction has changed.
    pub(crate) fn save(&mut self, db: &Connection) -> Result<(), Fault> {
        for id in std::mem::take(&mut self.touched) {
            if let Some(post) = self.posts.get_mut(&id) {
                save_board(db, id, &post.board.changes())?;
            }
        }
        self.save_plans(db)
    }

    fn save_plans(&mut self, db: &Connection) -> Result<(), Fault> {
        let touched = std::mem::take(&mut self.touched_plans);
        if touched.is_empty() {
            return Ok(());
        }
        let mut write = db.prepare_cached(
            "INSERT INTO plans (id, is_live, body) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET is_live = excluded.is_live, body = excluded.body",
        )?;
        for id in touched {
            let Some(plan) = self.plans.get(&id) else {
                continue;
            };
            let is_live = is_live(plan);
            write.execute(params![
                id.uuid().as_bytes(),
                is_live,
                &*wire::plan::encode(plan)
            ])?;
            if plan.state == State::Done {
                db.prepare_cached("DELETE FROM chosen WHERE plan = ?1")?
                    .execute([id.uuid().as_bytes()])?;
            }
            if !is_live {
                self.plans.remove(&id);
            }
        }
        self.look_for_releases();
        Ok(())
    }
}

/// Whether a plan releases, or will when it is resumed.
pub(crate) const fn is_under_way(plan: &Plan) -> bool {
    matches!(plan.state, State::Running | State::Paused)
}

/// Whether a plan has something to do, or to hear. What one has released from a queue nobody can
/// tell from the rest of the queue: once it has stopped, it hears of nothing.
fn is_live(plan: &Plan) -> bool {
    is_under_way(plan) || plan.selection.source != Source::Queue && plan.counts.out() > 0
}

/// Whether the end of a ticket may be news for a plan.
fn hears_of_ends(plan: &Plan) -> bool {
    is_live(plan) && plan.counts.out() > 0
}

fn save_board(db: &Connection, stage: i64, changes: &Changes) -> Result<(), Fault> {
    if let Some(roster) = &changes.roster {
        db.prepare_cached("INSERT OR REPLACE INTO rosters (stage, body) VALUES (?1, ?2)")?
            .execute(params![stage, &*wire::breaker::encode_roster(roster)])?;
    }
    for breaker in &changes.breakers {
        db.prepare_cached(
            "INSERT OR REPLACE INTO breakers (stage, scope, body) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![
            stage,
            scope_text(breaker.scope),
            &*wire::breaker::encode(breaker)
        ])?;
    }
    for scope in &changes.forgotten {
        db.prepare_cached("DELETE FROM breakers WHERE stage = ?1 AND scope = ?2")?
            .execute(params![stage, scope_text(*scope)])?;
    }
    Ok(())
}

fn scope_text(scope: Scope) -> String {
    match scope {
        Scope::Stage => STAGE.into(),
        Scope::Signature(signature) => signature.to_string(),
    }
}

/// The versions of each stage.
pub(crate) fn rosters(db: &Connection) -> Result<HashMap<i64, Roster>, Fault> {
    let mut query = db.prepare_cached("SELECT stage, body FROM rosters")?;
    let mut rows = query.query([])?;
    let mut rosters = HashMap::new();
    while let Some(row) = rows.next()? {
        let stage: i64 = row.get(0)?;
        let body: Vec<u8> = row.get(1)?;
        match wire::breaker::decode_roster(&body) {
            Ok(roster) => {
                rosters.insert(stage, roster);
            }
            Err(error) => tracing::error!(
                stage,
                "the versions of a stage cannot be read and are learnt anew: {error}"
            ),
        }
    }
    Ok(rosters)
}

/// The breakers of each stage.
pub(crate) fn breakers(db: &Connection) -> Result<HashMap<i64, Vec<Breaker>>, Fault> {
    let mut query = db.prepare_cached("SELECT stage, body FROM breakers ORDER BY stage, scope")?;
    let mut rows = query.query([])?;
    let mut breakers: HashMap<i64, Vec<Breaker>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let stage: i64 = row.get(0)?;
        let body: Vec<u8> = row.get(1)?;
        match wire::breaker::decode(&body) {
            Ok(breaker) => breakers.entry(stage).or_default().push(breaker),
            Err(error) => tracing::error!(
                stage,
                "a breaker cannot be read and begins anew, and what it held is tried again: {error}"
            ),
        }
    }
    Ok(breakers)
}

fn live_plans(db: &Connection) -> Result<Vec<Plan>, Fault> {
    read_plans(db, "SELECT body FROM plans WHERE is_live = 1", [])
}

/// The newest plans, newest first.
pub(crate) fn newest_plans(db: &Connection) -> Result<Vec<Plan>, Fault> {
    let query = "SELECT body FROM plans ORDER BY id DESC LIMIT ?1";
    read_plans(db, query, [PLANS_MAX as i64])
}

fn read_plans(
    db: &Connection,
    query: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<Plan>, Fault> {
    let mut query = db.prepare_cached(query)?;
    let mut rows = query.query(values)?;
    let mut plans = Vec::new();
    while let Some(row) = rows.next()? {
        plans.extend(read_plan(&row.get::<_, Vec<u8>>(0)?));
    }
    Ok(plans)
}

/// One plan.
pub(crate) fn plan(db: &Connection, id: PlanId) -> Result<Option<Plan>, Fault> {
    let body: Option<Vec<u8>> = db
        .prepare_cached("SELECT body FROM plans WHERE id = ?1")?
        .query_row([id.uuid().as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(body.and_then(|body| read_plan(&body)))
}

fn read_plan(body: &[u8]) -> Option<Plan> {
    wire::plan::decode(body)
        .inspect_err(|error| {
            tracing::error!("a release plan cannot be read and is left out: {error}");
        })
        .ok()
}

/// The plan that a column names.
pub(crate) fn plan_id(bytes: &[u8]) -> Result<PlanId, Fault> {
    let uuid = Uuid::from_slice(bytes).map_err(|error| Fault::row("a plan's id", error))?;
    Ok(PlanId::new(uuid))
}

fn stage_name(db: &Connection, id: i64) -> Result<Option<StageName>, Fault> {
    let name: Option<String> = db
        .prepare_cached("SELECT name FROM stages WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    name.map(|name| parsed(&name, StageName::new)).transpose()
}
