//! The worker: lives for exactly one attempt at one ticket.

use crate::panics::Panic;
use actix::ActorContext;
use actix::fut::WrapFuture;
use domain::outcome::{Attempted, Outcome};
use domain::ports::{Context, Handler};
use domain::ticket::Ticket;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// An ephemeral actor: runs the handler once, behind a panic boundary, and is gone.
pub(crate) struct Worker {
    handler: Arc<dyn Handler>,
}

impl Worker {
    pub(crate) fn new(handler: Arc<dyn Handler>) -> Self {
        Self { handler }
    }
}

impl actix::Actor for Worker {
    type Context = actix::Context<Self>;
}

/// Run the handler on this copy of the ticket.
pub(crate) struct Perform {
    pub(crate) ticket: Arc<Ticket>,
    pub(crate) context: Context,
}

impl actix::Message for Perform {
    type Result = Attempted;
}

impl actix::Handler<Perform> for Worker {
    /// Tied to the actor, unlike a `ResponseFuture`: when the worker ends, the handler's future is
    /// dropped with it.
    type Result = actix::ResponseActFuture<Self, Attempted>;

    fn handle(&mut self, message: Perform, _: &mut Self::Context) -> Self::Result {
        let handler = Arc::clone(&self.handler);
        let work = async move {
            let work =
                AssertUnwindSafe(async { handler.handle(message.ticket, message.context).await });
            match work.catch_unwind().await {
                Ok(attempted) => attempted,
                Err(panic) => {
                    let panic = Panic::caught(&*panic);
                    Outcome::Crashed(panic.failure().await).into()
                }
            }
        };
        Box::pin(work.into_actor(self))
    }
}

/// Drop the handler where it is and end.
pub(crate) struct Abandon;

impl actix::Message for Abandon {
    type Result = ();
}

impl actix::Handler<Abandon> for Worker {
    type Result = ();

    fn handle(&mut self, Abandon: Abandon, context: &mut Self::Context) {
        context.terminate();
    }
}
