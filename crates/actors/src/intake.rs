//! Intake: pairs deliveries with slots. Nothing else waits in a worker's memory.

use crate::attempt::{self, DURABLE_RETRY};
use crate::launch::{self, Permits};
use crate::settler::Door;
use crate::station::{OfferedSlots, Room, SETTLING_WINDOW, Station, lock};
use crate::turn;
use domain::delivery::{Delivery, Incoming, Received, Start, Suspected, Unreadable};
use domain::event::{Ending, Event};
use domain::ports::StreamEnded;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

/// The most deliveries that are started as one group: they share one confirm of the broker, for
/// which their slots wait, and to it a group of 2,048 is hardly more than one of 256.
const GROUP_MAX: usize = 2_048;

/// How many groups are started at once. More than one makes them smaller: with four, RabbitMQ took
/// a quarter more CPU for the same tickets, and the drain was no faster.
const STARTS_IN_FLIGHT_MAX: usize = 1;

/// Consumes until told to be quiet; every way in which a subscription can end leads back to it.
///
/// Being told to be quiet ends only a wait for something to take in. What was taken is started,
/// whatever becomes of this intake: a start that were left halfway would be durable, or not, and
/// nobody here would know.
pub(crate) async fn run(station: Arc<Station>) {
    let mut quiet = Quiet::of(&station);
    // This intake's own: what hangs on a frozen thread must not keep its successor waiting.
    let starting = Arc::new(Semaphore::new(STARTS_IN_FLIGHT_MAX));
    while let Some(ended) = consume(&station, &starting, &mut quiet).await {
        let StreamEnded { stage, reason, why } = ended;
        station.observe(&Event::SubscriptionEnded { stage, reason, why });
        if quiet.or(sleep(DURABLE_RETRY)).await.is_none() {
            return;
        }
    }
}

/// The word that no more is to be taken in.
pub(crate) struct Quiet(watch::Receiver<bool>);

impl Quiet {
    pub(crate) fn of(station: &Station) -> Self {
        Self(station.quiet())
    }

    /// What `wait` brings, or `None` once the word has come; then `wait` is dropped.
    pub(crate) async fn or<T>(&mut self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.0.wait_for(|quiet| *quiet) => None,
            value = wait => Some(value),
        }
    }
}

/// Returns why the subscription ended; `None` once no more is to be taken in.
async fn consume(
    station: &Arc<Station>,
    starting: &Arc<Semaphore>,
    quiet: &mut Quiet,
) -> Option<StreamEnded> {
    let stage = &station.rules.name;
    // Slots plus the settling window: no slot idles while its last outcome is made durable.
    let prefetch = station.rules.concurrency.saturating_add(SETTLING_WINDOW);
    let consuming = station.setup.broker.consume(stage, prefetch);
    let mut consumer = match quiet.or(consuming).await? {
        Ok(consumer) => consumer,
        Err(error) => {
            return Some(StreamEnded {
                stage: stage.clone(),
                reason: Ending::Unavailable,
                why: error.to_string(),
            });
        }
    };
    loop {
        quiet.or(station.unheld()).await?;
        let turn = quiet.or(Arc::clone(starting).acquire_owned()).await?.ok()?;
        let offered = Offered::new(station);
        let max = quiet.or(offered.free(station)).await?;
        let next = tokio::select! {
            biased;
            () = station.slot_is_wanted() => continue,
            next = quiet.or(consumer.next(max)) => next?,
        };
        let group = match next {
            Ok(group) => group,
            Err(ended) => return Some(ended),
        };
        match offered.take() {
            Some(slots) => {
                let serving = serve(Arc::clone(station), group, slots);
                station.begin(async move {
                    serving.await;
                    drop(turn);
                });
            }
            // This thread did not answer for so long that another has its slots.
            None => drop(group),
        }
        station.reap();
    }
}

