//! What people and programs see over HTTP; hides actix-web and HTML from everybody else.
//!
//! A request passes the gate (who may ask), is routed by one table ([`openapi`](crate) is made from
//! the same table, so it cannot be forgotten there), and ends at a noun: tickets, oopses, stages,
//! breakers, plans, books. Whatever goes wrong is a problem document. The viewer shows the same
//! nouns as pages that work without a script, and the live listener tells both when to look again.

mod config;
mod site;

mod gate;
mod problem;
mod routes;
mod server;

mod admission;
mod body;
mod intake;
mod lines;
mod list;

mod books;
mod breakers;
mod callbacks;
mod doctor;
mod oopses;
mod orders;
mod plans;
mod stages;
mod stalled;
mod tickets;

mod events;
mod live;
mod meter;

mod later;
mod openapi;
mod probe_server;
mod probes;

mod viewer;

pub use actix_web::dev::{Server, ServerHandle};
pub use config::{Config, Limits, Token};
pub use live::Live;
pub use probe_server::ProbeServer;
pub use routes::is_beside_api;
pub use server::serve;
pub use site::{Parts, Probes};

#[cfg(test)]
mod tests;
