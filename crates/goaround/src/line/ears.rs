//! Everybody who listens to what happens.

use domain::event::Event;
use domain::invariants::Checker;
use domain::ports::Observer;
use domain::time::Timestamp;
use std::sync::Arc;
use telemetry::Metrics;

/// Passes each event on to all of them, in order.
pub struct Ears {
    ears: Vec<Arc<dyn Observer>>,
}

impl Ears {
    /// These listen.
    pub fn new(ears: Vec<Arc<dyn Observer>>) -> Self {
        Self { ears }
    }
}

impl Observer for Ears {
    fn observe(&self, at: Timestamp, event: &Event) {
        for ear in &self.ears {
            ear.observe(at, event);
        }
    }
}

/// The invariant checker in production: a broken invariant becomes a counter and an error line.
pub struct Watchful {
    checker: Checker,
    metrics: Arc<Metrics>,
}

impl Watchful {
    /// Tells `metrics` what `checker` finds.
    pub fn new(checker: Checker, metrics: Arc<Metrics>) -> Self {
        Self { checker, metrics }
    }
}

impl Observer for Watchful {
    fn observe(&self, _: Timestamp, event: &Event) {
        for violation in self.checker.judge(event) {
            self.metrics.count_violation(violation.invariant);
            tracing::error!(
                invariant = violation.invariant,
                "invariant {} is broken, which is a bug in goaround: {}",
                violation.invariant,
                violation.told
            );
        }
    }
}
