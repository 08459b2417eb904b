//! Why a ticket is where it is, as JSON.

use super::line::LineJson;
use domain::explain::Explanation;
use serde::{Deserialize, Serialize};

/// The answer to "why is this ticket where it is?".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainJson {
    /// Where it is: `runnable`, `running`, `waiting`, `done` or `dropped`.
    pub state: String,
    /// Why it waits, if it waits: `backoff`, `held` and so on.
    pub reason: Option<String>,
    /// Since when.
    pub since: String,
    /// What it waits for.
    pub waits_for: String,
    /// Until when at the longest, if time decides.
    pub until: Option<String>,
    /// What happens then.
    pub then: String,
    /// The last things that happened to it, newest last.
    pub last_events: Vec<LineJson>,
    /// Who may change that.
    pub who_may_change: String,
}

impl ExplainJson {
    /// The explanation in JSON's words.
    pub fn new(explanation: &Explanation) -> Self {
        Self {
            state: explanation.state.to_string(),
            reason: explanation.reason.map(|reason| reason.to_string()),
            since: explanation.since.to_string(),
            waits_for: explanation.waits_for.clone(),
            until: explanation.until.map(|at| at.to_string()),
            then: explanation.then.clone(),
            last_events: explanation.last_events.iter().map(LineJson::new).collect(),
            who_may_change: explanation.who_may_change.clone(),
        }
    }
}
