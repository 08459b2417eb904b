//! One term of leading: the books to lead with, and what the journal tells about the workers.

use crate::station::lock;
use domain::fleet::{Ask, Fleet, Hands, Heartbeat};
use domain::names::Holder;
use domain::ports::{Due, Ledger, Serving};
use domain::record::{Record, Said};
use domain::ticket::Name;
use domain::time::Timestamp;
use domain::verdict::Case;
use domain::wait::Condition;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How many of the open questions are looked at whenever a worker has spoken; all of them are
/// looked at in each round.
const GLANCE_MAX: usize = 256;

/// The most tickets that a round looks past because a worker has still to be heard about them.
const PAST_MAX: usize = 10_000;

/// With more open questions than a glance, the next round over them comes no sooner.
const CROWD_REST: Duration = Duration::from_secs(1);

/// From the moment this process was chosen until it stops leading, for whatever reason.
pub(crate) struct Term {
    pub(crate) ledger: Arc<dyn Ledger>,
    mind: Mutex<Mind>,
    over: watch::Sender<Option<String>>,
    /// There is a new question, for whoever reads the journal.
    pub(crate) question: Notify,
}

struct Mind {
    fleet: Fleet,
    /// The suspects that the fleet was asked about.
    asked: BTreeSet<Name>,
    /// What the last round over the suspects could not decide.
    undecided: Vec<Name>,
    /// What the last round of releases had to hold back.
    held_back: Vec<(Name, u64)>,
    looked_at: Option<Instant>,
    /// When time has something to do in the books, as they said last.
    due_at: Option<Timestamp>,
    /// The revision that was spread last in this term, and when.
    spread: Option<(u64, Instant)>,
}

impl Term {
    /// A term that begins now. `expected` are the workers that the books have open attempts of.
    pub(crate) fn new(ledger: Arc<dyn Ledger>, expected: Vec<Holder>, now: Timestamp) -> Self {
        let mut fleet = Fleet::new(now);
        for holder in expected {
            fleet.expect(holder, now);
        }
        let mind = Mind {
            fleet,
            asked: BTreeSet::new(),
            undecided: Vec::new(),
            held_back: Vec::new(),
            looked_at: None,
            due_at: None,
            spread: None,
        };
        Self {
            ledger,
            mind: Mutex::new(mind),
            over: watch::Sender::new(None),
            question: Notify::new(),
        }
    }

    /// It must not go on; the first reason counts.
    pub(crate) fn end(&self, why: &str) {
        self.over.send_if_modified(|over| {
            let is_first = over.is_none();
            if is_first {
                *over = Some(why.into());
            }
            is_first
        });
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.borrow().is_some()
    }

