//! The controller that leads: reads, releases, judges, and has another one follow it.

use crate::cast::{self, NOW, Who};
use crate::faults::Faults;
use crate::mutant::Mutant;
use crate::protocol::{Notice, Protocol};
use crate::state::{Leader, Life, Row, State};
use crate::step::{Lands, Step, sends};
use crate::word::Word;
use domain::fleet::{Ask, BEAT_EVERY, Hands, LAPSE};
use domain::hearing::Spot;
use domain::record::{Record, Said};
use domain::ticket::Name;
use domain::time::Timestamp;
use domain::wait::Reason;
use std::collections::BTreeSet;

/// How many records may have been applied and not acked when the controller dies.
const UNACKED_MAX: usize = 2;

/// What the controller may do next, and what may become of it.
pub(crate) fn steps(protocol: &Protocol, state: &State, steps: &mut Vec<Step>) {
    if !state.journal.is_empty() {
        steps.push(Step::Read);
    }
    for (n, row) in state.rows.iter().enumerate() {
        if row.is_due() && !state.desired.is_paused && state.is_past(protocol, n) {
            steps.push(Step::Release(n));
        }
        if row.is_suspect() && state.is_decidable(protocol, &row.at.name) {
            steps.push(Step::Judge(n));
        }
        if state.is_stranded(row) && state.leader.fleet.hears_all() {
            steps.push(Step::DoubtStranded(n));
        }
    }
    sends(state, steps);
    // The controller reads its own markers sooner than a lapse.
    let is_waiting = state
        .journal
        .iter()
        .any(|word| matches!(word, Word::Marker(_)));
    if !is_waiting && state.may_pass(protocol) {
        steps.push(Step::Pass);
    }
    if !is_waiting && !state.leader.is_deaf && state.faults.sentences > 0 {
        let up = |slot: &usize| state.workers[*slot].phase == Life::Up;
        let slots = (0..state.workers.len()).filter(up);
        steps.extend(slots.map(Step::Sentence));
    }
    if state.faults.successions > 0 {
        steps.extend((0..=state.applied.len()).map(Step::Succeed));
    }
}

impl State {
    /// Whether the controller has a question that beats answer.
    pub(crate) fn is_curious(&self) -> bool {
        let waits = self
            .rows
            .iter()
            .any(|row| row.is_suspect() || row.barrier.is_some());
        waits || self.leader.is_deaf
    }

    /// Everybody who lives beats within a lapse. Else it passes for nothing but to find the dead;
    /// a launcher's word is lost to the next leader, and undone by a late one of the dead.
    fn may_pass(&self, protocol: &Protocol) -> bool {
        if self.leader.is_deaf {
            return true;
        }
        let Faults {
            successions,
            doubts,
            ..
        } = protocol.faults;
        let is_lost = self.truth.untold.is_empty() && successions + doubts > 0;
        (protocol.notice != Notice::Launcher || is_lost)
            && self.workers.iter().any(|worker| !worker.is_first())
    }

    /// Whether the controller before this one was publishing it, and nobody has told of it yet.
    fn is_stranded(&self, row: &Row) -> bool {
        let mut sending = self.leader.sending.iter();
        row.at.spot == Spot::Publishing && !sending.any(|(name, _)| *name == row.at.name)
    }

    fn is_past(&self, protocol: &Protocol, n: usize) -> bool {
        let row = &self.rows[n];
        let name = row.at.name;
        let is_past = |revision| {
            self.leader
                .fleet
                .is_past(revision, name.ticket, name.generation)
        };
        protocol.is(Mutant::LiftsBarrier) || row.barrier.is_none_or(is_past)
    }

    fn is_decidable(&self, protocol: &Protocol, name: &Name) -> bool {
        match self.leader.fleet.hands(name, NOW) {
            Hands::Nobody => true,
            Hands::Unknown => protocol.is(Mutant::JudgesUnheard),
            Hands::Held(_) | Hands::Passed(_) => false,
        }
    }

    pub(crate) fn read(&mut self, protocol: &Protocol) {
        let word = self.journal.remove(0);
        let record = word.record();
        self.apply(protocol, &word, &record.said);
        self.leader.fleet.read(&record, NOW);
        if self.faults.successions > 0 {
            self.applied.push(word);
            let acked = self.applied.len().saturating_sub(UNACKED_MAX);
            self.applied.drain(..acked);
        }
        self.think(protocol, NOW);
    }

    /// Reads what changes no ticket as soon as it is next: the controller may still take its time
    /// to act on it. Not the first beat of a newcomer: that one must be able to lie unread.
    pub(crate) fn read_ahead(&mut self, protocol: &Protocol) {
        let is_plain = |word: &Word| match word {
            Word::Beat { revision, .. } => *revision > 0,
            Word::Marker(_) | Word::OldMarker => true,
            _ => false,
        };
        while self.journal.first().is_some_and(is_plain) {
            let word = self.journal.remove(0);
            self.leader.fleet.read(&word.record(), NOW);
            self.think(protocol, NOW);
        }
    }

    pub(crate) fn release(&mut self, n: usize) {
        let row = &mut self.rows[n];
        row.at.spot = Spot::Publishing;
        row.barrier = None;
        let name = row.at.name;
        self.leader.sending.push((name, false));
    }

