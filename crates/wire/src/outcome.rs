//! How an attempt ended, and what it cost, as protobuf.

use crate::{Unreadable, proto};
use domain::outcome::{OutcomeKind, Usage};
use std::time::Duration;

impl From<OutcomeKind> for proto::OutcomeKind {
    fn from(kind: OutcomeKind) -> Self {
        match kind {
            OutcomeKind::Done => Self::Done,
            OutcomeKind::NotNow => Self::NotNow,
            OutcomeKind::Pending => Self::Pending,
            OutcomeKind::Rejected => Self::Rejected,
            OutcomeKind::Failed => Self::Failed,
            OutcomeKind::Crashed => Self::Crashed,
            OutcomeKind::TimedOut => Self::TimedOut,
            OutcomeKind::Unstartable => Self::Unstartable,
            OutcomeKind::Abandoned => Self::Abandoned,
        }
    }
}

/// The outcome that this number stands for.
pub(crate) fn kind(number: i32) -> Result<OutcomeKind, Unreadable> {
    let known = proto::OutcomeKind::try_from(number).map_err(|_| unknown(number))?;
    Ok(match known {
        proto::OutcomeKind::Unspecified => return Err(Unreadable::missing("outcome")),
        proto::OutcomeKind::Done => OutcomeKind::Done,
        proto::OutcomeKind::NotNow => OutcomeKind::NotNow,
        proto::OutcomeKind::Pending => OutcomeKind::Pending,
        proto::OutcomeKind::Rejected => OutcomeKind::Rejected,
        proto::OutcomeKind::Failed => OutcomeKind::Failed,
        proto::OutcomeKind::Crashed => OutcomeKind::Crashed,
        proto::OutcomeKind::TimedOut => OutcomeKind::TimedOut,
        proto::OutcomeKind::Unstartable => OutcomeKind::Unstartable,
        proto::OutcomeKind::Abandoned => OutcomeKind::Abandoned,
    })
}

fn unknown(number: i32) -> Unreadable {
    Unreadable::new(format!(
        "outcome: expected one that this version knows, got number {number}; \
         a newer version has written it"
    ))
}

/// Usage as three numbers; CPU time to the microsecond, which is what the kernel tells.
pub(crate) struct UsageNumbers {
    pub(crate) memory_bytes_max: Option<u64>,
    pub(crate) cpu_user_us: Option<u64>,
    pub(crate) cpu_system_us: Option<u64>,
}

impl From<Usage> for UsageNumbers {
    fn from(usage: Usage) -> Self {
        Self {
            memory_bytes_max: usage.memory_bytes_max,
            cpu_user_us: usage.cpu_user.map(micros),
            cpu_system_us: usage.cpu_system.map(micros),
        }
    }
}

impl From<UsageNumbers> for Usage {
    fn from(numbers: UsageNumbers) -> Self {
        Self {
            memory_bytes_max: numbers.memory_bytes_max,
            cpu_user: numbers.cpu_user_us.map(Duration::from_micros),
            cpu_system: numbers.cpu_system_us.map(Duration::from_micros),
        }
    }
}

/// A length of time in microseconds; stops at the end of time rather than wrapping.
pub(crate) fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}
