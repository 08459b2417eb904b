//! One breaker.

use super::action::Action;
use super::attempt::Attempt;
use super::roster::Roster;
use super::rules::Rules;
use super::state::{Canary, Clue, Haste, Proof, State};
use super::{Scope, words};
use crate::names::Version;
use crate::ticket::Name;
use crate::time::Timestamp;

/// A breaker, as it is kept. The fields are public so that stores keep it as one row and pages
/// show it; only a [`Board`](super::Board) changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Whose tickets it is about.
    pub scope: Scope,
    /// What it does with them.
    pub state: State,
    /// The versions that failed so since it was last quiet, the last one to be heard of last.
    pub failed_on: Vec<Version>,
    /// How many failures it has heard of since it was last quiet.
    pub failures: u64,
    /// The newest announcement of the stage that has failed, or was sent a canary.
    pub tried: u64,
    /// How many canaries it has ever sent.
    pub probes: u64,
    /// The canaries that announcements have sent lately.
    pub haste: Haste,
    /// Of the newest failure that it has heard of since it was last quiet: the report of that
    /// attempt says what its tickets fail of, wherever they are by now.
    pub last_failed: Option<Name>,
    /// Of a stage, when the newest landing ended of those that were heard of while something had
    /// failed there: by its worker's clock, and not later than it was heard of.
    ///
    /// Ends are heard of out of order: a failure is reported before it is told, a landing is told
    /// at once. What ended before this landing was not in a row with what came after it, whenever
    /// it is heard of. The clocks of several workers differ a little, which does no harm: one that
    /// is ahead keeps the failures of the others from counting for as long as it is ahead, one that
    /// is behind its own, and only while landings are heard of. Either way a stage where nothing
    /// lands opens that much later, and one where something lands does not open for it.
    pub landed_at: Option<Timestamp>,
    /// Of a stage that is held, when the first of the failures ended that were taken for a row.
    pub row_since: Option<Timestamp>,
}

/// What a breaker needs to know beside what happened.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) rules: &'a Rules,
    pub(super) roster: &'a Roster,
    pub(super) now: Timestamp,
}

impl Setting<'_> {
    pub(super) fn next_probe(&self) -> Timestamp {
        self.now.plus(self.rules.probe())
    }

    pub(super) fn wanted(&self) -> Option<Version> {
        self.roster.wanted().map(|it| it.version.clone())
    }
}

impl Breaker {
    /// The most versions that one is held against; the oldest are forgotten.
    pub const VERSIONS_MAX: usize = 16;
    /// The most canaries that announcements send within a probe interval. A fleet whose versions
    /// come and go with every crash must not turn each of them into an attempt.
    pub const HASTE_MAX: u32 = 4;

    pub(super) const fn new(scope: Scope) -> Self {
        Self {
            scope,
            state: State::quiet(),
            failed_on: Vec::new(),
            failures: 0,
            tried: 0,
            probes: 0,
            haste: Haste {
                since: Timestamp::EPOCH,
                count: 0,
            },
            last_failed: None,
            landed_at: None,
            row_since: None,
        }
    }

