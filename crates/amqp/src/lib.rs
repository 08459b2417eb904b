//! The broker port, the journal and the desired state on RabbitMQ; the only crate that knows lapin.
//!
//! A process has three [`link`]s to the broker, each of which is always there again. [`topology`]
//! declares what we need there, under [`names`] that a prefix changes, and [`canary`] proves that
//! it does what the delivery of tickets relies on. [`publisher`] sends in groups and finds out
//! what became of each message; [`control`] spreads the desired state and follows it. [`worker`]
//! and [`road`] are what the domain's ports see of all this: a worker's side of the broker, and
//! the controller's. [`doctor`] looks at all of it for a person.

pub mod config;
pub mod error;
pub mod names;

pub mod greeting;
pub mod link;

pub mod canary;
pub mod topology;

pub mod control;
pub mod publisher;

mod ended;
mod envelope;
mod journal;
mod kept;
pub mod obituary;
mod pulse;
mod quarantine;
mod url;

pub mod road;
pub mod worker;

pub mod doctor;

pub use config::{Config, Tls};
pub use error::Error;
pub use link::{Link, Purpose};
pub use names::Names;
pub use publisher::{Message, Publisher};
pub use road::Controller;
pub use worker::{Tally, Worker, WorkerSettings};
