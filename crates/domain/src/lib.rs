//! The rules of Goaround, without the world.
//!
//! A [`ticket`] follows a [`flow`] of stages. A broker hands it out as a [`delivery`]; a worker's
//! attempt at it ends in one [`outcome`]; the outcome decides its [`settlement`]: on to the next
//! stage, done for good, or into a [`wait`] with a reason, a condition and a next step. What went
//! wrong is told once, in an [`oops`], and has a [`signature`]. The [`books`] know where every
//! ticket is, and [`explain`] why. [`event`]s tell what happens, and [`invariants`] listen whether
//! it may.
//!
//! Nothing here reads a clock, draws a number or does IO: time, chance and ids are arguments, and
//! the world is behind [`ports`].

pub mod names;
pub mod time;

pub mod ticket;

pub mod deadline;
pub mod flow;
pub mod outcome;
pub mod retry;

pub mod delivery;
pub mod settlement;
pub mod trial;

pub mod obituary;
pub mod oops;
pub mod signature;
pub mod wait;

pub mod verdict;

pub mod breaker;
pub mod plan;

pub mod books;
pub mod control;
pub mod explain;
pub mod fleet;
pub mod hearing;
pub mod record;

pub mod event;
pub mod fold;
pub mod invariants;

pub mod filter;
pub mod ports;