    /// Waits until it must not go on, and says why.
    pub(crate) async fn over(&self) -> String {
        let mut over = self.over.subscribe();
        match over.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => String::new(), // The sender is ours.
        }
    }

    /// These records are in the books. Says whether a question that was open has its answer now.
    pub(crate) fn read(&self, records: &[Record], suspects: &[Name], now: Timestamp) -> bool {
        let mut mind = lock(&self.mind);
        for record in records {
            mind.fleet.read(record, now);
        }
        for name in suspects {
            mind.ask(*name, now);
        }
        let has_spoken = |record: &Record| {
            matches!(
                record.said,
                Said::Beat(_) | Said::Gone { .. } | Said::Marker(_)
            )
        };
        records.iter().any(has_spoken) && mind.has_answer(now)
    }

    /// What must be done so that the open questions get their answers.
    pub(crate) fn asks(&self, now: Timestamp) -> Vec<Ask> {
        lock(&self.mind).fleet.asks(now)
    }

    /// Calls the roll before it is known which tickets it is about.
    pub(crate) fn call(&self) -> Ask {
        lock(&self.mind).fleet.call()
    }

    /// Who is dead since the last call, and has said its last word.
    pub(crate) fn dead(&self, now: Timestamp) -> Vec<Holder> {
        lock(&self.mind).fleet.dead(now)
    }

    pub(crate) fn wakes_at(&self) -> Option<Timestamp> {
        lock(&self.mind).fleet.wakes_at()
    }

    /// The workers that are alive, by what they last said of themselves.
    pub(crate) fn alive(&self) -> Vec<Heartbeat> {
        lock(&self.mind).fleet.alive().cloned().collect()
    }

    /// Whether what was written before this term is read, and whoever lives has been heard.
    pub(crate) fn hears_all(&self) -> bool {
        lock(&self.mind).fleet.hears_all()
    }

    /// Who serves each stage; `None` as long as somebody has still to be heard.
    pub(crate) fn serving(&self) -> Option<Serving> {
        lock(&self.mind).fleet.serving()
    }

    /// The books have something to do that nobody was told of when.
    pub(crate) fn is_due(&self, now: Timestamp) {
        lock(&self.mind).due_at = Some(now);
    }

    /// The books have done what was due, and have something to do again at `next`. Returns whether
    /// anything was.
    pub(crate) fn was_due(&self, now: Timestamp, next: Option<Timestamp>) -> bool {
        let before = std::mem::replace(&mut lock(&self.mind).due_at, next);
        before.is_some_and(|at| at <= now)
    }

    /// Whether somebody has still to be heard before a ticket can move.
    pub(crate) fn has_questions(&self) -> bool {
        let mind = lock(&self.mind);
        !(mind.undecided.is_empty() && mind.held_back.is_empty())
    }

    /// Whether a question that was open has its answer now.
    pub(crate) fn has_answer(&self, now: Timestamp) -> bool {
        lock(&self.mind).has_answer(now)
    }

    /// How many more than `max` to ask for, so that what is held back is not all there is to see.
    pub(crate) fn past_barriers(&self, max: usize) -> usize {
        max + lock(&self.mind).held_back.len().min(PAST_MAX)
    }

    /// Of those whose wait is over, the ones that may be published: every live worker keeps to the
    /// revision that their barrier asks for, and has no older generation in hand.
    pub(crate) fn past(&self, due: Vec<Due>) -> Vec<Due> {
        let mut mind = lock(&self.mind);
        mind.held_back.clear();
        let mut past = Vec::with_capacity(due.len());
        for due in due {
            match due.barrier {
                Some(revision) if !mind.is_past(&due.ticket.name, revision) => {
                    mind.held_back.push((due.ticket.name, revision));
                }
                _ => past.push(due),
            }
        }
        past
    }

    /// How many cases to ask for so that `max` can be decided; none while a crowd of undecided ones
    /// was looked at only just now.
    pub(crate) fn cases_wanted(&self, max: usize) -> Option<usize> {
        let mind = lock(&self.mind);
        let is_crowd = mind.undecided.len() > GLANCE_MAX;
        let is_fresh = mind.looked_at.is_some_and(|at| at.elapsed() < CROWD_REST);
        let wanted = max + mind.undecided.len().min(PAST_MAX);
        (!(is_crowd && is_fresh)).then_some(wanted)
    }

    /// Of these cases, the ones that can be decided now: nobody who lives can speak for them. A
    /// copy in somebody's hands is decided by that worker's word or death; one whose hand-off is
    /// proven by the word of whoever has it at the next stage. `is_all` says that there are no
    /// others.
    pub(crate) fn decidable(&self, cases: Vec<Case>, is_all: bool, now: Timestamp) -> Vec<Case> {
        let mut mind = lock(&self.mind);
        mind.undecided.clear();
        mind.looked_at = Some(Instant::now());
        let mut suspects = BTreeSet::new();
        let mut decidable = Vec::with_capacity(cases.len());
        let mut is_new = false;
        for case in cases {
            let name = case.ticket.name;
            if matches!(case.wait.condition, Condition::Suspect { .. }) {
                suspects.insert(name);
                is_new |= mind.ask(name, now);
                if mind.fleet.hands(&name, now) != Hands::Nobody {
                    mind.undecided.push(name);
                    continue;
                }
            }
            decidable.push(case);
        }
        if is_all {
            mind.asked = suspects;
        }
        if is_new {
            self.question.notify_one();
        }
        decidable
    }

    /// This revision is the desired state that everybody can read.
    pub(crate) fn spread(&self, revision: u64) {
        let mut mind = lock(&self.mind);
        mind.fleet.spread(revision);
        mind.spread = Some((revision, Instant::now()));
    }

    /// The revision that was spread last in this term, and how long ago.
    pub(crate) fn last_spread(&self) -> Option<(u64, Duration)> {
        let spread = lock(&self.mind).spread;
        spread.map(|(revision, at)| (revision, at.elapsed()))
    }

    /// Whether a live worker keeps to an older revision than this.
    pub(crate) fn is_behind(&self, revision: u64) -> bool {
        let mind = lock(&self.mind);
        mind.fleet.alive().any(|beat| beat.revision < revision)
    }
}

impl Mind {
    /// Asks the fleet once about each suspect; says whether this one is new.
    fn ask(&mut self, name: Name, now: Timestamp) -> bool {
        let is_new = self.asked.insert(name);
        if is_new {
            self.fleet.suspect(name, now);
        }
        is_new
    }

    fn is_past(&self, name: &Name, revision: u64) -> bool {
        self.fleet.is_past(revision, name.ticket, name.generation)
    }

    fn has_answer(&self, now: Timestamp) -> bool {
        let mut suspects = self.undecided.iter().take(GLANCE_MAX);
        let mut barriers = self.held_back.iter().take(GLANCE_MAX);
        suspects.any(|name| self.fleet.hands(name, now) == Hands::Nobody)
            || barriers.any(|(name, revision)| self.is_past(name, *revision))
    }
}
