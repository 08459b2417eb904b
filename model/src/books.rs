//! The books: what a record, a verdict, an order and a death do to them.

use crate::cast::{self, Who};
use crate::mutant::Mutant;
use crate::protocol::Protocol;
use crate::state::{Attempt, Row, State};
use crate::word::{End, Word};
use domain::books::{Stale, Standing};
use domain::hearing::{Heard, Position, Spot, hear};
use domain::names::Holder;
use domain::record::Said;
use domain::ticket::Name;
use domain::trial::Company;
use domain::verdict::{Case, judge};
use domain::wait::{Condition, Reason, Wait};

impl Row {
    /// Whether a copy may be out there.
    pub const fn is_out(&self) -> bool {
        match self.at.spot {
            Spot::Publishing | Spot::Runnable | Spot::Running => true,
            Spot::Waiting(reason) => matches!(reason, Reason::Suspect),
            Spot::Done | Spot::Dropped => false,
        }
    }

    /// Whether it is a question who has it.
    pub fn is_suspect(&self) -> bool {
        self.at.spot == Spot::Waiting(Reason::Suspect)
    }

    /// Whether it waits for nothing but its release.
    pub const fn is_due(&self) -> bool {
        matches!(
            self.at.spot,
            Spot::Waiting(Reason::NotNow | Reason::Backoff | Reason::Trial)
        )
    }

    /// Whether a word of the holder of this copy would count.
    pub fn accepts(&self, name: &Name) -> bool {
        let standing = Standing {
            name: self.at.name,
            state: self.at.spot.state(),
        };
        standing.accepts(name).is_ok()
    }
}

impl State {
    /// A record is written into the books.
    pub(crate) fn apply(&mut self, protocol: &Protocol, word: &Word, said: &Said) {
        let Some(name) = word.name() else {
            return;
        };
        self.note_attempt(word, name);
        let heard = heard(protocol, &self.row(&name).at, said);
        if let Heard::Moves(to) = heard {
            self.moves(word, to, !protocol.is(Mutant::KeepsGenerationInDoubt));
        }
    }

    /// Each start opens an attempt, each end closes it for ever, also when they come too late.
    fn note_attempt(&mut self, word: &Word, name: Name) {
        match *word {
            Word::Started { by, .. } => {
                self.attempts.entry((name, by)).or_insert(Attempt::Open);
            }
            Word::Ended {
                how: End::HandedBack,
                ..
            } => {}
            Word::Ended { by, .. } => {
                self.attempts.insert((name, by), Attempt::Ended);
            }
            _ => {}
        }
    }

    fn moves(&mut self, word: &Word, to: Position, doubt_raises: bool) {
        let row = self.row_mut(&to.name);
        row.at = to;
        row.barrier = None;
        row.is_claimed = matches!(word, Word::Started { claimed: true, .. });
        if to.spot == Spot::Done {
            row.dones += 1;
        }
        let is_doubt = matches!(
            word,
            Word::Ended {
                how: End::Doubted,
                ..
            }
        );
        if is_doubt && doubt_raises && row.is_due() {
            self.fence(&to.name);
        }
    }

    /// The generation that is in force was born in doubt: nothing older may run any more.
    fn fence(&mut self, name: &Name) {
        self.desired.fences[cast::index(name)] = name.generation;
        self.row_mut(name).barrier = Some(self.desired.revision + 1);
        self.spread();
    }

    /// The desired state has changed, and is spread.
    pub(crate) fn spread(&mut self) {
        self.desired.revision += 1;
        self.leader.fleet.spread(self.desired.revision);
    }

    /// The ticket goes on under a new generation, because nobody knows about the old one.
    pub(crate) fn renew(&mut self, name: &Name) {
        let row = self.row_mut(name);
        row.at = Position {
            name: row.at.name.renewed(),
            spot: Spot::Waiting(Reason::NotNow),
        };
        row.is_claimed = false;
        let name = row.at.name;
        self.fence(&name);
    }

