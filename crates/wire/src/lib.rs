//! Byte formats, hidden from everybody else.
//!
//! [`json`] is what the API speaks and the store keeps of nested things; [`child`] is what passes
//! between a worker process and the small process that spawns its handlers; [`intent`] is the file
//! that tells after a crash what had been started.

pub mod child;
pub mod intent;
pub mod json;
