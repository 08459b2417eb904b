//! What a breaker is about, in words: for holds, `ticket explain` and the viewer.

use super::state::State;
use super::{Breaker, Scope};
use crate::names::Version;
use crate::time::Timestamp;

impl Breaker {
    /// What its tickets wait for. `None` when none of them waits.
    pub fn waits_for(&self) -> Option<String> {
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
        let what = match self.scope {
            Scope::Stage => "its stage, which fails as a whole,".into(),
            Scope::Signature(signature) => format!("failure {signature}"),
        };
        let versions = told(&self.failed_on);
        Some(format!(
            "{what} to be repaired; it fails on {versions}, held since {since}"
        ))
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
            } => "one ticket alone is tried when a new version serves the stage, or when an operator retries one: the last release was stopped by hand".into(),
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

    /// When that is, if time decides.
    pub const fn until(&self) -> Option<Timestamp> {
        match &self.state {
            State::Open { next_probe, .. } => *next_probe,
            State::Closed { .. } | State::Probing { .. } | State::Releasing { .. } => None,
        }
    }
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
    match names.is_empty() {
        true => "every version so far".into(),
        false => names.join(", "),
    }
}
