//! What people see of breakers and release plans, and what they may do about them.

use super::StoreError;
use crate::breaker::{Breaker, Scope};
use crate::filter::Query;
use crate::names::{StageName, Version};
use crate::plan::{Choice, Plan, PlanId, Refusal, Terms};
use async_trait::async_trait;

/// The most plans of one list.
pub const PLANS_MAX: usize = 1_000;

/// A breaker that has something to tell, as the books have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tripped {
    /// At which stage.
    pub stage: StageName,
    /// The breaker.
    pub breaker: Breaker,
    /// How many tickets wait behind it. Of a signature: those that are held for its repair. Of a
    /// stage whose gate is shut: those in its queue, the canary among them until it is started;
    /// none of a stage that takes deliveries. What its signatures hold is theirs alone.
    pub held: u64,
    /// What its tickets fail of, as the report of its newest failure says, wherever that ticket is
    /// by now; empty when that report is forgotten.
    pub value: String,
    /// The newest version that serves the stage.
    pub newest: Option<Version>,
}

impl Tripped {
    /// The breaker of its whole stage, if `all` has it and it is probed first.
    pub fn behind<'a>(&self, all: &'a [Self]) -> Option<&'a Breaker> {
        let of_stage = all.iter().filter(|it| it.stage == self.stage);
        let mut breakers = of_stage.map(|it| &it.breaker);
        breakers.find(|stage| self.breaker.then_behind(stage).is_some())
    }
}

/// What somebody wants of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanOrder {
    /// Release these, on these terms; `None` are the plan's own.
    Release(Choice, Option<Terms>),
    /// Release nothing until it is resumed.
    Pause,
    /// Go on.
    Resume,
    /// Release nothing any more.
    Stop,
    /// Give these up, for this reason.
    Drop(Choice, String),
}

/// Why a plan is not as somebody wanted it.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// There is none of this id.
    #[error("no such plan: {0}; goaround plan list shows them")]
    Unknown(PlanId),
    /// It cannot be done now.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store could not tell.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Breakers and release plans.
#[async_trait]
pub trait Plans: Send + Sync {
    /// The breakers that are not quiet; all stages if none is named.
    async fn tripped(&self, stage: Option<StageName>) -> Result<Vec<Tripped>, StoreError>;
    /// The canary of a breaker goes now, without waiting for its time; `false` if there is no such
    /// breaker.
    async fn probe(&self, stage: &StageName, scope: Scope) -> Result<bool, StoreError>;
    /// The newest plans, newest first; at most [`PLANS_MAX`].
    async fn plans(&self) -> Result<Vec<Plan>, StoreError>;
    /// One plan.
    async fn plan(&self, id: PlanId) -> Result<Option<Plan>, StoreError>;
    /// Freezes the waiting tickets that match into a plan; nothing is released yet.
    async fn make(&self, query: Query, terms: Terms, by: &str) -> Result<Plan, StoreError>;
    /// Does something with a plan; returns what it is then. It is one transaction, but for a drop
    /// of very many, which may be several: one that is broken off in between can be given again.
    ///
    /// # Errors
    /// [`PlanError`]; but for such a drop, nothing has changed then.
    async fn order(&self, id: PlanId, order: PlanOrder, by: &str) -> Result<Plan, PlanError>;
}
