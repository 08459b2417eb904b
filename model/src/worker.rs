//! A worker: what it may do next, and what that changes.

use crate::mutant::Mutant;
use crate::protocol::Protocol;
use crate::state::{Desired, Hand, Late, Life, Phase, State, Worker};
use crate::step::{Lands, Step};
use crate::word::{End, Word, next};
use domain::ticket::Name;

/// What this worker may do next.
pub(crate) fn steps(protocol: &Protocol, state: &State, slot: usize, steps: &mut Vec<Step>) {
    let worker = &state.workers[slot];
    match worker.phase {
        Life::Gone => {}
        Life::New => steps.push(Step::Announce(slot)),
        Life::Announced => steps.push(Step::Join(slot)),
        Life::Up => {
            if worker.seen.revision < state.desired.revision {
                steps.push(Step::Follow(slot));
            }
            if state.is_curious() && has_let_go(protocol, worker) {
                steps.push(Step::Beat(slot));
            }
            match &worker.hand {
                None => takes(state, slot, steps),
                Some(hand) => holds(protocol, state, slot, hand, steps),
            }
        }
    }
}

fn takes(state: &State, slot: usize, steps: &mut Vec<Step>) {
    if state.workers[slot].seen.is_paused {
        return;
    }
    let queued = state.copies.iter().filter(|copy| copy.with.is_none());
    let mut takes: Vec<Step> = queued
        .map(|copy| Step::Take(slot, copy.name, copy.is_flagged))
        .collect();
    takes.dedup();
    steps.extend(takes);
}

fn holds(protocol: &Protocol, state: &State, slot: usize, hand: &Hand, steps: &mut Vec<Step>) {
    let is_back = |copy: &&crate::state::Copy| copy.with.is_none() && copy.name == hand.name;
    if !hand.is_ours
        && state
            .copies
            .iter()
            .any(|copy| is_back(&copy) && copy.is_flagged)
    {
        steps.push(Step::Adopt(slot));
    }
    match hand.phase {
        Phase::Fresh if protocol.is(Mutant::AcksBeforeClaim) => steps.push(Step::Ack(slot)),
        Phase::Fresh | Phase::Flagged | Phase::Doubtful | Phase::Failed => {
            steps.push(Step::Record(slot));
        }
        Phase::Unclaimed | Phase::AckedFirst => steps.push(Step::Record(slot)),
        Phase::Claimed => steps.push(Step::AckClaim(slot)),
        Phase::Running => {
            let has_next = next(hand.name).is_some();
            match has_next && !protocol.is(Mutant::RecordsBeforeNext) {
                true => steps.push(Step::Next(slot)),
                false => steps.push(Step::Record(slot)),
            }
            if state.faults.failures > 0 {
                steps.push(Step::Fail(slot));
            }
        }
        Phase::NextOut if protocol.is(Mutant::AcksBeforeRecord) => steps.push(Step::Ack(slot)),
        Phase::NextOut => steps.push(Step::Record(slot)),
        Phase::DoneFirst => steps.push(Step::Next(slot)),
        Phase::Recorded => steps.push(Step::Ack(slot)),
    }
}

/// Whether its last beat names a copy that it does not have any more. A beat that would only name
/// one more can wait for the next roll call: the less the controller knows, the worse.
fn has_let_go(protocol: &Protocol, worker: &Worker) -> bool {
    let told = worker.told.and_then(|(_, hand)| hand);
    told.is_some() && told != content(protocol, worker).1
}

/// Revision and hand, as the worker tells them.
fn content(protocol: &Protocol, worker: &Worker) -> (u64, Option<Name>) {
    let hides = protocol.is(Mutant::HidesCutOff);
    let hand = worker.hand.filter(|hand| hand.is_ours || !hides);
    (worker.seen.revision, hand.map(|hand| hand.name))
}

impl State {
    fn hand(&mut self, slot: usize) -> &mut Hand {
        let hand = self.workers[slot].hand.as_mut();
        hand.expect("only steps of workers with a ticket in hand come here")
    }

    pub(crate) fn beat(&mut self, protocol: &Protocol, slot: usize) {
        let told = content(protocol, &self.workers[slot]);
        let worker = &mut self.workers[slot];
        worker.told = Some(told);
        self.journal.push(Word::Beat {
            by: worker.who,
            revision: told.0,
            in_hand: told.1,
        });
    }

    pub(crate) fn announce(&mut self, protocol: &Protocol, slot: usize) {
        self.workers[slot].phase = match protocol.is(Mutant::ConsumesUnannounced) {
            true => Life::Up,
            false => Life::Announced,
        };
        self.beat(protocol, slot);
    }

    pub(crate) fn follow(&mut self, protocol: &Protocol, slot: usize) {
        self.workers[slot].seen = self.desired.clone();
        self.workers[slot].phase = Life::Up;
        self.beat(protocol, slot);
    }

    pub(crate) fn take(&mut self, protocol: &Protocol, slot: usize, name: Name, flagged: bool) {
        let who = self.workers[slot].who;
        if let Some(copy) = self.queued(name, flagged) {
            copy.with = Some(who);
        }
        let fence = self.workers[slot].seen.fences[crate::cast::index(&name)];
        if name.generation < fence {
            self.ack(who, name);
            return;
        }
        let is_suspect = flagged && !protocol.is(Mutant::StartsRedelivered);
        self.workers[slot].hand = Some(Hand {
            name,
            phase: if is_suspect {
                Phase::Flagged
            } else {
                Phase::Fresh
            },
            is_ours: true,
        });
    }

