//! Waits inside a message of records.

use super::tables::Tables;
use super::write::Writer;
use crate::{Unreadable, proto};
use domain::names::Version;
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use proto::wait::Condition as Field;

pub(super) fn write<'a>(wait: &'a Wait, writer: &mut Writer<'a>) -> proto::Wait {
    let condition = match &wait.condition {
        Condition::Backoff { until } => Field::BackoffUntilUs(until.as_micros()),
        Condition::NotNow { until } => Field::NotNowUntilUs(until.as_micros()),
        Condition::Pending { until, .. } => Field::PendingUntilUs(until.as_micros()),
        Condition::Parked => Field::Parked(proto::Nothing {}),
        Condition::Held { version } => Field::Held(proto::HeldBack {
            version: version.as_ref().map(ToString::to_string),
        }),
        Condition::Repair { signature } => Field::Repair((*signature).into()),
        Condition::Unclaimed => Field::Unclaimed(proto::Nothing {}),
        Condition::Suspect { holder, started_at } => Field::Suspect(proto::Suspicion {
            holder: writer.holders.place(holder.as_str()),
            started_at_us: started_at.map(Timestamp::as_micros),
        }),
        Condition::Unique { other } => Field::Unique(other.into()),
        Condition::Trial { until } => Field::TrialFromUs(until.as_micros()),
    };
    proto::Wait {
        condition: Some(condition),
        since_us: wait.since.as_micros(),
        because: wait.because.clone(),
        oops: wait.oops.map(Into::into),
        once_started_until_us: once_started(&wait.condition).map(Timestamp::as_micros),
    }
}

const fn once_started(condition: &Condition) -> Option<Timestamp> {
    match condition {
        Condition::Pending { once_started, .. } => *once_started,
        _ => None,
    }
}

pub(super) fn read(wait: proto::Wait, tables: &Tables) -> Result<Wait, Unreadable> {
    let field = wait.condition.ok_or_else(|| {
        Unreadable::new("condition: expected one that this version knows, got none of them")
    })?;
    Ok(Wait {
        condition: condition(field, wait.once_started_until_us, tables)?,
        since: Timestamp::from_micros(wait.since_us),
        because: wait.because,
        oops: wait.oops.map(Into::into),
    })
}

fn condition(
    field: Field,
    once_started_until_us: Option<i64>,
    tables: &Tables,
) -> Result<Condition, Unreadable> {
    let at = Timestamp::from_micros;
    Ok(match field {
        Field::BackoffUntilUs(until) => Condition::Backoff { until: at(until) },
        Field::NotNowUntilUs(until) => Condition::NotNow { until: at(until) },
        Field::PendingUntilUs(until) => Condition::Pending {
            until: at(until),
            once_started: once_started_until_us.map(at),
        },
        Field::Parked(proto::Nothing {}) => Condition::Parked,
        Field::Held(proto::HeldBack { version }) => Condition::Held {
            version: version
                .as_deref()
                .map(Version::new)
                .transpose()
                .map_err(Unreadable::new)?,
        },
        Field::Repair(signature) => Condition::Repair {
            signature: signature.into(),
        },
        Field::Unclaimed(proto::Nothing {}) => Condition::Unclaimed,
        Field::Suspect(suspicion) => Condition::Suspect {
            holder: tables.holder(suspicion.holder)?,
            started_at: suspicion.started_at_us.map(at),
        },
        Field::Unique(other) => Condition::Unique {
            other: other.into(),
        },
        Field::TrialFromUs(until) => Condition::Trial { until: at(until) },
    })
}
