//! Publishes what is due, in the one order that is safe: what is about to be published is written
//! down, then it is published, then what became of it is written down.

use super::leading::Shared;
use super::term::Term;
use domain::ports::{Due, Round, Sent, StoreError};
use domain::ticket::Name;
use domain::time::Timestamp;
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::time::sleep;

/// Waits between tries to write down what became of a publish.
const RESULT_RETRY: Duration = Duration::from_millis(500);
/// After so many tries the term is given up: the next leader treats what was being published as
/// doubtful.
const RESULT_TRIES: u32 = 20;
/// When to look again for what is due now and could not be published.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// One round: at most `max` tickets are published.
pub(crate) async fn release(
    shared: &Shared,
    term: &Term,
    now: Timestamp,
    max: NonZeroUsize,
) -> Result<Round, StoreError> {
    let wanted = term.past_barriers(max.get());
    let wanted = NonZeroUsize::new(wanted).unwrap_or(max);
    let dues = term.ledger.due(now, wanted).await?;
    if term.was_due(now, dues.next) {
        // A canary of a whole stage goes by the desired state.
        shared.rumour.notify_one();
    }
    let is_more = dues.due.len() >= wanted.get();
    let mut past = term.past(dues.due);
    let is_more = is_more || past.len() > max.get();
    past.truncate(max.get());
    let told = publish(shared, term, past).await?;
    let again = is_more && told.released > 0;
    let next = match dues.next {
        // What is due and stays is not a time to wait for.
        Some(next) if next <= now => Some(now.plus(AGAIN_AFTER)),
        next => next,
    };
    let retry = (told.unsent > 0).then(|| now.plus(AGAIN_AFTER));
    let at_once = again.then_some(now);
    Ok(Round {
        released: told.released,
        next: [next, retry, at_once].into_iter().flatten().min(),
    })
}

#[derive(Default)]
struct Told {
    released: u64,
    unsent: u64,
}

async fn publish(shared: &Shared, term: &Term, past: Vec<Due>) -> Result<Told, StoreError> {
    if past.is_empty() {
        return Ok(Told::default());
    }
    let names: Vec<Name> = past.iter().map(|due| due.ticket.name).collect();
    let all = |sent: Sent| names.iter().map(|name| (*name, sent)).collect::<Vec<_>>();
    if let Err(error) = term.ledger.sent(all(Sent::Begun)).await {
        // It may be written all the same. Nothing was published, so that much is certain.
        note(shared, term, all(Sent::Unsent)).await?;
        return Err(error);
    }
    let mut answers = shared.parts.road.publish(past).await.into_iter();
    let sent = names.iter().map(|name| {
        // A road that does not answer for a ticket has said nothing about it.
        (*name, answers.next().unwrap_or(Sent::Doubtful))
    });
    let sent: Vec<(Name, Sent)> = sent.collect();
    let count = |what: Sent| sent.iter().filter(|(_, sent)| *sent == what).count() as u64;
    let (released, unsent) = (count(Sent::Confirmed), count(Sent::Unsent));
    let doubtful = sent.len() as u64 - released - unsent;
    note(shared, term, sent).await?;
    if doubtful > 0 {
        tracing::warn!(
            doubtful,
            "of {doubtful} released tickets it is not known whether they landed; each goes on \
             under a new generation, behind a fence"
        );
        shared.herald.notify_one();
    }
    match (released, unsent) {
        (0, 1..) => Err(StoreError::Unavailable(format!(
            "the broker took none of {unsent} tickets whose wait is over; they stay where they are"
        ))),
        _ => Ok(Told { released, unsent }),
    }
}

/// Writes down what became of a publish, however long that takes in this term. It is never
/// published again instead.
async fn note(shared: &Shared, term: &Term, sent: Vec<(Name, Sent)>) -> Result<(), StoreError> {
    for _ in 0..RESULT_TRIES {
        let error = match term.ledger.sent(sent.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if term.is_over() {
            return Err(error);
        }
        shared.ears.tell_failed("release", &error);
        sleep(RESULT_RETRY).await;
    }
    let why = format!(
        "what became of {} published tickets could not be written into the books",
        sent.len()
    );
    term.end(&why);
    Err(StoreError::Unavailable(why))
}
