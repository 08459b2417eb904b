//! What the leader asks about a copy, and what it is told.

use crate::names::Holder;
use crate::ticket::Name;

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
