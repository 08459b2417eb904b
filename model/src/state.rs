//! Everything that there is at one moment.

use crate::cast::{self, SLOTS, Who};
use crate::faults::Faults;
use crate::word::Word;
use domain::fleet::{Ask, BEAT_EVERY, Fleet, LAPSE};
use domain::hearing::{Position, Spot};
use domain::ticket::{Generation, Name};
use domain::wait::Reason;
use std::collections::{BTreeMap, BTreeSet};

/// The world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The copies that the broker has, sorted; queues have no order here, which is worse than true.
    pub copies: Vec<Copy>,
    /// What was published and has not landed yet, sorted.
    pub late: Vec<Late>,
    /// What the controller has not applied yet, oldest first.
    pub journal: Vec<Word>,
    /// The last records that it has applied: perhaps not acked, should it die.
    pub applied: Vec<Word>,
    /// The workers.
    pub workers: [Worker; SLOTS],
    /// What everybody is to keep to.
    pub desired: Desired,
    /// What the books have of each ticket.
    pub rows: Vec<Row>,
    /// What the books know of attempts.
    pub attempts: BTreeMap<(Name, Who), Attempt>,
    /// The reports that are durable.
    pub oopses: BTreeSet<Name>,
    /// What the controller that leads has in mind.
    pub leader: Leader,
    /// What may still go wrong.
    pub faults: Faults,
    /// What only we know.
    pub truth: Truth,
}

/// A message with a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Copy {
    /// Its name.
    pub name: Name,
    /// Whether somebody had it before.
    pub is_flagged: bool,
    /// Who has it; else it is in its queue.
    pub with: Option<Who>,
}

/// A publish that was given up and may land yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Late {
    /// A ticket.
    Copy(Name),
    /// A record.
    Word(Word),
}

/// A worker process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Worker {
    /// Which one.
    pub who: Who,
    /// Whether it consumes already.
    pub phase: Life,
    /// The desired state that it keeps to.
    pub seen: Desired,
    /// The ticket in its slot.
    pub hand: Option<Hand>,
    /// Revision and hand of its last beat.
    pub told: Option<(u64, Option<Name>)>,
}

/// How far a process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It has just been started.
    New,
    /// It died, and no other one takes its place.
    Gone,
    /// Its first beat is confirmed.
    Announced,
    /// It consumes.
    Up,
}

/// A ticket in a worker's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hand {
    /// Under which name.
    pub name: Name,
    /// How far it has come.
    pub phase: Phase,
    /// Whether the delivery can still be acked.
    pub is_ours: bool,
}

/// How far a worker has come with a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Delivered for the first time.
    Fresh,
    /// Delivered again.
    Flagged,
    /// The claim is confirmed, the delivery not acked yet.
    Claimed,
    /// Its handler runs.
    Running,
    /// The next copy is confirmed.
    NextOut,
    /// Whether the next copy landed is not known.
    Doubtful,
    /// It failed, and the report is durable.
    Failed,
    /// The record of its end is confirmed.
    Recorded,
    /// A mutant's: the record is confirmed, and the next copy not published yet.
    DoneFirst,
    /// A mutant's: acked, and the record not written yet.
    AckedFirst,
    /// A mutant's: acked, and not claimed yet.
    Unclaimed,
}

/// A snapshot of the desired state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Desired {
    /// Rises with each change.
    pub revision: u64,
    /// The lowest generation of each ticket that may run.
    pub fences: Vec<Generation>,
    /// Whether the stages take no deliveries.
    pub is_paused: bool,
}

/// What the books have of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// Where it is.
    pub at: Position,
    /// Born in doubt: not to be released before everybody keeps to this revision.
    pub barrier: Option<u64>,
    /// Whether the record of its start is the only copy.
    pub is_claimed: bool,
    /// How often it was finished.
    pub dones: u8,
}

/// What the books know of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attempt {
    /// Started.
    Open,
    /// Its end was read.
    Ended,
    /// Its end is that its holder died.
    Died,
}

/// What the controller that leads has in mind; it dies with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader {
    /// The workers, as the code knows them.
    pub fleet: Fleet,
    /// The suspects that the fleet was asked about.
    pub asked: BTreeSet<Name>,
    /// What it is publishing; `true` once the broker has it.
    pub sending: Vec<(Name, bool)>,
    /// Whether it has not heard for long enough who is there.
    pub is_deaf: bool,
}

