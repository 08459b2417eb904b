//! The actors that own the work; the only crate that knows actix.
//!
//! A [`root`] starts one [`supervisor`] a stage and starts it again when it is lost. The supervisor
//! takes deliveries in ([`intake`]) and gives each to an [`attempt`], which lends the ticket to one
//! ephemeral [`worker`], sees it end, has its report made durable and hands it to the [`settler`].
//! What a stage owns beyond the life of its supervisor is its [`station`]. The [`controller`]
//! moves waiting tickets on.

pub mod root;

mod supervisor;

mod station;

mod intake;

mod attempt;
mod stop;
mod worker;

mod panics;

mod settler;

pub mod controller;

pub use controller::Controller;
pub use panics::listen_to_panics;
pub use root::{Root, Running, Setup};
