//! The workers, as the leading controller knows them from the journal: who is alive, what is in
//! whose hands, and when it is certain that nobody speaks for a ticket any more.
//!
//! Pure: it is told what was read and what time it is, and says what may be concluded. The model
//! of the protocol runs this same code.
//!
//! Three things make a conclusion safe:
//!
//! - **Silence counts only while the journal flows.** The leader writes markers of its own whenever
//!   nobody else speaks. After a time in which it could not even read those, everybody's silence
//!   begins anew: a broker that stood still must not look like a fleet that died.
//! - **Position, not time, orders what was said.** Somebody is dead once a marker was read that was
//!   written after it had lapsed; a question is answered by beats that were read after it. Only the
//!   beats of one worker are ordered by itself: one that was overtaken on its way is a sign of life
//!   and tells nothing, since what came into that worker's hands later is not on its list.
//! - **A new leader begins deaf**: whoever lives says so within [`LAPSE`], and until a marker is
//!   read that was written after that, nothing is concluded about those who were not heard.
//!
//! What this needs of a worker: its first beat is confirmed before it reads the snapshot under
//! which it begins to consume. Otherwise it could take a copy that a barrier was to keep from it.

use crate::names::{Holder, Kind, StageName, Version};
use crate::ports::Serving;
use crate::record::{Record, Said};
use crate::ticket::{Generation, Name, TicketId};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

mod ask;
mod clock;
mod compact;
mod mark;
mod worker;

pub use ask::{Ask, Hands};
use clock::{Clock, Hearing, Position};
use mark::{Barrier, Markers};
use worker::{Beaten, Worker};

/// How often a worker says that it is alive.
pub const BEAT_EVERY: Duration = Duration::from_secs(2);
/// A worker that was silent for so long counts as dead, once the journal is read to a marker that
/// was written after that.
pub const LAPSE: Duration = Duration::from_secs(6);
/// The journal stood still if nothing was read for so long, not even the leader's own markers.
pub const GAP: Duration = Duration::from_secs(4);
/// The most workers that are kept apart. As long as there are more, nobody is declared to have
/// nothing in hand.
pub const WORKERS_MAX: usize = 16_384;
/// The most open questions. Past it they are answered together, once everybody was heard again.
pub const QUESTIONS_MAX: usize = 65_536;

/// What a worker says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Heartbeat {
    /// Which process, with its incarnation.
    pub holder: Holder,
    /// On which host.
    pub hostname: String,
    /// The stages that it serves, and the version of each one's handler.
    pub stages: BTreeMap<StageName, Version>,
    /// Which kinds of tickets it takes at a stage; one that is not named takes all.
    pub kinds: BTreeMap<StageName, BTreeSet<Kind>>,
    /// The revision of the desired state that it keeps to.
    pub revision: u64,
    /// Every copy that it has in its hands: prefetched, running, or not settled yet.
    pub in_hand: Vec<Name>,
}

/// The workers as far as the journal tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fleet {
    workers: BTreeMap<Holder, Worker>,
    /// Copies whose hands are a question, with the position that a beat must come after. A
    /// question that every worker has answered is forgotten: `floor` does for it.
    questions: BTreeMap<Name, Position>,
    /// The position that a beat must come after for copies without a question of their own.
    floor: Position,
    /// Up to where a roll call was asked for.
    called: Position,
    clock: Clock,
    hearing: Hearing,
    markers: Markers,
    barrier: Barrier,
}

impl Fleet {
    /// Nobody is known yet; whoever is silent for [`LAPSE`] after `since` was never there.
    pub fn new(since: Timestamp) -> Self {
        Self {
            clock: Clock::new(since),
            markers: Markers::new(since),
            ..Self::default()
        }
    }

    /// The books know of this worker from before: it counts as alive until it has lapsed. To be
    /// called by a new leader for the holder of each attempt that is open in the books, since the
    /// journal may never speak of one again that died before.
    pub fn expect(&mut self, holder: Holder, now: Timestamp) {
        self.clock_is(now);
        self.enlist(&holder);
    }

    /// The desired state is spread, durably, under this revision.
    pub fn spread(&mut self, revision: u64) {
        self.barrier.spread(revision);
    }

    /// A record was read and applied. Every record is a sign of life; a beat tells what is in hand.
    pub fn read(&mut self, record: &Record, now: Timestamp) {
        self.clock_is(now);
        self.journal_flows();
        match &record.said {
            Said::Beat(beat) => self.beaten(beat, record.at),
            Said::Started(_) | Said::Ended(_) | Said::Suspect(_) | Said::Fenced { .. } => {
                self.lives(&record.by);
            }
            Said::Marker(marker) => self.returned(*marker),
            Said::Gone { holder, .. } => self.gone(holder),
            // A controller writes these as well, and has nothing in hand.
            Said::Arrived(_) | Said::Hold(..) | Said::Unhold(_) => {
                if self.workers.contains_key(&record.by) {
                    self.lives(&record.by);
                }
            }
        }
    }

