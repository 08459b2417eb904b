//! What may be ordered of a ticket, whoever keeps the books; and what is reported of a call-back
//! that brings a failure.

use domain::books::{Entry, Place};
use domain::deadline;
use domain::names::{Holder, Version};
use domain::oops::{Report, Scene, Source, Span};
use domain::outcome::Outcome;
use domain::ports::Order;
use domain::ticket::Generation;
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};

/// What keeps an order from being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) why: String,
    /// What would make it possible.
    pub(crate) remedy: &'static str,
}

const AGAIN: &str = "nothing changes an ended ticket; submit it again if it is needed after all";

pub(crate) fn refusal(why: impl Into<String>, remedy: &'static str) -> Refusal {
    let why = why.into();
    Refusal { why, remedy }
}

/// Whether a ticket may be run now rather than when its wait ends.
pub(crate) fn retry(entry: &Entry, now: Timestamp) -> Result<&Wait, Refusal> {
    let wait = match &entry.place {
        Place::Waiting(wait) => wait,
        Place::Runnable { .. } => {
            let remedy = "nothing is needed: a worker takes it";
            return Err(refusal("it is runnable already", remedy));
        }
        Place::Running { .. } => {
            let remedy = "wait for its attempt to end, or cancel the ticket";
            return Err(refusal("it is running", remedy));
        }
        Place::Done { .. } => return Err(refusal("it is done", AGAIN)),
        Place::Dropped { .. } => return Err(refusal("it was dropped", AGAIN)),
    };
    if let Some(refusal) = not_to_be_retried(wait) {
        return Err(refusal);
    }
    if deadline::has_passed(&entry.ticket, now) {
        let remedy = "submit it again with a later deadline, and drop this one";
        return Err(refusal(
            "its own deadline has passed, so it would not be run",
            remedy,
        ));
    }
    Ok(wait)
}

fn not_to_be_retried(wait: &Wait) -> Option<Refusal> {
    match &wait.condition {
        Condition::Unclaimed => Some(refusal(
            "no stage is configured that takes it",
            "configure the stage, or its kinds, and start again; it is then released by itself",
        )),
        Condition::Suspect { holder, .. } => Some(refusal(
            format!("what became of its attempt with {holder} is being found out"),
            "wait some seconds for the controller's verdict",
        )),
        Condition::Unique { other } => Some(refusal(
            format!("ticket {other} with the same key is at work"),
            "wait for that one to end, or cancel it; this one is then released by itself",
        )),
        Condition::Backoff { .. }
        | Condition::NotNow { .. }
        | Condition::Pending { .. }
        | Condition::Parked
        | Condition::Held { .. }
        | Condition::Repair { .. }
        | Condition::Trial { .. } => None,
    }
}

/// Whether a ticket there may be given up.
pub(crate) fn end(place: &Place) -> Result<(), Refusal> {
    match place {
        Place::Done { .. } => Err(refusal("it is done", AGAIN)),
        Place::Dropped { .. } => Err(refusal("it was dropped already", AGAIN)),
        Place::Runnable { .. } | Place::Running { .. } | Place::Waiting(_) => Ok(()),
    }
}

/// The wait that a ticket is in once what it waits for has started; nothing when it need not say
/// so, or has. Who says so too late may be judged already, and is not heard.
pub(crate) fn start(
    entry: &Entry,
    generation: Generation,
    at: Timestamp,
) -> Result<Option<Wait>, Refusal> {
    let wait = call_back(entry, generation)?;
    let started = wait.once_started();
    match wait.condition.until() {
        Some(until) if started.is_some() && until <= at => Err(refusal(
            format!("it had to start by {until}"),
            "nothing is needed: it is reported as overdue and goes around",
        )),
        _ => Ok(started),
    }
}

/// Whether a call-back of this generation is about the ticket's wait.
pub(crate) fn call_back(entry: &Entry, generation: Generation) -> Result<&Wait, Refusal> {
    const LATE: &str = "the call-back came too late or twice; nothing is needed";
    let in_force = entry.ticket.name.generation;
    let wait = match &entry.place {
        Place::Waiting(wait) => wait,
        other => {
            let why = format!("it is {}, not waiting for a call-back", other.state());
            return Err(refusal(why, LATE));
        }
    };
    match &wait.condition {
        Condition::Pending { .. } if in_force == generation => Ok(wait),
        Condition::Pending { .. } => Err(refusal(
            format!("the call-back is of generation {generation}, but {in_force} is in force"),
            "use the call-back address of the newest attempt",
        )),
        other => {
            let why = format!("it waits as {}, not as pending", other.reason());
            Err(refusal(why, LATE))
        }
    }
}

/// The report about a call-back that brings a failure and may end the ticket's wait: an attempt
/// that went wrong. `holder` is who heard it.
pub(crate) fn report(
    entry: &Entry,
    (generation, outcome): (Generation, &Outcome),
    order: &Order,
    holder: &Holder,
) -> Option<Report> {
    if !outcome.kind().went_wrong() {
        return None;
    }
    let wait = call_back(entry, generation).ok()?;
    let unknown = || Version::new("unknown").ok();
    let scene = Scene {
        holder: holder.clone(),
        hostname: String::new(),
        version: entry.version.clone().or_else(unknown)?,
    };
    let span = Span {
        started_at: wait.since,
        ended_at: order.at,
    };
    let failure = outcome.failure()?.clone();
    let mut report = Report::new(&entry.ticket, outcome.kind(), failure, &scene, span);
    report.source = Source::Controller;
    Some(report)
}
