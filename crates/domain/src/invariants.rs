//! What must always hold, judged from what happens.
//!
//! The [`Checker`] listens to every [`Event`] in every test, and in production as a counter. It
//! judges the invariants of the design as far as events show them; each [`Violation`] carries the
//! number that the design gives the invariant it breaks.

mod hand;
mod part;

use crate::books::{Balance, State};
use crate::event::{Event, SettledAs};
use crate::names::StageName;
use crate::ports::Observer;
use crate::ticket::{Name, TicketId};
use crate::time::Timestamp;
use hand::{Breach, Hand};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much the checker remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every ticket, for ever; for tests, where events are told in the order of the facts.
    Everything,
    /// The attempts in hand and a window of what was settled last; for production, where two
    /// actors may tell of an order and of a settlement the wrong way round.
    InHand,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one, by its number in part 9 of the design.
    pub invariant: u8,
    /// What was seen.
    pub told: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.told)
    }
}

/// Listens to everything that happens and judges whether it may.
pub struct Checker {
    scope: Scope,
    book: Mutex<Book>,
}

impl Checker {
    /// How many attempts are watched at once; past it new ones are let through unwatched.
    pub const HANDS_MAX: usize = 262_144;
    /// How many settled attempts are remembered when only those in hand are watched.
    pub const RECENT_MAX: usize = 4_096;
    /// How many violations are kept as text; all are counted.
    pub const KEPT_MAX: usize = 32;
    /// The invariants that are counted, by their numbers in the design.
    pub const INVARIANTS: [u8; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];

