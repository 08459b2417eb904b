//! Start: the `started` records of a group are durable before any of its handlers runs.

use crate::worker::in_hand::Phase;
use crate::worker::lock;
use crate::worker::shared::Shared;
use domain::delivery::{Delivery, Received, Start, Started};
use domain::flow::Stage;
use domain::ports::NotStarted;
use domain::record::{self, Record, Said};
use domain::ticket::Ticket;
use std::sync::Arc;
use std::time::Duration;

/// Makes the records durable. What may run longer than the broker waits is claimed: then the
/// journal has it, and the ack of its delivery is on its way before it runs.
pub(crate) async fn start(
    shared: &Shared,
    deliveries: Vec<Delivery<Received>>,
    start: &Start,
) -> Result<Vec<Delivery<Started>>, NotStarted> {
    let claimed = claims(shared, &deliveries);
    let records = records(shared, &deliveries, (start, &claimed));
    if let Err(error) = shared.journal.write(&records).await {
        return Err(NotStarted { deliveries, error });
    }
    let posts = note(shared, &deliveries, &claimed);
    shared.ack_unwatched(posts);
    Ok(deliveries
        .into_iter()
        .map(|delivery| delivery.started(start.clone()))
        .collect())
}

fn claims(shared: &Shared, deliveries: &[Delivery<Received>]) -> Vec<bool> {
    let longest = shared.ack_timeout() / 2;
    let is_long = |stage: Option<&Stage>| stage.is_some_and(|stage| length(stage) > longest);
    let stage_of =
        |delivery: &Delivery<Received>| shared.settings.flows.stage(&delivery.ticket().stage);
    deliveries
        .iter()
        .map(|delivery| is_long(stage_of(delivery)))
        .collect()
}

/// How long an attempt may hold its delivery at the longest.
fn length(stage: &Stage) -> Duration {
    stage.deadline.saturating_add(stage.grace)
}

fn records(
    shared: &Shared,
    deliveries: &[Delivery<Received>],
    (start, claimed): (&Start, &[bool]),
) -> Vec<Record> {
    let in_hand = lock(&shared.in_hand);
    let is_booked = |number| in_hand.get(number).is_some_and(|held| held.is_booked);
    let said = deliveries.iter().zip(claimed).map(|(delivery, claimed)| {
        let ticket = delivery.ticket();
        let carries = *claimed || !is_booked(delivery.tag());
        Said::Started(Box::new(record::Started {
            name: ticket.name,
            stage: ticket.stage.clone(),
            scene: Arc::clone(&start.scene),
            ticket: carries.then(|| Box::new(Ticket::clone(ticket))),
            claimed: *claimed,
        }))
    });
    said.map(|said| shared.record_at(start.at, said)).collect()
}

/// They are started from here on; returns where the claimed ones are to be acked.
fn note(
    shared: &Shared,
    deliveries: &[Delivery<Received>],
    claimed: &[bool],
) -> Vec<crate::worker::lane::Post> {
    let mut in_hand = lock(&shared.in_hand);
    let mut posts = Vec::new();
    for (delivery, claimed) in deliveries.iter().zip(claimed) {
        let Some(held) = in_hand.get_mut(delivery.tag()) else {
            continue;
        };
        held.phase = Phase::Started;
        if *claimed {
            posts.extend(held.post.take());
            posts.append(&mut held.others);
        }
    }
    posts
}
