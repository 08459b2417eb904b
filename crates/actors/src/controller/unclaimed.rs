//! Takes in what nobody had declared a queue for, and what the broker gave up: it waits in the
//! books until a worker names its stage.

use super::leading::Shared;
use super::term::Term;
use domain::ports::StoreError;
use domain::record::{Arrived, Record, Said};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use std::num::NonZeroUsize;

/// The most tickets that go through the door as one group.
const GROUP_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Drains while this process leads; returns why it could not.
pub(crate) async fn run(shared: &Shared) -> String {
    loop {
        let term = shared.leads().await;
        if let Err(why) = drain(shared, &term).await {
            return why;
        }
    }
}

async fn drain(shared: &Shared, term: &Term) -> Result<(), String> {
    let failed = |error: StoreError| format!("unclaimed tickets could not be taken in: {error}");
    let mut inbox = shared.parts.road.unclaimed().await.map_err(failed)?;
    loop {
        let tickets = tokio::select! {
            biased;
            _ = term.over() => return Ok(()),
            tickets = inbox.next(GROUP_MAX) => tickets.map_err(|ended| ended.why)?,
        };
        let now = shared.parts.clock.now();
        let records: Vec<Record> = tickets
            .into_iter()
            .map(|ticket| shared.record(arrived(ticket, now)))
            .collect();
        // In this order: a ticket that is taken in twice is known by the name it had.
        shared.parts.road.write(records).await.map_err(failed)?;
        inbox.done().await.map_err(failed)?;
    }
}

fn arrived(ticket: Ticket, now: Timestamp) -> Said {
    let because = format!("no worker had a queue for stage {}", ticket.stage);
    let wait = Wait {
        condition: Condition::Unclaimed,
        since: now,
        because,
        oops: None,
    };
    Said::Arrived(Box::new(Arrived {
        name: ticket.name.renewed(),
        ticket,
        wait,
    }))
}
