//! The books: where each ticket is, which words about it still count, and whether the sums agree.

use crate::names::{Holder, StageName, Version};
use crate::oops::OopsId;
use crate::outcome::{OutcomeKind, Usage};
use crate::ports::Kinds;
use crate::ticket::{Name, Ticket};
use crate::time::Timestamp;
use crate::wait::{Reason, Wait};
use std::collections::BTreeMap;
use std::fmt;

/// Where a ticket is: in exactly one of these.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// In its stage's queue.
    Runnable {
        /// Since when.
        since: Timestamp,
    },
    /// With a worker.
    Running {
        /// Since when.
        since: Timestamp,
        /// Whose.
        holder: Holder,
    },
    /// In the store, for a reason.
    Waiting(Wait),
    /// Done for good.
    Done {
        /// Since when.
        at: Timestamp,
    },
    /// Given up by a named person or rule.
    Dropped {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: String,
        /// By whom.
        by: String,
    },
}

/// The name of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// See [`Place::Runnable`].
    Runnable,
    /// See [`Place::Running`].
    Running,
    /// See [`Place::Waiting`].
    Waiting,
    /// See [`Place::Done`].
    Done,
    /// See [`Place::Dropped`].
    Dropped,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Runnable,
        Self::Running,
        Self::Waiting,
        Self::Done,
        Self::Dropped,
    ];

    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Runnable => "runnable",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Dropped => "dropped",
        }
    }

    /// The state that users call by this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether nothing can change it any more.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Done | Self::Dropped)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Place {
    /// The name of the place.
    pub const fn state(&self) -> State {
        match self {
            Self::Runnable { .. } => State::Runnable,
            Self::Running { .. } => State::Running,
            Self::Waiting(_) => State::Waiting,
            Self::Done { .. } => State::Done,
            Self::Dropped { .. } => State::Dropped,
        }
    }

    /// Since when the ticket is there.
    pub const fn since(&self) -> Timestamp {
        match self {
            Self::Runnable { since } | Self::Running { since, .. } => *since,
            Self::Waiting(wait) => wait.since,
            Self::Done { at } | Self::Dropped { at, .. } => *at,
        }
    }
}

/// What the books compare each word about a ticket with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The name that is in force.
    pub name: Name,
    /// Where the ticket is.
    pub state: State,
}

/// Why a word about a ticket changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// The ticket is done or dropped; that is for ever.
    #[error("the ticket is already {0}")]
    Terminal(State),
    /// A newer generation is in force.
    #[error("generation {0} is in force")]
    Generation(crate::ticket::Generation),
    /// It was handed on since, or tried again.
    #[error("hop {0} attempt {1} is in force")]
    Passed(crate::ticket::Hop, crate::ticket::Attempt),
}

impl Standing {
    /// Whether a word of the holder of `name` counts.
    ///
    /// It does if the ticket is not terminal, the generation is equal, and (hop, attempt) is not
    /// lower. A higher hop of the same generation counts: it proves the hand-offs before it.
    ///
    /// # Errors
    /// [`Stale`] says why it changes nothing.
    pub fn accepts(&self, name: &Name) -> Result<(), Stale> {
        if self.state.is_terminal() {
            return Err(Stale::Terminal(self.state));
        }
        if name.generation != self.name.generation {
            return Err(Stale::Generation(self.name.generation));
        }
        if (name.hop, name.attempt) < (self.name.hop, self.name.attempt) {
            return Err(Stale::Passed(self.name.hop, self.name.attempt));
        }
        Ok(())
    }
}

/// A ticket with everything that the books know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The ticket, under the name in force.
    pub ticket: Ticket,
    /// Where it is.
    pub place: Place,
    /// The version of the component that last had it.
    pub version: Option<Version>,
    /// The reports about it, oldest first.
    pub oopses: Vec<OopsId>,
}

/// One line of a ticket's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// Which copy of the ticket.
    pub name: Name,
    /// At which stage.
    pub stage: StageName,
    /// What happened.
    pub fact: Fact,
}

