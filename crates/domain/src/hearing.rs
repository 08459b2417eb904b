//! What a word of the journal does to the books. The model of the protocol, the memory store and
//! the PostgreSQL store all ask the same function.

use crate::books::{Stale, Standing, State};
use crate::record::{Arrived, Fate, Parted, Said};
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

impl Spot {
    /// The name of the place that users see.
    pub const fn state(self) -> State {
        match self {
            Self::Publishing | Self::Runnable => State::Runnable,
            Self::Running => State::Running,
            Self::Waiting(_) => State::Waiting,
            Self::Done => State::Done,
            Self::Dropped => State::Dropped,
        }
    }
}

impl Position {
    const fn standing(&self) -> Standing {
        Standing {
            name: self.name,
            state: self.spot.state(),
        }
    }

    const fn passed(&self) -> Heard {
        Heard::Stale(Stale::Passed(self.name.hop, self.name.attempt))
    }
}

/// What a word changes of the place of a ticket.
///
/// Attempts are apart from that: each `Started` opens the attempt of its name and holder, each
/// `Ended` closes it for ever, also when the word is stale. A ghost that dies is told too.
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
/// For [`Fate::Doubted`] and for emits the answer is about the
/// ticket that the attempt was at; each other ticket inside is [`found`], also when the word is
/// stale. A doubted ticket that moves is behind a barrier under the generation that is given here.
///
/// A word about no ticket is noted.
pub fn hear(books: Option<&Position>, said: &Said) -> Heard {
    let Some(name) = said.name() else {
        return Heard::Noted;
    };
    if let Some(Err(stale)) = books.map(|books| books.standing().accepts(&name)) {
        return Heard::Stale(stale);
    }
    // What the books have under this very name; a higher hop or attempt is news in any case.
    let same = books.filter(|books| books.name == name);
    match said {
        Said::Arrived(arrived) => enters(books, arrived),
        Said::Started(_) => starts(same, name),
        Said::Ended(parted) => ends(books, parted),
        Said::Suspect(_) => doubts(same, name),
        Said::Fenced { .. }
        | Said::Beat(_)
        | Said::Gone { .. }
        | Said::Marker(_)
        | Said::Hold(..)
        | Said::Unhold(_) => Heard::Noted,
    }
}

/// What the books do with a ticket that another's record carries: a new one that was sent
/// (`in_doubt` false: it is in its queue), or one of which nobody knows whether it landed. That
/// one goes on under a raised generation, behind a barrier.
///
/// What is stale here was heard of before, perhaps without its body: then this is where the books
/// learn it.
pub fn found(books: Option<&Position>, name: Name, in_doubt: bool) -> Heard {
    if let Some(books) = books {
        if let Err(stale) = books.standing().accepts(&name) {
            return Heard::Stale(stale);
        }
        // Somebody spoke of it, so it did land.
        if books.name >= name {
            return books.passed();
        }
    }
    Heard::Moves(if in_doubt {
        renewed(name)
    } else {
        Position {
            name,
            spot: Spot::Runnable,
        }
    })
}

/// Doubt raises the generation: the copy that may have landed can never be mistaken for the next.
const fn renewed(name: Name) -> Position {
    Position {
        name: name.renewed(),
        spot: Spot::Waiting(Reason::NotNow),
    }
}

fn waits(arrived: &Arrived) -> Position {
    Position {
        name: arrived.name,
        spot: Spot::Waiting(arrived.wait.condition.reason()),
    }
}

/// The record may be read again when its ticket is out already, so only a higher name is news.
fn enters(books: Option<&Position>, arrived: &Arrived) -> Heard {
    match books {
        Some(books) if books.name >= arrived.name => books.passed(),
        _ => Heard::Moves(waits(arrived)),
    }
}

fn starts(same: Option<&Position>, name: Name) -> Heard {
    match same.map(|books| (books, books.spot)) {
        // Its copy was redelivered before this was read; the verdict must know that it ran.
        Some((_, Spot::Running | Spot::Waiting(Reason::Suspect))) => Heard::Noted,
        // The attempt that is pending was started under this name, and is over.
        Some((books, Spot::Waiting(Reason::Pending))) => books.passed(),
        _ => Heard::Moves(Position {
            name,
            spot: Spot::Running,
        }),
    }
}

fn doubts(same: Option<&Position>, name: Name) -> Heard {
    match same.map(|books| (books, books.spot)) {
        // The books have the ticket already, and know more than that it was redelivered.
        Some((books, Spot::Waiting(_))) => books.passed(),
        _ => Heard::Moves(Position {
            name,
            spot: Spot::Waiting(Reason::Suspect),
        }),
    }
}

fn ends(books: Option<&Position>, parted: &Parted) -> Heard {
    let to = match &parted.to {
        Fate::Forwarded(_) => Position {
            name: parted.name.handed_on(),
            spot: Spot::Runnable,
        },
        Fate::Finished => done(parted.name),
        Fate::Waits(arrived) => waits(arrived),
        Fate::Doubted(copies) => match copies.first() {
            Some(next) if next.id() == parted.name.ticket => renewed(next.name),
            _ => done(parted.name),
        },
    };
    match books {
        Some(books) if !is_news(books, &to) => books.passed(),
        _ => Heard::Moves(to),
    }
}

const fn done(name: Name) -> Position {
    Position {
        name,
        spot: Spot::Done,
    }
}

/// A pending attempt keeps its name: what tells the first word of it from the second is whether
/// the books still have a copy out there.
fn is_news(books: &Position, to: &Position) -> bool {
    match (books.spot, to.spot) {
        (_, Spot::Waiting(_)) if to.name < books.name => false,
        (Spot::Waiting(reason), Spot::Waiting(_)) if to.name == books.name => {
            reason == Reason::Suspect
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests;
