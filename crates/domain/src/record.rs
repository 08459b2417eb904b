//! The journal: what is said about tickets and workers, in the order in which it was written.
//!
//! A record may be repeated, a ticket may not: what a record does is decided by comparing its name
//! with the books ([`crate::hearing`]), so the second time it does nothing.

use crate::control::Hold;
use crate::fleet::Heartbeat;
use crate::names::{Holder, StageName};
use crate::obituary::Obituary;
use crate::oops::Scene;
use crate::settlement::Ended;
use crate::ticket::{Name, Ticket};
use crate::time::Timestamp;
use crate::wait::Wait;
use std::sync::Arc;

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Who says it.
    pub by: Holder,
    /// When, by their clock.
    pub at: Timestamp,
    /// What.
    pub said: Said,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// A ticket comes in by the door without ever having run: from a foreign publisher that gave
    /// it no id, from the queue of what nobody takes, or handed back unstarted.
    Arrived(Box<Arrived>),
    /// An attempt is about to run. Durable before it does.
    Started(Box<Started>),
    /// An attempt has ended, and this became of its ticket.
    Ended(Box<Parted>),
    /// A copy was delivered that somebody had before; its ticket is inside, its delivery acked.
    Suspect(Box<Ticket>),
    /// A copy below the fence was taken off its queue.
    Fenced {
        /// Which copy.
        name: Name,
        /// Where.
        stage: StageName,
    },
    /// A worker is alive, and this is in its hands.
    Beat(Box<Heartbeat>),
    /// A worker is gone: its launcher says so, or itself with its last word.
    Gone {
        /// Which one.
        holder: Holder,
        /// Why, in words.
        why: String,
        /// How it died, if its launcher tells.
        obituary: Option<Box<Obituary>>,
    },
    /// The leading controller has read the journal up to here.
    Marker(u64),
    /// The handler of a stage cannot be started there: the stage is to take no deliveries.
    Hold(StageName, Box<Hold>),
    /// The handler of a stage can be started again.
    Unhold(StageName),
}

/// A ticket that came in by the door.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrived {
    /// The ticket, under the name that it had.
    pub ticket: Ticket,
    /// The name it goes on under.
    pub name: Name,
    /// What it waits for.
    pub wait: Wait,
}

/// An attempt that is about to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    /// Which copy.
    pub name: Name,
    /// At which stage.
    pub stage: StageName,
    /// Who runs it.
    pub scene: Arc<Scene>,
    /// The ticket, when the books may not know it, or when it is claimed.
    pub ticket: Option<Box<Ticket>>,
    /// Whether its delivery is acked now, because it may run longer than the broker waits: then the
    /// record is the only copy, and the holder's heartbeat its lease.
    pub claimed: bool,
}

/// What became of a ticket after an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct Parted {
    /// Under which name it was held.
    pub name: Name,
    /// At which stage.
    pub stage: StageName,
    /// How the attempt ended; `None` if it never ran.
    pub ended: Option<Ended>,
    /// Where the ticket went.
    pub to: Fate,
    /// New tickets that the attempt sent, confirmed.
    pub emits: Vec<Ticket>,
}

/// Where a ticket went.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// To a next stage: that copy is confirmed, so this proves the hand-off.
    Forwarded(StageName),
    /// Nowhere: it is done for good.
    Finished,
    /// Into a wait, with everything inside.
    Waits(Box<Arrived>),
    /// To a next stage, perhaps: whether these copies landed is not known, and they were not
    /// published again. The first is the ticket itself unless it finished.
    Doubted(Vec<Ticket>),
}

impl Said {
    /// Which copy of which ticket it is about, if it is about one.
    pub fn name(&self) -> Option<Name> {
        match self {
            Self::Arrived(arrived) => Some(arrived.ticket.name),
            Self::Started(started) => Some(started.name),
            Self::Ended(parted) => Some(parted.name),
            Self::Suspect(ticket) => Some(ticket.name),
            Self::Fenced { name, .. } => Some(*name),
            Self::Beat(_)
            | Self::Gone { .. }
            | Self::Marker(_)
            | Self::Hold(..)
            | Self::Unhold(_) => None,
        }
    }
}
