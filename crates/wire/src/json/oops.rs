//! A report as JSON: the fields of the classic OOPS, which keep their meaning, and ours.

use super::millis;
use domain::oops::Report;
use domain::outcome::Exit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the classic field `reporter` says: which system told of it.
const REPORTER: &str = "goaround";

/// The report of one attempt that went wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OopsJson {
    /// Which report.
    pub id: String,
    /// The class of the error.
    #[serde(rename = "type")]
    pub error_type: String,
    /// One line that says what happened.
    pub value: String,
    /// When the attempt ended, as far as is known.
    pub time: String,
    /// Classic: what was being served; the stage.
    pub topic: String,
    /// Classic: which system told of it.
    pub reporter: String,
    /// The trace, in the handler's own form.
    pub tb_text: String,
    /// On which host.
    pub hostname: String,
    /// How long the attempt had run, in seconds; -1 when that is not known.
    pub duration: f64,
    /// Classic: what happened meanwhile, as `[start ms, stop ms, category, detail]`.
    pub timeline: Vec<(f64, f64, String, String)>,
    /// Classic: variables of the request; the facts that the handler was given.
    pub req_vars: BTreeMap<String, String>,
    /// Classic: the version of the component.
    pub revno: String,
    /// Classic: the name of the component; the stage.
    pub branch_nick: String,
    /// Classic: whether it is only for information; never.
    pub informational: bool,
    /// Where to read it.
    pub url: String,
    /// About which ticket.
    pub ticket: String,
    /// At which stage.
    pub stage: String,
    /// Of which flow.
    pub flow: Option<String>,
    /// The ticket's kind.
    pub kind: String,
    /// In which try.
    pub attempt: u32,
    /// After how many hand-offs.
    pub hop: u32,
    /// Of which generation.
    pub generation: u32,
    /// Which version of the component ran it.
    pub version: String,
    /// Which process ran it.
    pub worker: String,
    /// How the attempt ended.
    pub outcome: String,
    /// The status that the handler's process exited with.
    pub exit: Option<i32>,
    /// The signal that ended the handler's process.
    pub signal: Option<i32>,
    /// Who told of it: `worker`, `supervisor`, `launcher` or `controller`.
    pub source: String,
    /// The last lines that the handler logged.
    pub log_tail: String,
    /// The most memory that was resident at once.
    pub memory_bytes_max: Option<u64>,
    /// CPU time in user mode.
    pub cpu_user_ms: Option<f64>,
    /// CPU time in the kernel.
    pub cpu_system_ms: Option<f64>,
    /// The trace it belonged to.
    pub trace_id: Option<String>,
    /// What problem it is about: the same text for the same problem.
    pub signature: String,
}

impl OopsJson {
    /// The report in JSON's words.
    pub fn new(report: &Report) -> Self {
        let (exit, signal) = ends(report.failure.exit);
        let id = report.id.to_string();
        Self {
            url: format!("/o/{id}"),
            id,
            error_type: report.failure.error_type.clone(),
            value: report.failure.message.clone(),
            time: report.time.to_string(),
            topic: report.stage.to_string(),
            reporter: REPORTER.into(),
            tb_text: report.failure.trace.clone(),
            hostname: report.hostname.clone(),
            duration: report.duration.map_or(-1.0, |length| length.as_secs_f64()),
            timeline: Vec::new(),
            req_vars: facts(report),
            revno: report.version.to_string(),
            branch_nick: report.stage.to_string(),
            informational: false,
            ticket: report.name.ticket.to_string(),
            stage: report.stage.to_string(),
            flow: report.flow.as_ref().map(ToString::to_string),
            kind: report.kind.to_string(),
            attempt: report.name.attempt.0,
            hop: report.name.hop.0,
            generation: report.name.generation.0,
            version: report.version.to_string(),
            worker: report.holder.to_string(),
            outcome: report.outcome.to_string(),
            exit,
            signal,
            source: report.source.as_str().into(),
            log_tail: report.failure.log_tail.clone(),
            memory_bytes_max: report.usage.memory_bytes_max,
            cpu_user_ms: report.usage.cpu_user.map(millis),
            cpu_system_ms: report.usage.cpu_system.map(millis),
            trace_id: report
                .trace
                .as_deref()
                .and_then(trace_id)
                .map(str::to_owned),
            signature: report.signature().id.to_string(),
        }
    }
}

const fn ends(exit: Option<Exit>) -> (Option<i32>, Option<i32>) {
    match exit {
        Some(Exit::Status(status)) => (Some(status), None),
        Some(Exit::Signal(signal)) => (None, Some(signal)),
        None => (None, None),
    }
}

fn facts(report: &Report) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        (
            "GOAROUND_TICKET_ID".to_owned(),
            report.name.ticket.to_string(),
        ),
        ("GOAROUND_STAGE".to_owned(), report.stage.to_string()),
        ("GOAROUND_KIND".to_owned(), report.kind.to_string()),
        ("GOAROUND_HOP".to_owned(), report.name.hop.to_string()),
        (
            "GOAROUND_ATTEMPT".to_owned(),
            report.name.attempt.to_string(),
        ),
        (
            "GOAROUND_GENERATION".to_owned(),
            report.name.generation.to_string(),
        ),
    ]);
    if let Some(flow) = &report.flow {
        facts.insert("GOAROUND_FLOW".into(), flow.to_string());
    }
    facts
}

/// The trace id inside a W3C `traceparent`.
fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_id_is_the_second_part_of_the_traceparent() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(trace_id(parent), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(trace_id("nonsense"), None);
    }

    #[test]
    fn a_process_ends_by_a_status_or_by_a_signal() {
        assert_eq!(ends(Some(Exit::Status(3))), (Some(3), None));
        assert_eq!(ends(Some(Exit::Signal(9))), (None, Some(9)));
    }
}
