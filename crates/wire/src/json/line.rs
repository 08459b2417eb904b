//! One line of a ticket's history as JSON.

use super::millis;
use domain::books::{Fact, Line};
use serde::{Deserialize, Serialize};

/// One line of a ticket's history. An attempt has everything from `outcome` on; anything else that
/// happened has `why`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineJson {
    /// When.
    pub at: String,
    /// At which stage.
    pub stage: String,
    /// Of which generation.
    pub generation: u32,
    /// After how many hand-offs.
    pub hop: u32,
    /// In which try.
    pub attempt: u32,
    /// What happened: `attempted`, or a past participle such as `accepted`.
    pub what: String,
    /// By whom, and why.
    pub why: Option<String>,
    /// How the attempt ended.
    pub outcome: Option<String>,
    /// When its handler was started.
    pub started_at: Option<String>,
    /// How long it took.
    pub duration_ms: Option<f64>,
    /// Which version ran it.
    pub version: Option<String>,
    /// Which process ran it.
    pub worker: Option<String>,
    /// The report, if it went wrong.
    pub oops: Option<String>,
    /// The most memory that was resident at once.
    pub memory_bytes_max: Option<u64>,
    /// CPU time in user mode.
    pub cpu_user_ms: Option<f64>,
    /// CPU time in the kernel.
    pub cpu_system_ms: Option<f64>,
}

impl LineJson {
    /// The line as the books have it.
    pub fn new(line: &Line) -> Self {
        let mut json = Self::plain(line);
        match &line.fact {
            Fact::Noted { what, why, oops } => {
                json.oops = oops.map(|id| id.to_string());
                json.what.clone_from(what);
                json.why = Some(why.clone());
            }
            Fact::Attempted {
                started_at,
                outcome,
                version,
                holder,
                oops,
                usage,
            } => {
                json.what = "attempted".into();
                json.outcome = Some(outcome.to_string());
                json.started_at = Some(started_at.to_string());
                json.duration_ms = Some(millis(line.at.since(*started_at)));
                json.version = Some(version.to_string());
                json.worker = Some(holder.to_string());
                json.oops = oops.map(|id| id.to_string());
                json.memory_bytes_max = usage.memory_bytes_max;
                json.cpu_user_ms = usage.cpu_user.map(millis);
                json.cpu_system_ms = usage.cpu_system.map(millis);
            }
        }
        json
    }

    fn plain(line: &Line) -> Self {
        Self {
            at: line.at.to_string(),
            stage: line.stage.to_string(),
            generation: line.name.generation.0,
            hop: line.name.hop.0,
            attempt: line.name.attempt.0,
            what: String::new(),
            why: None,
            outcome: None,
            started_at: None,
            duration_ms: None,
            version: None,
            worker: None,
            oops: None,
            memory_bytes_max: None,
            cpu_user_ms: None,
            cpu_system_ms: None,
        }
    }
}
