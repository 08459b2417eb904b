//! What does the work of a stage.

use crate::names::Version;
use crate::outcome::Attempted;
use crate::ticket::Ticket;
use crate::time::Timestamp;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// Why a handler is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// Its deadline has passed.
    Deadline,
    /// We are going down.
    Drain,
    /// The ticket was cancelled, or its generation is over, or another attempt blocks the thread
    /// that it runs on. Nothing is charged.
    Cancelled,
}

/// Tells a handler when to stop.
#[async_trait]
pub trait StopSignal: Send + Sync {
    /// Waits until it should stop. Stays ready once it is.
    ///
    /// # Cancel safety
    /// Safe: nothing is lost by asking again.
    async fn stopped(&self) -> StopReason;
}

/// What a handler may know about its attempt.
#[derive(Clone)]
pub struct Context {
    /// When it will be asked to stop: at the end of its stage's time, or at its ticket's own
    /// deadline if that comes first.
    pub deadline: Timestamp,
    /// How long it may then take.
    pub grace: Duration,
    /// Tells it to stop.
    pub stop: Arc<dyn StopSignal>,
    /// Whether it is on trial, so that it should run in a process of its own: one died at it. A
    /// command does. Handlers that are part of the worker cannot; all that isolates those is that
    /// no other ticket on trial at their stage is out.
    pub alone: bool,
}

/// How a handler is made to let go of its ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LetsGo {
    /// Dropping its future is enough.
    WhenDropped,
    /// It listens to the stop signal and returns once nothing of it runs any more.
    WhenStopped,
}

/// What a look at a handler showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The version it is now.
    pub version: Version,
    /// Why it cannot be started, if it cannot.
    pub obstacle: Option<String>,
}

/// Does the work of a stage.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Works on one ticket once. May panic: that is an outcome too.
    async fn handle(&self, ticket: Arc<Ticket>, context: Context) -> Attempted;
    /// Looks at the component again: its version, and whether it can be started.
    fn inspect(&self) -> Inspection;
    /// How it is made to let go.
    fn lets_go(&self) -> LetsGo {
        LetsGo::WhenDropped
    }
}