    pub(crate) fn send(&mut self, name: Name) {
        self.publish(name);
        for (sending, is_out) in &mut self.leader.sending {
            *is_out |= *sending == name;
        }
        // What cannot fall between needs no state of its own.
        if self.faults.successions == 0 {
            self.mark(name);
        }
    }

    pub(crate) fn mark(&mut self, name: Name) {
        self.leader.sending.retain(|(sending, _)| *sending != name);
        let at = &mut self.row_mut(&name).at;
        if at.name == name && at.spot == Spot::Publishing {
            at.spot = Spot::Runnable;
        }
    }

    pub(crate) fn send_in_doubt(&mut self, protocol: &Protocol, name: Name, lands: Lands) {
        self.faults.doubts -= 1;
        self.publish_in_doubt(name, lands);
        self.leader.sending.retain(|(sending, _)| *sending != name);
        let at = self.row(&name).at;
        if at.name == name && at.spot == Spot::Publishing {
            self.renew(&name);
        }
        self.think(protocol, NOW);
    }

    /// Asks for what would answer the open questions, and buries the dead, until neither is left.
    pub(crate) fn think(&mut self, protocol: &Protocol, now: Timestamp) {
        loop {
            self.ask_about_suspects(now);
            let asks = self.leader.fleet.asks(now);
            let dead = self.leader.fleet.dead(now);
            if asks.is_empty() && dead.is_empty() {
                break;
            }
            for ask in asks {
                self.ask(protocol, ask, now);
            }
            for who in dead.iter().filter_map(cast::who) {
                self.bury(protocol, who);
            }
        }
    }

    fn ask_about_suspects(&mut self, now: Timestamp) {
        let suspects = self.rows.iter().filter(|row| row.is_suspect());
        let suspects: BTreeSet<Name> = suspects.map(|row| row.at.name).collect();
        for name in suspects.difference(&self.leader.asked) {
            self.leader.fleet.suspect(*name, now);
        }
        self.leader.asked = suspects;
    }

    fn ask(&mut self, protocol: &Protocol, ask: Ask, now: Timestamp) {
        match ask {
            Ask::RollCall => self.spread(),
            Ask::Marker(number) if protocol.is(Mutant::SentencesUnread) => {
                self.leader.fleet.read(&Word::Marker(number).record(), now);
            }
            Ask::Marker(number) => self.journal.push(Word::Marker(number)),
        }
    }

    /// A lapse passes. The journal flows, and everybody is heard but the dead and these. For a
    /// new controller everybody who lives has written a beat by then, which may lie unread.
    pub(crate) fn pass(&mut self, protocol: &Protocol, unheard: Option<Who>) {
        if self.leader.is_deaf {
            let alive = |slot: &usize| self.workers[*slot].is_alive();
            for slot in (0..self.workers.len()).filter(alive).collect::<Vec<_>>() {
                self.beat(protocol, slot);
            }
        }
        self.lapse(protocol, unheard);
    }

    fn lapse(&mut self, protocol: &Protocol, unheard: Option<Who>) {
        let mut now = NOW;
        let end = NOW.plus(LAPSE);
        while now < end {
            now = now.plus(BEAT_EVERY);
            let living = self.workers.iter().filter(|worker| worker.is_alive());
            let living = living
                .map(|worker| worker.who)
                .filter(|who| Some(*who) != unheard);
            let heard = living.map(cast::holder).chain([cast::bystander()]);
            for by in heard.collect::<Vec<_>>() {
                let said = Said::Unhold(cast::stage(&cast::first(0)));
                self.leader.fleet.read(&Record { by, at: NOW, said }, now);
            }
        }
        self.leader.is_deaf = false;
        self.think(protocol, end);
    }

    pub(crate) fn sentence(&mut self, protocol: &Protocol, slot: usize) {
        self.faults.sentences -= 1;
        let who = self.workers[slot].who;
        self.truth.wronged.insert(who);
        self.pass(protocol, Some(who));
    }

    /// The last of what was applied was not acked, and is read again.
    pub(crate) fn succeed(&mut self, protocol: &Protocol, unacked: usize) {
        self.faults.successions -= 1;
        let acked = self.applied.len() - unacked;
        let again: Vec<Word> = self.applied.drain(acked..).collect();
        self.journal.splice(..0, again);
        if self.faults.successions == 0 {
            self.applied.clear();
        }
        for word in &mut self.journal {
            if matches!(word, Word::Marker(_)) {
                *word = Word::OldMarker;
            }
        }
        self.leader = Leader::new();
        self.leader.fleet.spread(self.desired.revision);
        if !protocol.is(Mutant::ExpectsNobody) {
            for who in self.expected() {
                self.leader.fleet.expect(cast::holder(who), NOW);
            }
        }
        if protocol.is(Mutant::BelievesItHears) {
            let mutant = Some(Mutant::SentencesUnread);
            self.lapse(
                &Protocol {
                    mutant,
                    ..*protocol
                },
                None,
            );
        }
        self.think(protocol, NOW);
    }

    /// What the one before was publishing may have landed or not, and nobody has told of it.
    pub(crate) fn doubt_stranded(&mut self, protocol: &Protocol, n: usize) {
        let at = &mut self.rows[n].at;
        if protocol.is(Mutant::ReleasesAgain) {
            at.spot = Spot::Waiting(Reason::NotNow);
            return;
        }
        let name = at.name;
        self.renew(&name);
        self.think(protocol, NOW);
    }
}
