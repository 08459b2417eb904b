//! What whoever carries a plan out asks it and tells it.

use super::{
    By, COUNT_EVERY, Choice, Goal, Plan, RULE, Refusal, State, TicketEnd, Why, selection::Source,
};
use crate::time::Timestamp;
use std::time::Duration;

impl Plan {
    /// How many tickets may be released now.
    pub fn allow(&self, now: Timestamp) -> u64 {
        let goal = self.goals.front().filter(|_| self.state == State::Running);
        goal.map_or(0, |goal| goal.allows(now).min(self.counts.left()))
    }

    /// The release that [`Plan::allow`] speaks of: which tickets, in which order.
    pub fn current(&self) -> Option<&Goal> {
        self.goals.front()
    }

    /// So many were released, in the transaction that asked how many may be.
    ///
    /// # Errors
    /// [`Refusal::TooMany`] when it did not ask: the transaction must be undone.
    pub fn released(&mut self, count: u64, now: Timestamp) -> Result<(), Refusal> {
        let allowed = self.allow(now);
        if count > allowed {
            let asked = count;
            return Err(Refusal::TooMany { asked, allowed });
        }
        if let Some(goal) = self.goals.front_mut().filter(|_| count > 0) {
            goal.release(count, now);
            self.counts.released += count;
            self.moved_at = now;
        }
        Ok(())
    }

    /// The books find no more tickets of the current release than it has released: somebody else
    /// moved the others.
    pub fn exhausted(&mut self, now: Timestamp) {
        if let Some(goal) = self.goals.front_mut() {
            let missing = goal.left();
            goal.count = goal.released;
            self.counts.lose(missing);
            self.go_on(now);
        }
    }

    /// The next attempt at a ticket that the plan had released has ended, or never comes. To be
    /// told once for each.
    pub fn ended(&mut self, end: &TicketEnd, now: Timestamp) {
        if self.counts.out() == 0 {
            return;
        }
        self.moved_at = now;
        // Whoever released it from a wait wanted it to land; of a queue it is as good as any.
        let end = match (end, self.selection.source) {
            (TicketEnd::Rejected, Source::Queue) => &TicketEnd::Landed,
            (TicketEnd::Rejected, _) => &TicketEnd::Failed(None),
            (end, _) => end,
        };
        let mut rule = None;
        if let Some(goal) = self.goals.front_mut() {
            rule = heed(goal, end);
        }
        match end {
            TicketEnd::Landed => self.counts.landed += 1,
            TicketEnd::Failed(_) | TicketEnd::Rejected => self.counts.failed += 1,
            TicketEnd::Undecided => self.counts.undecided += 1,
        }
        match rule {
            Some(why) => self.break_off(why, now),
            None => self.go_on(now),
        }
    }

    /// Somebody else moved tickets of the selection that the plan had not come to.
    pub fn gone(&mut self, count: u64, now: Timestamp) {
        self.counts.lose(count);
        self.go_on(now);
    }

    /// Whether these tickets may be given up. [`Plan::dropped`] says how many were.
    ///
    /// # Errors
    /// [`Refusal`] when there is no reason, or they are being released.
    pub fn drop_of(&mut self, choice: &Choice, reason: &str, by: By) -> Result<(), Refusal> {
        if reason.trim().is_empty() {
            return Err(Refusal::NoReason);
        }
        match &self.state {
            State::Done => return Err(Refusal::Done),
            State::Stopped(Why::Superseded(by)) => return Err(Refusal::Superseded(*by)),
            State::Ready | State::Running | State::Paused | State::Stopped(_) => {}
        }
        self.is_of_books()?;
        if let Some(goal) = self.goals.iter().find(|goal| goal.choice.overlaps(choice)) {
            return Err(Refusal::Already(goal.choice.clone()));
        }
        self.trail.note(by, &format!("dropped {choice}: {reason}"));
        Ok(())
    }

    /// So many were given up.
    pub fn dropped(&mut self, count: u64, now: Timestamp) {
        self.counts.drop_some(count);
        self.go_on(now);
    }

    /// The books were counted: so many tickets of the selection are left, and so many that the
    /// plan had released have not ended an attempt since.
    pub fn counted(&mut self, left: u64, out: u64, now: Timestamp) {
        self.counts.correct(left, out);
        self.moved_at = now;
        self.go_on(now);
    }

    /// When there is something to do next: to release, or to count the books ([`Plan::counted`])
    /// if [`Plan::allow`] answers 0 then. What is in the past is due now.
    pub fn next_at(&self) -> Option<Timestamp> {
        let goal = self.current().filter(|_| self.state == State::Running)?;
        let can_release = goal.step_left().min(self.counts.left()) > 0;
        match (can_release, goal.terms.rate) {
            (true, None) => Some(self.moved_at),
            (true, Some(_)) => Some(goal.paid_until),
            (false, _) => Some(self.moved_at.plus(COUNT_EVERY)),
        }
    }

    /// When it will be done, by its rate and by what was seen so far; `None` when nobody can tell.
    pub fn estimate(&self, now: Timestamp) -> Option<Timestamp> {
        let mut goals = self.goals.iter().filter(|_| self.state == State::Running);
        let first = goals.next()?.takes(self.counts.out(), now)?;
        let behind = goals.map(|goal| goal.takes(0, now));
        let behind: Duration = behind.sum::<Option<Duration>>()?;
        Some(now.plus(first + behind))
    }

    /// Whether the rest may go at once: a stage whose queue it releases can be opened.
    pub fn is_wide_open(&self) -> bool {
        let is_last = |goal: &Goal| goal.step_size().is_none() && goal.terms.rate.is_none();
        let is_running = self.state == State::Running;
        is_running && self.selection.source == Source::Queue && self.current().is_some_and(is_last)
    }

    fn break_off(&mut self, why: Why, now: Timestamp) {
        let by = By { who: RULE, at: now };
        // Only a plan that is at work has goals, so it is not refused.
        self.halt(why, by).ok();
    }

    /// Takes the next step, the next release, or the end, once everything that is out has ended.
    fn go_on(&mut self, now: Timestamp) {
        if matches!(self.state, State::Stopped(_)) || self.counts.out() > 0 {
            return;
        }
        while let Some(goal) = self.goals.front_mut() {
            let is_over = goal.left() == 0 || self.counts.left() == 0;
            if !is_over && goal.step_left() > 0 {
                return;
            }
            if !is_over && goal.is_barren() {
                let released = goal.step.released;
                return self.break_off(Why::Barren { released }, now);
            }
            if !is_over {
                return goal.begin_step(goal.step.number + 1, now);
            }
            self.goals.pop_front();
            if let Some(next) = self.goals.front_mut() {
                next.begin_step(0, now);
            }
        }
        self.state = match self.counts.left() {
            0 => State::Done,
            _ => State::Ready,
        };
    }
}

/// Takes an end into account; returns why the release stops, if it does.
fn heed(goal: &mut Goal, end: &TicketEnd) -> Option<Why> {
    goal.step.ended += 1;
    match end {
        TicketEnd::Landed => {
            goal.step.landed += 1;
            goal.sample.landed();
        }
        TicketEnd::Failed(signature) => {
            goal.step.failed += 1;
            goal.sample.failed();
            if let Some(same) = signature.filter(|it| goal.terms.stop.same == Some(*it)) {
                return Some(Why::Returned(same));
            }
        }
        TicketEnd::Undecided | TicketEnd::Rejected => {}
    }
    let sample = &goal.sample;
    sample.breaks(&goal.terms.stop).then(|| Why::Share {
        failed: sample.failures(),
        of: sample.len,
    })
}
