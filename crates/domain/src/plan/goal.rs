//! One release of a plan: so many of a choice, on terms.

use super::sample::Sample;
use super::selection::Choice;
use super::terms::Terms;
use crate::time::Timestamp;
use std::time::Duration;

/// A release that is under way, or in line behind others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Which tickets.
    pub choice: Choice,
    /// How.
    pub terms: Terms,
    /// How many of them there were when it was asked for.
    pub count: u64,
    /// How many were released.
    pub released: u64,
    /// Which step of the ramp, from 0.
    pub step: Step,
    /// Up to when the rate is used up.
    pub paid_until: Timestamp,
    /// How the last ones ended.
    pub sample: Sample,
}

/// A step of the ramp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Which one, from 0.
    pub number: usize,
    /// When it began.
    pub began_at: Timestamp,
    /// Released in it.
    pub released: u64,
    /// Landed in it.
    pub landed: u64,
    /// Failed in it.
    pub failed: u64,
    /// Ended in it, landed or not.
    pub ended: u64,
}

impl Goal {
    pub(super) fn new(choice: Choice, terms: Terms, count: u64) -> Self {
        Self {
            choice,
            terms,
            count,
            released: 0,
            step: Step::default(),
            paid_until: Timestamp::EPOCH,
            sample: Sample::default(),
        }
    }

    /// How many are still to be released.
    pub const fn left(&self) -> u64 {
        self.count.saturating_sub(self.released)
    }

    /// The size of the present step; `None` is all the rest.
    pub fn step_size(&self) -> Option<u64> {
        self.terms.ramp.step(self.step.number)
    }

    /// How many of the present step are still to be released.
    pub(super) fn step_left(&self) -> u64 {
        let left = self.left();
        self.step_size().map_or(left, |size| {
            size.saturating_sub(self.step.released).min(left)
        })
    }

    pub(super) fn allows(&self, now: Timestamp) -> u64 {
        let left = self.step_left();
        match &self.terms.rate {
            Some(rate) => rate.allows(self.paid_until, now).min(left),
            None => left,
        }
    }

    pub(super) fn release(&mut self, count: u64, now: Timestamp) {
        if let Some(rate) = &self.terms.rate {
            self.paid_until = rate.pays(self.paid_until, count, now);
        }
        self.released += count;
        self.step.released += count;
    }

    /// Whether the step has shown only failures so far.
    pub(super) const fn is_barren(&self) -> bool {
        self.step.failed > 0 && self.step.landed == 0
    }

    pub(super) fn begin_step(&mut self, number: usize, now: Timestamp) {
        self.step = Step {
            number,
            began_at: now,
            ..Step::default()
        };
    }

    /// How long the rest will take, by the rate and by what was seen; `None` when nobody can tell.
    pub(super) fn takes(&self, out: u64, now: Timestamp) -> Option<Duration> {
        let by_rate = self.terms.rate.map(|rate| rate.takes(self.left()));
        // The steps before the last are waits for single tickets: they say nothing of the rest.
        let is_last = self.step_size().is_none();
        let seen = is_last.then_some(self.step.ended).filter(|n| *n > 0);
        let by_sight = seen.map(|ended| {
            let each = now.since(self.step.began_at).as_secs_f64() / ended as f64;
            Duration::from_secs_f64(each * (self.left() + out) as f64)
        });
        by_rate.max(by_sight)
    }
}
