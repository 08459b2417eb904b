//! Why is this ticket where it is? Every ticket has an answer, and "unknown" is not one.

use crate::books::{Entry, Line, Place, State};
use crate::breaker::{Breaker, Scope};
use crate::control::{Gate, Hold, Snapshot};
use crate::deadline::{self, Deadline};
use crate::flow::{Flows, Stage};
use crate::names::StageName;
use crate::retry::Chance;
use crate::settlement::{Decision, after_failure};
use crate::ticket::Ticket;
use crate::time::Timestamp;
use crate::wait::{Condition, Orders, Reason, Wait};

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Where it is.
    pub state: State,
    /// Why it waits, if it waits.
    pub reason: Option<Reason>,
    /// Since when.
    pub since: Timestamp,
    /// What it waits for.
    pub waits_for: String,
    /// Until when at the longest, if time decides.
    pub until: Option<Timestamp>,
    /// What happens then.
    pub then: String,
    /// The last things that happened to it, newest last.
    pub last_events: Vec<Line>,
    /// Who may change that.
    pub who_may_change: String,
}

impl Explanation {
    /// The same with what the breaker knows that holds the ticket, and what its tickets fail of.
    #[must_use]
    pub fn with_breaker(mut self, breaker: &Breaker, value: &str) -> Self {
        if let Some(what) = breaker.waits_for_repair_of(value) {
            self.waits_for = what;
            self.until = breaker.until();
            self.then = breaker.then();
        }
        self
    }

    /// The same if the breaker of its whole stage holds as well, which is probed first.
    #[must_use]
    pub fn behind(mut self, breaker: &Breaker, stage: &Breaker) -> Self {
        if let Some(then) = breaker.then_behind(stage) {
            self.until = stage.until();
            self.then = then;
        }
        self
    }

    /// The same of the ticket that is tried while its like are held.
    #[must_use]
    pub fn as_canary(mut self, breaker: &Breaker) -> Self {
        let what = match breaker.scope {
            Scope::Stage => "for its whole stage".into(),
            Scope::Signature(signature) => format!("for failure {signature}"),
        };
        self.waits_for = format!("{}; it is the canary {what}", self.waits_for);
        self.then = format!("{}; {}", breaker.canary_then(), self.then);
        self
    }
}

/// Whose breaker holds the ticket, if one does: [`Explanation::with_breaker`] wants it.
pub fn held_by(entry: &Entry, snapshot: &Snapshot) -> Option<Scope> {
    match &entry.place {
        Place::Waiting(wait) => match wait.condition {
            Condition::Repair { signature } => Some(Scope::Signature(signature)),
            _ => None,
        },
        Place::Runnable { .. } => {
            let stage = &entry.ticket.stage;
            let is_gated =
                snapshot.gates.contains_key(stage) && !snapshot.holds.contains_key(stage);
            is_gated.then_some(Scope::Stage)
        }
        Place::Running { .. } | Place::Done { .. } | Place::Dropped { .. } => None,
    }
}

/// How many lines of its history an explanation shows.
pub const LAST_EVENTS: usize = 3;

/// Explains a ticket from the books, the configuration and the desired state, as it is at `now`.
pub fn explain(
    entry: &Entry,
    history: &[Line],
    flows: &Flows,
    snapshot: &Snapshot,
    now: Timestamp,
) -> Explanation {
    let from = history.len().saturating_sub(LAST_EVENTS);
    let answer = match &entry.place {
        Place::Runnable { .. } => runnable_in_time(entry, flows, snapshot, now),
        Place::Running { since, .. } => running(entry, *since, flows),
        Place::Waiting(wait) => waiting(&entry.ticket, wait, flows, now),
        Place::Done { .. } => ended("nothing: it is done", "nobody: done is for ever"),
        Place::Dropped { reason, by, .. } => ended(
            &format!("nothing: it was dropped by {by}: {reason}"),
            "nobody: dropped is for ever; submit it again if it is needed after all",
        ),
    };
    Explanation {
        state: entry.place.state(),
        reason: reason(&entry.place),
        since: entry.place.since(),
        waits_for: answer.waits_for,
        until: answer.until,
        then: answer.then,
        last_events: history[from..].to_vec(),
        who_may_change: answer.who,
    }
}

struct Answer {
    waits_for: String,
    until: Option<Timestamp>,
    then: String,
    who: String,
}

fn reason(place: &Place) -> Option<Reason> {
    match place {
        Place::Waiting(wait) => Some(wait.condition.reason()),
        _ => None,
    }
}

fn ended(waits_for: &str, who: &str) -> Answer {
    Answer {
        waits_for: waits_for.into(),
        until: None,
        then: "nothing; it is kept for reading until its retention is over".into(),
        who: who.into(),
    }
}

/// What is too late goes to a worker like any other, which does not run it.
fn runnable_in_time(entry: &Entry, flows: &Flows, snapshot: &Snapshot, now: Timestamp) -> Answer {
    let answer = runnable(entry, flows, snapshot);
    match not_run(&entry.ticket, now, now) {
        Some(too_late) => Answer {
            then: format!("{}; then {too_late}", answer.then),
            who: format!("{}; {ANEW}", answer.who),
            ..answer
        },
        None => answer,
    }
}

fn runnable(entry: &Entry, flows: &Flows, snapshot: &Snapshot) -> Answer {
    let stage = &entry.ticket.stage;
    // A hold beside a gate is the stronger one.
    match (snapshot.holds.get(stage), snapshot.gates.get(stage)) {
        (Some(hold), _) => return on_hold(stage, hold),
        (None, Some(gate)) => return gated(stage, gate),
        (None, None) => {}
    }
    let waits_for = match flows.stage(stage) {
        Some(rules) => format!(
            "a free worker of stage {stage} (it has {}); tickets before it go first",
            rules.concurrency
        ),
        None => format!("a worker that takes stage {stage}"),
    };
    Answer {
        waits_for,
        until: None,
        then: "a worker takes it".into(),
        who: "the stage's workers; or an operator by ticket cancel or drop".into(),
    }
}

