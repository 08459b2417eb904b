//! How a breaker's tickets are released.

use super::action::Action;
use super::attempt::Attempt;
use super::machine::{Breaker, Setting};
use super::state::{Proof, State};
use super::{Scope, words};
use crate::plan::{self, PlanId, Ramp, StopRule, Terms, Why};
use crate::time::Timestamp;

/// Too many failures, after a repair: beside the one that was repaired there may be others, and
/// those have breakers of their own.
const REPAIRED_PERCENT_MAX: u8 = 20;
/// Too many failures, of a kind that comes and goes.
const HEALED_PERCENT_MAX: u8 = 50;

/// On which terms these tickets are released after this proof.
pub(super) fn terms(scope: Scope, proof: Proof) -> Terms {
    let share = |percent_max| StopRule {
        percent_max,
        ..StopRule::default()
    };
    let (ramp, stop) = match (scope, proof) {
        // Its canary was the first step, and its own breaker sees when many in a row fail: a share
        // of poison among its tickets must not keep all others from running.
        (Scope::Stage, _) => (Ramp::of(&[10, 100]), share(100)),
        (Scope::Signature(_), Proof::Healed) => (Ramp::default(), share(HEALED_PERCENT_MAX)),
        (Scope::Signature(signature), Proof::Repaired) => {
            let same = Some(signature);
            let stop = StopRule {
                same,
                ..share(REPAIRED_PERCENT_MAX)
            };
            (Ramp::default(), stop)
        }
    };
    Terms {
        ramp,
        stop,
        ..Terms::default()
    }
}

impl Breaker {
    pub(super) fn stop_plan(&self, actions: &mut Vec<Action>) {
        if let State::Releasing {
            plan: Some(plan), ..
        } = &self.state
        {
            let why = match self.scope {
                Scope::Stage => Why::StageFails,
                Scope::Signature(signature) => Why::Returned(signature),
            };
            actions.push(Action::StopPlan { plan: *plan, why });
        }
    }

    pub(super) fn release(
        &mut self,
        since: Timestamp,
        landing: &Attempt,
        actions: &mut Vec<Action>,
    ) {
        let has_failed = self.failed_on.contains(&landing.version);
        let proof = match has_failed {
            true => Proof::Healed,
            false => Proof::Repaired,
        };
        self.failed_on.retain(|it| *it != landing.version);
        self.row_since = None;
        self.state = State::Releasing {
            since,
            proof,
            proven_at: landing.span.ended_at,
            plan: None,
            clues: Vec::new(),
        };
        self.start_plan(proof, actions);
    }

    fn start_plan(&self, proof: Proof, actions: &mut Vec<Action>) {
        actions.push(Action::StartPlan {
            scope: self.scope,
            avoid: self.failed_on.clone(),
            terms: terms(self.scope, proof),
        });
    }

    pub(super) fn plan_made(&mut self, made: PlanId) {
        if let State::Releasing { plan, .. } = &mut self.state {
            *plan = Some(made);
        }
    }

    /// Its plan is in this state, and so many tickets are held that the plan did not know.
    pub(super) fn plan_is(
        &mut self,
        (id, state): (PlanId, &plan::State),
        left_behind: u64,
        setting: Setting,
        actions: &mut Vec<Action>,
    ) {
        let is_stopped_by_hand = matches!(
            self.state,
            State::Open {
                next_probe: None,
                ..
            }
        );
        if is_stopped_by_hand && *state == plan::State::Done && left_behind == 0 {
            // The person has released its tickets after all, or given them up.
            return self.close(actions);
        }
        let State::Releasing { plan, proof, .. } = &mut self.state else {
            return;
        };
        let proof = *proof;
        if *plan != Some(id) {
            return;
        }
        match state {
            plan::State::Ready | plan::State::Running | plan::State::Paused => {}
            plan::State::Done if left_behind > 0 => {
                *plan = None;
                self.start_plan(proof, actions);
            }
            plan::State::Done => self.close(actions),
            plan::State::Stopped(Why::Superseded(by)) => *plan = Some(*by),
            plan::State::Stopped(why) => {
                self.open(words::stopped(why), setting, actions);
                // Whoever stopped it does not want it to begin again by itself.
                if let (Why::Person(_), State::Open { next_probe, .. }) = (why, &mut self.state) {
                    *next_probe = None;
                }
            }
        }
    }
}
