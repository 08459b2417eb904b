//! Listens to everything that happens and tells live listeners when to look again. A drain emits
//! hundreds of thousands of events a second, so listening is one atomic addition; what the
//! listeners get is sums, as often as they can take them.

use crate::meter::Meter;
use domain::event::{Event, SettledAs};
use domain::names::StageName;
use domain::ports::Observer;
use domain::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::Notify;

/// The most stages whose rates are kept; the others show none.
const STAGES_MAX: usize = 1_024;

/// What listeners are told about, as sums since the process started.
pub(crate) const TOPICS: [&str; 10] = [
    "accepted", "started", "ended", "settled", "oopses", "judged", "released", "orders", "stages",
    "faults",
];

/// The sums, in the order of [`TOPICS`].
pub(crate) type Sums = [u64; TOPICS.len()];

/// Tells live listeners when to look again.
#[derive(Clone, Default)]
pub struct Live {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    sums: [AtomicU64; TOPICS.len()],
    /// Whether somebody may be waiting, so that an event without listeners wakes nobody.
    is_awaited: AtomicBool,
    is_closed: AtomicBool,
    wake: Notify,
    meters: RwLock<BTreeMap<StageName, Mutex<Meter>>>,
}

impl Live {
    /// A listener to which nothing has happened yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends every live listener's stream, so that a server can stop without waiting for them.
    pub fn close(&self) {
        self.shared.is_closed.store(true, Ordering::SeqCst);
        self.shared.wake.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.is_closed.load(Ordering::SeqCst)
    }

    pub(crate) fn sums(&self) -> Sums {
        std::array::from_fn(|topic| self.shared.sums[topic].load(Ordering::SeqCst))
    }

    /// Waits until the sums differ from those seen, or nothing will happen any more.
    pub(crate) async fn changed(&self, seen: &Sums) {
        loop {
            let mut woken = std::pin::pin!(self.shared.wake.notified());
            // In this order: asked to be woken, said so, then looked. Whatever happens after the
            // look finds the word that somebody is waiting.
            woken.as_mut().enable();
            self.shared.is_awaited.store(true, Ordering::SeqCst);
            if self.is_closed() || self.sums() != *seen {
                return;
            }
            woken.await;
        }
    }

    /// How many tickets a second the stage has brought to `done` lately; `None` before the first.
    pub(crate) fn rate(&self, stage: &StageName, now: Timestamp) -> Option<f64> {
        let meters = self
            .shared
            .meters
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let meter = meters.get(stage)?;
        let mut meter = meter.lock().unwrap_or_else(PoisonError::into_inner);
        Some(meter.rate(second(now)))
    }

    fn meter(&self, stage: &StageName, at: Timestamp) {
        let meters = self
            .shared
            .meters
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = meters.get(stage) {
            meter
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .count(second(at));
            return;
        }
        drop(meters);
        let mut meters = self
            .shared
            .meters
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if meters.len() < STAGES_MAX {
            let meter = meters.entry(stage.clone()).or_default();
            meter
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .count(second(at));
        }
    }
}

impl Observer for Live {
    fn observe(&self, at: Timestamp, event: &Event) {
        if let Event::TicketSettled { stage, settled, .. } = event {
            match settled {
                SettledAs::Forwarded | SettledAs::Finished => self.meter(stage, at),
                SettledAs::Waiting(_) => {}
            }
        }
        self.shared.sums[topic(event)].fetch_add(1, Ordering::SeqCst);
        if self.shared.is_awaited.load(Ordering::SeqCst) {
            self.shared.is_awaited.store(false, Ordering::SeqCst);
            self.shared.wake.notify_waiters();
        }
    }
}

/// Where in [`TOPICS`] an event is counted.
const fn topic(event: &Event) -> usize {
    match event {
        Event::TicketAccepted { .. } => 0,
        Event::AttemptStarted { .. } => 1,
        Event::AttemptEnded { .. } => 2,
        Event::TicketSettled { .. } => 3,
        Event::OopsRecorded { .. } => 4,
        Event::TicketJudged { .. } => 5,
        Event::TicketsReleased { .. } => 6,
        Event::OrderCarriedOut { .. } => 7,
        Event::StageHeld { .. } | Event::StageUnheld { .. } | Event::SupervisorStarted { .. } => 8,
        Event::AttemptBlocked { .. }
        | Event::SettlementStale { .. }
        | Event::SupervisorLost { .. }
        | Event::SubscriptionEnded { .. }
        | Event::StoreFailed { .. } => 9,
    }
}

const fn second(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1_000)
}