/// What only we know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Truth {
    /// Attempts that ended badly, however.
    pub bad: BTreeSet<Name>,
    /// Attempts whose `done` is confirmed.
    pub good: BTreeSet<Name>,
    /// Processes that died and whose launcher has not said so.
    pub untold: BTreeSet<Who>,
    /// Processes that were held to be dead while they lived.
    pub wronged: BTreeSet<Who>,
}

impl State {
    /// Tickets that were accepted, workers that are up, a controller that has led for a while.
    pub fn new(tickets: u8, faults: Faults) -> Self {
        let desired = Desired {
            revision: 1,
            fences: vec![Generation::FIRST; usize::from(tickets)],
            is_paused: false,
        };
        let workers = [0, 1].map(|slot| Worker {
            who: Who { slot, life: 0 },
            phase: Life::Up,
            seen: desired.clone(),
            hand: None,
            told: Some((desired.revision, None)),
        });
        let row = |n| Row {
            at: Position {
                name: cast::first(n),
                spot: Spot::Waiting(Reason::NotNow),
            },
            barrier: None,
            is_claimed: false,
            dones: 0,
        };
        let mut state = Self {
            copies: Vec::new(),
            late: Vec::new(),
            journal: Vec::new(),
            applied: Vec::new(),
            workers,
            desired,
            rows: (0..tickets).map(row).collect(),
            attempts: BTreeMap::new(),
            oopses: BTreeSet::new(),
            leader: Leader::new(),
            faults,
            truth: Truth::default(),
        };
        state.leader.settle(&state.workers);
        state
    }

    /// The row of this ticket.
    pub fn row(&self, name: &Name) -> &Row {
        &self.rows[cast::index(name)]
    }

    /// The row of this ticket.
    pub fn row_mut(&mut self, name: &Name) -> &mut Row {
        &mut self.rows[cast::index(name)]
    }

    /// Whether nothing has happened yet that tells the workers apart.
    pub fn is_even(&self) -> bool {
        let [one, other] = &self.workers;
        let twin = Worker {
            who: one.who,
            ..other.clone()
        };
        one.who.life == 0
            && one.hand.is_none()
            && *one == twin
            && self.attempts.is_empty()
            && self.journal.is_empty()
            && self.truth == Truth::default()
            && !self.leader.is_deaf
    }

    /// The same state in its smallest form.
    pub fn compact(&mut self) {
        self.copies.sort_unstable();
        self.late.sort_unstable();
        let fall = self.leader.fleet.compact(cast::NOW);
        for word in &mut self.journal {
            if let Word::Marker(number) = word {
                *number -= fall;
            }
        }
    }
}

impl Worker {
    /// Whether it is there, and says so now and then.
    pub const fn is_alive(&self) -> bool {
        matches!(self.phase, Life::Announced | Life::Up)
    }

    /// Whether nobody in its slot has died.
    pub const fn is_first(&self) -> bool {
        self.who.life == 0
    }

    /// Whether it has nothing to do.
    pub const fn is_idle(&self) -> bool {
        self.hand.is_none() && matches!(self.phase, Life::Up | Life::Gone)
    }
}

impl Leader {
    /// One that was chosen just now.
    pub fn new() -> Self {
        Self {
            fleet: Fleet::new(cast::NOW),
            asked: BTreeSet::new(),
            sending: Vec::new(),
            is_deaf: true,
        }
    }

    fn settle(&mut self, workers: &[Worker]) {
        let mut now = cast::NOW;
        let fleet = &mut self.fleet;
        fleet.spread(1);
        while now < cast::NOW.plus(LAPSE + BEAT_EVERY) {
            for worker in workers {
                let beat = Word::Beat {
                    by: worker.who,
                    revision: 1,
                    in_hand: None,
                };
                fleet.read(&beat.record(), now);
            }
            for ask in fleet.asks(now) {
                if let Ask::Marker(number) = ask {
                    fleet.read(&Word::Marker(number).record(), now);
                }
            }
            now = now.plus(BEAT_EVERY);
        }
        fleet.compact(cast::NOW);
        self.is_deaf = false;
    }
}

impl Default for Leader {
    fn default() -> Self {
        Self::new()
    }
}
