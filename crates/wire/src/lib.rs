//! Byte formats, hidden from everybody else.
//!
//! [`json`] is what the API speaks and the store keeps of nested things; [`child`] is what passes
//! between a worker process and the small process that spawns its handlers; [`intent`] is the file
//! that tells after a crash what had been started.
//!
//! The rest passes through a broker: a ticket as an [`envelope`], the journal as groups of
//! [`record`]s, the desired state as a [`control`] snapshot, an OOPS as a [`report`]. A [`breaker`]
//! and a release [`plan`] are rows of the books. What cannot be read is [`Unreadable`], in words.

pub mod child;
pub mod intent;
pub mod json;
pub mod proto;

pub mod control;
pub mod envelope;
pub mod record;
pub mod report;

pub mod breaker;
pub mod plan;

mod fields;
mod ids;
mod outcome;
mod unreadable;

#[cfg(test)]
mod samples;

pub use unreadable::Unreadable;
