//! A clock that tests drive.

use crate::dice::Dice;
use domain::ports::Clock;
use domain::retry::Chance;
use domain::ticket::TicketId;
use domain::time::Timestamp;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Builder;

/// Follows tokio's time, so that it stands still when that is paused, and can be put forward on
/// its own. Chance and ids follow from the seed.
pub struct TestClock {
    watch: Mutex<Watch>,
    skipped_micros: AtomicI64,
    lot: Mutex<Lot>,
}

/// Tokio's time begins anew with each runtime; this adds the runtimes up.
#[derive(Clone, Copy)]
struct Watch {
    passed: Duration,
    since: Option<Instant>,
}

impl Watch {
    fn elapsed(self) -> Duration {
        self.passed + self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

struct Lot {
    dice: Dice,
    ids: u16,
}

impl TestClock {
    /// When every test begins: 2026-11-21T14:03:22Z.
    pub const BEGIN: Timestamp = Timestamp::from_micros(1_795_269_802_000_000);

    /// A clock at [`TestClock::BEGIN`].
    pub fn new(seed: u64) -> Self {
        let lot = Lot {
            dice: Dice::new(seed),
            ids: 0,
        };
        Self {
            watch: Mutex::new(Watch {
                passed: Duration::ZERO,
                since: Some(Instant::now()),
            }),
            skipped_micros: AtomicI64::new(0),
            lot: Mutex::new(lot),
        }
    }

    /// Puts this clock forward; tokio's timers do not notice.
    pub fn skip(&self, length: Duration) {
        let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        self.skipped_micros.fetch_add(micros, Ordering::SeqCst);
    }

    /// Puts back what this clock was put forward.
    pub fn put_back(&self, length: Duration) {
        let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        self.skipped_micros.fetch_sub(micros, Ordering::SeqCst);
    }

    /// Stands still: the runtime whose time it followed is about to end.
    pub fn stop(&self) {
        let mut watch = self.watch();
        watch.passed = watch.elapsed();
        watch.since = None;
    }

    /// Follows the time of the runtime that this is called on.
    pub fn go(&self) {
        self.stop();
        self.watch().since = Some(Instant::now());
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lot(&self) -> MutexGuard<'_, Lot> {
        self.lot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let skipped = self.skipped_micros.load(Ordering::SeqCst);
        let skipped = Duration::from_micros(u64::try_from(skipped).unwrap_or(0));
        Self::BEGIN.plus(self.watch().elapsed()).plus(skipped)
    }

    fn chance(&self) -> Chance {
        Chance::new(self.lot().dice.fraction())
    }

    fn ticket_id(&self) -> TicketId {
        let millis = u64::try_from(self.now().as_millis()).unwrap_or(0);
        let mut lot = self.lot();
        lot.ids = lot.ids.wrapping_add(1);
        // The counter comes first, so that ids of one millisecond sort as they were made.
        let mut tail = [0; 10];
        tail[..2].copy_from_slice(&lot.ids.to_be_bytes());
        tail[2..].copy_from_slice(&lot.dice.roll().to_be_bytes());
        TicketId::new(Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_passes_only_when_it_is_driven() {
        let clock = TestClock::new(1);
        assert_eq!(clock.now(), TestClock::BEGIN);
        tokio::time::advance(Duration::from_secs(3)).await;
        clock.skip(Duration::from_secs(4));
        assert_eq!(clock.now().since(TestClock::BEGIN), Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_makes_the_same_ids_in_order() {
        let ids = |seed| {
            let clock = TestClock::new(seed);
            [0; 5].map(|_: i32| clock.ticket_id())
        };
        assert_eq!(ids(1), ids(1));
        assert_ne!(ids(1), ids(2));
        assert!(ids(1).is_sorted());
        assert_eq!(ids(1)[0].uuid().get_version_num(), 7);
    }
}
