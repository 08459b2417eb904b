//! What lies in the journal, in few bytes, and as the record that the code reads.

use crate::cast::{self, Who};
use domain::delivery::Disposition;
use domain::fleet::Heartbeat;
use domain::outcome::{Failure, Outcome};
use domain::record::{Arrived, Fate, Parted, Record, Said, Started};
use domain::settlement::completed;
use domain::ticket::Name;
use domain::wait::{Condition, Wait};
use std::collections::BTreeMap;

/// An entry of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// An attempt is about to run; a claim carries the ticket.
    Started {
        /// By whom.
        by: Who,
        /// At what.
        name: Name,
        /// Whether the record is the only copy.
        claimed: bool,
    },
    /// An attempt is over.
    Ended {
        /// By whom.
        by: Who,
        /// At what.
        name: Name,
        /// How.
        how: End,
    },
    /// A copy was delivered a second time; the ticket is inside.
    Suspect {
        /// To whom.
        by: Who,
        /// Which one.
        name: Name,
    },
    /// A worker is alive.
    Beat {
        /// Which one.
        by: Who,
        /// What it keeps to.
        revision: u64,
        /// What it has.
        in_hand: Option<Name>,
    },
    /// A worker is dead, says its launcher.
    Gone(Who),
    /// A marker of the controller that leads.
    Marker(u64),
    /// A marker of one that led before.
    OldMarker,
}

/// How an attempt ended, or that it never ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// Done, and the next copy, if there is one, is confirmed.
    Done,
    /// It failed.
    Failed,
    /// Done, and nobody knows whether the next copy landed.
    Doubted,
    /// It was handed back before it ran.
    HandedBack,
}

impl Word {
    /// Which copy it is about.
    pub fn name(&self) -> Option<Name> {
        match self {
            Self::Started { name, .. } | Self::Ended { name, .. } | Self::Suspect { name, .. } => {
                Some(*name)
            }
            Self::Beat { .. } | Self::Gone(_) | Self::Marker(_) | Self::OldMarker => None,
        }
    }

    /// Whether the ticket can be had from it alone.
    pub const fn carries_ticket(&self) -> bool {
        match self {
            Self::Started { claimed, .. } => *claimed,
            Self::Suspect { .. } => true,
            Self::Ended { how, .. } => match how {
                End::Failed | End::Doubted | End::HandedBack => true,
                End::Done => false,
            },
            Self::Beat { .. } | Self::Gone(_) | Self::Marker(_) | Self::OldMarker => false,
        }
    }

    /// The record that the code reads.
    pub fn record(&self) -> Record {
        let (by, said) = match *self {
            Self::Started { by, name, claimed } => (cast::holder(by), started(name, claimed)),
            Self::Ended { by, name, how } => (cast::holder(by), ended(name, how)),
            Self::Suspect { by, name } => (
                cast::holder(by),
                Said::Suspect(Box::new(cast::ticket(name))),
            ),
            Self::Beat {
                by,
                revision,
                in_hand,
            } => (cast::holder(by), beat(by, revision, in_hand)),
            Self::Gone(who) => {
                let holder = cast::holder(who);
                let why = "exit status 1".into();
                let obituary = None;
                (
                    cast::leader(),
                    Said::Gone {
                        holder,
                        why,
                        obituary,
                    },
                )
            }
            Self::Marker(number) => (cast::leader(), Said::Marker(number)),
            Self::OldMarker => (cast::leader(), Said::Marker(0)),
        };
        let at = cast::NOW;
        Record { by, at, said }
    }
}

fn started(name: Name, claimed: bool) -> Said {
    Said::Started(Box::new(Started {
        name,
        stage: cast::stage(&name),
        scene: cast::scene(),
        ticket: claimed.then(|| Box::new(cast::ticket(name))),
        claimed,
    }))
}

fn beat(by: Who, revision: u64, in_hand: Option<Name>) -> Said {
    Said::Beat(Box::new(Heartbeat {
        holder: cast::holder(by),
        hostname: String::new(),
        stages: BTreeMap::new(),
        kinds: BTreeMap::new(),
        revision,
        in_hand: in_hand.into_iter().collect(),
    }))
}

fn ended(name: Name, how: End) -> Said {
    Said::Ended(Box::new(Parted {
        name,
        stage: cast::stage(&name),
        ended: None,
        to: fate(name, how),
        emits: Vec::new(),
    }))
}

/// Where the ticket goes, as the settlement decides it.
fn fate(name: Name, how: End) -> Fate {
    let outcome = match how {
        End::Done | End::Doubted => Outcome::done(),
        End::Failed => Outcome::Failed(Failure::new("Failed", "it failed")),
        End::HandedBack => return Fate::Waits(Box::new(handed_back(name))),
    };
    let ticket = cast::ticket(name);
    let (disposition, _) = completed(&ticket, outcome, None, &cast::decision(&name));
    match disposition {
        Disposition::Forward(next) if how == End::Doubted => Fate::Doubted(vec![*next]),
        Disposition::Forward(next) => Fate::Forwarded(next.stage),
        Disposition::Finish => Fate::Finished,
        Disposition::Wait { name, wait } => Fate::Waits(Box::new(Arrived { ticket, name, wait })),
    }
}

/// The copy that a done attempt hands to the next stage, if there is one.
pub fn next(name: Name) -> Option<Name> {
    let ticket = cast::ticket(name);
    let (disposition, _) = completed(&ticket, Outcome::done(), None, &cast::decision(&name));
    match disposition {
        Disposition::Forward(next) => Some(next.name),
        Disposition::Finish | Disposition::Wait { .. } => None,
    }
}

fn handed_back(name: Name) -> Arrived {
    Arrived {
        ticket: cast::ticket(name),
        name: name.renewed(),
        wait: Wait {
            condition: Condition::NotNow { until: cast::NOW },
            since: cast::NOW,
            because: "its stage was paused before it was started".into(),
            oops: None,
        },
    }
}
