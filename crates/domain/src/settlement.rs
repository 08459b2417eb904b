//! Where a ticket goes after an attempt: decided purely, carried out by the broker.

use crate::deadline;
use crate::delivery::Receipt;
use crate::flow::{Flows, Next, Stage};
use crate::oops::{OopsId, Scene, Span};
use crate::outcome::{Done, Emit, Failure, Outcome, OutcomeKind, Pending, Usage};
use crate::retry::Chance;
use crate::signature::SignatureId;
use crate::ticket::{Attempt, Lineage, Name, Ticket, TicketId};
use crate::time::{Timestamp, show_duration};
use crate::trial::{Company, after_death};
use crate::wait::{Condition, Wait};
use std::sync::Arc;
use uuid::Uuid;

/// What a decision needs to know beside the delivery.
#[derive(Clone, Debug)]
pub struct Decision<'a> {
    /// The rules of the stage.
    pub stage: &'a Stage,
    /// The flows, for what comes next.
    pub flows: &'a Flows,
    /// The time.
    pub now: Timestamp,
    /// What is left to chance.
    pub chance: Chance,
}

/// Where the ticket goes.
#[derive(Clone, Debug, PartialEq)]
pub enum Disposition {
    /// To a next stage, as this copy.
    Forward(Box<Ticket>),
    /// Nowhere: it is done for good.
    Finish,
    /// Through the one door, to wait under this name.
    Wait {
        /// The name that it will be released under.
        name: Name,
        /// For what, and why.
        wait: Wait,
    },
}

impl Disposition {
    /// For what it waits from now on, if it waits.
    pub const fn waits_for(&self) -> Option<&Condition> {
        match self {
            Self::Wait { wait, .. } => Some(&wait.condition),
            Self::Forward(_) | Self::Finish => None,
        }
    }
}

/// How an attempt ended, for the ledger and the history.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// When it ran.
    pub span: Span,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// The report about it, if it went wrong.
    pub oops: Option<OopsId>,
    /// What it cost.
    pub usage: Usage,
    /// Who ran it.
    pub scene: Arc<Scene>,
    /// What problem it was, if it went wrong.
    pub signature: Option<SignatureId>,
}

/// A decided delivery, ready to be made durable. Dropped instead, its ticket goes back.
#[must_use = "a dropped settlement hands its ticket back"]
#[derive(Debug)]
pub struct Settlement {
    ticket: Arc<Ticket>,
    receipt: Receipt,
    disposition: Disposition,
    ended: Option<Ended>,
    emits: Vec<Ticket>,
}

impl Settlement {
    pub(crate) const fn new(
        ticket: Arc<Ticket>,
        receipt: Receipt,
        disposition: Disposition,
        ended: Option<Ended>,
    ) -> Self {
        Self {
            ticket,
            receipt,
            disposition,
            ended,
            emits: Vec::new(),
        }
    }

    pub(crate) fn with_emits(self, emits: Vec<Ticket>) -> Self {
        Self { emits, ..self }
    }

    /// The ticket, under the name that it was delivered with.
    pub const fn ticket(&self) -> &Arc<Ticket> {
        &self.ticket
    }

    /// What its broker knows it by.
    pub const fn tag(&self) -> u64 {
        self.receipt.tag()
    }

    /// Where it goes.
    pub const fn disposition(&self) -> &Disposition {
        &self.disposition
    }

    /// How the attempt ended, if there was one.
    pub const fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// New tickets that it sends.
    pub fn emits(&self) -> &[Ticket] {
        &self.emits
    }

    /// The group it belongs to is durable. Only brokers call this, after the last confirm.
    pub fn settled(self) -> u64 {
        self.receipt.spend()
    }
}

/// Where a pending ticket goes when an outside event ends its wait with this outcome, and the
/// tickets that it then sends. A failure's report is durable already.
pub fn completed(
    ticket: &Ticket,
    outcome: Outcome,
    oops: Option<OopsId>,
    decision: &Decision,
) -> (Disposition, Vec<Ticket>) {
    let disposition = disposition(ticket, (&outcome, None), oops, decision);
    (disposition, emitted(ticket, outcome, decision.now))
}

