//! How a breaker probes: when a canary goes, and what becomes of it.

use super::Scope;
use super::action::{Action, Probe};
use super::machine::{Breaker, Setting};
use super::rules::Rules;
use super::state::{Canary, Haste, State};
use crate::ticket::Name;
use crate::time::Timestamp;
use std::time::Duration;

impl Breaker {
    /// The canary ended in a way that shows nothing; an attempt was made all the same.
    pub(super) fn showed_nothing(&mut self, setting: Setting) {
        if let State::Probing { since, .. } = self.state {
            self.wait_on(since, setting.next_probe());
        }
    }

    /// The canary was too late to be run. It is through, so the next one goes at once: where many
    /// are too late, one in each interval would be fewer than come in, and none would ever be run.
    pub(super) fn was_not_tried(&mut self, setting: Setting) {
        if let State::Probing { since, .. } = self.state {
            self.wait_on(since, setting.now);
        }
    }

    /// The canary is not out any more, and nobody knows more.
    pub(super) fn lost(&mut self, number: u64, setting: Setting) {
        if let State::Probing { since, canary } = &self.state
            && canary.number == number
        {
            let next = canary.sent_at.plus(setting.rules.probe());
            self.wait_on(*since, next.max(setting.now));
        }
    }

    pub(super) fn probed_nobody(&mut self, number: u64, actions: &mut Vec<Action>) {
        let is_asked = self.canary().is_some_and(|canary| canary.number == number);
        // A stage's canary may still come to its queue.
        if is_asked && self.scope != Scope::Stage {
            self.close(actions);
        }
    }

    pub(super) fn still_out(&mut self, number: u64, now: Timestamp) {
        if let State::Probing { canary, .. } = &mut self.state
            && canary.number == number
        {
            canary.asked_at = now;
        }
    }

    pub(super) fn sent(&mut self, number: u64, name: Name) {
        if let State::Probing { canary, .. } = &mut self.state
            && canary.number == number
        {
            canary.name = Some(name);
        }
    }

    /// A version serves the stage that is newer than all that failed, and has had no canary.
    fn is_untested(&self, setting: Setting) -> bool {
        let wanted = setting.roster.wanted();
        wanted.is_some_and(|it| it.number > self.tried)
    }

    fn may_hurry(&self, setting: Setting) -> bool {
        self.haste.count < Self::HASTE_MAX || setting.now >= self.calms_at(setting)
    }

    fn calms_at(&self, setting: Setting) -> Timestamp {
        self.haste.since.plus(setting.rules.probe())
    }

    /// Sends a canary, or asks for the one that is out, if it is time.
    pub(super) fn advance(&mut self, setting: Setting) -> Option<Action> {
        match &mut self.state {
            State::Open { since, next_probe } => {
                let since = *since;
                let is_due = next_probe.is_some_and(|at| at <= setting.now);
                if is_due {
                    return Some(self.probe(since, setting));
                }
                if self.is_untested(setting) && self.may_hurry(setting) {
                    self.hurry(setting);
                    return Some(self.probe(since, setting));
                }
                None
            }
            State::Probing { canary, .. } => {
                if setting.now < canary.asked_at.plus(setting.rules.probe()) {
                    return None;
                }
                canary.asked_at = setting.now;
                let (scope, canary) = (self.scope, canary.clone());
                Some(Action::Check { scope, canary })
            }
            State::Closed { .. } | State::Releasing { .. } => None,
        }
    }

    fn hurry(&mut self, setting: Setting) {
        if setting.now >= self.calms_at(setting) {
            let since = setting.now;
            self.haste = Haste { since, count: 0 };
        }
        self.haste.count += 1;
    }

    fn probe(&mut self, since: Timestamp, setting: Setting) -> Action {
        let wanted = setting.roster.wanted();
        self.tried = self.tried.max(wanted.map_or(0, |it| it.number));
        self.probes += 1;
        let wants = setting.wanted();
        let avoid = self
            .failed_on
            .iter()
            .filter(|it| Some(*it) != wants.as_ref());
        let probe = Probe {
            scope: self.scope,
            number: self.probes,
            avoid: avoid.cloned().collect(),
            wants: wants.clone(),
        };
        let canary = Canary {
            number: self.probes,
            name: None,
            wants,
            sent_at: setting.now,
            asked_at: setting.now,
        };
        self.state = State::Probing { since, canary };
        Action::Probe(probe)
    }

    /// When [`Breaker::advance`] has something to do that time alone brings.
    pub(super) fn next_at(&self, setting: Setting) -> Option<Timestamp> {
        match &self.state {
            State::Open { next_probe, .. } => {
                let hurries = self.is_untested(setting).then(|| self.calms_at(setting));
                [*next_probe, hurries].into_iter().flatten().min()
            }
            State::Probing { canary, .. } => Some(canary.asked_at.plus(setting.rules.probe())),
            // To forget what has not come back.
            State::Closed { .. } => {
                let newest = self.newest_clue();
                newest.map(|at| at.plus(Rules::WINDOW).plus(Duration::from_micros(1)))
            }
            State::Releasing { .. } => None,
        }
    }
}
