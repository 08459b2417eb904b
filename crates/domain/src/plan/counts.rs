//! What became of the tickets of a plan.

/// The sums of a plan. Every ticket of the selection is released, dropped, gone or left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// In the selection when it was frozen.
    pub total: u64,
    /// Made runnable by the plan.
    pub released: u64,
    /// Of those: their next attempt went well.
    pub landed: u64,
    /// Of those: their next attempt went wrong.
    pub failed: u64,
    /// Of those: their next attempt decided nothing, or never came; put off, cancelled, lost.
    pub undecided: u64,
    /// Given up by the plan, with a reason.
    pub dropped: u64,
    /// Moved on by somebody else before the plan came to them.
    pub gone: u64,
}

impl Counts {
    /// How many still wait for the plan.
    pub const fn left(&self) -> u64 {
        self.total
            .saturating_sub(self.released + self.dropped + self.gone)
    }

    /// How many are released and have not ended an attempt since.
    pub const fn out(&self) -> u64 {
        self.released
            .saturating_sub(self.landed + self.failed + self.undecided)
    }

    pub(super) fn drop_some(&mut self, count: u64) {
        self.dropped += count.min(self.left());
    }

    pub(super) fn lose(&mut self, count: u64) {
        self.gone += count.min(self.left());
    }

    /// The books were counted: so many are left, and so many out. What is missing is gone.
    pub(super) fn correct(&mut self, left: u64, out: u64) {
        self.lose(self.left().saturating_sub(left));
        self.undecided += self.out().saturating_sub(out);
    }
}
