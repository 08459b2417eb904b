//! A ticket as an AMQP message, in neutral types: properties, headers and a body.
//!
//! Anyone may submit with any AMQP client, so what comes in may lack everything and mean anything.
//! Nothing of that is ever fatal: what makes no sense is left out, and told as an oddity. The
//! stage is the routing key, and no part of the envelope.
//!
//! | where | what |
//! |---|---|
//! | `message_id` | the ticket's id, a UUID in any spelling; without one it has no identity yet |
//! | `type` | the kind |
//! | `content_type` | what the body is |
//! | `timestamp` | when it was created, in seconds since 1970 |
//! | `goaround-generation`, `-hop`, `-attempt` | which copy; without the first header the first |
//! | `goaround-flow`, `-key` | the same as in a submit |
//! | `goaround-deadline`, `-created` | in milliseconds since 1970 |
//! | `goaround-root`, `-parent`, `-depth` | where it came from |
//! | `goaround-content-type` | what the body is, if that is too long for the property |
//! | `goaround-booked` | whether the books know the ticket |
//! | `goaround-avoid` | a list of texts: the handler's versions that must not run it |
//! | `goaround-alone` | a truth value: a process died at it, so it runs in one of its own |
//! | `traceparent` | the W3C trace context |

mod oddities;
mod pack;
mod unpack;

pub use pack::pack;
pub use unpack::{Unpacked, unpack};

use bytes::Bytes;
use domain::breaker::Breaker;
use std::borrow::Cow;

/// The most bytes of a body and its headers that a broker takes by default (RabbitMQ 4; older ones
/// take 128 MiB). Nothing here refuses a longer one.
pub const BROKER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The most bytes of a property that is a short string.
const PROPERTY_BYTES_MAX: usize = 255;
/// The longest content type that is kept, as in a submit by the API.
const CONTENT_TYPE_BYTES_MAX: usize = 256;
/// The longest trace context that is kept; all headers share one frame, so none may be endless.
const TRACE_BYTES_MAX: usize = 256;
/// The most versions that a ticket is kept from: as many as a breaker is held against.
const AVOID_MAX: usize = Breaker::VERSIONS_MAX;
/// The last millisecond that has a date of four digits in every time zone, and, negated, the first.
const MILLIS_MAX: i64 = 253_402_207_200_000;

/// The names of the headers.
mod name {
    pub(super) const GENERATION: &str = "goaround-generation";
    pub(super) const HOP: &str = "goaround-hop";
    pub(super) const ATTEMPT: &str = "goaround-attempt";
    pub(super) const FLOW: &str = "goaround-flow";
    pub(super) const KEY: &str = "goaround-key";
    pub(super) const DEADLINE: &str = "goaround-deadline";
    pub(super) const CREATED: &str = "goaround-created";
    pub(super) const ROOT: &str = "goaround-root";
    pub(super) const PARENT: &str = "goaround-parent";
    pub(super) const DEPTH: &str = "goaround-depth";
    pub(super) const CONTENT_TYPE: &str = "goaround-content-type";
    pub(super) const BOOKED: &str = "goaround-booked";
    pub(super) const AVOID: &str = "goaround-avoid";
    pub(super) const ALONE: &str = "goaround-alone";
    pub(super) const TRACE: &str = "traceparent";
}

/// The value of a header, as far as we care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header<'a> {
    /// An integer of any width.
    Int(i64),
    /// A short or a long string that is UTF-8.
    Text(Cow<'a, str>),
    /// A truth value.
    Bool(bool),
    /// A list of nothing but texts.
    Texts(Vec<Cow<'a, str>>),
    /// Anything else: a table, a number with a point, bytes that are not text.
    Other,
}

/// What travels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The AMQP property of this name.
    pub message_id: Option<Cow<'a, str>>,
    /// The AMQP property `type`.
    pub kind: Option<Cow<'a, str>>,
    /// The AMQP property of this name.
    pub content_type: Option<Cow<'a, str>>,
    /// The AMQP property of this name, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// The headers; of several with one name the first counts.
    pub headers: Vec<(Cow<'a, str>, Header<'a>)>,
    /// What the ticket carries.
    pub body: Bytes,
}

/// Whether a content type is one that we keep and send.
fn is_content_type(text: &str) -> bool {
    let fits = (1..=CONTENT_TYPE_BYTES_MAX).contains(&text.len());
    fits && text.bytes().all(|c| c.is_ascii_graphic() || c == b' ')
}

/// Whether a trace context is one that we keep and send. It becomes an environment variable.
fn is_trace(text: &str) -> bool {
    let fits = (1..=TRACE_BYTES_MAX).contains(&text.len());
    fits && text.bytes().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