    /// A checker that has heard nothing yet.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            book: Mutex::new(Book::new(scope)),
        }
    }

    /// The first violations, oldest first.
    pub fn violations(&self) -> Vec<Violation> {
        self.book().kept.clone()
    }

    /// How many violations there were, by invariant; zeros included.
    pub fn counts(&self) -> BTreeMap<u8, u64> {
        let counts = self.book().counts;
        Self::INVARIANTS.into_iter().zip(counts).collect()
    }

    /// The process that was heard so far is gone. What it had in hand may have become durable
    /// without a word, and its last words are not coming.
    pub fn process_died(&self) {
        let mut book = self.book();
        book.has_cuts = true;
        book.held.clear();
        let at_work = book.hands.values().filter(|hand| hand.is_at_work());
        let is_company = at_work.count() > 1;
        for hand in book.hands.values_mut() {
            hand.cut(is_company);
        }
    }

    /// Everything has come to rest: no attempt may be left without an end or a report, and the
    /// sums must agree with what publishers were told. For [`Scope::Everything`].
    pub fn at_rest(&self, balance: &Balance) {
        let mut book = self.book();
        book.judge_rest();
        book.judge_sums(balance);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Checker {
    /// Hears an event, and returns what it broke; nothing, once [`Checker::KEPT_MAX`] are known.
    pub fn judge(&self, event: &Event) -> Vec<Violation> {
        // The most frequent events say nothing about what is in hand: no lock for them.
        let is_beside = matches!(
            event,
            Event::TicketAccepted { .. } | Event::OrderCarriedOut { .. }
        );
        if is_beside && self.scope == Scope::InHand {
            return Vec::new();
        }
        let mut book = self.book();
        let known = book.kept.len();
        book.hear(event);
        book.kept[known..].to_vec()
    }
}

impl Observer for Checker {
    fn observe(&self, _at: Timestamp, event: &Event) {
        drop(self.judge(event)); // They are kept, for whoever asks.
    }
}

/// What the checker knows. Each event costs one look-up here.
struct Book {
    scope: Scope,
    hands: HashMap<TicketId, Hand>,
    recent: VecDeque<TicketId>,
    held: BTreeSet<StageName>,
    counts: [u64; Checker::INVARIANTS.len()],
    kept: Vec<Violation>,
    /// Some attempts were not watched, so an unknown one is no proof of anything.
    is_blind: bool,
    /// A process died, so that facts may be durable that nobody told of.
    has_cuts: bool,
}

impl Book {
    fn new(scope: Scope) -> Self {
        Self {
            scope,
            hands: HashMap::new(),
            recent: VecDeque::new(),
            held: BTreeSet::new(),
            counts: [0; Checker::INVARIANTS.len()],
            kept: Vec::new(),
            is_blind: false,
            has_cuts: false,
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::TicketAccepted { ticket, .. } => self.accepted(*ticket),
            Event::AttemptStarted { name, stage, .. } => self.started(name, stage),
            Event::AttemptBlocked { name, .. } => {
                self.about(name, |hand| hand.blocks(name));
            }
            Event::AttemptEnded { name, outcome, .. } => {
                self.about(name, |hand| hand.ended(name, *outcome));
            }
            Event::OopsRecorded { oops, name, .. } => {
                self.about(name, |hand| hand.reported(name, *oops));
            }
            Event::TicketSettled { name, settled, .. } => self.settled(name, *settled),
            Event::SettlementStale { name, .. } => {
                self.about(name, |hand| hand.stale(name));
                self.retire(name.ticket);
            }
            Event::TicketJudged { name, oops, .. } => {
                self.about(name, |hand| hand.judged(name, *oops));
                self.retire(name.ticket);
            }
            Event::OrderCarriedOut {
                ticket,
                action,
                ended,
            } => self.ordered(*ticket, action, ended.then_some(ended_by(action))),
            Event::StageHeld { stage, .. } => {
                self.held.insert(stage.clone());
            }
            Event::StageUnheld { stage, .. } => {
                self.held.remove(stage);
            }
            Event::TicketsReleased { .. }
            | Event::SupervisorStarted { .. }
            | Event::SupervisorLost { .. }
            | Event::SubscriptionEnded { .. }
            | Event::StoreFailed { .. } => {}
        }
    }

    fn accepted(&mut self, ticket: TicketId) {
        let hand = self.hands.entry(ticket);
        hand.or_insert_with(|| Hand::known(Name::first(ticket)))
            .is_accepted = true;
    }

    fn started(&mut self, name: &Name, stage: &StageName) {
        if self.held.contains(stage) {
            let breach = Breach::new(6, "starts although its stage is on hold");
            self.broken(&breach, name);
        }
        let is_full = self.hands.len() >= Checker::HANDS_MAX && self.scope == Scope::InHand;
        // Elsewhere, or just before it died, a process may have said what is not heard here.
        let hears_all = self.scope == Scope::Everything && !self.has_cuts;
        let heard = match self.hands.entry(name.ticket) {
            Entry::Occupied(mut hand) => {
                let hand = hand.get_mut();
                if self.scope == Scope::InHand {
                    hand.judged_elsewhere(name);
                }
                let is_told = !hears_all || hand.tells_of(name);
                let untold = Breach::new(3, "is charged for an attempt that has no oops");
                match hand.started(name) {
                    Ok(()) if !is_told => Err(untold),
                    heard => heard,
                }
            }
            Entry::Vacant(_) if is_full => {
                self.is_blind = true;
                Ok(())
            }
            Entry::Vacant(place) => place.insert(Hand::known(*name)).started(name),
        };
        self.note(heard, name);
    }

    fn settled(&mut self, name: &Name, settled: SettledAs) {
        let heard = match self.hands.entry(name.ticket) {
            Entry::Occupied(mut hand) => hand.get_mut().settled(name, settled),
            Entry::Vacant(_) if self.is_blind => Ok(()),
            Entry::Vacant(place) => place.insert(Hand::known(*name)).settled(name, settled),
        };
        self.note(heard, name);
        self.retire(name.ticket);
    }

    fn about(&mut self, name: &Name, hear: impl FnOnce(&mut Hand) -> Result<(), Breach>) {
        // Nobody heard of it: it comes from a process before this one, or could not be read.
        let heard = self.hands.get_mut(&name.ticket).map_or(Ok(()), hear);
        self.note(heard, name);
    }

    fn ordered(&mut self, ticket: TicketId, action: &str, end: Option<State>) {
        let Some(hand) = self.hands.get_mut(&ticket) else {
            return;
        };
        match end {
            Some(state) => hand.over = Some(state),
            None if action == "retry" => hand.renewed(),
            None => {}
        }
    }

    /// In production, what is settled is remembered for a while only.
    fn retire(&mut self, ticket: TicketId) {
        if self.scope == Scope::Everything {
            return;
        }
        let Some(hand) = self.hands.get_mut(&ticket) else {
            return;
        };
        hand.retired += 1;
        self.recent.push_back(ticket);
        if self.recent.len() <= Checker::RECENT_MAX {
            return;
        }
        let Some(oldest) = self.recent.pop_front() else {
            return;
        };
        if let Entry::Occupied(mut hand) = self.hands.entry(oldest) {
            hand.get_mut().retired -= 1;
            if hand.get().retired == 0 && hand.get().is_told() {
                hand.remove();
            }
        }
    }

    fn note(&mut self, heard: Result<(), Breach>, name: &Name) {
        if let Err(breach) = heard {
            self.broken(&breach, name);
        }
    }

    fn broken(&mut self, breach: &Breach, name: &Name) {
        let told = format!("{name} {}", breach.why);
        self.count(breach.invariant, told);
    }

    fn count(&mut self, invariant: u8, told: String) {
        let at = Checker::INVARIANTS.iter().position(|n| *n == invariant);
        if let Some(count) = at.and_then(|at| self.counts.get_mut(at)) {
            *count += 1;
        }
        if self.kept.len() < Checker::KEPT_MAX {
            self.kept.push(Violation { invariant, told });
        }
    }

    fn judge_rest(&mut self) {
        let mut breaches: Vec<(Name, Breach)> = self
            .hands
            .values()
            .filter_map(|hand| hand.unrest().map(|breach| (hand.name, breach)))
            .collect();
        breaches.sort_by_key(|(name, _)| *name);
        for (name, breach) in breaches {
            self.broken(&breach, &name);
        }
    }

    fn judge_sums(&mut self, balance: &Balance) {
        let count = |is: fn(&Hand) -> bool| {
            let hands = self.hands.values().filter(|hand| is(hand)).count();
            u64::try_from(hands).unwrap_or(u64::MAX)
        };
        let told = [
            ("accepted", count(|hand| hand.is_accepted), balance.accepted),
            (
                "done",
                count(|hand| hand.over == Some(State::Done)),
                balance.done,
            ),
        ];
        if !balance.is_balanced() {
            self.count(1, format!("the books do not balance: {balance:?}"));
        }
        for (what, told, kept) in told {
            // A process that died may have made more durable than it could tell; never less.
            let agrees = told == kept || (self.has_cuts && told < kept);
            if !agrees {
                self.count(
                    1,
                    format!("{told} tickets were told {what}, the books have {kept}"),
                );
            }
        }
    }
}

/// What an order that ends a ticket makes of it: only a call-back can say that it is done.
fn ended_by(action: &str) -> State {
    match action {
        "complete" => State::Done,
        _ => State::Dropped,
    }
}

#[cfg(test)]
mod tests;
