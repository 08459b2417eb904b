//! What does the work of a stage. Hides processes.
//!
//! [`Exec`] runs a command for each attempt. It never forks itself: a worker process may be large,
//! and must not pay for that with every attempt. Instead it has one [`Spawner`], a small process of
//! the same binary, which starts the commands, feeds them, watches them and makes sure that nothing
//! of them is left when it says how they ended. [`spawner`] is that process.
//!
//! An attempt on trial does not share that process: it gets one of its own, and above it another
//! one that stands where the worker stands otherwise ([`spawner::stand_in`]). So a command that
//! takes the processes above it along takes nobody else's.
//!
//! Whatever dies first, no handler outlives it: the spawner sees the worker's end and kills every
//! command, and the worker sees the spawner's end and does the same.
//!
//! Handlers that are services (HTTP, gRPC) will have their place beside [`Exec`].

mod ending;
mod environment;
mod exec;
mod program;
mod result;

mod helper;
mod link;
mod places;
mod slot;

pub mod launcher;
mod processes;
pub mod spawner;

pub use exec::{Exec, ExecConfig, ExecError, Limits};
pub use helper::{Spawner, SpawnerCommand};