    /// Whether its tickets wait.
    pub const fn holds(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::Probing { .. })
    }

    /// Whether it has nothing to remember.
    pub fn is_quiet(&self) -> bool {
        matches!(&self.state, State::Closed { clues } if clues.is_empty())
    }

    /// Whether there is anything of it that a store must keep.
    pub(super) fn is_blank(&self) -> bool {
        self.is_quiet() && self.landed_at.is_none()
    }

    /// The ticket that is tried, if one is.
    pub const fn canary(&self) -> Option<&Canary> {
        match &self.state {
            State::Probing { canary, .. } => Some(canary),
            State::Closed { .. } | State::Open { .. } | State::Releasing { .. } => None,
        }
    }

    pub(super) fn is_canary(&self, name: &Name) -> bool {
        self.canary()
            .is_some_and(|canary| canary.name.as_ref() == Some(name))
    }

    /// An attempt failed so. Returns whether its ticket is to wait here.
    pub(super) fn failed(
        &mut self,
        attempt: &Attempt,
        setting: Setting,
        actions: &mut Vec<Action>,
    ) -> bool {
        let is_canary = self.is_canary(&attempt.name);
        let version = &attempt.version;
        self.forget_old(setting.now);
        self.last_failed = Some(attempt.name);
        match &mut self.state {
            State::Closed { .. } => self.count(attempt, setting, actions),
            State::Open { .. } => self.blame(version, setting),
            State::Probing { since, .. } => {
                let since = *since;
                self.blame(version, setting);
                if is_canary {
                    self.wait_on(since, setting.next_probe());
                }
            }
            State::Releasing { proven_at, .. } if attempt.span.started_at <= *proven_at => {
                return false;
            }
            // Not the version that was proven, which is none of these any more.
            State::Releasing { .. } if self.failed_on.contains(version) => return true,
            State::Releasing { proof, .. } => {
                // What comes and goes is left to the plan, which sees how much of it there is.
                if *proof == Proof::Repaired || self.scope == Scope::Stage {
                    self.count(attempt, setting, actions);
                }
            }
        }
        self.holds()
    }

    /// Failures of long ago do not count any more.
    pub(super) fn forget_old(&mut self, now: Timestamp) {
        if let State::Closed { clues } = &mut self.state {
            let before = clues.len();
            clues.retain(|clue| now.since(clue.at) <= Rules::WINDOW);
            if clues.is_empty() && before > 0 {
                self.forget();
            }
        }
    }

    /// When the newest failure that it remembers ended, while it is closed.
    pub(super) fn newest_clue(&self) -> Option<Timestamp> {
        match &self.state {
            State::Closed { clues } => clues.iter().map(|clue| clue.at).max(),
            State::Open { .. } | State::Probing { .. } | State::Releasing { .. } => None,
        }
    }

    /// Counts a failure, and opens when there are enough.
    fn count(&mut self, attempt: &Attempt, setting: Setting, actions: &mut Vec<Action>) {
        if self.is_outdated(attempt) {
            return;
        }
        let rules = setting.rules;
        let (clues, enough, is_new) = match &mut self.state {
            State::Closed { clues } => (clues, rules.opens_at(self.scope), true),
            State::Releasing { clues, .. } => (clues, rules.reopens_at(self.scope), false),
            State::Open { .. } | State::Probing { .. } => return,
        };
        let at = attempt.span.ended_at.min(setting.now);
        if !remember(clues, self.scope, attempt.name, at) {
            return;
        }
        let is_enough = clues.len() >= enough;
        let row_since = clues.iter().map(|clue| clue.at).min();
        // The version that was proven is not given up for less than it takes to hold it again.
        if is_new || is_enough {
            self.blame(&attempt.version, setting);
        }
        if is_enough {
            self.stop_plan(actions);
            let why = words::opened(self);
            self.open(why, setting, actions);
            self.row_since = row_since;
        }
    }

    /// Whether the stage has landed since, as far as that was heard of.
    fn is_outdated(&self, failure: &Attempt) -> bool {
        let is_stage = self.scope == Scope::Stage;
        let is_before = |landed: Timestamp| failure.span.ended_at < landed;
        is_stage && self.landed_at.is_some_and(is_before)
    }

    /// Of a stage: somebody has landed there.
    pub(super) fn note_landing(&mut self, landing: &Attempt, now: Timestamp) {
        let at = landing.span.ended_at.min(now);
        self.landed_at = self.landed_at.max(Some(at));
    }

    pub(super) fn open(&mut self, why: String, setting: Setting, actions: &mut Vec<Action>) {
        self.wait_on(setting.now, setting.next_probe());
        let scope = self.scope;
        actions.push(Action::Hold { scope, why });
    }

    pub(super) fn wait_on(&mut self, since: Timestamp, next_probe: Timestamp) {
        let next_probe = Some(next_probe);
        self.state = State::Open { since, next_probe };
    }

    /// It is held against this version from now on.
    fn blame(&mut self, version: &Version, setting: Setting) {
        self.failures = self.failures.saturating_add(1);
        self.tried = self.tried.max(setting.roster.number(version));
        self.failed_on.retain(|it| it != version);
        if self.failed_on.len() >= Self::VERSIONS_MAX {
            self.failed_on.remove(0);
        }
        self.failed_on.push(version.clone());
    }

    /// Whether a landing on this version shows that it is repaired.
    fn proves(&self, version: &Version, wanted: Option<&Version>) -> bool {
        wanted == Some(version) || !self.failed_on.contains(version)
    }

    /// An attempt landed, of whichever ticket of the stage.
    pub(super) fn landed(
        &mut self,
        attempt: &Attempt,
        setting: Setting,
        actions: &mut Vec<Action>,
    ) {
        let is_canary = self.is_canary(&attempt.name);
        let is_stage = self.scope == Scope::Stage;
        // Of a stage anybody shows it who began when it was held already.
        let shows = |since: Timestamp| is_canary || is_stage && attempt.span.started_at >= since;
        match &mut self.state {
            State::Closed { clues } => {
                let ticket = attempt.name.ticket;
                if is_stage || clues.iter().any(|clue| clue.name.ticket == ticket) {
                    self.forget();
                }
            }
            // Whoever stopped its release does not want it to begin again by what was out by then.
            State::Open {
                next_probe: None, ..
            } => {}
            State::Open { since, .. } if is_stage && refutes(attempt, self.row_since, *since) => {
                self.close(actions);
            }
            State::Open { since, .. } => {
                let since = *since;
                let wanted = setting.wanted();
                if shows(since) && self.proves(&attempt.version, wanted.as_ref()) {
                    self.release(since, attempt, actions);
                }
            }
            State::Probing { since, canary } => {
                let (since, wants) = (*since, canary.wants.clone());
                if shows(since) && self.proves(&attempt.version, wants.as_ref()) {
                    self.release(since, attempt, actions);
                } else if is_canary {
                    self.wait_on(since, setting.next_probe());
                }
            }
            State::Releasing { clues, .. } if is_stage => clues.clear(),
            State::Releasing { .. } => {}
        }
    }

    /// A person wants a canary now.
    pub(super) fn ask(&mut self, now: Timestamp) {
        if let State::Open { next_probe, .. } = &mut self.state {
            *next_probe = Some(now);
        }
    }

    pub(super) fn close(&mut self, actions: &mut Vec<Action>) {
        self.forget();
        let scope = self.scope;
        actions.push(Action::Close { scope });
    }

    /// The number of probes goes on, so that a permit of an earlier time is never taken for one of
    /// this; and the time goes on.
    fn forget(&mut self) {
        *self = Self {
            probes: self.probes,
            landed_at: self.landed_at,
            ..Self::new(self.scope)
        };
    }
}

/// Whether a landing shows that the failures which opened a breaker were not in a row: it ended
/// between them, and is heard of only now.
fn refutes(landing: &Attempt, row_since: Option<Timestamp>, opened_at: Timestamp) -> bool {
    let ended_at = landing.span.ended_at;
    row_since.is_some_and(|first| first < ended_at) && ended_at < opened_at
}

/// Whether this is news: an attempt counts once, and of a stage a ticket counts once.
fn remember(clues: &mut Vec<Clue>, scope: Scope, name: Name, at: Timestamp) -> bool {
    let is_known = clues.iter().any(|clue| match scope {
        Scope::Signature(_) => clue.name == name,
        Scope::Stage => clue.name.ticket == name.ticket,
    });
    if !is_known {
        clues.push(Clue { name, at });
    }
    !is_known
}
