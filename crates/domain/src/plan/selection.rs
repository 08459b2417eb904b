//! What a plan is about: a frozen set of tickets, and the groups in it.

use crate::filter::{Field, Query};
use crate::names::StageName;
use crate::signature::SignatureId;
use crate::time::Timestamp;
use crate::wait::Reason;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Where the tickets of a plan are until they are released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the store, waiting for this reason.
    Waiting(Reason),
    /// In the store, waiting for whatever a person may end ([`Reason::ENDED_BY_PEOPLE`]).
    AnyWait,
    /// In the queue of a stage that takes no deliveries: releasing is letting the stage take so
    /// many.
    Queue,
}

impl Source {
    /// What a person means who asks for these: the reason that is named, if just one is.
    pub fn asked(query: &Query) -> Self {
        let mut words = query.words_of(Field::Is);
        words
            .find_map(Reason::parse)
            .map_or(Self::AnyWait, Self::Waiting)
    }

    /// Whether a ticket that waits for this reason may be of a plan by hand.
    pub fn takes(self, reason: Reason) -> bool {
        match self {
            Self::Waiting(wanted) => wanted == reason && reason.is_ended_by_people(),
            Self::AnyWait => reason.is_ended_by_people(),
            Self::Queue => false,
        }
    }

    /// The reasons for which its tickets wait; none of those in a queue.
    pub fn reasons(self) -> impl Iterator<Item = Reason> {
        let all = Reason::ENDED_BY_PEOPLE.into_iter();
        all.filter(move |reason| self.takes(*reason))
    }

    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting(reason) => reason.as_str(),
            Self::AnyWait => "waiting",
            Self::Queue => "queue",
        }
    }
}

/// The tickets of a plan, frozen: what comes to wait after the cut-off is not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Where they are.
    pub source: Source,
    /// At which stage; `None` is any.
    pub stage: Option<StageName>,
    /// With which last failure; `None` is any.
    pub signature: Option<SignatureId>,
    /// The filter as it was asked for, in the grammar of [`crate::filter`]; empty is all.
    pub filter: String,
    /// Tickets that have waited since then or longer.
    pub cutoff: Timestamp,
    /// How many there were.
    pub count: u64,
}

impl Selection {
    /// What a person asks for, before it is counted.
    pub fn asked(query: &Query, cutoff: Timestamp) -> Self {
        let mut stages = query.words_of(Field::Stage);
        Self {
            source: Source::asked(query),
            stage: stages.find_map(|name| StageName::new(name).ok()),
            signature: None,
            filter: query.to_string(),
            cutoff,
            count: 0,
        }
    }
}

/// By what tickets are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Facet {
    /// By what sort of work it is.
    Kind,
    /// By what it is about.
    Key,
    /// By how it last failed.
    Signature,
    /// By what the rules in force say of it now, for example `changed`.
    Verdict,
}

impl Facet {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kind, Self::Key, Self::Signature, Self::Verdict];

    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Verdict => "verdict",
        }
    }

    /// The facet that users call by this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|facet| facet.as_str() == word)
    }
}

/// The name of a group, as the plan shows it: `kind=f42`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName {
    /// What its tickets have in common.
    pub facet: Facet,
    /// What that is; whatever the user called it.
    pub value: String,
}

impl GroupName {
    /// The longest value, in bytes: that of a key.
    pub const VALUE_BYTES_MAX: usize = 256;
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.facet.as_str(), self.value)
    }
}

/// Text that is not the name of a group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("group: expected kind=…, key=…, signature=… or verdict=…, got {0:?}")]
pub struct BadGroup(pub String);

impl FromStr for GroupName {
    type Err = BadGroup;

    fn from_str(text: &str) -> Result<Self, BadGroup> {
        let bad = || BadGroup(text.chars().take(80).collect());
        let (facet, value) = text.split_once('=').ok_or_else(bad)?;
        let facet = Facet::parse(facet.trim()).ok_or_else(bad)?;
        if value.is_empty() || value.len() > Self::VALUE_BYTES_MAX {
            return Err(bad());
        }
        let value = value.to_owned();
        Ok(Self { facet, value })
    }
}

/// Tickets of a plan that have something in common. Groups of different facets overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// How many there were when the plan was made.
    pub count: u64,
}

/// The groups of a plan: the largest of each facet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// Largest first.
    pub shown: Vec<Group>,
    /// How many more there are. They can be named all the same.
    pub left_out: u64,
}

impl Groups {
    /// The most groups that a plan keeps; with a key for each ticket there may be any number.
    pub const SHOWN_MAX: usize = 256;

    /// The largest of these groups.
    pub fn of(mut groups: Vec<Group>) -> Self {
        groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        let left_out = groups.len().saturating_sub(Self::SHOWN_MAX) as u64;
        groups.truncate(Self::SHOWN_MAX);
        Self {
            shown: groups,
            left_out,
        }
    }
}

/// Tells tickets apart by their groups while a plan is made.
#[derive(Clone, Debug, Default)]
pub struct Tally(BTreeMap<GroupName, u64>);

impl Tally {
    /// The most groups that are told apart; with a key for each ticket there may be any number.
    pub const GROUPS_MAX: usize = 100_000;

    /// One more ticket has this of the facet. A group that comes too late is not counted.
    pub fn add(&mut self, facet: Facet, value: String) {
        let name = GroupName { facet, value };
        let is_known = self.0.contains_key(&name);
        if is_known || self.0.len() < Self::GROUPS_MAX {
            *self.0.entry(name).or_default() += 1;
        }
    }

    /// The groups that were found.
    pub fn groups(self) -> Groups {
        let groups = self.0.into_iter();
        Groups::of(groups.map(|(name, count)| Group { name, count }).collect())
    }
}

/// Which tickets of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// All that are left.
    Everything,
    /// Those of this group that are left.
    Group(GroupName),
}

impl Choice {
    /// Whether some ticket may be in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Group(a), Self::Group(b)) => a.facet != b.facet || a.value == b.value,
            (Self::Everything, _) | (_, Self::Everything) => true,
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Group(name) => name.fmt(f),
        }
    }
}