pub(crate) fn disposition(
    ticket: &Ticket,
    (outcome, died): (&Outcome, Option<Company>),
    oops: Option<OopsId>,
    decision: &Decision,
) -> Disposition {
    let name = ticket.name;
    let wait = |name, condition, because| {
        let wait = Wait {
            condition,
            since: decision.now,
            because,
            oops,
        };
        Disposition::Wait { name, wait }
    };
    match outcome {
        Outcome::Done(done) => forward(ticket, done, decision),
        Outcome::NotNow { after } => {
            // No attempt is spent, but each put-off raised the generation: they back off as well.
            let tries = name.attempt.max(Attempt(name.generation.0));
            let backoff = decision.stage.retry.backoff(tries, decision.chance);
            let until = decision.now.plus(after.unwrap_or(backoff));
            wait(
                name.renewed(),
                Condition::NotNow { until },
                "the handler said: not now".into(),
            )
        }
        Outcome::Abandoned => {
            let because = "the worker was stopped before it was finished".into();
            wait(
                name.renewed(),
                Condition::NotNow {
                    until: decision.now,
                },
                because,
            )
        }
        Outcome::Pending(pending) => {
            let (condition, because) = pending_for(*pending, decision.now);
            wait(name, condition, because)
        }
        Outcome::Rejected(failure) => {
            let because = because("rejected by the handler", failure);
            wait(name.charged(), Condition::Parked, because)
        }
        Outcome::Expired(failure) => {
            let because = because("not run", failure);
            wait(name.charged(), Condition::Parked, because)
        }
        Outcome::Unstartable(failure) => {
            let because = because("the handler cannot be started", failure);
            wait(name.charged(), Condition::Held { version: None }, because)
        }
        Outcome::Failed(failure)
        | Outcome::Crashed(failure)
        | Outcome::ProcessDied { failure, .. }
        | Outcome::TimedOut(failure) => {
            let how = (outcome.kind(), failure, died);
            let (name, condition, because) = went_wrong(ticket, how, decision);
            wait(name, condition, because)
        }
    }
}

/// For what a ticket waits whose attempt went wrong, under which name, and why.
fn went_wrong(
    ticket: &Ticket,
    (kind, failure, died): (OutcomeKind, &Failure, Option<Company>),
    decision: &Decision,
) -> (Name, Condition, String) {
    let how = format!("attempt {} {}", ticket.name.attempt, spoken(kind));
    let mut because = because(&how, failure);
    let (name, condition) = match died {
        None => (ticket.name.charged(), after_failure(ticket, decision)),
        Some(company) => {
            because.push_str(&company.in_words());
            after_death(ticket, company, decision)
        }
    };
    because.push_str(why_over(ticket, &condition, decision));
    (name, condition, because)
}

fn pending_for(pending: Pending, now: Timestamp) -> (Condition, String) {
    let Pending {
        until,
        start_within,
    } = pending;
    let end = now.plus(until);
    let length = show_duration(until);
    let because = format!("the handler waits for a call-back, for {length}");
    // A start that may come as late as the end need not be told.
    match start_within.filter(|start| *start < until) {
        Some(start) => {
            let condition = Condition::Pending {
                until: now.plus(start),
                once_started: Some(end),
            };
            let start = show_duration(start);
            (
                condition,
                format!("{because}, and for its start, for {start}"),
            )
        }
        None => {
            let condition = Condition::Pending {
                until: end,
                once_started: None,
            };
            (condition, because)
        }
    }
}

const fn spoken(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::TimedOut => "timed out",
        OutcomeKind::NotNow => "was put off",
        other => other.as_str(),
    }
}

fn because(how: &str, failure: &Failure) -> String {
    let line = failure.message.lines().next().unwrap_or_default();
    let line: String = line.chars().take(200).collect();
    plain(&format!("{how}: {}: {line}", failure.error_type))
}

/// The text without control characters. A handler may say anything, and what it says goes into
/// logs, pages and stores, of which not all take a NUL.
fn plain(text: &str) -> String {
    let shown = |it: char| match it.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => it,
    };
    text.chars().map(shown).collect()
}

/// When an attempt that went wrong is made again: after the back-off, or when a person says so. One
/// that could only come after the ticket's own deadline is not waited for.
pub(crate) fn after_failure(ticket: &Ticket, decision: &Decision) -> Condition {
    let retry = &decision.stage.retry;
    let attempt = ticket.name.attempt;
    let until = decision.now.plus(retry.backoff(attempt, decision.chance));
    if retry.is_exhausted(attempt) || deadline::has_passed(ticket, until) {
        return Condition::Parked;
    }
    Condition::Backoff { until }
}

/// What is said beside the failure of a ticket that is parked since its time is over.
pub(crate) fn why_over(
    ticket: &Ticket,
    condition: &Condition,
    decision: &Decision,
) -> &'static str {
    let is_exhausted = decision.stage.retry.is_exhausted(ticket.name.attempt);
    match (condition, ticket.deadline) {
        (Condition::Parked, Some(_)) if !is_exhausted => {
            "; not tried again: that would be after its own deadline"
        }
        _ => "",
    }
}

fn forward(ticket: &Ticket, done: &Done, decision: &Decision) -> Disposition {
    let next = match &done.next {
        Some(stage) => Next::Stage(stage),
        None => decision.flows.next_stage(ticket),
    };
    match next {
        Next::End => Disposition::Finish,
        Next::Lost => lost(ticket, decision),
        Next::Stage(stage) => {
            let mut copy = ticket.named(ticket.name.handed_on());
            copy.stage = stage.clone();
            if let Some(payload) = &done.payload {
                copy.payload = payload.clone();
            }
            Disposition::Forward(Box::new(copy))
        }
    }
}

