//! What a word of the journal does to the books. The model of the protocol, the memory store and
//! the PostgreSQL store all ask the same function.

use crate::books::{Stale, State};
use crate::record::Said;
use crate::ticket::Name;
use crate::wait::Reason;

/// Where the books have a ticket, and under which name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The name in force.
    pub name: Name,
    /// Where.
    pub spot: Spot,
}

/// Where a ticket is, as far as a record's effect depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spot {
    /// Being published: it may have landed or not.
    Publishing,
    /// In its stage's queue.
    Runnable,
    /// With a worker.
    Running,
    /// In the store.
    Waiting(Reason),
    /// Done for good.
    Done,
    /// Given up.
    Dropped,
}

/// What a word changes.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// It came too late, or again: kept and shown, nothing moves.
    Stale(Stale),
    /// It is true and noted (an attempt is open, a report owed), but the ticket stays where it is.
    Noted,
    /// The ticket is now here. Whatever the record carries (a ticket, a wait) is what it is there
    /// with; `Said` and `Position` together say all that a store needs to write.
    Moves(Position),
}

/// What the books do with a word about one ticket. `books` is `None` for a ticket that they do not
/// know: then it was published by somebody else, or the word came before the books heard of it.
///
/// For [`Fate::Doubted`](crate::record::Fate::Doubted) and for emits the answer is about the
/// ticket that the attempt was at; each other ticket inside is [`found`].
///
/// Must not be asked about records that are not about a ticket.
pub fn hear(books: Option<&Position>, said: &Said) -> Heard {
    todo!("{books:?} {said:?}")
}

/// What the books do with a ticket that another's record carries: a new one that was sent
/// (`in_doubt` false: it is in its queue), or one of which nobody knows whether it landed.
pub fn found(books: Option<&Position>, name: Name, in_doubt: bool) -> Heard {
    todo!("{books:?} {name:?} {in_doubt} {:?}", State::ALL)
}