/// The slots of an intake, from the wait for the first of them until deliveries come. They lie
/// where the station can take them away, should the thread of this intake freeze.
pub(crate) enum Slots {
    /// None is free yet. Whoever waits is in line for the next one, and would get it also on a
    /// thread that does not answer.
    Awaited(BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>),
    /// They wait for deliveries.
    Free(OwnedSemaphorePermit),
}

struct Offered(OfferedSlots);

impl Offered {
    fn new(station: &Station) -> Self {
        let awaited = Arc::clone(&station.slots).acquire_owned().boxed();
        let offered = Arc::new(Mutex::new(Some(Slots::Awaited(awaited))));
        station.offer(Arc::clone(&offered));
        Self(offered)
    }

    /// Waits for one free slot, then offers whatever else is free; returns how many. Waits for ever
    /// once they were taken away: another thread has them.
    async fn free(&self, station: &Station) -> NonZeroUsize {
        poll_fn(|context| {
            let mut slots = lock(&self.0);
            let Some(Slots::Awaited(first)) = &mut *slots else {
                return Poll::Pending;
            };
            // It fails only when the semaphore is closed, and nobody does that.
            let Poll::Ready(Ok(mut free)) = first.as_mut().poll(context) else {
                return Poll::Pending;
            };
            let more = station.slots.available_permits().min(GROUP_MAX - 1);
            let more = u32::try_from(more).unwrap_or(0);
            if let Ok(rest) = Arc::clone(&station.slots).try_acquire_many_owned(more) {
                free.merge(rest);
            }
            let count = NonZeroUsize::new(free.num_permits()).unwrap_or(NonZeroUsize::MIN);
            *slots = Some(Slots::Free(free));
            Poll::Ready(count)
        })
        .await
    }

    fn take(self) -> Option<OwnedSemaphorePermit> {
        match lock(&self.0).take() {
            Some(Slots::Free(slots)) => Some(slots),
            Some(Slots::Awaited(_)) | None => None,
        }
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        lock(&self.0).take();
    }
}

async fn serve(station: Arc<Station>, group: Vec<Incoming>, slots: OwnedSemaphorePermit) {
    let station = &station;
    let mut fresh = Vec::with_capacity(group.len());
    let mut suspects = Vec::new();
    for incoming in group {
        match incoming {
            Incoming::Fresh(delivery) => fresh.push(delivery),
            Incoming::Suspect(delivery) => suspects.push(delivery),
            Incoming::Unreadable(delivery) => reject(station, delivery).await,
        }
    }
    ask(station, suspects);
    start(station, fresh, slots).await;
}

/// Nobody here knows what became of a suspect: the controller decides.
fn ask(station: &Arc<Station>, suspects: Vec<Delivery<Suspected>>) {
    if suspects.is_empty() {
        return;
    }
    let now = station.setup.clock.now();
    let doubts = suspects
        .into_iter()
        .map(|suspect| suspect.doubt(now))
        .collect();
    station.settler().do_send(Door(doubts));
}

async fn reject(station: &Arc<Station>, delivery: Delivery<Unreadable>) {
    let start = Start {
        scene: station.scene(),
        at: station.setup.clock.now(),
    };
    let performed = delivery.rejected(start);
    if let Ok(settling) = Arc::clone(&station.settling).acquire_owned().await {
        let room = Room::new(settling, None);
        station.spawn(attempt::finish(Arc::clone(station), performed, room, None));
    }
}

async fn start(
    station: &Arc<Station>,
    fresh: Vec<Delivery<Received>>,
    mut slots: OwnedSemaphorePermit,
) {
    let (on_trial, fresh): (Vec<_>, Vec<_>) = match fresh.iter().any(Delivery::is_alone) {
        true => fresh.into_iter().partition(Delivery::is_alone),
        false => (Vec::new(), fresh),
    };
    for delivery in on_trial {
        turn::take(station, delivery, &mut slots);
    }
    launch::start(station, fresh, Permits { slots, trial: None }).await;
}
