//! Desired state: one versioned snapshot that every process follows, instead of commands.

use crate::names::{StageName, Version};
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

/// What everybody is to keep to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Rises with each change.
    pub revision: u64,
    /// Stages that take no deliveries.
    pub holds: BTreeMap<StageName, Hold>,
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
