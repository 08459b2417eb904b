//! The columns that say what a ticket waits for.

use super::{oops_id, parsed, time};
use crate::codes;
use crate::postgres::fault::Fault;
use domain::names::{Holder, Kind, Version};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use std::collections::BTreeSet;
use tokio_postgres::Row;
use uuid::Uuid;

/// The wait, from the columns of a place that begin at `at`.
pub(super) fn read(row: &Row, at: usize, since: Timestamp) -> Result<Option<Wait>, Fault> {
    let Some(code) = row.try_get::<_, Option<i16>>(at + 10)? else {
        return Ok(None);
    };
    let reason = codes::reason(code.into()).ok_or_else(|| Fault::row("a wait's reason", code))?;
    let because: Option<String> = row.try_get(at + 12)?;
    let oops: Option<Uuid> = row.try_get(at + 15)?;
    Ok(Some(Wait {
        condition: condition(row, at, reason)?,
        since,
        because: because.unwrap_or_default(),
        oops: oops.map(oops_id),
    }))
}

fn condition(row: &Row, at: usize, reason: Reason) -> Result<Condition, Fault> {
    let until = time(row, at + 11)?.unwrap_or_default();
    let detail: Option<&str> = row.try_get(at + 13)?;
    Ok(match reason {
        Reason::Backoff => Condition::Backoff { until },
        Reason::NotNow => Condition::NotNow { until },
        Reason::Trial => Condition::Trial { until },
        Reason::Pending => Condition::Pending {
            until,
            once_started: time(row, at + 14)?,
        },
        Reason::Parked => Condition::Parked,
        Reason::Held if row.try_get::<_, Option<i64>>(at + 14)? == Some(REPAIR) => {
            Condition::Repair {
                signature: parsed(detail.unwrap_or_default(), str::parse)?,
            }
        }
        Reason::Held => Condition::Held {
            version: detail.map(|text| parsed(text, Version::new)).transpose()?,
        },
        Reason::Unclaimed => Condition::Unclaimed,
        Reason::Suspect => Condition::Suspect {
            holder: parsed(detail.unwrap_or_default(), Holder::new)?,
            started_at: time(row, at + 14)?,
        },
        Reason::Unique => Condition::Unique {
            other: parsed(detail.unwrap_or_default(), str::parse)?,
        },
    })
}

/// The mark of a held ticket that waits for a repair; the detail is then a signature.
const REPAIR: i64 = 1;

/// What the columns `detail` and `mark` say of a wait.
pub(crate) fn detail(condition: &Condition) -> (Option<String>, Option<i64>) {
    match condition {
        Condition::Held { version } => (version.as_ref().map(ToString::to_string), None),
        Condition::Repair { signature } => (Some(signature.to_string()), Some(REPAIR)),
        Condition::Suspect { holder, started_at } => (
            Some(holder.to_string()),
            started_at.map(Timestamp::as_micros),
        ),
        Condition::Unique { other } => (Some(other.to_string()), None),
        Condition::Pending { once_started, .. } => (None, once_started.map(Timestamp::as_micros)),
        Condition::Backoff { .. }
        | Condition::NotNow { .. }
        | Condition::Parked
        | Condition::Unclaimed
        | Condition::Trial { .. } => (None, None),
    }
}

/// Kinds of tickets that are waited for, or taken, as their column has them: a line each.
pub(crate) fn kinds(kinds: &BTreeSet<Kind>) -> String {
    let kinds: Vec<&str> = kinds.iter().map(Kind::as_str).collect();
    kinds.join("\n")
}