    /// What is known of a suspect, as the verdict wants to see it.
    fn case(&self, row: &Row) -> Case {
        let name = row.at.name;
        let began = |state: &Attempt| *state != Attempt::Ended;
        let mut tried = self.attempts.iter();
        let tried = tried.find(|((at, _), state)| *at == name && began(state));
        let condition = Condition::Suspect {
            holder: tried.map_or_else(Holder::unknown, |((_, who), _)| cast::holder(*who)),
            started_at: tried.map(|_| cast::NOW),
        };
        Case {
            ticket: cast::ticket(name),
            wait: Wait {
                condition,
                since: cast::NOW,
                because: String::new(),
                oops: None,
            },
            scene: None,
            version: None,
            company: Company::default(),
        }
    }

    /// A suspect for whom nobody can speak is judged: the report first, then the verdict.
    pub(crate) fn judge(&mut self, protocol: &Protocol, n: usize) {
        let row = self.rows[n];
        let case = self.case(&row);
        let decision = cast::decision(&row.at.name);
        let Some(judgement) = judge(&case, &cast::scene(), &decision) else {
            return;
        };
        if let Some(report) = judgement.report {
            self.oopses.insert(report.name);
            self.close(&report.name);
        }
        let verdict = judgement.verdict;
        let keeps = protocol.is(Mutant::KeepsGenerationOfTheDead);
        let mut name = verdict.name;
        if keeps {
            name.generation = verdict.of.generation;
        }
        self.rows[n].at = Position {
            name,
            spot: Spot::Waiting(verdict.wait.condition.reason()),
        };
        self.rows[n].barrier = None;
        if !keeps {
            self.fence(&name);
        }
    }

    fn close(&mut self, name: &Name) {
        let open = self.attempts.iter_mut();
        for (_, state) in open.filter(|((at, _), state)| at == name && **state == Attempt::Open) {
            *state = Attempt::Died;
        }
    }

    /// A worker is dead, and its last word is read.
    pub(crate) fn bury(&mut self, protocol: &Protocol, who: Who) {
        let theirs = self.attempts.iter();
        let theirs = theirs.filter(|((_, by), state)| *by == who && **state == Attempt::Open);
        let names: Vec<Name> = theirs.map(|((name, _), _)| *name).collect();
        for name in names {
            let row = self.row_mut(&name);
            let is_current = row.at.name == name && !row.at.spot.state().is_terminal();
            if is_current && row.at.spot == Spot::Running && row.is_claimed {
                row.at.spot = Spot::Waiting(Reason::Suspect);
                row.is_claimed = false;
            }
            // Also of a ticket that is still there: it may yet turn out to have been handed on.
            let is_told = match protocol.mutant {
                Some(Mutant::BuriesInSilence) => false,
                Some(Mutant::BuriesOnlyTheLeft) => !is_current,
                _ => true,
            };
            if is_told {
                self.oopses.insert(name);
                self.attempts.insert((name, who), Attempt::Died);
            }
        }
    }

    /// The workers of whom the books have an open attempt.
    pub(crate) fn expected(&self) -> Vec<Who> {
        let open = self.attempts.iter();
        let open = open.filter(|(_, state)| **state == Attempt::Open);
        open.map(|((_, who), _)| *who).collect()
    }
}

/// What the books hear, or a mutant of them.
fn heard(protocol: &Protocol, books: &Position, said: &Said) -> Heard {
    let heard = hear(Some(books), said);
    let is_failure = matches!(said, Said::Ended(parted)
        if matches!(parted.to, domain::record::Fate::Waits(_)));
    match (protocol.mutant, &heard) {
        (Some(Mutant::HearsEveryGeneration), Heard::Stale(Stale::Generation(_)))
        | (Some(Mutant::HearsEveryHop), Heard::Stale(Stale::Passed(..)))
        | (Some(Mutant::ReopensDone), Heard::Stale(Stale::Terminal(_))) => hear(None, said),
        (Some(Mutant::HearsFailureAgain), Heard::Stale(Stale::Passed(..))) if is_failure => {
            hear(None, said)
        }
        (Some(Mutant::DeniesHigherHop), Heard::Moves(_)) => {
            let is_higher = said.name().is_some_and(|name| name.hop > books.name.hop);
            if is_higher { Heard::Noted } else { heard }
        }
        (Some(Mutant::KeepsGenerationInDoubt), Heard::Moves(to)) => Heard::Moves(Position {
            name: Name {
                generation: books.name.generation,
                ..to.name
            },
            ..*to
        }),
        _ => heard,
    }
}
