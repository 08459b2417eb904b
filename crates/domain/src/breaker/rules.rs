//! When a breaker opens, and how often it is probed.

use super::Scope;
use std::num::NonZeroU32;
use std::time::Duration;

/// The rules of a stage's breakers: `breaker = { failures = 5, probe = "1m" }`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    failures: NonZeroU32,
    probe: Duration,
}

/// Rules that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRules {
    /// A breaker that opens before anything failed, or remembers too much.
    #[error("failures: expected 1..={max}, got {0}", max = Rules::FAILURES_MAX)]
    Failures(u32),
    /// Probes without a pause are no probes.
    #[error("probe: expected a time over 0s, got 0s")]
    Probe,
}

impl Rules {
    /// The most failures that a breaker can be told to wait for: each is remembered by its name.
    pub const FAILURES_MAX: u32 = 100;
    /// So many tickets in a row must fail before their whole stage counts as failing, whatever
    /// `failures` says: a signature is one problem, a stage is everybody's work.
    pub const STAGE_FAILURES_MIN: u32 = 20;
    /// A failure that is older does not count any more. Longer than the longest usual back-off,
    /// so that one ticket that fails alone opens its breaker too.
    pub const WINDOW: Duration = Duration::from_secs(60 * 60);

    /// Opens after so many failures; probes at most once in `probe`.
    ///
    /// # Errors
    /// [`BadRules`] when one of them is out of its range.
    pub fn new(failures: u32, probe: Duration) -> Result<Self, BadRules> {
        let count = NonZeroU32::new(failures).filter(|n| n.get() <= Self::FAILURES_MAX);
        let failures = count.ok_or(BadRules::Failures(failures))?;
        if probe.is_zero() {
            return Err(BadRules::Probe);
        }
        Ok(Self { failures, probe })
    }

    /// After how many failures a signature's breaker opens.
    pub const fn failures(&self) -> u32 {
        self.failures.get()
    }

    /// The time from one probe to the next, at least.
    pub const fn probe(&self) -> Duration {
        self.probe
    }

    /// How many failures open a closed breaker.
    pub(super) fn opens_at(&self, scope: Scope) -> usize {
        match scope {
            Scope::Signature(_) => self.failures() as usize,
            Scope::Stage => self.failures().max(Self::STAGE_FAILURES_MIN) as usize,
        }
    }

    /// How many failures open one again whose tickets are being released. One ticket that fails as
    /// before says everything of a signature, and nothing of a stage.
    pub(super) fn reopens_at(&self, scope: Scope) -> usize {
        match scope {
            Scope::Signature(_) => 1,
            Scope::Stage => self.opens_at(scope),
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::MIN.saturating_add(4),
            probe: Duration::from_secs(60),
        }
    }
}
