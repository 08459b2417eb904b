//! The one turn of a process for a ticket that is on trial, and who waits for it.

use crate::intake::Quiet;
use crate::launch::{self, Permits};
use crate::station::Station;
use domain::delivery::{Delivery, Received};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// How long one on trial is kept here while another one has the turn, or its stage no slot. Then it
/// goes back to its broker unstarted: another process may have its turn free, and a hold or a fence
/// of meanwhile is kept to there. It goes around no faster than this either.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Starts one on trial when no other one is in this process. Until then it has none of the slots,
/// which others can use, and is only in hand: it is not charged for the end of the other one.
pub(crate) fn take(
    station: &Arc<Station>,
    delivery: Delivery<Received>,
    slots: &mut OwnedSemaphorePermit,
) {
    let free = Arc::clone(&station.trial).try_acquire_owned();
    match free.ok().and_then(|turn| Some((slots.split(1)?, turn))) {
        Some(permits) => station.begin(start(Arc::clone(station), delivery, permits)),
        None => station.spawn(wait(Arc::clone(station), delivery)),
    }
}

async fn wait(station: Arc<Station>, delivery: Delivery<Received>) {
    let mut quiet = Quiet::of(&station);
    let both = async {
        let turn = Arc::clone(&station.trial).acquire_owned().await.ok()?;
        Some((station.slot().await?, turn))
    };
    let permits = quiet.or(timeout(WAIT_MAX, both)).await;
    match permits.and_then(Result::ok).flatten() {
        Some(permits) if station.lets_start(delivery.ticket().name) => {
            start(station, delivery, permits).await;
        }
        // To drop it is to hand it back.
        _ => drop(delivery),
    }
}

async fn start(
    station: Arc<Station>,
    delivery: Delivery<Received>,
    (slots, turn): (OwnedSemaphorePermit, OwnedSemaphorePermit),
) {
    let trial = Some(turn);
    launch::start(&station, vec![delivery], Permits { slots, trial }).await;
}
