//! A ticket as JSON.

use super::payload::{Extent, shown};
use domain::books::{Entry, Place};
use domain::ticket::{Lineage, Ticket};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A ticket with everything that the books know about it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TicketJson {
    /// Which ticket: a UUID.
    pub id: String,
    /// What sort of work.
    pub kind: String,
    /// The flow it follows, if any.
    pub flow: Option<String>,
    /// The stage it is at.
    pub stage: String,
    /// `runnable`, `running`, `waiting`, `done` or `dropped`.
    pub state: String,
    /// Why it waits, in a word; why it was dropped, in the dropper's words.
    pub reason: Option<String>,
    /// Since when it is there.
    pub since: String,
    /// When its wait ends at the latest, if time ends it.
    pub until: Option<String>,
    /// One line on what brought it into its wait.
    pub because: Option<String>,
    /// Who has it while it is running; who dropped it when it is dropped.
    pub by: Option<String>,
    /// How often it was handed on.
    pub hop: u32,
    /// Which try at this stage.
    pub attempt: u32,
    /// Which generation is in force.
    pub generation: u32,
    /// What it is about.
    pub key: Option<String>,
    /// What it carries: JSON, a string, or `{"base64": …}`.
    pub payload: Box<RawValue>,
    /// How many bytes it carries.
    pub payload_bytes: u64,
    /// Whether `payload` is only the beginning, as a string.
    pub payload_cut: bool,
    /// What the payload is, if the sender said so.
    pub content_type: Option<String>,
    /// When it was accepted.
    pub created_at: String,
    /// When the work is worth nothing any more.
    pub deadline: Option<String>,
    /// Where it came from.
    pub lineage: LineageJson,
    /// The version of the component that last had it.
    pub version: Option<String>,
    /// The reports about it, oldest first.
    pub oopses: Vec<String>,
    /// The W3C `traceparent` that it came with.
    pub traceparent: Option<String>,
}

/// Where a ticket came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageJson {
    /// The first of the family.
    pub root: String,
    /// Who sent it.
    pub parent: Option<String>,
    /// How many generations below the root.
    pub depth: u32,
}

/// What a place says about its ticket.
#[derive(Default)]
struct Whereabouts {
    reason: Option<String>,
    until: Option<String>,
    because: Option<String>,
    by: Option<String>,
}

impl TicketJson {
    /// The ticket as the books have it.
    pub fn new(entry: &Entry, extent: Extent) -> Self {
        let ticket = &entry.ticket;
        let Whereabouts {
            reason,
            until,
            because,
            by,
        } = whereabouts(&entry.place);
        let (payload, payload_cut) = shown(&ticket.payload, extent);
        Self {
            id: ticket.id().to_string(),
            kind: ticket.kind.to_string(),
            flow: ticket.flow.as_ref().map(ToString::to_string),
            stage: ticket.stage.to_string(),
            state: entry.place.state().to_string(),
            reason,
            since: entry.place.since().to_string(),
            until,
            because,
            by,
            hop: ticket.name.hop.0,
            attempt: ticket.name.attempt.0,
            generation: ticket.name.generation.0,
            key: ticket.key.as_ref().map(ToString::to_string),
            payload,
            payload_bytes: ticket.payload.bytes.len() as u64,
            payload_cut,
            content_type: ticket.payload.content_type.clone(),
            created_at: ticket.created_at.to_string(),
            deadline: ticket.deadline.map(|at| at.to_string()),
            lineage: LineageJson::of(ticket),
            version: entry.version.as_ref().map(ToString::to_string),
            oopses: entry.oopses.iter().map(ToString::to_string).collect(),
            traceparent: ticket.trace.clone(),
        }
    }
}

impl LineageJson {
    fn of(ticket: &Ticket) -> Self {
        let Lineage {
            root,
            parent,
            depth,
        } = ticket.lineage;
        Self {
            root: root.to_string(),
            parent: parent.map(|id| id.to_string()),
            depth,
        }
    }
}

fn whereabouts(place: &Place) -> Whereabouts {
    match place {
        Place::Runnable { .. } | Place::Done { .. } => Whereabouts::default(),
        Place::Running { holder, .. } => Whereabouts {
            by: Some(holder.to_string()),
            ..Whereabouts::default()
        },
        Place::Waiting(wait) => Whereabouts {
            reason: Some(wait.condition.reason().to_string()),
            until: wait.condition.until().map(|at| at.to_string()),
            because: Some(wait.because.clone()),
            by: None,
        },
        Place::Dropped { reason, by, .. } => Whereabouts {
            reason: Some(reason.clone()),
            by: Some(by.clone()),
            ..Whereabouts::default()
        },
    }
}