    pub(crate) fn adopt(&mut self, slot: usize) {
        let who = self.workers[slot].who;
        let name = self.hand(slot).name;
        if let Some(copy) = self.queued(name, true) {
            copy.with = Some(who);
        }
        self.hand(slot).is_ours = true;
    }

    /// Writes the record that is due; returns it, unless a mutant has none.
    pub(crate) fn record(&mut self, protocol: &Protocol, slot: usize) -> Option<Word> {
        let by = self.workers[slot].who;
        let is_paused = self.workers[slot].seen.is_paused;
        let Hand { name, phase, .. } = *self.hand(slot);
        let claimed = protocol.claims;
        let ended = |how| Word::Ended { by, name, how };
        let started = Word::Started { by, name, claimed };
        let (word, then) = match phase {
            Phase::Fresh if is_paused => (ended(End::HandedBack), Phase::Recorded),
            Phase::Fresh if protocol.is(Mutant::RunsUnrecorded) => {
                self.hand(slot).phase = Phase::Running;
                return None;
            }
            Phase::Fresh if claimed => (started, Phase::Claimed),
            Phase::Fresh | Phase::Unclaimed => (started, Phase::Running),
            Phase::Flagged => (Word::Suspect { by, name }, Phase::Recorded),
            Phase::Doubtful => (ended(End::Doubted), Phase::Recorded),
            Phase::Failed => (ended(End::Failed), Phase::Recorded),
            Phase::Running if next(name).is_some() => (ended(End::Done), Phase::DoneFirst),
            _ => (ended(End::Done), Phase::Recorded),
        };
        if word == ended(End::Done) {
            self.truth.good.insert(name);
        }
        self.journal.push(word);
        self.hand(slot).phase = then;
        if phase == Phase::AckedFirst {
            self.workers[slot].hand = None;
        }
        Some(word)
    }

    pub(crate) fn record_twice(&mut self, protocol: &Protocol, slot: usize) {
        self.faults.doubts -= 1;
        let word = self.record(protocol, slot);
        self.late.extend(word.map(Late::Word));
    }

    pub(crate) fn ack_claim(&mut self, slot: usize) {
        let who = self.workers[slot].who;
        let name = self.hand(slot).name;
        self.ack(who, name);
        let hand = self.hand(slot);
        hand.phase = Phase::Running;
        hand.is_ours = false;
    }

    pub(crate) fn fail(&mut self, slot: usize) {
        self.faults.failures -= 1;
        let hand = self.hand(slot);
        hand.phase = Phase::Failed;
        let name = hand.name;
        self.truth.bad.insert(name);
        self.oopses.insert(name);
    }

    pub(crate) fn next(&mut self, slot: usize) {
        let hand = self.hand(slot);
        hand.phase = match hand.phase {
            Phase::DoneFirst => Phase::Recorded,
            _ => Phase::NextOut,
        };
        if let Some(next) = next(hand.name) {
            self.publish(next);
        }
    }

    pub(crate) fn next_in_doubt(&mut self, protocol: &Protocol, slot: usize, lands: Lands) {
        self.faults.doubts -= 1;
        let hand = self.hand(slot);
        if !protocol.is(Mutant::PublishesAgain) {
            hand.phase = Phase::Doubtful;
        }
        if let Some(next) = next(hand.name) {
            self.publish_in_doubt(next, lands);
        }
    }

    pub(crate) fn settle(&mut self, slot: usize) {
        let who = self.workers[slot].who;
        let Hand { name, phase, .. } = *self.hand(slot);
        self.ack(who, name);
        match phase {
            Phase::Fresh => self.hand(slot).phase = Phase::Unclaimed,
            Phase::NextOut => {
                self.hand(slot).phase = Phase::AckedFirst;
                self.truth.good.insert(name);
            }
            _ => self.workers[slot].hand = None,
        }
    }

    pub(crate) fn cut(&mut self, slot: usize) {
        self.faults.cuts -= 1;
        self.requeue(self.workers[slot].who);
        if let Some(hand) = &mut self.workers[slot].hand {
            hand.is_ours = false;
        }
    }

    pub(crate) fn crash(&mut self, protocol: &Protocol, slot: usize) {
        self.faults.crashes -= 1;
        let who = self.workers[slot].who;
        self.requeue(who);
        if let Some(hand) = self.workers[slot].hand
            && is_at_work(hand.phase)
        {
            self.truth.bad.insert(hand.name);
        }
        self.truth.untold.insert(who);
        let reads_early = protocol.is(Mutant::ConsumesUnannounced);
        let nothing = Desired {
            revision: 0,
            ..State::new(u8::try_from(self.rows.len()).unwrap_or(1), self.faults).desired
        };
        self.workers[slot] = Worker {
            who: crate::cast::Who {
                life: who.life + 1,
                ..who
            },
            phase: if protocol.returns {
                Life::New
            } else {
                Life::Gone
            },
            seen: if reads_early {
                self.desired.clone()
            } else {
                nothing
            },
            hand: None,
            told: None,
        };
    }
}

/// Whether an attempt was started and its end is not recorded: its death is to be told.
const fn is_at_work(phase: Phase) -> bool {
    match phase {
        Phase::Claimed | Phase::Running | Phase::NextOut | Phase::Doubtful => true,
        // Of a failure it was told before.
        Phase::Failed | Phase::Fresh | Phase::Flagged | Phase::Recorded => false,
        Phase::DoneFirst | Phase::AckedFirst | Phase::Unclaimed => false,
    }
}
