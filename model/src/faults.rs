//! What may go wrong, and how often.

use std::fmt;

/// How many faults of each kind may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// A worker process dies, at any point; another one takes its slot.
    pub crashes: u8,
    /// The consuming connection of a worker is cut. The broker delivers again; the worker does not
    /// notice, goes on, and still publishes.
    pub cuts: u8,
    /// The outcome of a publish is unknown: it lands now, late, or never; a record lands twice.
    pub doubts: u8,
    /// A handler fails.
    pub failures: u8,
    /// The controller dies; another one leads.
    pub successions: u8,
    /// A worker that lives is held to be dead.
    pub sentences: u8,
    /// An operator has a ticket run anew.
    pub resets: u8,
    /// An operator pauses the stages, and lets them go on.
    pub pauses: u8,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        crashes: 0,
        cuts: 0,
        doubts: 0,
        failures: 0,
        successions: 0,
        sentences: 0,
        resets: 0,
        pauses: 0,
    };

    /// How many faults there are, of whatever kind.
    pub const fn total(&self) -> u8 {
        let ours = self.crashes + self.cuts + self.doubts + self.failures;
        ours + self.successions + self.sentences + self.resets + self.pauses
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.crashes, "crash"),
            (self.cuts, "cut"),
            (self.doubts, "doubt"),
            (self.failures, "failure"),
            (self.successions, "succession"),
            (self.sentences, "wrong sentence"),
            (self.resets, "reset"),
            (self.pauses, "pause"),
        ];
        let some: Vec<String> = all
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| match count {
                1 => what.to_owned(),
                _ => format!("{count} x {what}"),
            })
            .collect();
        match some.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&some.join(" + ")),
        }
    }
}
