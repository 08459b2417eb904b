//! Settle: the next tickets, confirmed; then the records, confirmed; then the acks. Never two of
//! these at once inside a group; groups overlap.

use crate::worker::lock;
use crate::worker::shared::Shared;
use domain::delivery::{Disposition, Settlement};
use domain::ports::{Sent, Settled, StoreError, Unsettled};
use domain::record::{Arrived, Fate, Parted, Record, Said};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};

/// Makes a group durable and takes its deliveries off their queue.
pub(crate) async fn settle(
    shared: &Shared,
    group: Vec<Settlement>,
) -> Result<Vec<Settled>, Unsettled> {
    let fates = match publish_next(shared, &group).await {
        Ok(fates) => fates,
        Err(error) => {
            return Err(Unsettled {
                settlements: group,
                error,
            });
        }
    };
    let now = shared.now();
    let said = group.iter().zip(&fates).flat_map(|(settlement, despatch)| {
        std::iter::once(said(settlement, despatch, now)).chain(strays(settlement, despatch, now))
    });
    let records: Vec<Record> = said.map(|said| shared.record_at(now, said)).collect();
    if let Err(error) = shared.journal.write(&records).await {
        remember(shared, &group, fates);
        return Err(Unsettled {
            settlements: group,
            error,
        });
    }
    let numbers = group.into_iter().map(Settlement::settled);
    let posts = lock(&shared.in_hand).let_go(numbers);
    shared.ack(posts).await;
    if fates.iter().any(|despatch| despatch.is_fenced) {
        shared.vitals.parted(); // Somebody may wait for the end of this older generation.
    }
    let settled = |despatch: &Despatch| match despatch.is_fenced {
        true => Settled::Stale,
        false => Settled::Applied,
    };
    Ok(fates.iter().map(settled).collect())
}

/// What became of the tickets that a settlement sends: the next one first, if there is one.
#[derive(Debug, Default)]
struct Despatch {
    sent: Vec<Sent>,
    is_fenced: bool,
}

/// Publishes whatever the group sends and has not sent before.
///
/// Fails when something certainly did not leave this process: then the group is tried again, and
/// what did leave, or may have, is not published a second time.
async fn publish_next(shared: &Shared, group: &[Settlement]) -> Result<Vec<Despatch>, StoreError> {
    let mut despatches = recall(shared, group);
    let mut messages = Vec::new();
    for (settlement, despatch) in group.iter().zip(&despatches) {
        let todo = sends(settlement)
            .zip(&despatch.sent)
            .filter(|(_, sent)| **sent == Sent::Unsent);
        messages.extend(todo.map(|(ticket, _)| shared.stage_message(ticket)));
    }
    if messages.is_empty() {
        return Ok(despatches);
    }
    let mut answers = shared.publisher.publish_group(messages).await.into_iter();
    let todo = despatches
        .iter_mut()
        .flat_map(|despatch| &mut despatch.sent);
    let mut unsent = 0;
    for sent in todo.filter(|sent| **sent == Sent::Unsent) {
        *sent = answers.next().unwrap_or(Sent::Unsent);
        unsent += usize::from(*sent == Sent::Unsent);
    }
    if unsent == 0 {
        return Ok(despatches);
    }
    remember(shared, group, despatches);
    Err(shared.unavailable(&format!("{unsent} next tickets could not be published yet")))
}

/// What is known of each settlement's tickets from an earlier try.
fn recall(shared: &Shared, group: &[Settlement]) -> Vec<Despatch> {
    let in_hand = lock(&shared.in_hand);
    let desired = shared.desired();
    let despatch = |settlement: &Settlement| {
        let name = settlement.ticket().name;
        let before = in_hand
            .get(settlement.tag())
            .map(|held| held.sent.as_slice());
        match before {
            Some(sent) if !sent.is_empty() => Despatch {
                sent: sent.to_vec(),
                is_fenced: false,
            },
            // Its results would not be heard; only the ghost of a next ticket would run.
            _ if !desired.lets_run(name.ticket, name.generation) => Despatch {
                sent: Vec::new(),
                is_fenced: true,
            },
            _ => Despatch {
                sent: vec![Sent::Unsent; sends(settlement).count()],
                is_fenced: false,
            },
        }
    };
    group.iter().map(despatch).collect()
}

