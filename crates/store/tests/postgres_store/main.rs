//! The store on a real PostgreSQL: the ledger of the leader, and a server that is not there, not
//! right, or dies.

mod ledger;
mod server;
mod support;
