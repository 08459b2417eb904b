//! Intake: pairs deliveries with slots. Nothing else waits in a worker's memory.

use crate::attempt::{self, DURABLE_RETRY};
use crate::settler::Door;
use crate::station::{OfferedSlots, Room, SETTLING_WINDOW, Station, lock};
use crate::turn;
use domain::delivery::{Delivery, Incoming, Received, Start, Suspected, Unreadable};
use domain::event::Event;
use domain::ports::NotStarted;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;

/// The most deliveries that are started as one group.
const GROUP_MAX: usize = 256;

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
    while let Some(why) = consume(&station, &starting, &mut quiet).await {
        station.observe(&Event::SubscriptionEnded {
            stage: station.rules.name.clone(),
            why,
        });
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
) -> Option<String> {
    let stage = &station.rules.name;
    // Slots plus the settling window: no slot idles while its last outcome is made durable.
    let prefetch = station.rules.concurrency.saturating_add(SETTLING_WINDOW);
    let consuming = station.setup.broker.consume(stage, prefetch);
    let mut consumer = match quiet.or(consuming).await? {
        Ok(consumer) => consumer,
        Err(error) => return Some(error.to_string()),
    };
    loop {
        quiet.or(station.unheld()).await?;
        let turn = quiet.or(Arc::clone(starting).acquire_owned()).await?.ok()?;
        let slots = quiet.or(free_slots(station)).await?;
        let max = NonZeroUsize::new(slots.num_permits()).unwrap_or(NonZeroUsize::MIN);
        let offered = Offered::new(station, slots);
        let next = tokio::select! {
            biased;
            () = station.slot_is_wanted() => continue,
            next = quiet.or(consumer.next(max)) => next?,
        };
        let group = match next {
            Ok(group) => group,
            Err(ended) => return Some(ended.why),
        };
        match offered.take() {
            Some(slots) => {
                let serving = serve(Arc::clone(station), group, slots);
                station.spawn(async move {
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

/// Slots that are free and wait for deliveries. They lie where the station can take them away,
/// should the thread of this intake freeze.
struct Offered(OfferedSlots);

impl Offered {
    fn new(station: &Station, slots: OwnedSemaphorePermit) -> Self {
        let offered = Arc::new(Mutex::new(Some(slots)));
        station.offer(Arc::clone(&offered));
        Self(offered)
    }

    fn take(self) -> Option<OwnedSemaphorePermit> {
        lock(&self.0).take()
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        lock(&self.0).take();
    }
}

/// Waits for one free slot, then takes whatever else is free.
async fn free_slots(station: &Arc<Station>) -> OwnedSemaphorePermit {
    let slots = &station.slots;
    loop {
        let Ok(mut first) = Arc::clone(slots).acquire_owned().await else {
            sleep(DURABLE_RETRY).await; // Never closed while the station lives.
            continue;
        };
        let more = slots.available_permits().min(GROUP_MAX - 1);
        let more = u32::try_from(more).unwrap_or(0);
        if let Ok(rest) = Arc::clone(slots).try_acquire_many_owned(more) {
            first.merge(rest);
        }
        return first;
    }
}

async fn serve(station: Arc<Station>, group: Vec<Incoming>, mut slots: OwnedSemaphorePermit) {
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
    start(station, fresh, &mut slots).await;
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
        station.spawn(attempt::finish(Arc::clone(station), performed, room));
    }
}

async fn start(
    station: &Arc<Station>,
    fresh: Vec<Delivery<Received>>,
    slots: &mut OwnedSemaphorePermit,
) {
    if !fresh.iter().any(Delivery::is_alone) {
        return start_group(station, fresh, (slots, None)).await;
    }
    let (on_trial, fresh): (Vec<_>, Vec<_>) = fresh.into_iter().partition(Delivery::is_alone);
    for delivery in on_trial {
        turn::take(station, delivery, slots);
    }
    start_group(station, fresh, (slots, None)).await;
}

pub(crate) async fn start_group(
    station: &Arc<Station>,
    fresh: Vec<Delivery<Received>>,
    (slots, mut trial): (&mut OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
) {
    if fresh.is_empty() {
        return;
    }
    let _gate = station.gate.read().await;
    if station.is_held() {
        // Found to be unstartable while these were on their way; the broker keeps them.
        return drop(fresh);
    }
    let start = Start {
        scene: station.scene(),
        at: station.setup.clock.now(),
    };
    let started = match station.setup.broker.start(fresh, &start).await {
        Ok(started) => started,
        Err(NotStarted { deliveries, error }) => {
            station.observe(&Event::StoreFailed {
                what: "start",
                why: error.to_string(),
            });
            drop(deliveries); // Hands them back; nothing was started, nothing is charged.
            return sleep(DURABLE_RETRY).await;
        }
    };
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
            waited: is_first.then(|| start.at.since(ticket.created_at)),
        });
        let permits = (slot, trial.take());
        station.spawn(attempt::run(Arc::clone(station), delivery, permits));
    }
}