fn on_hold(stage: &StageName, hold: &Hold) -> Answer {
    Answer {
        waits_for: format!(
            "stage {stage}, which {} put on hold because its handler cannot be started: {}",
            hold.by, hold.reason
        ),
        until: None,
        then: "it stays in the queue; when the handler has changed and can be started, the stage \
               goes on by itself with all its tickets"
            .into(),
        who: format!(
            "whoever repairs the handler of stage {stage}; or an operator by ticket cancel or drop"
        ),
    }
}

fn gated(stage: &StageName, gate: &Gate) -> Answer {
    Answer {
        waits_for: format!(
            "stage {stage}, which fails as a whole: {}; one ticket at a time is tried",
            gate.reason
        ),
        until: None,
        then: "when the one that is tried lands, the others follow by a release plan".into(),
        who: "whoever deploys the handler; or an operator by stage probe, ticket cancel or drop"
            .into(),
    }
}

fn running(entry: &Entry, since: Timestamp, flows: &Flows) -> Answer {
    let ticket = &entry.ticket;
    let deadline = flows
        .stage(&ticket.stage)
        .map(|rules| Deadline::of(ticket, rules, since));
    let until = deadline.map(|deadline| since.plus(deadline.length()));
    let by = match deadline {
        Some(Deadline::OfTicket(_)) => "the ticket's own deadline",
        Some(Deadline::OfStage(_)) | None => "its deadline",
    };
    let next = after_time_out(ticket, flows, until.unwrap_or(since));
    Answer {
        waits_for: format!(
            "its handler at stage {} (attempt {})",
            ticket.stage, ticket.name.attempt
        ),
        until,
        then: format!(
            "a handler that is not done by {by} is stopped and reported; the ticket is {next}"
        ),
        who: "the handler; or an operator by ticket cancel".into(),
    }
}

fn waiting(ticket: &Ticket, wait: &Wait, flows: &Flows, now: Timestamp) -> Answer {
    let condition = &wait.condition;
    // Before its deadline a retry still helps, even if the wait ends after it.
    let is_late = deadline::has_passed(ticket, now);
    let (orders, anew) = match is_late {
        true => (Orders::ToEnd, format!("; {ANEW}")),
        false => (condition.orders(), String::new()),
    };
    Answer {
        waits_for: format!(
            "{} ({})",
            condition.waits_for(&ticket.stage, orders),
            wait.because
        ),
        until: condition.until(),
        then: after_wait(ticket, condition, flows, now),
        who: condition.who_may_change(orders) + &anew,
    }
}

/// What happens when the wait ends, in words.
fn after_wait(ticket: &Ticket, condition: &Condition, flows: &Flows, now: Timestamp) -> String {
    let ends = condition.until().map_or(now, |until| until.max(now));
    if let Condition::Pending { .. } = condition {
        let decides = condition.then();
        let next = after_time_out(ticket, flows, ends);
        return format!("{decides}; without one by then it is reported as timed out and {next}");
    }
    match (not_run(ticket, ends, now), condition) {
        (None, _) => condition.then().into(),
        (Some(_), Condition::Parked) => {
            format!("{}; {}", condition.then(), why_not_run(ticket, now))
        }
        (Some(_), Condition::Suspect { .. }) => {
            let why = why_not_run(ticket, now);
            format!("an attempt that died is reported, and the ticket parked, not run: {why}")
        }
        (Some(too_late), _) => too_late,
    }
}

/// How work is had after all whose ticket is too late for it.
const ANEW: &str = "to have it done after all, submit it again with a later deadline";

/// What becomes of a ticket that could only begin then, if that is too late for it.
fn not_run(ticket: &Ticket, begins: Timestamp, now: Timestamp) -> Option<String> {
    deadline::has_passed(ticket, begins).then(|| {
        let why = why_not_run(ticket, now);
        format!("it is reported and parked, not run: {why}")
    })
}

fn why_not_run(ticket: &Ticket, now: Timestamp) -> String {
    let own = ticket.deadline.unwrap_or(now);
    match own <= now {
        true => format!("its own deadline has passed ({own})"),
        false => format!("its own deadline will have passed by then ({own})"),
    }
}

/// What becomes of a ticket whose attempt times out then: the end of "the ticket is …".
fn after_time_out(ticket: &Ticket, flows: &Flows, then: Timestamp) -> String {
    let defaults;
    let stage = match flows.stage(&ticket.stage) {
        Some(stage) => stage,
        None => {
            defaults = Stage::new(ticket.stage.clone());
            &defaults
        }
    };
    if stage.retry.is_exhausted(ticket.name.attempt) {
        return "parked".into();
    }
    // The shortest and the longest back-off that chance may bring.
    let is_parked = [0.0, 1.0].map(|number| {
        let decision = Decision {
            stage,
            flows,
            now: then,
            chance: Chance::new(number),
        };
        after_failure(ticket, &decision) == Condition::Parked
    });
    let own = ticket.deadline.unwrap_or(then);
    match is_parked {
        [true, _] => format!("parked, since a retry would come after its own deadline ({own})"),
        [false, true] => {
            format!("tried again, or parked if that would be after its own deadline ({own})")
        }
        [false, false] => "tried again".into(),
    }
}

#[cfg(test)]
mod tests;
