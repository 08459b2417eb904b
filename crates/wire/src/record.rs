//! The journal as bytes: a group of records is one message, protobuf `goaround.v1.Records`.
//!
//! What records have in common (processes, stages, kinds, flows, scenes) stands once in a message
//! and is read once, so that a record about one of many tickets is small and costs no text. A
//! reader passes over fields that it does not know, but not over a word: a record that says
//! something new makes its message [`Unreadable`], since its effect on the books would be lost.

mod obituary;
mod read;
mod tables;
mod texts;
mod ticket;
mod wait;
mod weight;
mod write;

pub use weight::{RECORDS_MAX, groups};

use crate::Unreadable;
use bytes::Bytes;
use domain::record::Record;
use domain::ticket::Payload;

/// What the bytes are called where they travel.
pub const CONTENT_TYPE: &str = "application/x-protobuf; proto=goaround.v1.Records";

/// The content type that stands for what was too large for any record.
const LEFT_OUT: &str = "application/x-goaround-left-out";

/// What a ticket shows whose body cannot be carried. Whoever keeps bodies must not keep this for
/// one, since a handler would run on nothing.
pub fn left_out() -> Payload {
    Payload {
        bytes: Bytes::new(),
        content_type: Some(LEFT_OUT.to_owned()),
    }
}

/// Whether it only stands for a body that could not be carried.
pub fn is_left_out(payload: &Payload) -> bool {
    payload.bytes.is_empty() && payload.content_type.as_deref() == Some(LEFT_OUT)
}

/// Writes a group of records as one message. A group from [`groups`] can always be read again.
pub fn encode(records: &[Record]) -> Bytes {
    write::encode(records)
}

/// Reads a group of records, in their order.
///
/// # Errors
/// [`Unreadable`] when the bytes are not such a message, were cut, hold a name that is not valid,
/// or say something that this version does not know; then no record of them counts.
pub fn decode(bytes: &[u8]) -> Result<Vec<Record>, Unreadable> {
    read::decode(bytes).map_err(|error| error.within("records"))
}

#[cfg(test)]
mod tests;