/// What a line of history tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// An attempt ran and ended.
    Attempted {
        /// When the handler was started.
        started_at: Timestamp,
        /// How it ended.
        outcome: OutcomeKind,
        /// Which version ran it.
        version: Version,
        /// Which process ran it.
        holder: Holder,
        /// The report, if it went wrong.
        oops: Option<OopsId>,
        /// What it cost.
        usage: Usage,
    },
    /// Something else happened to it, told in words: accepted, released, dropped.
    Noted {
        /// The past participle, for example `accepted`.
        what: String,
        /// By whom, and why.
        why: String,
        /// The report about it, if it tells of an attempt that died.
        oops: Option<OopsId>,
    },
}

/// The sums over all tickets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// What publishers were told is accepted, counted when they were told.
    pub accepted: u64,
    /// In the queues.
    pub runnable: u64,
    /// With workers.
    pub running: u64,
    /// In the store, by reason.
    pub waiting: BTreeMap<Reason, u64>,
    /// Done for good.
    pub done: u64,
    /// Given up with a reason.
    pub dropped: u64,
}

impl Balance {
    /// How many tickets wait, for whatever reason.
    pub fn waiting_total(&self) -> u64 {
        self.waiting.values().sum()
    }

    /// Whether every accepted ticket is in exactly one place.
    pub fn is_balanced(&self) -> bool {
        let found = self.runnable + self.running + self.waiting_total() + self.done + self.dropped;
        self.accepted == found
    }
}

/// The sums of one stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageCounts {
    /// Which stage.
    pub stage: StageName,
    /// In its queue.
    pub ready: u64,
    /// With its workers.
    pub running: u64,
    /// In the store, by reason.
    pub waiting: BTreeMap<Reason, u64>,
    /// Attempts that ended in `done` since the data folder was made, those that a call-back ended
    /// among them.
    pub done: u64,
    /// Attempts that went wrong since the data folder was made.
    pub failed: u64,
    /// When the oldest ready ticket became ready.
    pub oldest_ready: Option<Timestamp>,
    /// Who serves it, as far as the books are told: workers elsewhere announce themselves.
    pub served: Vec<Served>,
}

/// Workers that serve a stage alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The version of their handler.
    pub version: Version,
    /// Which kinds of tickets they take.
    pub kinds: Kinds,
    /// How many they are.
    pub workers: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::TicketId;

    fn standing(name: Name, state: State) -> Standing {
        Standing { name, state }
    }

    #[test]
    fn only_the_name_in_force_is_heard() {
        let first = Name::first(TicketId::from_bytes([1; 16]));
        let second = first.charged();
        let running = standing(second, State::Running);
        assert!(running.accepts(&second).is_ok());
        assert!(
            running.accepts(&second.handed_on()).is_ok(),
            "a higher hop proves the hand-off"
        );
        assert_eq!(
            running.accepts(&first),
            Err(Stale::Passed(second.hop, second.attempt))
        );
        assert_eq!(
            running.accepts(&second.renewed()),
            Err(Stale::Generation(second.generation))
        );
        assert_eq!(
            standing(first.renewed(), State::Waiting).accepts(&first),
            Err(Stale::Generation(first.renewed().generation)),
        );
    }

    #[test]
    fn terminal_is_for_ever() {
        let name = Name::first(TicketId::from_bytes([1; 16]));
        for state in [State::Done, State::Dropped] {
            assert_eq!(
                standing(name, state).accepts(&name.handed_on()),
                Err(Stale::Terminal(state))
            );
        }
    }

    #[test]
    fn the_books_balance_only_when_nothing_is_missing() {
        let mut balance = Balance {
            accepted: 3,
            runnable: 1,
            done: 1,
            ..Balance::default()
        };
        assert!(!balance.is_balanced());
        balance.waiting.insert(Reason::Backoff, 1);
        assert!(balance.is_balanced());
    }
}
