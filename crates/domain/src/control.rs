//! Desired state: one versioned snapshot that every process follows, instead of commands.

use crate::names::{Holder, StageName, Version};
use crate::oops::OopsId;
use crate::ticket::{Generation, TicketId};
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// A stage that takes no deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Since when.
    pub since: Timestamp,
    /// Why, for people.
    pub reason: String,
    /// Who or what decided it.
    pub by: String,
    /// The handler's version at that time: another one ends the hold.
    pub version: Option<Version>,
    /// The report that led to it.
    pub oops: Option<OopsId>,
}

/// A stage that fails as a whole. Its tickets stay in its queue; one is taken with each permit, to
/// find out whether it has been repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Since when.
    pub since: Timestamp,
    /// Why, for people.
    pub reason: String,
    /// The newest permit. It stays when it has been used; the next one has a higher number.
    pub permit: Option<Permit>,
}

/// Leave for one process to take one delivery of a stage whose gate is shut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Which one of the stage; rises with each.
    pub number: u64,
    /// Who may take it.
    pub holder: Holder,
}

/// What a process may take from a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Whatever there is.
    Freely,
    /// One delivery, with the permit of this number.
    Once(u64),
    /// Nothing.
    Nothing,
}

/// What everybody is to keep to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Rises with each change.
    pub revision: u64,
    /// Stages that take no deliveries.
    pub holds: BTreeMap<StageName, Hold>,
    /// Stages that fail as a whole.
    pub gates: BTreeMap<StageName, Gate>,
    /// Tickets whose older generations must not run any more.
    pub fences: BTreeMap<TicketId, Generation>,
}

impl Snapshot {
    /// The most fences in force at once; the oldest revision's go first. Past it a ghost may run,
    /// but its result never applies.
    pub const FENCES_MAX: usize = 1_024;

    /// Whether this generation of the ticket may still run.
    pub fn lets_run(&self, ticket: TicketId, generation: Generation) -> bool {
        self.fences
            .get(&ticket)
            .is_none_or(|lowest| generation >= *lowest)
    }

    /// What this process may take from the stage. `used` is the number of the last permit of the
    /// stage with which it took a delivery; 0 if it took none.
    pub fn admits(&self, stage: &StageName, holder: &Holder, used: u64) -> Admission {
        if self.holds.contains_key(stage) {
            return Admission::Nothing;
        }
        let Some(gate) = self.gates.get(stage) else {
            return Admission::Freely;
        };
        match &gate.permit {
            Some(permit) if permit.holder == *holder && permit.number > used => {
                Admission::Once(permit.number)
            }
            _ => Admission::Nothing,
        }
    }
}

/// A change to the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Take no deliveries at this stage.
    Hold(StageName, Hold),
    /// Take deliveries again.
    Unhold(StageName),
    /// Nothing but the revision, which always rises: every live worker is to answer it at once.
    RollCall,
}

/// How far a revision of the desired state has come among the live workers that serve a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Which revision.
    pub revision: u64,
    /// How many live workers serve the stage.
    pub of: usize,
    /// Those of them that still keep to an older revision, and to which.
    pub behind: BTreeMap<Holder, u64>,
}

impl Reach {
    /// That of this revision, as long as no worker is known.
    pub const fn new(revision: u64) -> Self {
        Self {
            revision,
            of: 0,
            behind: BTreeMap::new(),
        }
    }

    /// One more worker serves the stage; this revision is in force there. A newer one includes
    /// every older one.
    pub fn add(&mut self, holder: &Holder, in_force: u64) {
        self.of += 1;
        if in_force < self.revision {
            self.behind.insert(holder.clone(), in_force);
        }
    }

    /// How many of the workers keep to it.
    pub fn by(&self) -> usize {
        self.of.saturating_sub(self.behind.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_applied_a_revision_when_that_or_a_newer_one_is_in_force() {
        let mut reach = Reach::new(7);
        assert_eq!((reach.by(), reach.of), (0, 0));
        for (holder, in_force) in [("a:1:1", 6), ("b:1:1", 7), ("c:1:1", 8)] {
            reach.add(&Holder::new(holder).unwrap(), in_force);
        }
        assert_eq!((reach.by(), reach.of), (2, 3));
        let behind = BTreeMap::from([(Holder::new("a:1:1").unwrap(), 6)]);
        assert_eq!(reach.behind, behind);
    }
}