/// It must not pass for done only because nobody knows any more where it was going.
fn lost(ticket: &Ticket, decision: &Decision) -> Disposition {
    let stage = &ticket.stage;
    let flow = ticket.flow.as_ref().map_or("", |flow| flow.as_str());
    let because = format!(
        "stage {stage} is done, but where to go next is not known: flow {flow} is not configured \
         any more, or without stage {stage}; configure it and retry the ticket, which runs the \
         stage again, or drop it"
    );
    let wait = Wait {
        condition: Condition::Parked,
        since: decision.now,
        because,
        oops: None,
    };
    Disposition::Wait {
        name: ticket.name.renewed(),
        wait,
    }
}

/// The tickets that a done attempt sends. Their ids follow from the sender's id and hop, so the
/// same attempt run twice sends the same tickets once.
pub(crate) fn emitted(parent: &Ticket, outcome: Outcome, now: Timestamp) -> Vec<Ticket> {
    let Outcome::Done(done) = outcome else {
        return Vec::new();
    };
    let emit = |(index, emit): (usize, Emit)| {
        let seed = format!("emit/{}/{index}", parent.name.hop);
        let id = TicketId::new(Uuid::new_v5(&parent.id().uuid(), seed.as_bytes()));
        Ticket {
            name: Name::first(id),
            kind: emit.kind.unwrap_or_else(|| parent.kind.clone()),
            flow: None,
            stage: emit.stage,
            key: emit.key,
            payload: emit.payload,
            deadline: None,
            created_at: now,
            lineage: Lineage::child_of(parent),
            trace: parent.trace.clone(),
        }
    };
    done.emit.into_iter().enumerate().map(emit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::StageName;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_micros(60_000_000);

    /// For what a ticket waits after this outcome, and why, whose own deadline is so many seconds
    /// after the start of time; it is the 60th now, and the first back-off is a second.
    fn waits_after(outcome: &Outcome, deadline: Option<u64>) -> (Name, Condition, String) {
        let mut stage = Stage::new(StageName::new("build").unwrap());
        stage.retry.jitter = 0.0;
        let decision = Decision {
            stage: &stage,
            flows: &Flows::default(),
            now: NOW,
            chance: Chance::new(0.5),
        };
        let id = TicketId::from_bytes([7; 16]);
        let mut ticket = Ticket::new(id, stage.name.clone(), Timestamp::EPOCH);
        ticket.deadline = deadline.map(|at| Timestamp::EPOCH.plus(Duration::from_secs(at)));
        match disposition(&ticket, (outcome, None), None, &decision) {
            Disposition::Wait { name, wait } => (name, wait.condition, wait.because),
            other => panic!("expected a wait, got {other:?}"),
        }
    }

    #[test]
    fn an_attempt_that_could_only_come_after_the_tickets_own_deadline_is_not_waited_for() {
        let failed = Outcome::Failed(Failure::new("T", "m"));
        let timed_out = Outcome::TimedOut(Failure::new("T", "m"));
        let until = NOW.plus(Duration::from_secs(1));
        for outcome in [failed, timed_out] {
            for in_time in [None, Some(62)] {
                let (name, waits_for, why) = waits_after(&outcome, in_time);
                assert_eq!(waits_for, Condition::Backoff { until });
                assert!(!why.contains("deadline"), "{why}");
                assert_eq!(name.attempt, Attempt(2));
            }
            for too_late in [1, 60, 61] {
                let (name, waits_for, why) = waits_after(&outcome, Some(too_late));
                assert_eq!(waits_for, Condition::Parked);
                assert!(
                    why.ends_with("that would be after its own deadline"),
                    "{why}"
                );
                assert_eq!(name.attempt, Attempt(2));
            }
        }
    }

    #[test]
    fn a_ticket_that_is_too_late_is_parked_under_its_next_name() {
        let (name, waits_for, why) = waits_after(&deadline::expired(), Some(1));
        assert_eq!((name.attempt, waits_for), (Attempt(2), Condition::Parked));
        assert!(
            why.starts_with("not run: TicketExpired: its own deadline"),
            "{why}"
        );
    }

    #[test]
    fn what_a_handler_says_has_no_control_characters_when_it_is_told_why() {
        let failure = Failure::new("Exit\u{7}Status", "a\0b\u{1b}[31m\nand more");
        let said = because("attempt 1 failed", &failure);
        assert_eq!(
            said,
            "attempt 1 failed: Exit\u{fffd}Status: a\u{fffd}b\u{fffd}[31m"
        );
    }
}
