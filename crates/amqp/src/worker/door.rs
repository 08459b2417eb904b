//! The door for what leaves our hands without an attempt: handed back, suspect, fenced, or come
//! in without an identity. Its record first, confirmed; then the ack.

use crate::worker::in_hand::{Held, Phase};
use crate::worker::lane::Post;
use crate::worker::lock;
use crate::worker::shared::Shared;
use domain::names::Version;
use domain::record::{Arrived, Fate, Parted, Record, Said};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// The most errands of one group.
const GROUP_MAX: usize = 1_000;
/// When a ticket that is to run elsewhere is released again. Somebody with another version may
/// take it then, or again one who has not got it.
const ELSEWHERE_AFTER: Duration = Duration::from_secs(1);
/// How long to wait before a group that was not durable is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// What is on its way out. Never more than is in hand and prefetched.
#[derive(Default)]
pub(crate) struct Door {
    errands: Mutex<Vec<Errand>>,
    knocked: Notify,
}

/// One thing on its way out.
pub(crate) struct Errand {
    pub(crate) said: Said,
    pub(crate) of: Of,
}

/// What an errand is about.
pub(crate) enum Of {
    /// A copy in our hands, by our number.
    InHand(u64),
    /// A message without an identity; it is only to be acked.
    Nameless(Post),
}

impl Door {
    pub(crate) fn knock(&self, errands: impl IntoIterator<Item = Errand>) {
        lock(&self.errands).extend(errands);
        self.knocked.notify_one();
    }

    fn take(&self) -> Vec<Errand> {
        let mut errands = lock(&self.errands);
        let count = errands.len().min(GROUP_MAX);
        errands.drain(..count).collect()
    }
}

/// Carries errands for as long as the worker lives.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let group = shared.door.take();
        if group.is_empty() {
            shared.door.knocked.notified().await;
            continue;
        }
        if let Err(rest) = carry(&shared, group).await {
            shared.door.knock(rest);
            sleep(AGAIN).await;
        }
    }
}

/// Carries one group out; gives back what has to be tried again.
async fn carry(shared: &Shared, group: Vec<Errand>) -> Result<(), Vec<Errand>> {
    let (said, of): (Vec<Said>, Vec<Of>) = group
        .into_iter()
        .map(|errand| (errand.said, errand.of))
        .unzip();
    let records: Vec<Record> = said.into_iter().map(|said| shared.record(said)).collect();
    if let Err(error) = shared.journal.write(&records).await {
        tracing::debug!(%error, "what is handed back is not durable yet");
        let said = records.into_iter().map(|record| record.said);
        let errands = said.zip(of).map(|(said, of)| Errand { said, of });
        return Err(still_ours(shared, errands));
    }
    let mut posts = Vec::with_capacity(of.len());
    let mut numbers = Vec::with_capacity(of.len());
    for of in of {
        match of {
            Of::InHand(number) => numbers.push(number),
            Of::Nameless(post) => posts.push(post),
        }
    }
    posts.extend(lock(&shared.in_hand).let_go(numbers.into_iter()));
    shared.ack(posts).await;
    shared.vitals.parted();
    Ok(())
}

/// What only we can still speak for. The rest the broker delivers again by itself.
fn still_ours(shared: &Shared, errands: impl Iterator<Item = Errand>) -> Vec<Errand> {
    let mut in_hand = lock(&shared.in_hand);
    let mut lost = Vec::new();
    let rest = errands.filter(|errand| match &errand.of {
        Of::Nameless(post) => post.lane.is_live(),
        Of::InHand(number) => {
            let is_ours = in_hand
                .get(*number)
                .is_some_and(|held| held.post.as_ref().is_none_or(|post| post.lane.is_live()));
            if !is_ours {
                lost.push(*number);
            }
            is_ours
        }
    });
    let rest = rest.collect();
    drop(in_hand.let_go(lost.into_iter()));
    rest
}

/// What is said of a copy that was dropped.
pub(crate) fn handed_back(held: &Held, now: Timestamp) -> Said {
    let ticket = &held.ticket;
    match held.phase {
        // Nobody knows any more how far it came: the books do, or the controller finds out.
        Phase::Started | Phase::Suspect => Said::Suspect(Box::new(Ticket::clone(ticket))),
        Phase::Received => {
            let until = now;
            never_ran(
                ticket,
                Condition::NotNow { until },
                "handed back before it was started",
                now,
            )
        }
        Phase::Cut => {
            let because = "its body is too large; it is kept in the quarantine";
            never_ran(ticket, Condition::Parked, because, now)
        }
    }
}

/// What is said of a copy that must not run on this version of the handler.
pub(crate) fn not_here(ticket: &Ticket, version: &Version, now: Timestamp) -> Said {
    let until = now.plus(ELSEWHERE_AFTER);
    let because = format!("it is to run on a newer version than {version}");
    never_ran(ticket, Condition::NotNow { until }, &because, now)
}

/// What is said of a copy whose kind is not taken here: it waits until somebody takes it.
pub(crate) fn not_taken(ticket: &Ticket, now: Timestamp) -> Said {
    let (stage, kind) = (&ticket.stage, &ticket.kind);
    let because = format!("stage {stage} does not take the kind {kind}");
    never_ran(ticket, Condition::Unclaimed, &because, now)
}

fn never_ran(ticket: &Ticket, condition: Condition, because: &str, since: Timestamp) -> Said {
    let wait = Wait {
        condition,
        since,
        because: because.to_owned(),
        oops: None,
    };
    Said::Ended(Box::new(Parted {
        name: ticket.name,
        stage: ticket.stage.clone(),
        ended: None,
        to: Fate::Waits(Box::new(Arrived {
            ticket: ticket.clone(),
            name: ticket.name.renewed(),
            wait,
        })),
        emits: Vec::new(),
    }))
}