fn remember(shared: &Shared, group: &[Settlement], despatches: Vec<Despatch>) {
    let mut in_hand = lock(&shared.in_hand);
    for (settlement, despatch) in group.iter().zip(despatches) {
        if let Some(held) = in_hand.get_mut(settlement.tag()) {
            held.sent = despatch.sent;
        }
    }
}

/// The tickets that a settlement sends: the next one first, if there is one.
fn sends(settlement: &Settlement) -> impl Iterator<Item = &Ticket> {
    let next = match settlement.disposition() {
        Disposition::Forward(next) => Some(&**next),
        Disposition::Finish | Disposition::Wait { .. } => None,
    };
    next.into_iter().chain(settlement.emits())
}

fn said(settlement: &Settlement, despatch: &Despatch, now: Timestamp) -> Said {
    let ticket = settlement.ticket();
    if let Disposition::Wait { wait, .. } = settlement.disposition()
        && matches!(wait.condition, Condition::Suspect { .. })
    {
        return Said::Suspect(Box::new(Ticket::clone(ticket)));
    }
    let doubted: Vec<Ticket> = in_doubt(settlement, despatch);
    let emits = settlement.emits();
    let skipped = despatch.sent.len().saturating_sub(emits.len());
    let confirmed = emits.iter().zip(despatch.sent.iter().skip(skipped));
    let confirmed = confirmed.filter(|(_, sent)| **sent == Sent::Confirmed);
    Said::Ended(Box::new(Parted {
        name: ticket.name,
        stage: ticket.stage.clone(),
        ended: settlement.ended().cloned(),
        emits: confirmed.map(|(emit, _)| emit.clone()).collect(),
        to: match doubted.is_empty() {
            _ if despatch.is_fenced => fenced(ticket, now),
            true => fate(settlement),
            false => Fate::Doubted(doubted),
        },
    }))
}

/// The tickets of which nobody knows whether they landed. When only an emitted one is in doubt,
/// the next ticket is called so too, because the record has no other way to carry it; the
/// controller then releases it anew, and its first copy is fenced off.
fn in_doubt(settlement: &Settlement, despatch: &Despatch) -> Vec<Ticket> {
    let is_doubtful = |sent: &Sent| *sent == Sent::Doubtful;
    let is_waiting = matches!(settlement.disposition(), Disposition::Wait { .. });
    if is_waiting || !despatch.sent.iter().any(is_doubtful) {
        return Vec::new();
    }
    let has_next = matches!(settlement.disposition(), Disposition::Forward(_));
    let all = sends(settlement).zip(&despatch.sent).enumerate();
    all.filter(|(place, (_, sent))| is_doubtful(sent) || (*place == 0 && has_next))
        .map(|(_, (ticket, _))| ticket.clone())
        .collect()
}

/// Tickets in doubt that a ticket has sent which itself waits: they come in by the door.
fn strays(
    settlement: &Settlement,
    despatch: &Despatch,
    now: Timestamp,
) -> impl Iterator<Item = Said> {
    let is_waiting = matches!(settlement.disposition(), Disposition::Wait { .. });
    let all = settlement.emits().iter().zip(&despatch.sent);
    let strays = all.filter(move |(_, sent)| is_waiting && **sent == Sent::Doubtful);
    strays.map(move |(ticket, _)| {
        let because = "nobody knows whether it was published".to_owned();
        let condition = Condition::NotNow { until: now };
        Said::Arrived(Box::new(Arrived {
            ticket: ticket.clone(),
            name: ticket.name.renewed(),
            wait: Wait {
                condition,
                since: now,
                because,
                oops: None,
            },
        }))
    })
}

/// A newer generation is in force, so this changes nothing but that the attempt is over.
fn fenced(ticket: &Ticket, now: Timestamp) -> Fate {
    let because = "its generation was over before it was settled".to_owned();
    let condition = Condition::NotNow { until: now };
    Fate::Waits(Box::new(Arrived {
        ticket: ticket.clone(),
        name: ticket.name,
        wait: Wait {
            condition,
            since: now,
            because,
            oops: None,
        },
    }))
}

fn fate(settlement: &Settlement) -> Fate {
    match settlement.disposition() {
        Disposition::Forward(next) => Fate::Forwarded(next.stage.clone()),
        Disposition::Finish => Fate::Finished,
        Disposition::Wait { name, wait } => Fate::Waits(Box::new(Arrived {
            ticket: Ticket::clone(settlement.ticket()),
            name: *name,
            wait: wait.clone(),
        })),
    }
}
