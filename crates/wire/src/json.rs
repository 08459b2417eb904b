//! What the API and the command line say to each other, in JSON.
//!
//! The rules know nothing of JSON: each type here is one shape of it, made from the domain type of
//! the same name. Times are RFC 3339 in UTC, lengths of time end in their unit, and an absent value
//! is `null` rather than missing, so that a script can rely on every field.

mod books;
mod breaker;
mod carried;
mod explain;
mod line;
mod object;
mod oops;
mod order;
mod payload;
mod plan;
mod plan_order;
mod stage;
mod submit;
mod terms;
mod text;
mod ticket;

pub use books::BalanceJson;
pub use breaker::{BreakerJson, CanaryJson, ProbeJson};
pub use explain::ExplainJson;
pub use line::LineJson;
pub use oops::OopsJson;
pub use order::{BadOrder, CallbackJson, Called, DropJson};
pub use payload::{Extent, PAYLOAD_BYTES_LISTED_MAX, is_json, shown as payload_shown};
pub use plan::{CountsJson, DeedJson, GroupJson, PlanJson, ReleasingJson, SelectionJson};
pub use plan_order::{DropPlanJson, MakePlanJson, ReleaseJson};
pub use stage::{AppliedJson, BreakerRulesJson, GateJson, HoldJson, RetryJson, StageJson};
pub use submit::{BadSubmit, SubmitJson, nearest};
pub use terms::{StopJson, TermsJson};
pub use text::Text;
pub use ticket::{LineageJson, TicketJson};

use std::time::Duration;

/// A length of time as milliseconds with three decimals.
fn millis(length: Duration) -> f64 {
    // Micros fit an f64 exactly for 285 years.
    length.as_micros() as f64 / 1_000.0
}

/// Says what is wrong with a JSON text and where, without serde's own words about the place.
fn complaint(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let what = said
        .rsplit_once(" at line ")
        .map_or(said.as_str(), |(what, _)| what);
    match error.line() {
        0 => what.to_owned(),
        1 => format!("column {}: {what}", error.column()),
        line => format!("line {line} column {}: {what}", error.column()),
    }
}
