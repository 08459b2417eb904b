//! What people see of breakers and release plans, and what they may do about them.

use super::Memory;
use super::state::State;
use async_trait::async_trait;
use domain::books::Place;
use domain::breaker::{Breaker, Scope};
use domain::filter::Query;
use domain::names::StageName;
use domain::oops::OopsId;
use domain::plan::{By, Choice, Plan, PlanId, Release, Terms};
use domain::ports::{PLANS_MAX, PlanError, PlanOrder, Plans, StoreError, Tripped};
use domain::time::Timestamp;

#[async_trait]
impl Plans for Memory {
    async fn tripped(&self, stage: Option<StageName>) -> Result<Vec<Tripped>, StoreError> {
        self.read(|state| {
            let boards = state.boards.iter();
            let boards = boards.filter(|(name, _)| stage.as_ref().is_none_or(|it| it == *name));
            boards.flat_map(|(name, _)| state.tripped(name)).collect()
        })
    }

    async fn probe(&self, stage: &StageName, scope: Scope) -> Result<bool, StoreError> {
        self.write(|state, now| {
            let board = state.boards.get(stage);
            let is_there = board.is_some_and(|board| board.breakers().any(|it| it.scope == scope));
            if is_there {
                state.with_board(stage, now, |board| board.ask(scope, now));
            }
            is_there
        })
    }

    async fn plans(&self) -> Result<Vec<Plan>, StoreError> {
        self.read(|state| {
            state
                .plans
                .values()
                .rev()
                .take(PLANS_MAX)
                .cloned()
                .collect()
        })
    }

    async fn plan(&self, id: PlanId) -> Result<Option<Plan>, StoreError> {
        self.read(|state| state.plans.get(&id).cloned())
    }

    async fn make(&self, query: Query, terms: Terms, by: &str) -> Result<Plan, StoreError> {
        self.write(|state, at| state.make_plan(&query, terms, By { who: by, at }, PLANS_MAX))
    }

    async fn order(&self, id: PlanId, order: PlanOrder, by: &str) -> Result<Plan, PlanError> {
        self.write(|state, at| state.order_plan(id, order, By { who: by, at }))?
    }
}

impl State {
    fn tripped(&self, stage: &StageName) -> Vec<Tripped> {
        let Some(board) = self.boards.get(stage) else {
            return Vec::new();
        };
        let newest = board.roster().wanted().map(|it| it.version.clone());
        let one = |breaker: &Breaker| {
            let held = match breaker.scope {
                Scope::Stage if breaker.holds() => self.behind_gate(stage),
                Scope::Stage => 0,
                scope @ Scope::Signature(_) => self.held_by(stage, scope).len() as u64,
            };
            Tripped {
                stage: stage.clone(),
                breaker: breaker.clone(),
                held,
                value: self.value_of(breaker),
                newest: newest.clone(),
            }
        };
        board.breakers().map(one).collect()
    }

    /// How many are in the queue of the stage.
    fn behind_gate(&self, stage: &StageName) -> u64 {
        let entries = self.rows.values().map(|row| &row.entry);
        let at_stage = entries.filter(|entry| entry.ticket.stage == *stage);
        let queued = at_stage.filter(|entry| matches!(entry.place, Place::Runnable { .. }));
        queued.count() as u64
    }

    /// What the report of its newest failure says.
    fn value_of(&self, breaker: &Breaker) -> String {
        let newest = breaker.last_failed.map(|name| OopsId::of(&name));
        let report = newest.and_then(|oops| self.oopses.get(&oops));
        report.map_or_else(String::new, |report| {
            let failure = &report.failure;
            let line = failure.message.lines().next().unwrap_or_default();
            format!("{}: {line}", failure.error_type)
        })
    }

    fn order_plan(&mut self, id: PlanId, order: PlanOrder, by: By) -> Result<Plan, PlanError> {
        let mut plan = self.plans.get(&id).cloned().ok_or(PlanError::Unknown(id))?;
        match order {
            PlanOrder::Release(choice, terms) => {
                let (left, out) = self.left_and_out(&plan);
                plan.counted(left, out, by.at);
                let count = self.left_of(&plan, &choice).len() as u64;
                let release = Release {
                    choice,
                    count,
                    terms,
                };
                plan.release(release, by)?;
            }
            PlanOrder::Pause => plan.pause(by)?,
            PlanOrder::Resume => plan.resume(by)?,
            PlanOrder::Stop => plan.stop(by)?,
            PlanOrder::Drop(choice, reason) => {
                plan.drop_of(&choice, &reason, by)?;
                let count = self.drop_all(&plan, (&choice, &reason), by);
                plan.dropped(count, by.at);
            }
        }
        self.plans.insert(id, plan.clone());
        self.attention = true;
        self.move_gate(&plan, by.at);
        self.tell_board(id, by.at);
        self.plans.get(&id).cloned().ok_or(PlanError::Unknown(id))
    }

    fn drop_all(&mut self, plan: &Plan, (choice, reason): (&Choice, &str), by: By) -> u64 {
        let left = self.left_of(plan, choice);
        for id in &left {
            let was = self.rows.get(id).map(|row| row.entry.ticket.clone());
            self.end_dropped(*id, reason.to_owned(), by.who, by.at);
            if let Some(was) = was {
                self.free_key(&was, by.at);
            }
        }
        left.len() as u64
    }
}

impl State {
    /// When a breaker or a plan has something to do next.
    pub(super) fn next_repair(&self) -> Option<Timestamp> {
        let boards = self.boards.values().filter_map(|board| board.next_at());
        let plans = self.plans.values().filter_map(Plan::next_at);
        boards.chain(plans).min()
    }
}
