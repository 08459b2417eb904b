//! Why is this ticket where it is? Every ticket has an answer, and "unknown" is not one.

use crate::books::{Entry, Line, Place, State};
use crate::breaker::{Breaker, Scope};
use crate::control::{Gate, Hold, Snapshot};
use crate::deadline::Deadline;
use crate::flow::Flows;
use crate::names::StageName;
use crate::time::Timestamp;
use crate::wait::{Condition, Reason};

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

/// Explains a ticket from the books, the configuration and the desired state.
pub fn explain(entry: &Entry, history: &[Line], flows: &Flows, snapshot: &Snapshot) -> Explanation {
    let stage = &entry.ticket.stage;
    let from = history.len().saturating_sub(LAST_EVENTS);
    let answer = match &entry.place {
        Place::Runnable { .. } => runnable(entry, flows, snapshot),
        Place::Running { since, .. } => running(entry, *since, flows),
        Place::Waiting(wait) => Answer {
            waits_for: format!("{} ({})", wait.condition.waits_for(stage), wait.because),
            until: wait.condition.until(),
            then: wait.condition.then().into(),
            who: wait.condition.who_may_change().into(),
        },
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
    let stage = &entry.ticket.stage;
    let deadline = flows
        .stage(stage)
        .map(|rules| Deadline::of(&entry.ticket, rules, since));
    let (by, next) = match deadline {
        Some(Deadline::OfTicket(_)) => ("the ticket's own deadline", "parked"),
        Some(Deadline::OfStage(_)) | None => ("its deadline", "tried again"),
    };
    Answer {
        waits_for: format!(
            "its handler at stage {stage} (attempt {})",
            entry.ticket.name.attempt
        ),
        until: deadline.map(|deadline| since.plus(deadline.length())),
        then: format!(
            "a handler that is not done by {by} is stopped and reported; the ticket is {next}"
        ),
        who: "the handler; or an operator by ticket cancel".into(),
    }
}
