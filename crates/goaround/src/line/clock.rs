//! The real clock.

use domain::ports::Clock;
use domain::retry::Chance;
use domain::ticket::TicketId;
use domain::time::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// Tells the machine's time, draws from the machine's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the Clock port's one real adapter"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    fn chance(&self) -> Chance {
        Chance::new(fastrand::f64())
    }

    /// Version 7: sorted by time, and rising within a process.
    fn ticket_id(&self) -> TicketId {
        TicketId::new(Uuid::now_v7())
    }
}
