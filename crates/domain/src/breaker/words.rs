//! What a breaker is about, in words: for holds, `ticket explain` and the viewer.

use super::state::State;
use super::{Breaker, Scope};
use crate::names::Version;
use crate::plan::Why;
use crate::time::Timestamp;

impl Breaker {
    /// What its tickets wait for. `None` when none of them waits.
    pub fn waits_for(&self) -> Option<String> {
        self.waits_for_repair_of("")
    }

    /// As [`Breaker::waits_for`], with what its tickets fail of, if that is known.
    pub fn waits_for_repair_of(&self, value: &str) -> Option<String> {
        let since = match &self.state {
            State::Closed { .. } => return None,
            State::Open { since, .. } | State::Probing { since, .. } => since,
            State::Releasing { plan, .. } => {
                return Some(match plan {
                    Some(plan) => format!("its turn in release plan {plan}"),
                    None => "a release plan, which is about to be made".into(),
                });
            }
        };
        let value = match value {
            "" => String::new(),
            value => format!(" ({value})"),
        };
        let what = match self.scope {
            Scope::Stage => format!("its stage, which fails as a whole{value},"),
            Scope::Signature(signature) => format!("failure {signature}{value}"),
        };
        // None is left of a failure that had passed: it landed on the version that it was seen on.
        let on = match self.failed_on.is_empty() {
            true => String::new(),
            false => format!("; it fails on {}", told(&self.failed_on)),
        };
        Some(format!("{what} to be repaired{on}, held since {since}"))
    }

    /// What happens next, and by itself.
    pub fn then(&self) -> String {
        match &self.state {
            State::Closed { .. } => "it runs as ever".into(),
            State::Open {
                next_probe: Some(_),
                ..
            } => "one ticket alone is tried then, or at once when a new version serves the stage; if it lands, the others follow by a release plan".into(),
            State::Open {
                next_probe: None, ..
            } => "one ticket alone is tried when a new version serves the stage, or when an operator asks for one by goaround stage probe: the last release was stopped by hand".into(),
            State::Probing { canary, .. } => {
                let who = canary
                    .name
                    .map_or("one ticket alone".into(), |name| format!("ticket {}", name.ticket));
                let on = canary.wants.as_ref().map(|it| format!(" on {it}")).unwrap_or_default();
                format!("{who} is being tried{on}; if it lands, the others follow by a release plan")
            }
            State::Releasing { .. } => {
                "it is released by itself, in steps; should the failure come back, it is held again"
                    .into()
            }
        }
    }

    /// What happens next, and by itself, while its stage is held as a whole: then only that is
    /// probed. `None` if the stage is not, or if this one is not in line for a probe.
    pub fn then_behind(&self, stage: &Self) -> Option<String> {
        let is_in_line = self.scope != Scope::Stage && matches!(self.state, State::Open { .. });
        let rests = is_in_line && stage.scope == Scope::Stage && stage.holds();
        rests.then(|| {
            "its stage fails as a whole, so one ticket of that is tried first; when it lands, one \
             of those that are held for this failure is tried"
                .into()
        })
    }

    /// What its canary is to show, and what follows: for whoever looks at that ticket.
    pub const fn canary_then(&self) -> &'static str {
        match self.scope {
            Scope::Stage => {
                "if it lands, its stage takes tickets again, in steps; if it fails, the stage \
                 stays shut until the next is tried"
            }
            Scope::Signature(_) => {
                "if it lands, the others that are held for this failure follow by a release plan; \
                 if it fails so again, it is held with them until the next is tried"
            }
        }
    }

    /// When that is, if time decides.
    pub const fn until(&self) -> Option<Timestamp> {
        match &self.state {
            State::Open { next_probe, .. } => *next_probe,
            State::Closed { .. } | State::Probing { .. } | State::Releasing { .. } => None,
        }
    }
}

/// Why it has opened again when its plan was stopped.
pub(super) fn stopped(why: &Why) -> String {
    format!("its release was stopped: {why}")
}

/// Why it has opened.
pub(super) fn opened(breaker: &Breaker) -> String {
    let versions = told(&breaker.failed_on);
    let failures = breaker.failures;
    match (breaker.scope, &breaker.state) {
        (scope, State::Releasing { .. }) => {
            format!("{scope}: it came back while its tickets were being released, on {versions}")
        }
        (Scope::Stage, _) => {
            format!("{failures} tickets in a row failed on {versions}, and none landed")
        }
        (Scope::Signature(signature), _) => {
            format!("{signature} happened {failures} times in a row on {versions}")
        }
    }
}

fn told(versions: &[Version]) -> String {
    let names: Vec<String> = versions.iter().map(|it| format!("version {it}")).collect();
    names.join(", ")
}
