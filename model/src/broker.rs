//! The broker: copies, who has them, and what lands when.

use crate::cast::Who;
use crate::state::{Copy, Late, State};
use crate::step::Lands;
use domain::ticket::Name;

impl State {
    /// A copy is published and lands.
    pub(crate) fn publish(&mut self, name: Name) {
        self.copies.push(Copy {
            name,
            is_flagged: false,
            with: None,
        });
    }

    /// A copy is published, and this becomes of it.
    pub(crate) fn publish_in_doubt(&mut self, name: Name, lands: Lands) {
        match lands {
            Lands::Now => self.publish(name),
            Lands::Late => self.late.push(Late::Copy(name)),
            Lands::Never => {}
        }
    }

    /// Something that was published long ago lands.
    pub(crate) fn land(&mut self, late: Late) {
        if let Some(at) = self.late.iter().position(|other| *other == late) {
            self.late.remove(at);
        }
        match late {
            Late::Copy(name) => self.publish(name),
            Late::Word(word) => self.journal.push(word),
        }
    }

    /// A copy in a queue, by its name and flag.
    pub(crate) fn queued(&mut self, name: Name, is_flagged: bool) -> Option<&mut Copy> {
        let is_it = |copy: &&mut Copy| {
            copy.with.is_none() && copy.name == name && copy.is_flagged == is_flagged
        };
        self.copies.iter_mut().find(is_it)
    }

    /// The delivery of this copy to this worker is acked; nothing happens if it was cut.
    pub(crate) fn ack(&mut self, who: Who, name: Name) {
        let is_it = |copy: &Copy| copy.with == Some(who) && copy.name == name;
        if let Some(at) = self.copies.iter().position(is_it) {
            self.copies.remove(at);
        }
    }

    /// Whatever this worker had goes back to its queue, flagged.
    pub(crate) fn requeue(&mut self, who: Who) {
        for copy in self.copies.iter_mut().filter(|copy| copy.with == Some(who)) {
            copy.with = None;
            copy.is_flagged = true;
        }
    }
}
