//! Everything that this process has in its hands: from the moment a copy came in until what
//! became of it is durable and its delivery is acked.

use crate::worker::lane::Post;
use domain::ports::Sent;
use domain::ticket::{Name, Ticket};
use std::collections::HashMap;
use std::sync::Arc;

/// One copy of a ticket in our hands.
pub(crate) struct Held {
    pub(crate) ticket: Arc<Ticket>,
    /// Where it is to be acked; nowhere any more if it was claimed.
    pub(crate) post: Option<Post>,
    /// Further deliveries of the same name, acked with it and not before: which of them the broker
    /// counts on is not for us to know.
    pub(crate) others: Vec<Post>,
    /// Whether the books know the ticket.
    pub(crate) is_booked: bool,
    pub(crate) phase: Phase,
    /// What became of the tickets that it sends, when its group could not be settled yet: whoever
    /// tries again must not publish a second time what may have landed.
    pub(crate) sent: Vec<Sent>,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It came in; nothing was started.
    Received,
    /// It came in with a body that is too large for any record; that body is kept elsewhere.
    Cut,
    /// It came in, and somebody had it before.
    Suspect,
    /// Its `started` record is durable.
    Started,
}

/// What a copy that came in is to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// It is new here; its own number in our hands.
    New(u64),
    /// We have it already and have lost the connection that it came in on: from now on it is to be
    /// acked where it came in now.
    Adopted,
    /// We have it already, and the connection that it came in on still stands: it was published
    /// twice, or the broker has lost count. Both are acked together.
    Again,
    /// We have it already and it is claimed: this one can be acked at once.
    Spare,
}

/// The copies in our hands, by our own number and by name.
#[derive(Default)]
pub(crate) struct InHand {
    held: HashMap<u64, Held>,
    numbers: HashMap<Name, u64>,
    last: u64,
}

impl InHand {
    /// Takes a copy in hand, or finds that we have it.
    pub(crate) fn meet(&mut self, held: Held) -> Met {
        let name = held.ticket.name;
        let number = self.numbers.get(&name);
        let Some(known) = number.and_then(|number| self.held.get_mut(number)) else {
            self.last += 1;
            self.numbers.insert(name, self.last);
            self.held.insert(self.last, held);
            return Met::New(self.last);
        };
        match &known.post {
            None => Met::Spare,
            Some(post) if post.lane.is_live() => {
                known.others.extend(held.post);
                Met::Again
            }
            Some(_) => {
                known.post = held.post;
                Met::Adopted
            }
        }
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Held> {
        self.held.get(&number)
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Held> {
        self.held.get_mut(&number)
    }

    /// Lets go of these; returns where they are to be acked.
    pub(crate) fn let_go(&mut self, numbers: impl Iterator<Item = u64>) -> Vec<Post> {
        let mut posts = Vec::with_capacity(numbers.size_hint().0);
        for held in numbers.filter_map(|number| self.held.remove(&number)) {
            self.numbers.remove(&held.ticket.name);
            posts.extend(held.post);
            posts.extend(held.others);
        }
        posts
    }

    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }

    /// The name of everything in hand, for the heartbeat.
    pub(crate) fn names(&self) -> Vec<Name> {
        self.numbers.keys().copied().collect()
    }
}
