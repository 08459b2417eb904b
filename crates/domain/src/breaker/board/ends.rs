//! What the end of an attempt is to the breakers of its stage.

use super::{Board, Fallout, Setting};
use crate::breaker::action::Action;
use crate::breaker::attempt::{Attempt, End};
use crate::breaker::machine::Breaker;
use crate::breaker::{Scope, State};
use crate::signature::SignatureId;
use crate::ticket::Attempt as Try;
use crate::time::Timestamp;

impl Board {
    /// An attempt at a ticket of the stage has ended.
    pub fn ended(&mut self, attempt: &Attempt, now: Timestamp) -> Fallout {
        self.roster.met(&attempt.version, now);
        let mut actions = Vec::new();
        let prober = self.prober(|name| *name == attempt.name);
        let held_by = match &attempt.end {
            End::Landed | End::Rejected => {
                self.landed(attempt, now, &mut actions);
                None
            }
            End::Failed(signature) => {
                let failed_as = signature.map(Scope::Signature);
                let holds = self.failed(attempt, failed_as, (prober, now), &mut actions);
                let holder = signature.filter(|_| holds);
                holder.or_else(|| signature_of(prober))
            }
            End::Nothing | End::NotRun => {
                let is_run = attempt.end == End::Nothing;
                if let Some(prober) = prober {
                    self.each(prober, now, |it, setting| match is_run {
                        true => it.showed_nothing(setting),
                        false => it.was_not_tried(setting),
                    });
                }
                signature_of(prober)
            }
        };
        Fallout {
            held_by,
            actions: self.advanced(actions, now),
        }
    }

    /// Returns whether the breaker of the way in which it failed holds the ticket.
    fn failed(
        &mut self,
        attempt: &Attempt,
        failed_as: Option<Scope>,
        (prober, now): (Option<Scope>, Timestamp),
        actions: &mut Vec<Action>,
    ) -> bool {
        let probed = prober.filter(|prober| *prober != Scope::Stage);
        let is_old_news = probed.is_some() || self.is_known(attempt, failed_as);
        let mut failed = |it: &mut Breaker, setting: Setting| it.failed(attempt, setting, actions);
        if prober == Some(Scope::Stage) || !is_old_news {
            self.each(Scope::Stage, now, &mut failed);
        }
        let mut holds = false;
        if let Some(scope) = failed_as.filter(|scope| self.makes_room(*scope)) {
            holds = self.each(scope, now, &mut failed).unwrap_or(false);
        }
        if let Some(probed) = probed.filter(|probed| failed_as != Some(*probed)) {
            self.each(probed, now, |it, setting| it.showed_nothing(setting));
        }
        holds
    }

    /// A ticket that fails again, in a way that is being dealt with: whether it is tried by itself
    /// or released with others, that says nothing of the stage.
    fn is_known(&self, attempt: &Attempt, failed_as: Option<Scope>) -> bool {
        let breaker = failed_as.and_then(|scope| self.breaker(scope));
        let is_dealt_with = breaker.is_some_and(|it| !matches!(it.state, State::Closed { .. }));
        is_dealt_with && attempt.name.attempt > Try::FIRST
    }

    /// Either way the stage is at work. But a ticket that was rejected is through and is no proof
    /// for the others: what is held for a failure stays held.
    fn landed(&mut self, attempt: &Attempt, now: Timestamp, actions: &mut Vec<Action>) {
        if !self.is_quiet() {
            self.stage.note_landing(attempt, now);
        }
        let (setting, stage, signatures) = self.parts(now);
        stage.landed(attempt, setting, actions);
        let is_proof = attempt.end == End::Landed;
        for breaker in signatures.values_mut() {
            if is_proof || !breaker.holds() {
                breaker.landed(attempt, setting, actions);
            } else if breaker.is_canary(&attempt.name) {
                breaker.showed_nothing(setting);
            }
        }
    }
}

/// Whose held ticket the canary was.
const fn signature_of(prober: Option<Scope>) -> Option<SignatureId> {
    match prober {
        Some(Scope::Signature(signature)) => Some(signature),
        Some(Scope::Stage) | None => None,
    }
}
