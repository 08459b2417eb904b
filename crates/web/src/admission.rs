//! Turns a submission into a ticket, or says why not.

use crate::body::TOO_LARGE_REMEDY;
use crate::problem::{Kind, Problem};
use crate::site::Site;
use domain::deadline::parse_deadline;
use domain::flow::Flows;
use domain::names::{FlowName, Key, Kind as TicketKind, StageName};
use domain::ports::Clock;
use domain::ticket::{Lineage, Name, Ticket, TicketId};
use domain::time::Timestamp;
use std::fmt;
use wire::json::{SubmitJson, nearest};

/// What a submission is judged by.
pub(crate) struct Admission<'a> {
    flows: &'a Flows,
    clock: &'a dyn Clock,
    pub(crate) now: Timestamp,
    pub(crate) payload_bytes_max: usize,
}

/// Why a submission is not a ticket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Something in it is wrong.
    Bad(String),
    /// It names a flow that is not configured.
    UnknownFlow(String),
    /// It carries too much.
    TooLarge { size: usize, limit: usize },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(why) | Self::UnknownFlow(why) => f.write_str(why),
            Self::TooLarge { size, limit } => write!(
                f,
                "payload: expected at most {limit} bytes, got {size}; {TOO_LARGE_REMEDY}"
            ),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Bad(_) => Self::bad_request(detail),
            Refusal::UnknownFlow(_) => Self::new(Kind::UnknownFlow, detail),
            Refusal::TooLarge { size, limit } => Self::new(Kind::PayloadTooLarge, detail)
                .with("limit", limit)
                .with("size", size)
                .with(
                    "why",
                    format!("payload: expected at most {limit} bytes, got {size}"),
                )
                .with("remedy", TOO_LARGE_REMEDY),
        }
    }
}

fn bad(why: impl fmt::Display) -> Refusal {
    Refusal::Bad(why.to_string())
}

impl<'a> Admission<'a> {
    /// What the site asks of a submission now.
    pub(crate) fn of(site: &'a Site) -> Self {
        Self {
            flows: &site.parts.flows,
            clock: site.parts.clock.as_ref(),
            now: site.now(),
            payload_bytes_max: site.config.payload_bytes_max,
        }
    }

    /// Reads one submission and makes its ticket.
    pub(crate) fn read(&self, text: &[u8]) -> Result<Ticket, Refusal> {
        self.ticket(&SubmitJson::parse(text).map_err(bad)?)
    }

    fn ticket(&self, submit: &SubmitJson) -> Result<Ticket, Refusal> {
        let (flow, stage) = self.route(submit)?;
        let payload = submit.payload().map_err(bad)?;
        let (size, limit) = (payload.bytes.len(), self.payload_bytes_max);
        if size > limit {
            return Err(Refusal::TooLarge { size, limit });
        }
        let id = match &submit.id {
            Some(id) => id.parse::<TicketId>().map_err(bad)?,
            None => self.clock.ticket_id(),
        };
        let kind = submit
            .kind
            .as_deref()
            .map(TicketKind::new)
            .transpose()
            .map_err(bad)?;
        let deadline = submit.deadline.as_deref();
        let deadline = deadline.map(|text| parse_deadline(text, self.now));
        Ok(Ticket {
            name: Name::first(id),
            kind: kind.unwrap_or_else(TicketKind::unnamed),
            flow,
            stage,
            key: submit
                .key
                .as_deref()
                .map(Key::new)
                .transpose()
                .map_err(bad)?,
            payload,
            deadline: deadline
                .transpose()
                .map_err(|error| bad(format!("deadline: {error}")))?,
            created_at: self.now,
            lineage: Lineage::root(id),
            trace: submit.traceparent.as_deref().map(traceparent).transpose()?,
        })
    }

    /// Where it begins. A stage that nobody configured is no mistake: the ticket waits for it.
    fn route(&self, submit: &SubmitJson) -> Result<(Option<FlowName>, StageName), Refusal> {
        let stage = submit
            .stage
            .as_deref()
            .map(StageName::new)
            .transpose()
            .map_err(bad)?;
        let Some(flow) = submit.flow.as_deref() else {
            let stage = stage.ok_or_else(|| bad("expected flow or stage, got neither"))?;
            return Ok((None, stage));
        };
        let flow = FlowName::new(flow).map_err(bad)?;
        let Some(stops) = self.flows.flows().get(&flow) else {
            return Err(self.unknown(&flow));
        };
        match (stage, self.flows.first_stage(&flow)) {
            (None, Some(first)) => Ok((Some(flow), first.clone())),
            (Some(stage), _) if stops.contains(&stage) => Ok((Some(flow), stage)),
            (stage, _) => {
                let stops: Vec<&str> = stops.iter().map(StageName::as_str).collect();
                let stage = stage.map(|stage| stage.to_string()).unwrap_or_default();
                let stops = stops.join(", ");
                Err(bad(format!(
                    "stage: expected one of flow {flow} ({stops}), got {stage:?}"
                )))
            }
        }
    }

    fn unknown(&self, flow: &FlowName) -> Refusal {
        let names: Vec<&str> = self.flows.flows().keys().map(FlowName::as_str).collect();
        let hint = match (
            nearest(flow.as_str(), names.iter().copied()),
            names.is_empty(),
        ) {
            (Some(near), _) => format!("did you mean {near:?}?"),
            (None, false) => format!("configured: {}", names.join(", ")),
            (None, true) => "no flow is configured; submit to a stage instead".into(),
        };
        Refusal::UnknownFlow(format!(
            "flow: expected a configured flow, got {flow:?}; {hint}"
        ))
    }
}

/// The form that W3C gives it: `00-<32 hex>-<16 hex>-<2 hex>`.
fn traceparent(text: &str) -> Result<String, Refusal> {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    let is_hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if lengths == [2, 32, 16, 2] && parts.iter().all(is_hex) {
        return Ok(text.to_ascii_lowercase());
    }
    let got: String = text.chars().take(80).collect();
    Err(bad(format!(
        "traceparent: expected 00-<32 hex>-<16 hex>-<2 hex>, got {got:?}"
    )))
}
