//! The workers, as the leading controller knows them from the journal: who is alive, what is in
//! whose hands, and when it is certain that nobody speaks for a ticket any more.
//!
//! Pure: it is told what was read and what time it is, and says what may be concluded. The model
//! of the protocol runs this same code.

use crate::names::{Holder, StageName, Version};
use crate::record::Record;
use crate::ticket::{Generation, Name, TicketId};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a worker says that it is alive.
pub const BEAT_EVERY: Duration = Duration::from_secs(2);
/// A worker that was silent for so long counts as dead, once the journal is read to a marker that
/// was written after that.
pub const LAPSE: Duration = Duration::from_secs(6);

/// What a worker says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Which process, with its incarnation.
    pub holder: Holder,
    /// On which host.
    pub hostname: String,
    /// The stages that it serves, and the version of each one's handler.
    pub stages: BTreeMap<StageName, Version>,
    /// The revision of the desired state that it keeps to.
    pub revision: u64,
    /// Every copy that it has in its hands: prefetched, running, or not settled yet.
    pub in_hand: Vec<Name>,
}

/// What the leader should do so that a question can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Spread the desired state under a new revision, which every live worker answers at once.
    RollCall,
    /// Write this marker into the journal.
    Marker(u64),
}

/// Who can speak for a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hands {
    /// Not certain yet: somebody has still to be heard.
    Unknown,
    /// This live worker has it: its word or its death decides.
    Held(Holder),
    /// A live worker has a higher hop of the same generation: the hand-off is proven.
    Passed(Name),
    /// Nobody has it, and whoever had it has said its last word.
    Nobody,
}

/// The workers as far as the journal tells.
#[derive(Clone, Debug, Default)]
pub struct Fleet {}

impl Fleet {
    /// Nobody is known yet; whoever is silent for [`LAPSE`] after `since` was never there.
    pub fn new(since: Timestamp) -> Self {
        todo!("{since:?}")
    }

    /// A record was read and applied. Every record is a sign of life; a beat tells what is in hand.
    pub fn read(&mut self, record: &Record, now: Timestamp) {
        todo!("{record:?} {now:?}")
    }

    /// A copy is suspect from here on in the journal; who has it is now a question.
    pub fn suspect(&mut self, name: Name, now: Timestamp) {
        todo!("{name:?} {now:?}")
    }

    /// What must be done now so that open questions can be answered; call it after each group of
    /// records and whenever [`Fleet::wakes_at`] has come.
    pub fn asks(&mut self, now: Timestamp) -> Vec<Ask> {
        todo!("{now:?}")
    }

    /// When time alone changes an answer next.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        todo!()
    }

    /// Who can speak for this copy.
    pub fn hands(&self, name: &Name, now: Timestamp) -> Hands {
        todo!("{name:?} {now:?}")
    }

    /// The workers that are dead and whose last word is read; each is returned once.
    pub fn dead(&mut self, now: Timestamp) -> Vec<Holder> {
        todo!("{now:?}")
    }

    /// Whether every live worker keeps to this revision and has no older generation in hand.
    pub fn is_past(&self, revision: u64, ticket: TicketId, generation: Generation) -> bool {
        todo!("{revision} {ticket} {generation}")
    }

    /// The workers that are alive, by what they last said of themselves.
    pub fn alive(&self) -> impl Iterator<Item = &Heartbeat> {
        std::iter::empty()
    }
}
