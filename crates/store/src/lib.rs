//! Hides SQL: the broker and the store for those who have neither, on SQLite in one data folder.
//!
//! [`Embedded`] is broker, desk, waits and catalog over `books.db`; [`OopsFile`] keeps the reports
//! in `oopses.db`, so that a storm of reports never blocks a ticket. Each file has one writer
//! thread, which gathers whatever is asked of it meanwhile into one transaction: many callers
//! share one fsync, and each is answered only after it.
//!
//! One process owns the folder. So a claim needs no write: a stage's queue is read ahead into
//! memory, what is lent is a lease in memory, and `intents` tells after a death of the process
//! what had been started. That file is not fsynced: it outlives the process, not a power loss,
//! after which an attempt that was running is made again without a report about the first.

mod config;
mod error;
mod folder;
mod freed;

mod codes;
mod narrowing;
#[cfg(test)]
mod query_plans;
mod rows;
mod salvage;
mod schema;

mod readers;
mod writer;

mod feeder;
mod history;
mod intents;
mod lease;
mod queue;
mod queues;

mod admission;
mod boards;
mod books;
mod control;
mod deaths;
mod effects;
mod judging;
mod opening;
mod orders;
mod permits;
mod planning;
mod releases;
mod repair;
mod requests;
mod retention;
mod selecting;
mod settling;
mod spot;
mod submitting;
mod sweep;
mod trials;
mod waiting;

mod broker;
mod catalog;
mod consumer;
mod counts;
mod desk;
mod embedded;
mod health;
mod holds;
mod listing;
mod plans;
mod waits;

mod oops_rows;
mod oopses;

mod postgres;

pub use config::Config;
pub use embedded::Embedded;
pub use error::OpenError;
pub use oopses::OopsFile;
pub use postgres::{Postgres, PostgresConfig, PostgresError};
