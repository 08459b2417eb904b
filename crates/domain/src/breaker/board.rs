//! All breakers of one stage, and what they have to do with each other.

mod ends;

use super::action::Action;
use super::machine::{Breaker, Setting};
use super::roster::Roster;
use super::rules::Rules;
use super::{Scope, State};
use crate::names::Version;
use crate::plan::{self, PlanId};
use crate::signature::SignatureId;
use crate::ticket::{Name, TicketId};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The breakers of a stage.
#[derive(Clone, Debug)]
pub struct Board {
    rules: Rules,
    roster: Roster,
    stage: Breaker,
    signatures: BTreeMap<SignatureId, Breaker>,
    kept: Kept,
}

/// What the store has.
#[derive(Clone, Debug)]
struct Kept {
    roster: Roster,
    breakers: BTreeMap<Scope, Breaker>,
}

/// What the store does not have yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The versions, if they have changed.
    pub roster: Option<Roster>,
    /// Breakers that are new or have changed.
    pub breakers: Vec<Breaker>,
    /// Breakers that have nothing to remember any more.
    pub forgotten: Vec<Scope>,
}

/// What the end of an attempt came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fallout {
    /// Its ticket is to wait as held, for this signature, where it would have backed off or been
    /// put off. A ticket that is parked stays parked.
    pub held_by: Option<SignatureId>,
    /// What else is to be done, in this order.
    pub actions: Vec<Action>,
}

impl Board {
    /// The most signatures that are told apart at once on one stage. What fails in yet another way
    /// backs off as if there were no breakers; the stage's own counts it all the same.
    pub const SIGNATURES_MAX: usize = 64;

    /// The breakers of a stage where nothing has failed.
    pub fn new(rules: Rules) -> Self {
        Self::recalled(rules, Roster::default(), Vec::new())
    }

    /// The breakers of a stage as they were kept.
    pub fn recalled(rules: Rules, roster: Roster, breakers: Vec<Breaker>) -> Self {
        let mut stage = Breaker::new(Scope::Stage);
        let mut signatures = BTreeMap::new();
        let mut kept = BTreeMap::new();
        for breaker in breakers {
            kept.insert(breaker.scope, breaker.clone());
            match breaker.scope {
                Scope::Stage => stage = breaker,
                Scope::Signature(signature) => {
                    signatures.insert(signature, breaker);
                }
            }
        }
        let kept = Kept {
            roster: roster.clone(),
            breakers: kept,
        };
        Self {
            rules,
            roster,
            stage,
            signatures,
            kept,
        }
    }

    /// What must be written before this transaction ends. Asked again it is empty, so if the
    /// transaction is undone the board must be recalled from the store.
    pub fn changes(&mut self) -> Changes {
        let mut changes = Changes::default();
        if self.roster != self.kept.roster {
            self.kept.roster.clone_from(&self.roster);
            changes.roster = Some(self.roster.clone());
        }
        for breaker in self.signatures.values().chain([&self.stage]) {
            let old = self.kept.breakers.get(&breaker.scope);
            if old.map_or_else(|| !breaker.is_blank(), |old| old != breaker) {
                self.kept.breakers.insert(breaker.scope, breaker.clone());
                changes.breakers.push(breaker.clone());
            }
        }
        let signatures = &self.signatures;
        let is_gone = |scope: &Scope, _: &mut Breaker| match scope {
            Scope::Signature(signature) => !signatures.contains_key(signature),
            Scope::Stage => false,
        };
        let gone = self.kept.breakers.extract_if(.., is_gone);
        changes.forgotten = gone.map(|(scope, _)| scope).collect();
        changes
    }

    /// The versions of the stage.
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// One of the breakers; `None` of a signature that has not failed lately.
    pub fn breaker(&self, scope: Scope) -> Option<&Breaker> {
        match scope {
            Scope::Stage => Some(&self.stage),
            Scope::Signature(signature) => self.signatures.get(&signature),
        }
    }

    /// All breakers that have something to remember, that of the stage first.
    pub fn breakers(&self) -> impl Iterator<Item = &Breaker> {
        let stage = Some(&self.stage).filter(|stage| !stage.is_quiet());
        stage.into_iter().chain(self.signatures.values())
    }

    /// Whether tickets that last failed so are to wait.
    pub fn holds(&self, signature: SignatureId) -> bool {
        self.signatures.get(&signature).is_some_and(Breaker::holds)
    }

    /// Whether the stage is to take no deliveries but by permit.
    pub const fn holds_stage(&self) -> bool {
        self.stage.holds()
    }

    /// Nothing has failed and nothing is held: a landing changes nothing here.
    pub fn is_quiet(&self) -> bool {
        self.signatures.is_empty() && self.stage.is_quiet()
    }

    /// These versions serve the stage now, and no others. See [`Roster::stands`].
    pub fn versions(&mut self, here: &BTreeSet<Version>, now: Timestamp) -> Vec<Action> {
        self.roster.stands(here, now);
        self.advanced(Vec::new(), now)
    }

    /// The canary of this probe is this copy. Of a signature it is told when the ticket is
    /// released; of a stage when the delivery under its permit is known.
    pub fn sent(&mut self, scope: Scope, number: u64, name: Name) {
        self.each(scope, Timestamp::EPOCH, |it, _| it.sent(number, name));
    }

