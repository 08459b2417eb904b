//! The actors that own the work; the only crate that knows actix.
//!
//! A [`root`] starts one [`supervisor`] a stage and starts it again when it is lost. The supervisor
//! takes deliveries in ([`intake`]; on trial they wait for their [`turn`]); each group is started
//! by a [`launch`]. Each of them is an [`attempt`], which lends the ticket to one ephemeral
//! [`worker`], sees it end, has its report made durable and hands it to the [`settler`].
//! What a stage owns beyond the life of its supervisor is its [`station`]; [`holds`] opens one
//! that was closed because its handler could not be started. A [`grip`] is what another thread can
//! see and do of an attempt, [`hands`] hold all of them, and the [`overseer`] sees which handler
//! does not give its thread back. The [`controller`] moves waiting tickets on, and the [`watchdog`]
//! hears whether the workers are alive.

pub mod root;

mod supervisor;

mod station;

mod intake;
mod launch;
mod turn;

mod attempt;
mod grip;
mod hands;
mod overseer;
mod stop;
mod worker;

mod panics;

mod settler;

mod holds;
mod kept;

pub mod controller;
pub mod watchdog;

pub use controller::{Collector, Controller, ControllerSetup, Deaths, Leading, LeadingParts};
pub use panics::listen_to_panics;
pub use root::{Root, Running, Setup};
pub use watchdog::Watchdog;
