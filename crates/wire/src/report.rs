//! An OOPS as bytes: protobuf `goaround.v1.Oops`.

use crate::outcome::{UsageNumbers, micros};
use crate::unreadable::bounded;
use crate::{Unreadable, ids, outcome, proto};
use bytes::Bytes;
use domain::names::{FlowName, Holder, Kind, StageName, Version};
use domain::oops::{Report, Source};
use domain::outcome::{Exit, Failure};
use domain::time::Timestamp;
use prost::Message;
use proto::failure::Exit as ExitField;
use std::time::Duration;

/// What the bytes are called where they travel.
pub const CONTENT_TYPE: &str = "application/x-protobuf; proto=goaround.v1.Oops";

/// The longest report that is read. [`Report::new`] makes none that is half as long.
pub const BYTES_MAX: usize = 1024 * 1024;

/// Writes a report.
pub fn encode(report: &Report) -> Bytes {
    let UsageNumbers {
        memory_bytes_max,
        cpu_user_us,
        cpu_system_us,
    } = report.usage.into();
    let oops = proto::Oops {
        id: Some(report.id.into()),
        name: Some((&report.name).into()),
        stage: report.stage.to_string(),
        flow: report.flow.as_ref().map(ToString::to_string),
        kind: report.kind.to_string(),
        outcome: proto::OutcomeKind::from(report.outcome).into(),
        time_us: report.time.as_micros(),
        duration_us: report.duration.map(micros),
        failure: Some(failure_of(&report.failure)),
        memory_bytes_max,
        cpu_user_us,
        cpu_system_us,
        source: source_of(report.source).into(),
        holder: report.holder.to_string(),
        hostname: report.hostname.clone(),
        version: report.version.to_string(),
        traceparent: report.trace.clone(),
        is_whole: true,
    };
    oops.encode_to_vec().into()
}

/// Reads a report.
///
/// # Errors
/// [`Unreadable`] when it is not one, was cut, is over [`BYTES_MAX`], or has a name that is not
/// valid. Fields that this version does not know are passed over.
pub fn decode(bytes: &[u8]) -> Result<Report, Unreadable> {
    read(bytes).map_err(|error| error.within("oops"))
}

fn read(bytes: &[u8]) -> Result<Report, Unreadable> {
    bounded(bytes, BYTES_MAX)?;
    let oops = proto::Oops::decode(bytes).map_err(Unreadable::new)?;
    if !oops.is_whole {
        return Err(Unreadable::cut());
    }
    let usage = UsageNumbers {
        memory_bytes_max: oops.memory_bytes_max,
        cpu_user_us: oops.cpu_user_us,
        cpu_system_us: oops.cpu_system_us,
    };
    let flow = oops.flow.as_deref().map(FlowName::new).transpose();
    let failure = oops.failure.ok_or_else(|| Unreadable::missing("failure"))?;
    Ok(Report {
        id: oops.id.ok_or_else(|| Unreadable::missing("id"))?.into(),
        name: ids::required(oops.name)?,
        stage: StageName::new(&oops.stage).map_err(Unreadable::new)?,
        flow: flow.map_err(Unreadable::new)?,
        kind: Kind::new(&oops.kind).map_err(Unreadable::new)?,
        outcome: outcome::kind(oops.outcome)?,
        time: Timestamp::from_micros(oops.time_us),
        duration: oops.duration_us.map(Duration::from_micros),
        failure: read_failure(failure),
        usage: usage.into(),
        source: source(oops.source)?,
        holder: Holder::new(&oops.holder).map_err(Unreadable::new)?,
        hostname: oops.hostname,
        version: Version::new(&oops.version).map_err(Unreadable::new)?,
        trace: oops.traceparent,
    })
}

fn failure_of(failure: &Failure) -> proto::Failure {
    proto::Failure {
        error_type: failure.error_type.clone(),
        message: failure.message.clone(),
        trace: failure.trace.clone(),
        exit: failure.exit.map(|exit| match exit {
            Exit::Status(status) => ExitField::Status(status),
            Exit::Signal(signal) => ExitField::Signal(signal),
        }),
        log_tail: failure.log_tail.clone(),
    }
}

fn read_failure(failure: proto::Failure) -> Failure {
    Failure {
        error_type: failure.error_type,
        message: failure.message,
        trace: failure.trace,
        exit: failure.exit.map(|exit| match exit {
            ExitField::Status(status) => Exit::Status(status),
            ExitField::Signal(signal) => Exit::Signal(signal),
        }),
        log_tail: failure.log_tail,
    }
}

const fn source_of(source: Source) -> proto::OopsSource {
    match source {
        Source::Worker => proto::OopsSource::Worker,
        Source::Supervisor => proto::OopsSource::Supervisor,
        Source::Launcher => proto::OopsSource::Launcher,
        Source::Controller => proto::OopsSource::Controller,
    }
}

fn source(number: i32) -> Result<Source, Unreadable> {
    match proto::OopsSource::try_from(number) {
        Ok(proto::OopsSource::Worker) => Ok(Source::Worker),
        Ok(proto::OopsSource::Supervisor) => Ok(Source::Supervisor),
        Ok(proto::OopsSource::Launcher) => Ok(Source::Launcher),
        Ok(proto::OopsSource::Controller) => Ok(Source::Controller),
        Ok(proto::OopsSource::Unspecified) => Err(Unreadable::missing("source")),
        Err(_) => Err(Unreadable::new(format!(
            "source: expected one that this version knows, got number {number}; \
             a newer version has written it"
        ))),
    }
}

#[cfg(test)]
mod tests;
