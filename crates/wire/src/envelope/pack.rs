//! A ticket into an envelope.

use super::{AVOID_MAX, Envelope, Header, PROPERTY_BYTES_MAX, is_content_type, is_trace, name};
use domain::names::Version;
use domain::ticket::{Lineage, Ticket};
use std::borrow::Cow;

/// The headers of a ticket that has everything; few have versions to avoid.
const HEADERS_MAX: usize = 13;

/// Makes the message that carries this copy of the ticket; `booked` says whether the books know
/// the ticket already. It borrows from the ticket, and shares its payload.
///
/// Points in time lose their microseconds.
pub fn pack(ticket: &Ticket, booked: bool) -> Envelope<'_> {
    let seconds = ticket.created_at.as_millis().div_euclid(1_000);
    let content_type = ticket.payload.content_type.as_deref();
    let content_type = content_type.filter(|text| is_content_type(text));
    let fits_property = |text: &&str| text.len() <= PROPERTY_BYTES_MAX;
    Envelope {
        message_id: Some(ticket.id().to_string().into()),
        kind: Some(ticket.kind.as_str().into()),
        content_type: content_type.filter(fits_property).map(Cow::Borrowed),
        timestamp: u64::try_from(seconds).ok(),
        headers: headers(ticket, content_type, booked),
        body: ticket.payload.bytes.clone(),
    }
}

impl<'a> Envelope<'a> {
    /// The same message, for a worker whose handler has none of these versions; those beyond the
    /// bound are left out.
    #[must_use]
    pub fn avoiding(mut self, versions: &'a [Version]) -> Self {
        if !versions.is_empty() {
            let versions = versions.iter().take(AVOID_MAX);
            let texts = versions.map(|version| Cow::Borrowed(version.as_str()));
            let texts = Header::Texts(texts.collect());
            self.headers.push((Cow::Borrowed(name::AVOID), texts));
        }
        self
    }

    /// The same message, for a ticket that is on trial.
    #[must_use]
    pub fn alone(mut self) -> Self {
        let header = (Cow::Borrowed(name::ALONE), Header::Bool(true));
        self.headers.push(header);
        self
    }
}

fn headers<'a>(
    ticket: &'a Ticket,
    content_type: Option<&'a str>,
    booked: bool,
) -> Vec<(Cow<'a, str>, Header<'a>)> {
    let mut headers = Vec::with_capacity(HEADERS_MAX);
    let mut put = |name: &'static str, header| headers.push((Cow::Borrowed(name), header));
    put(name::GENERATION, int(ticket.name.generation.0));
    put(name::HOP, int(ticket.name.hop.0));
    put(name::ATTEMPT, int(ticket.name.attempt.0));
    put(name::CREATED, Header::Int(ticket.created_at.as_millis()));
    if let Some(flow) = &ticket.flow {
        put(name::FLOW, text(flow.as_str()));
    }
    if let Some(key) = &ticket.key {
        put(name::KEY, text(key.as_str()));
    }
    if let Some(deadline) = ticket.deadline {
        put(name::DEADLINE, Header::Int(deadline.as_millis()));
    }
    if let Some(long) = content_type.filter(|text| text.len() > PROPERTY_BYTES_MAX) {
        put(name::CONTENT_TYPE, text(long));
    }
    if let Some(trace) = ticket.trace.as_deref().filter(|trace| is_trace(trace)) {
        put(name::TRACE, text(trace));
    }
    if booked {
        put(name::BOOKED, Header::Bool(true));
    }
    if ticket.lineage != Lineage::root(ticket.id()) {
        let Lineage {
            root,
            parent,
            depth,
        } = ticket.lineage;
        put(name::ROOT, Header::Text(root.to_string().into()));
        put(name::DEPTH, int(depth));
        if let Some(parent) = parent {
            put(name::PARENT, Header::Text(parent.to_string().into()));
        }
    }
    headers
}

fn int<'a>(number: u32) -> Header<'a> {
    Header::Int(number.into())
}

const fn text(text: &str) -> Header<'_> {
    Header::Text(Cow::Borrowed(text))
}
