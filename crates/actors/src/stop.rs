//! Asks one attempt to stop.

use async_trait::async_trait;
use domain::ports::{StopReason, StopSignal};
use std::sync::OnceLock;
use tokio::sync::Notify;

/// Asks one attempt to stop; the first reason counts.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    reason: OnceLock<StopReason>,
    fired: Notify,
}

impl Stop {
    /// Asks it to stop.
    pub(crate) fn fire(&self, reason: StopReason) {
        if self.reason.set(reason).is_ok() {
            self.fired.notify_waiters();
        }
    }

    /// Why it should stop, if it should.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.reason.get().copied()
    }
}

#[async_trait]
impl StopSignal for Stop {
    async fn stopped(&self) -> StopReason {
        loop {
            // Registered before the look, so that a signal between the two is not missed.
            let fired = self.fired.notified();
            if let Some(reason) = self.reason() {
                return reason;
            }
            fired.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_counts_and_stays() {
        let stop = Stop::default();
        stop.fire(StopReason::Deadline);
        stop.fire(StopReason::Drain);
        assert_eq!(stop.stopped().await, StopReason::Deadline);
        assert_eq!(stop.stopped().await, StopReason::Deadline);
    }
}