    /// A copy is suspect from here on in the journal; who has it is now a question.
    pub fn suspect(&mut self, name: Name, now: Timestamp) {
        self.clock_is(now);
        let here = self.clock.read;
        if self.questions.len() < QUESTIONS_MAX {
            self.questions.entry(name).or_insert(here);
        } else {
            self.floor = here;
        }
    }

    /// What must be done now so that open questions can be answered; call it after each group of
    /// records and whenever [`Fleet::wakes_at`] has come.
    pub fn asks(&mut self, now: Timestamp) -> Vec<Ask> {
        self.clock_is(now);
        self.forget_answered();
        let mut asks = Vec::new();
        if self.needs_marker() {
            asks.push(Ask::Marker(self.mark()));
        }
        if self.needs_roll_call() {
            asks.push(self.call());
        }
        asks
    }

    /// Calls the roll for the copies that are about to become suspect, before the next record is
    /// read: no other call is asked for them.
    pub fn call(&mut self) -> Ask {
        self.called = self.clock.read;
        Ask::RollCall
    }

    /// When time alone changes an answer next. After [`Fleet::asks`] it is in the future.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        let lapses = self.workers.values().filter_map(Worker::lapses_at);
        let window = (self.hearing == Hearing::Deaf).then(|| self.clock.since.plus(LAPSE));
        let again = self.markers.again_at();
        let quiet = if again.is_none() {
            self.probes_at()
        } else {
            None
        };
        lapses.chain(window).chain(again).chain(quiet).min()
    }

    /// Who can speak for this copy. One that was never a question of this leader's was one of an
    /// earlier leader's: then everybody must have been heard since this one has caught up. While
    /// the journal stands still, nobody is said to have let go.
    pub fn hands(&self, name: &Name, now: Timestamp) -> Hands {
        let after = self.questions.get(name).copied().unwrap_or(self.floor);
        let same = |has: &Name| has.ticket == name.ticket && has.generation == name.generation;
        let passed = |has: &&Name| same(has) && has.hop > name.hop;
        let in_hands = || self.beats().flat_map(|beat| &beat.says.in_hand);
        if let Some(higher) = in_hands().filter(passed).max() {
            return Hands::Passed(*higher);
        }
        let is_heard = |beat: &&Beaten| beat.position > after;
        let mut heard = self.beats().filter(is_heard).map(|beat| &beat.says);
        if let Some(holder) = heard.find(|says| says.in_hand.contains(name)) {
            return Hands::Held(holder.holder.clone());
        }
        let stands_still = !self.workers.is_empty() && now.since(self.clock.read_at) > GAP;
        if self.hears_all() && !stands_still && self.all_heard_after(after) {
            return Hands::Nobody;
        }
        Hands::Unknown
    }

    /// The workers that are dead and whose last word is read; each is returned once.
    pub fn dead(&mut self, now: Timestamp) -> Vec<Holder> {
        self.clock_is(now);
        let returned = self.markers.last_back();
        let is_dead = |_: &Holder, worker: &mut Worker| worker.is_dead(returned);
        self.workers
            .extract_if(.., is_dead)
            .map(|(holder, _)| holder)
            .collect()
    }

    /// Whether every live worker keeps to this revision and has no older generation in hand.
    pub fn is_past(&self, revision: u64, ticket: TicketId, generation: Generation) -> bool {
        let is_older = |has: &Name| has.ticket == ticket && has.generation < generation;
        self.hears_all()
            && self.barrier.is_settled(revision)
            && self.workers.values().all(|worker| {
                worker.beat.as_ref().is_some_and(|beat| {
                    beat.says.revision >= revision && !beat.says.in_hand.iter().any(is_older)
                })
            })
    }

    /// The workers that are alive, by what they last said of themselves.
    pub fn alive(&self) -> impl Iterator<Item = &Heartbeat> {
        let live = self.workers.values().filter(|worker| !worker.is_gone);
        live.filter_map(|worker| Some(&worker.beat.as_ref()?.says))
    }

    /// Who serves each stage, with which version, by what every live worker last said. `None` as
    /// long as somebody who may be alive has still to be heard: who is only silent has not gone.
    pub fn serving(&self) -> Option<Serving> {
        if !self.hears_all() {
            return None;
        }
        let mut serving = Serving::new();
        for worker in self.workers.values().filter(|worker| !worker.is_gone) {
            let says = &worker.beat.as_ref()?.says;
            for (stage, version) in &says.stages {
                let versions = serving.entry(stage.clone()).or_default();
                let holders = versions.entry(version.clone()).or_default();
                holders.insert(says.holder.clone(), says.kinds.get(stage).cloned());
            }
        }
        Some(serving)
    }

    fn beats(&self) -> impl Iterator<Item = &Beaten> {
        let workers = self.workers.values();
        workers.filter_map(|worker| worker.beat.as_ref())
    }

    /// Whoever is alive has been heard of by now, and what earlier leaders read was written before.
    pub fn hears_all(&self) -> bool {
        self.hearing == Hearing::All
    }

    /// Those who may be out there have a whole [`LAPSE`] from now on to be heard.
    fn deafen(&mut self) {
        self.hearing = Hearing::Deaf;
        self.clock.since = self.clock.now;
    }

    /// When the leader writes a marker only to see that the journal flows.
    fn probes_at(&self) -> Option<Timestamp> {
        let matters = !self.hears_all() || !self.workers.is_empty();
        matters.then(|| self.clock.read_at.plus(BEAT_EVERY))
    }

    fn all_heard_after(&self, after: Position) -> bool {
        let mut workers = self.workers.values();
        workers.all(|worker| worker.is_heard_after(after))
    }

    fn clock_is(&mut self, now: Timestamp) {
        if self.clock.is(now).is_err() {
            self.markers.set_back(now);
            for worker in self.workers.values_mut() {
                worker.set_back(now);
            }
        }
    }

    fn journal_flows(&mut self) {
        if self.clock.reads() <= GAP {
            return;
        }
        let now = self.clock.now;
        if !self.hears_all() {
            self.deafen();
        }
        for worker in self.workers.values_mut() {
            worker.heard(now);
        }
    }

    /// The worker of this name, known from now on; `None` when there are too many.
    fn enlist(&mut self, holder: &Holder) -> Option<&mut Worker> {
        if self.workers.len() >= WORKERS_MAX && !self.workers.contains_key(holder) {
            self.deafen();
            return None;
        }
        let worker = self.workers.entry(holder.clone());
        Some(worker.or_insert_with(|| Worker::new(self.clock.now)))
    }

    fn lives(&mut self, holder: &Holder) {
        let now = self.clock.now;
        if let Some(worker) = self.enlist(holder) {
            worker.heard(now);
        }
    }

    fn beaten(&mut self, says: &Heartbeat, at: Timestamp) {
        self.spread(says.revision);
        self.lives(&says.holder);
        let (position, now) = (self.clock.read, self.clock.now);
        if let Some(worker) = self.workers.get_mut(&says.holder) {
            let says = says.clone();
            worker.beaten(Beaten { position, at, says }, now);
        }
    }

    fn gone(&mut self, holder: &Holder) {
        if let Some(worker) = self.enlist(holder) {
            worker.gone();
        }
    }

    fn returned(&mut self, marker: u64) {
        if !self.markers.returned(marker) {
            return;
        }
        self.barrier.returned(marker);
        if self.hearing.returned(marker) {
            self.floor = self.clock.read;
        }
    }

    fn forget_answered(&mut self) {
        if !self.hears_all() {
            return;
        }
        let heard = self.workers.values().map(|worker| worker.beat.as_ref());
        let heard = heard.map(|beat| beat.map_or(0, |beat| beat.position)).min();
        let heard = heard.unwrap_or(Position::MAX);
        // The floor must answer what the question did.
        let is_open = |after: Position| after.max(self.floor) >= heard;
        self.questions.retain(|_, after| is_open(*after));
    }

    fn needs_marker(&self) -> bool {
        let now = self.clock.now;
        let is_due = |at: Timestamp| at <= now;
        let again = self.markers.again_at().or_else(|| self.probes_at());
        again.is_some_and(is_due)
            || self.hears_whoever_lives()
            || self.barrier.needs_marker()
            || self.workers.values().any(|worker| worker.needs_marker(now))
    }

    /// The time is over in which everybody who lives has spoken, heard or not.
    fn hears_whoever_lives(&self) -> bool {
        self.hearing == Hearing::Deaf && self.clock.now >= self.clock.since.plus(LAPSE)
    }

    fn mark(&mut self) -> u64 {
        let now = self.clock.now;
        let marker = self.markers.next(now);
        if self.hears_whoever_lives() {
            self.hearing = Hearing::Marked(marker);
        }
        self.barrier.mark(marker);
        for worker in self.workers.values_mut() {
            worker.mark(marker, now);
        }
        marker
    }

    fn needs_roll_call(&self) -> bool {
        let is_open = |after: &Position| *after > self.called && !self.all_heard_after(*after);
        self.questions.values().max().is_some_and(is_open)
    }
}

#[cfg(test)]
mod tests;
