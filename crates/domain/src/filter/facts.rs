//! What a query can ask a ticket or a report.

use super::{DataPath, Field};
use crate::books::{Entry, Place};
use crate::names::Holder;
use crate::oops::Report;
use crate::outcome::OutcomeKind;
use crate::signature;
use crate::time::Timestamp;
use crate::wait::Condition;
use std::borrow::Cow;

/// What a query can ask. A field that does not apply has no value, and nothing matches it.
pub trait Facts {
    /// The values of a field that holds words, ids, text or versions.
    fn values(&self, field: Field) -> Vec<Cow<'_, str>>;
    /// The value of a field that holds a number.
    fn number(&self, field: Field) -> Option<f64>;
    /// The value of a field that holds a point in time.
    fn time(&self, field: Field) -> Option<Timestamp>;
    /// The values at this place of what a ticket carries.
    fn data(&self, _path: &DataPath) -> Vec<Cow<'_, str>> {
        Vec::new()
    }
    /// Whether the text, which is in lower case, occurs somewhere; case does not matter.
    fn has_text(&self, needle_lowercase: &str) -> bool;
}

impl Facts for Entry {
    fn values(&self, field: Field) -> Vec<Cow<'_, str>> {
        let ticket = &self.ticket;
        match field {
            Field::Is => is_words(&self.place),
            Field::Id | Field::Ticket => one(ticket.id().to_string()),
            Field::Stage => one(ticket.stage.as_str()),
            Field::Flow => ticket.flow.as_ref().map_or_else(none, |f| one(f.as_str())),
            Field::Kind => one(ticket.kind.as_str()),
            Field::Key => ticket.key.as_ref().map_or_else(none, |k| one(k.as_str())),
            Field::Version => self.version.as_ref().map_or_else(none, |v| one(v.as_str())),
            Field::Worker => holder(&self.place).map_or_else(none, |h| one(h.as_str())),
            Field::Trace => trace_values(ticket.trace.as_deref()),
            Field::Group => group(&self.place),
            Field::By => match &self.place {
                Place::Dropped { by, .. } => one(by.as_str()),
                _ => none(),
            },
            Field::Type
            | Field::Value
            | Field::Frame
            | Field::File
            | Field::Host
            | Field::Src
            | Field::Attempts
            | Field::Created
            | Field::Since
            | Field::Seen
            | Field::Parked => none(),
        }
    }

    fn number(&self, field: Field) -> Option<f64> {
        (field == Field::Attempts).then(|| f64::from(self.ticket.name.attempt.0))
    }

    fn time(&self, field: Field) -> Option<Timestamp> {
        match field {
            Field::Created => Some(self.ticket.created_at),
            Field::Since | Field::Seen => Some(self.place.since()),
            Field::Parked => match &self.place {
                Place::Waiting(wait) if wait.condition == Condition::Parked => Some(wait.since),
                _ => None,
            },
            _ => None,
        }
    }

    fn data(&self, path: &DataPath) -> Vec<Cow<'_, str>> {
        path.values_in(&self.ticket.payload.bytes)
    }

    fn has_text(&self, needle_lowercase: &str) -> bool {
        let ticket = &self.ticket;
        let occurs = |text: &str| text.to_lowercase().contains(needle_lowercase);
        occurs(&ticket.id().to_string())
            || occurs(ticket.kind.as_str())
            || ticket.key.as_ref().is_some_and(|key| occurs(key.as_str()))
            || occurs(&String::from_utf8_lossy(&ticket.payload.bytes))
    }
}

impl Facts for Report {
    fn values(&self, field: Field) -> Vec<Cow<'_, str>> {
        match field {
            Field::Is => is_words_of_report(self),
            Field::Id => one(self.id.to_string()),
            Field::Ticket => one(self.name.ticket.to_string()),
            Field::Stage => one(self.stage.as_str()),
            Field::Flow => self.flow.as_ref().map_or_else(none, |f| one(f.as_str())),
            Field::Kind => one(self.kind.as_str()),
            Field::Type => one(self.failure.error_type.as_str()),
            Field::Group => one(self.signature().id.to_string()),
            Field::Value => one(self.failure.message.as_str()),
            Field::Frame => signature::functions(&self.failure),
            Field::File => signature::files(&self.failure),
            Field::Version => one(self.version.as_str()),
            Field::Host => one(self.hostname.as_str()),
            Field::Worker => one(self.holder.as_str()),
            Field::Trace => trace_values(self.trace.as_deref()),
            Field::Src => one(self.source.as_str()),
            Field::Key
            | Field::Attempts
            | Field::Created
            | Field::Since
            | Field::Seen
            | Field::Parked
            | Field::By => none(),
        }
    }

    fn number(&self, field: Field) -> Option<f64> {
        (field == Field::Attempts).then(|| f64::from(self.name.attempt.0))
    }

    fn time(&self, field: Field) -> Option<Timestamp> {
        matches!(field, Field::Since | Field::Seen).then_some(self.time)
    }

    fn has_text(&self, needle_lowercase: &str) -> bool {
        let failure = &self.failure;
        [
            &failure.error_type,
            &failure.message,
            &failure.trace,
            &failure.log_tail,
        ]
        .iter()
        .any(|text| text.to_lowercase().contains(needle_lowercase))
    }
}

fn one<'a>(value: impl Into<Cow<'a, str>>) -> Vec<Cow<'a, str>> {
    vec![value.into()]
}

fn none<'a>() -> Vec<Cow<'a, str>> {
    Vec::new()
}

fn is_words(place: &Place) -> Vec<Cow<'_, str>> {
    let state = place.state();
    let ended = if state.is_terminal() { "ended" } else { "live" };
    let mut words = vec![state.as_str().into(), ended.into()];
    if let Place::Waiting(wait) = place {
        words.push(wait.condition.reason().as_str().into());
    }
    words
}

/// The handler said that it failed or that the ticket is wrong: it was there to say so.
fn is_words_of_report(report: &Report) -> Vec<Cow<'_, str>> {
    let mut words = one(report.outcome.as_str());
    let is_said = matches!(report.outcome, OutcomeKind::Failed | OutcomeKind::Rejected);
    match signature::is_panic(&report.failure) {
        true => words.push("panic".into()),
        false if is_said => words.push("handled".into()),
        false => {}
    }
    words
}

/// The problem whose repair the ticket waits for.
fn group<'a>(place: &Place) -> Vec<Cow<'a, str>> {
    match place {
        Place::Waiting(wait) => match &wait.condition {
            Condition::Repair { signature } => one(signature.to_string()),
            _ => none(),
        },
        _ => none(),
    }
}

fn holder(place: &Place) -> Option<&Holder> {
    match place {
        Place::Running { holder, .. } => Some(holder),
        Place::Waiting(wait) => match &wait.condition {
            Condition::Suspect { holder, .. } => Some(holder),
            _ => None,
        },
        Place::Runnable { .. } | Place::Done { .. } | Place::Dropped { .. } => None,
    }
}

/// A `traceparent` can be asked for whole, or by the trace id in it.
fn trace_values(traceparent: Option<&str>) -> Vec<Cow<'_, str>> {
    let Some(text) = traceparent else {
        return none();
    };
    let trace_id = text.split('-').nth(1);
    [Some(text), trace_id]
        .into_iter()
        .flatten()
        .map(Cow::from)
        .collect()
}
