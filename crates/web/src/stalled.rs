//! Repairs that go no further until a person acts: a breaker waits for the end of a release plan,
//! and that plan is paused, or somebody is to release the rest of it.

use crate::site::Site;
use domain::breaker::State;
use domain::explain::Explanation;
use domain::plan::{self, Plan, PlanId};
use domain::ports::{StoreError, Tripped};

/// How many plans are looked at for one answer. So many are never released at once in a house where
/// people read what is held; of those beyond it is said that they go on by themselves.
const PLANS_MAX: usize = 64;

/// The release plans for whose end breakers wait, and which wait for a person.
pub(crate) struct Stalled(Vec<Rest>);

/// One of them.
pub(crate) struct Rest {
    pub(crate) plan: Plan,
    /// What a person does to it, so that it goes on: the verb of `goaround plan`.
    pub(crate) verb: &'static str,
}

impl Stalled {
    /// Those of these breakers.
    pub(crate) async fn of(site: &Site, tripped: &[Tripped]) -> Result<Self, StoreError> {
        let mut rests = Vec::new();
        for id in tripped.iter().filter_map(plan_of).take(PLANS_MAX) {
            let plan = site.parts.plans.plan(id).await?;
            rests.extend(plan.and_then(Rest::of));
        }
        Ok(Self(rests))
    }

    /// The one that this breaker waits for.
    pub(crate) fn find(&self, tripped: &Tripped) -> Option<&Rest> {
        let id = plan_of(tripped)?;
        self.0.iter().find(|rest| rest.plan.id == id)
    }
}

impl Rest {
    /// A plan that is stopped or done is none that a breaker waits for, and one of which nothing is
    /// left ends by itself.
    fn of(plan: Plan) -> Option<Self> {
        if plan.counts.left() == 0 {
            return None;
        }
        let verb = match plan.state {
            plan::State::Paused => "resume",
            plan::State::Ready => "release",
            plan::State::Running | plan::State::Stopped(_) | plan::State::Done => return None,
        };
        Some(Self { plan, verb })
    }

    /// How somebody makes it go on.
    pub(crate) fn command(&self) -> String {
        format!("goaround plan {} {}", self.verb, self.plan.id)
    }

    /// What comes next for its tickets.
    pub(crate) fn then(&self) -> String {
        let (id, state) = (self.plan.id, self.plan.state.as_str());
        format!(
            "nothing goes until release plan {id}, which is {state}, is {}d: {}",
            self.verb,
            self.command()
        )
    }

    /// The same explanation of one of its tickets, with who has to act.
    pub(crate) fn explain(&self, mut explanation: Explanation) -> Explanation {
        let ticket = match explanation.reason {
            Some(_) => "ticket retry, cancel or drop",
            // Only what waits can be retried.
            None => "ticket cancel or drop",
        };
        explanation.then = self.then();
        explanation.who_may_change = format!("an operator by plan {}, {ticket}", self.verb);
        explanation
    }
}

/// The plan for whose end a breaker waits.
pub(crate) const fn plan_of(tripped: &Tripped) -> Option<PlanId> {
    match &tripped.breaker.state {
        State::Releasing { plan, .. } => *plan,
        State::Closed { .. } | State::Open { .. } | State::Probing { .. } => None,
    }
}
