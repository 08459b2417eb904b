//! A group on its way to being started: from the question to the broker to an attempt each.

use crate::attempt;
use crate::grip::Load;
use crate::station::{Station, lock};
use domain::delivery::{Delivery, Received, Start, Started};
use domain::event::Event;
use domain::ports::NotStarted;
use domain::time::Timestamp;
use futures_util::future::BoxFuture;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::thread::ThreadId;
use tokio::sync::{OwnedRwLockReadGuard, OwnedSemaphorePermit};
use tokio::time::sleep;

/// What a group needs to be started.
pub(crate) struct Permits {
    /// One for each of them.
    pub(crate) slots: OwnedSemaphorePermit,
    /// The turn of the one on trial, if it is one.
    pub(crate) trial: Option<OwnedSemaphorePermit>,
}

/// A group whose `started` records are being made durable. It lies where another thread can see it
/// off, should the one that began it freeze meanwhile.
pub(crate) struct Launch(Mutex<Option<Underway>>);

struct Underway {
    /// The thread that sees it off.
    thread: ThreadId,
    at: Timestamp,
    starting: BoxFuture<'static, Answer>,
    permits: Permits,
    /// No hold comes into force meanwhile.
    gate: OwnedRwLockReadGuard<()>,
}

type Answer = Result<Vec<Delivery<Started>>, NotStarted>;

impl Launch {
    /// From now on it is for this thread to see it off, unless another one is about it just now.
    pub(crate) fn take_over(&self) -> bool {
        let Ok(mut mine) = self.0.try_lock() else {
            return false;
        };
        let underway = mine.as_mut();
        underway.is_some_and(|it| {
            it.thread = std::thread::current().id();
            true
        })
    }

    /// Hands all of it back, where that is possible.
    pub(crate) fn end(&self) {
        if let Ok(mut mine) = self.0.try_lock() {
            drop(mine.take());
        }
    }

    /// The answer of the broker; `None` for whoever is not to see it off any more.
    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<(Answer, Underway)>> {
        let mut mine = lock(&self.0);
        let here = std::thread::current().id();
        let Some(underway) = mine.as_mut().filter(|underway| underway.thread == here) else {
            return Poll::Ready(None);
        };
        let answer = ready!(underway.starting.as_mut().poll(context));
        Poll::Ready(mine.take().map(|underway| (answer, underway)))
    }
}

/// Starts a group: an attempt each, once the broker has made that durable.
pub(crate) async fn start(
    station: &Arc<Station>,
    fresh: Vec<Delivery<Received>>,
    permits: Permits,
) {
    if fresh.is_empty() {
        return;
    }
    let gate = Arc::clone(&station.gate).read_owned().await;
    if station.is_held() {
        // Found to be unstartable while these were on their way; the broker keeps them.
        return drop(fresh);
    }
    let start = Start {
        scene: station.scene(),
        at: station.setup.clock.now(),
    };
    let (at, broker) = (start.at, Arc::clone(&station.setup.broker));
    let launch = Arc::new(Launch(Mutex::new(Some(Underway {
        thread: std::thread::current().id(),
        at,
        starting: Box::pin(async move { broker.start(fresh, &start).await }),
        permits,
        gate,
    }))));
    station.launched(&launch);
    see_off(Arc::clone(station), launch).await;
}

/// Waits for the answer of the broker, and begins the attempts on this thread.
pub(crate) async fn see_off(station: Arc<Station>, launch: Arc<Launch>) {
    let Some((answer, underway)) = poll_fn(|context| launch.poll(context)).await else {
        return;
    };
    station.seen_off(&launch);
    let Underway {
        at, permits, gate, ..
    } = underway;
    match answer {
        Ok(started) => {
            begin(&station, started, permits, at);
            drop(gate);
        }
        Err(NotStarted { deliveries, error }) => {
            station.observe(&Event::StoreFailed {
                what: "start",
                why: error.to_string(),
            });
            drop(deliveries); // Hands them back; nothing was started, nothing is charged.
            drop(gate);
            sleep(attempt::DURABLE_RETRY).await;
        }
    }
}

fn begin(station: &Arc<Station>, started: Vec<Delivery<Started>>, permits: Permits, at: Timestamp) {
    let Permits {
        mut slots,
        mut trial,
    } = permits;
    for delivery in started {
        let Some(slot) = slots.split(1) else {
            debug_assert!(false, "a consumer returned more than it was asked for");
            continue; // The delivery goes back, as a suspect.
        };
        let ticket = delivery.ticket();
        let is_first = ticket.name.hop.0 == 0 && ticket.name.attempt.0 == 1;
        station.observe(&Event::AttemptStarted {
            name: ticket.name,
            stage: station.rules.name.clone(),
            waited: is_first.then(|| at.since(ticket.created_at)),
        });
        let carried = station.hands.take(Load {
            delivery,
            slot,
            trial: trial.take(),
        });
        station.spawn(attempt::run(Arc::clone(station), carried));
    }
}
