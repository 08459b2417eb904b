//! The store on a real PostgreSQL: the ledger of the leader, and a server that is not there, not
//! right, or dies.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod bodies;
mod canaries;
mod counting;
mod deaths;
mod gates;
mod ledger;
mod plans;
mod releases;
mod repair;
mod server;
mod slices;
mod support;
mod trials;
mod waits;
mod words;
