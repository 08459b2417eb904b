//! The store on a real PostgreSQL: the ledger of the leader, and a server that is not there, not
//! right, or dies.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod deaths;
mod gates;
mod ledger;
mod repair;
mod server;
mod support;
mod trials;
mod waits;
