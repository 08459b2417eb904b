//! Tells the books which worker serves which stage with which version, whenever that changes.

use super::term::Term;
use domain::ports::Serving;
use std::time::Duration;
use tokio::time::Instant;

/// After one change was told the next ones are gathered for so long: a roll-out is many.
const REST: Duration = Duration::from_secs(1);

/// What the books were told of the workers, and whether it is still true.
pub(super) struct Announcing {
    told: Option<Serving>,
    /// Somebody came, went, or serves something else.
    is_stale: bool,
    rests_until: Option<Instant>,
}

impl Announcing {
    /// Nothing was told in this term.
    pub(super) const fn new() -> Self {
        Self {
            told: None,
            is_stale: true,
            rests_until: None,
        }
    }

    /// Somebody came, went, or serves something else.
    pub(super) const fn is_stale(&mut self) {
        self.is_stale = true;
    }

    /// When there is something to tell that no word of a worker's will bring.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let is_ahead = |until: &Instant| self.is_stale && *until > Instant::now();
        self.rests_until.filter(is_ahead)
    }

    /// What is to be told now. A leader that has not heard everybody yet tells nothing: whom it
    /// left out would come back as a new version.
    pub(super) fn news(&mut self, term: &Term) -> Option<Serving> {
        let rests = self.rests_until.is_some_and(|until| Instant::now() < until);
        if !self.is_stale || rests {
            return None;
        }
        let serving = term.serving()?;
        self.is_stale = self.told.as_ref() != Some(&serving);
        self.is_stale.then_some(serving)
    }

    /// It was tried to tell this; `is_told` if that is durable.
    pub(super) fn tried(&mut self, serving: Serving, is_told: bool) {
        self.rests_until = Some(Instant::now() + REST);
        if is_told {
            self.told = Some(serving);
            self.is_stale = false;
        }
    }
}