    /// There is no ticket to probe with. A signature of which none is held is closed.
    pub fn nobody(&mut self, scope: Scope, number: u64, now: Timestamp) -> Vec<Action> {
        let mut actions = Vec::new();
        self.each(scope, now, |it, _| it.probed_nobody(number, &mut actions));
        self.advanced(actions, now)
    }

    /// The books have the canary on its way or at work.
    pub fn still_out(&mut self, scope: Scope, number: u64, now: Timestamp) {
        self.each(scope, now, |it, _| it.still_out(number, now));
    }

    /// The canary is not out any more, and nobody has told its end.
    pub fn lost(&mut self, scope: Scope, number: u64, now: Timestamp) -> Vec<Action> {
        self.each(scope, now, |it, setting| it.lost(number, setting));
        self.advanced(Vec::new(), now)
    }

    /// A ticket was cancelled, dropped or given another name by hand, whether it was a canary or
    /// not.
    pub fn taken_away(&mut self, ticket: TicketId, now: Timestamp) -> Vec<Action> {
        if let Some(prober) = self.prober(|name| name.ticket == ticket) {
            let number = self.breaker(prober).and_then(Breaker::canary);
            let number = number.map_or(0, |canary| canary.number);
            return self.lost(prober, number, now);
        }
        Vec::new()
    }

    /// The plan that was asked for is made.
    pub fn plan_made(&mut self, scope: Scope, plan: PlanId) {
        self.each(scope, Timestamp::EPOCH, |it, _| it.plan_made(plan));
    }

    /// A plan of this breaker's has changed its state. `left_behind` is how many of its tickets
    /// are held now that are not in the plan.
    pub fn plan_is(
        &mut self,
        scope: Scope,
        plan: (PlanId, &plan::State),
        left_behind: u64,
        now: Timestamp,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        self.each(scope, now, |it, setting| {
            it.plan_is(plan, left_behind, setting, &mut actions);
        });
        self.advanced(actions, now)
    }

    /// A person wants the next canary now, without waiting for its time.
    pub fn ask(&mut self, scope: Scope, now: Timestamp) -> Vec<Action> {
        self.each(scope, now, |it, _| it.ask(now));
        self.advanced(Vec::new(), now)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Action> {
        self.advanced(Vec::new(), now)
    }

    /// When [`Board::tick`] has something to do.
    pub fn next_at(&self) -> Option<Timestamp> {
        let setting = Setting {
            rules: &self.rules,
            roster: &self.roster,
            now: Timestamp::EPOCH,
        };
        let rests = self.stage.holds();
        let signatures = self.signatures.values();
        let is_closed = |it: &Breaker| matches!(it.state, State::Closed { .. });
        let signatures = signatures.filter(|it| !rests || it.canary().is_some() || is_closed(it));
        let all = signatures.chain([&self.stage]);
        all.filter_map(|it| it.next_at(setting)).min()
    }

    /// Sends the canaries whose time has come, and forgets what is over.
    fn advanced(&mut self, mut actions: Vec<Action>, now: Timestamp) -> Vec<Action> {
        let (setting, stage, signatures) = self.parts(now);
        stage.forget_old(now);
        actions.extend(stage.advance(setting));
        let rests = stage.holds();
        for breaker in signatures.values_mut() {
            breaker.forget_old(now);
            // A canary that is out is asked after all the same.
            if !rests || breaker.canary().is_some() {
                actions.extend(breaker.advance(setting));
            }
        }
        signatures.retain(|_, breaker| !breaker.is_quiet());
        actions
    }

    fn parts(
        &mut self,
        now: Timestamp,
    ) -> (
        Setting<'_>,
        &mut Breaker,
        &mut BTreeMap<SignatureId, Breaker>,
    ) {
        let setting = Setting {
            rules: &self.rules,
            roster: &self.roster,
            now,
        };
        (setting, &mut self.stage, &mut self.signatures)
    }

    /// Does something with one breaker, if there is one.
    fn each<T>(
        &mut self,
        scope: Scope,
        now: Timestamp,
        act: impl FnOnce(&mut Breaker, Setting) -> T,
    ) -> Option<T> {
        let (setting, stage, signatures) = self.parts(now);
        let breaker = match scope {
            Scope::Stage => Some(stage),
            Scope::Signature(signature) => signatures.get_mut(&signature),
        };
        breaker.map(|breaker| act(breaker, setting))
    }

    /// The breaker whose canary has such a name.
    fn prober(&self, is: impl Fn(&Name) -> bool) -> Option<Scope> {
        let mut all = self.signatures.values().chain([&self.stage]);
        let found = all.find(|it| {
            let name = it.canary().and_then(|canary| canary.name.as_ref());
            name.is_some_and(&is)
        });
        found.map(|it| it.scope)
    }

    /// Makes sure that there is a breaker for the signature, in the place of the closed one whose
    /// failures are the oldest if there are too many.
    fn makes_room(&mut self, scope: Scope) -> bool {
        let Scope::Signature(signature) = scope else {
            return true;
        };
        if self.signatures.contains_key(&signature) {
            return true;
        }
        if self.signatures.len() >= Self::SIGNATURES_MAX {
            let closed = self.signatures.iter();
            let closed = closed.filter(|(_, it)| matches!(it.state, State::Closed { .. }));
            let oldest = closed.min_by_key(|(_, it)| it.newest_clue());
            let Some(oldest) = oldest.map(|(signature, _)| *signature) else {
                return false;
            };
            self.signatures.remove(&oldest);
        }
        self.signatures.insert(signature, Breaker::new(scope));
        true
    }
}
