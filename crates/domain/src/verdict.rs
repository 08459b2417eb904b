//! What the controller decides about a ticket whose attempt nobody can speak for.

use crate::breaker::{self, End};
use crate::names::{Holder, Version};
use crate::obituary::Obituary;
use crate::oops::{OopsId, Report, Scene, Source, Span};
use crate::outcome::{Failure, OutcomeKind};
use crate::settlement::{Decision, after_failure, why_over};
use crate::ticket::{Name, Ticket};
use crate::time::{Timestamp, show_duration};
use crate::trial::{Company, after_death};
use crate::wait::{Condition, Wait};

/// A waiting ticket that only the controller can move on.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// The ticket, under the name it had then.
    pub ticket: Ticket,
    /// Its wait: a suspect's, or a pending one that is overdue.
    pub wait: Wait,
    /// Who ran the attempt that nobody speaks for, where the books know more than the holder.
    pub scene: Option<Scene>,
    /// The version of the handler that last had it, where the books know.
    pub version: Option<Version>,
    /// Of a suspect: in what company its holder died.
    pub company: Company,
}

/// What is to become of the ticket: it waits on under a new name.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The name that was judged; the verdict counts only if the books still have it.
    pub of: Name,
    /// The name it goes on under.
    pub name: Name,
    /// What it waits for now; a back-off that is over releases it.
    pub wait: Wait,
    /// The attempt that died, if one did and that is laid to it, as its report tells of it: for
    /// the breakers.
    pub died: Option<breaker::Attempt>,
}

impl Verdict {
    /// Whether a wait that ends then was over when it was judged. What is pending may have been
    /// told meanwhile that its event has started, and has its time.
    pub fn is_due(&self, until: Option<Timestamp>) -> bool {
        until.is_none_or(|until| until <= self.wait.since)
    }
}

/// A verdict, and the report that must be durable before it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The report about the attempt that died, if one did.
    pub report: Option<Report>,
    /// What is to become of the ticket.
    pub verdict: Verdict,
}

impl Judgement {
    /// The same, where the launcher of the process that died has told how.
    #[must_use]
    pub fn told_by(mut self, obituary: &Obituary) -> Self {
        if let Some(report) = self.report.take() {
            let said = report.failure.message.clone();
            let report = obituary.told_in(report);
            let because = &mut self.verdict.wait.because;
            // What is said beside the failure stays: why it is not tried again.
            let beside = because.strip_prefix(&said).unwrap_or_default();
            *because = format!("{}{beside}", report.failure.message);
            if let Some(died) = &mut self.verdict.died {
                died.end = End::Failed(Some(report.signature().id));
            }
            self.report = Some(report);
        }
        self
    }
}

/// Judges a case. `scene` describes whoever judges, for attempts whose own scene is not known.
///
/// Returns `None` for a wait that is not the controller's to judge.
pub fn judge(case: &Case, scene: &Scene, decision: &Decision) -> Option<Judgement> {
    match &case.wait.condition {
        Condition::Suspect {
            holder,
            started_at: Some(started_at),
        } => Some(died(case, holder, *started_at, scene, decision)),
        Condition::Suspect {
            holder,
            started_at: None,
        } => Some(never_ran(case, holder, decision.now)),
        Condition::Pending {
            until,
            once_started,
        } => {
            let failure = overdue(case, *until, once_started.is_none());
            Some(never_came(case, failure, scene, decision))
        }
        Condition::Backoff { .. }
        | Condition::NotNow { .. }
        | Condition::Parked
        | Condition::Held { .. }
        | Condition::Repair { .. }
        | Condition::Unclaimed
        | Condition::Unique { .. }
        | Condition::Trial { .. } => None,
    }
}

fn died(
    case: &Case,
    holder: &Holder,
    started_at: Timestamp,
    scene: &Scene,
    decision: &Decision,
) -> Judgement {
    let ticket = &case.ticket;
    let message = format!(
        "the process died while ticket {} was at stage {} (attempt {}, held by {holder}){}",
        ticket.id(),
        ticket.stage,
        ticket.name.attempt,
        case.company.in_words(),
    );
    let failure = Failure::new("ProcessDied", message);
    let scene = Scene {
        holder: holder.clone(),
        ..scene.clone()
    };
    let span = Span {
        started_at,
        ended_at: case.wait.since,
    };
    let (name, condition) = after_death(ticket, case.company, decision);
    // A take-over raises the generation: should the dead one speak after all, it is not heard.
    let name = Name {
        generation: ticket.name.generation.next(),
        ..name
    };
    let wrong = (OutcomeKind::Crashed, failure);
    let mut judgement = tell(ticket, wrong, (&scene, span), (name, condition), decision);
    if !case.company.is_guilty() {
        judgement.verdict.died = None;
    }
    judgement
}

fn never_ran(case: &Case, holder: &Holder, now: Timestamp) -> Judgement {
    let name = case.ticket.name.renewed();
    let wait = Wait {
        condition: Condition::NotNow { until: now },
        since: now,
        because: format!("{holder} died before it had started it; nothing was charged"),
        oops: None,
    };
    let verdict = Verdict {
        of: case.ticket.name,
        name,
        wait,
        died: None,
    };
    Judgement {
        report: None,
        verdict,
    }
}

/// What did not come in time: the end, or before it a word that it has started.
fn overdue(case: &Case, until: Timestamp, is_end: bool) -> Failure {
    let (error_type, what) = match is_end {
        true => ("PendingOverdue", "no call-back came"),
        false => (
            "StartOverdue",
            "no call-back came that says that it has started,",
        ),
    };
    let message = format!(
        "{what} for ticket {} at stage {} within {}",
        case.ticket.id(),
        case.ticket.stage,
        show_duration(until.since(case.wait.since)),
    );
    Failure::new(error_type, message)
}

fn never_came(case: &Case, failure: Failure, scene: &Scene, decision: &Decision) -> Judgement {
    let ticket = &case.ticket;
    // The attempt has long ended, but it is of its version that this is told.
    let version = case.version.as_ref().unwrap_or(&scene.version);
    let scene = &Scene {
        version: version.clone(),
        ..scene.clone()
    };
    let span = Span {
        started_at: case.wait.since,
        ended_at: decision.now,
    };
    let on = (
        ticket.name.renewed().charged(),
        after_failure(ticket, decision),
    );
    let wrong = (OutcomeKind::TimedOut, failure);
    tell(ticket, wrong, (scene, span), on, decision)
}

fn tell(
    ticket: &Ticket,
    (kind, failure): (OutcomeKind, Failure),
    (scene, span): (&Scene, Span),
    (name, condition): (Name, Condition),
    decision: &Decision,
) -> Judgement {
    let mut because = failure.message.clone();
    because.push_str(why_over(ticket, &condition, decision));
    let mut report = Report::new(ticket, kind, failure, scene, span);
    report.source = Source::Controller;
    let wait = Wait {
        condition,
        since: decision.now,
        because,
        oops: Some(OopsId::of(&ticket.name)),
    };
    let died = breaker::Attempt {
        name: ticket.name,
        version: scene.version.clone(),
        span,
        end: End::Failed(Some(report.signature().id)),
    };
    let verdict = Verdict {
        of: ticket.name,
        name,
        wait,
        died: Some(died),
    };
    Judgement {
        report: Some(report),
        verdict,
    }
}

#[cfg(test)]
mod tests;
