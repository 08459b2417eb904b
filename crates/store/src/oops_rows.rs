//! A report as JSON, whole. Fields are only ever added, so that old rows stay readable.

use crate::error::Fault;
use domain::names::{FlowName, Holder, Kind, StageName, Version};
use domain::oops::{OopsId, Report, Source};
use domain::outcome::{Exit, Failure, OutcomeKind, Usage};
use domain::ticket::{Attempt, Generation, Hop, Name};
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Serialize, Deserialize)]
struct Body {
    id: String,
    ticket: String,
    generation: u32,
    hop: u32,
    attempt: u32,
    stage: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<String>,
    kind: String,
    outcome: String,
    time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_us: Option<u64>,
    #[serde(rename = "type")]
    error_type: String,
    value: String,
    traceback: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    log_tail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_user_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu_system_us: Option<u64>,
    source: String,
    holder: String,
    hostname: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

/// The whole report.
pub(crate) fn write(report: &Report) -> Result<String, Fault> {
    let failure = &report.failure;
    let (status, signal) = match failure.exit {
        Some(Exit::Status(status)) => (Some(status), None),
        Some(Exit::Signal(signal)) => (None, Some(signal)),
        None => (None, None),
    };
    let body = Body {
        id: report.id.to_string(),
        ticket: report.name.ticket.to_string(),
        generation: report.name.generation.0,
        hop: report.name.hop.0,
        attempt: report.name.attempt.0,
        stage: report.stage.to_string(),
        flow: report.flow.as_ref().map(FlowName::to_string),
        kind: report.kind.to_string(),
        outcome: report.outcome.to_string(),
        time: report.time.as_micros(),
        duration_us: report.duration.map(micros),
        error_type: failure.error_type.clone(),
        value: failure.message.clone(),
        traceback: failure.trace.clone(),
        status,
        signal,
        log_tail: failure.log_tail.clone(),
        memory: report.usage.memory_bytes_max,
        cpu_user_us: report.usage.cpu_user.map(micros),
        cpu_system_us: report.usage.cpu_system.map(micros),
        source: report.source.as_str().into(),
        holder: report.holder.to_string(),
        hostname: report.hostname.clone(),
        version: report.version.to_string(),
        trace: report.trace.clone(),
    };
    serde_json::to_string(&body).map_err(|error| bad(&error))
}

/// Several may report the same death; the one who was nearest knows most.
pub(crate) const fn nearness(source: Source) -> u8 {
    match source {
        Source::Worker => 3,
        Source::Supervisor => 2,
        Source::Launcher => 1,
        Source::Controller => 0,
    }
}

fn bad(error: &dyn std::fmt::Display) -> Fault {
    Fault::row("a report", error)
}

/// The report that was written.
pub(crate) fn read(text: &str) -> Result<Report, Fault> {
    let body: Body = serde_json::from_str(text).map_err(|error| bad(&error))?;
    let id: OopsId = body.id.parse().map_err(|error| bad(&error))?;
    let name = Name {
        ticket: body.ticket.parse().map_err(|error| bad(&error))?,
        generation: Generation(body.generation),
        hop: Hop(body.hop),
        attempt: Attempt(body.attempt),
    };
    let flow = body.flow.as_deref().map(FlowName::new).transpose();
    Ok(Report {
        id,
        name,
        stage: StageName::new(&body.stage).map_err(|error| bad(&error))?,
        flow: flow.map_err(|error| bad(&error))?,
        kind: Kind::new(&body.kind).map_err(|error| bad(&error))?,
        outcome: OutcomeKind::parse(&body.outcome).ok_or_else(|| bad(&body.outcome))?,
        time: Timestamp::from_micros(body.time),
        duration: body.duration_us.map(Duration::from_micros),
        usage: Usage {
            memory_bytes_max: body.memory,
            cpu_user: body.cpu_user_us.map(Duration::from_micros),
            cpu_system: body.cpu_system_us.map(Duration::from_micros),
        },
        source: Source::parse(&body.source).ok_or_else(|| bad(&body.source))?,
        holder: Holder::new(&body.holder).map_err(|error| bad(&error))?,
        version: Version::new(&body.version).map_err(|error| bad(&error))?,
        failure: Failure {
            error_type: body.error_type,
            message: body.value,
            trace: body.traceback,
            exit: match (body.status, body.signal) {
                (Some(status), _) => Some(Exit::Status(status)),
                (None, Some(signal)) => Some(Exit::Signal(signal)),
                (None, None) => None,
            },
            log_tail: body.log_tail,
        },
        hostname: body.hostname,
        trace: body.trace,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::oops::{Scene, Span};
    use domain::ticket::{Lineage, Payload, Ticket, TicketId};

    fn report(exit: Option<Exit>) -> Report {
        let id = TicketId::from_bytes([7; 16]);
        let ticket = Ticket {
            name: Name::first(id).charged(),
            kind: Kind::unnamed(),
            flow: Some(FlowName::new("ci").unwrap()),
            stage: StageName::new("build").unwrap(),
            key: None,
            payload: Payload::default(),
            deadline: None,
            created_at: Timestamp::EPOCH,
            lineage: Lineage::root(id),
            trace: Some("00-1-2-01".into()),
        };
        let scene = Scene {
            holder: Holder::new("host/1").unwrap(),
            hostname: "host".into(),
            version: Version::new("1.0").unwrap(),
        };
        let span = Span {
            started_at: Timestamp::from_micros(5),
            ended_at: Timestamp::from_micros(9),
        };
        let mut failure = Failure::new("T", "a \"message\"\n\u{0}");
        failure.exit = exit;
        Report::new(&ticket, OutcomeKind::Crashed, failure, &scene, span)
    }

    #[test]
    fn every_report_reads_back_as_written() {
        for exit in [None, Some(Exit::Status(3)), Some(Exit::Signal(9))] {
            let report = report(exit);
            assert_eq!(read(&write(&report).unwrap()).unwrap(), report);
        }
    }

    #[test]
    fn what_is_not_a_report_is_a_damage_and_not_a_panic() {
        for text in ["", "{}", "[1]", "{\"id\":\"x\"}"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
