//! The worker: lives for exactly one attempt at one ticket.

use crate::grip::AtWork;
use actix::ActorContext;
use actix::fut::WrapFuture;
use domain::outcome::Outcome;
use std::sync::Arc;

/// An ephemeral actor: runs the handler once, behind a panic boundary, and is gone.
pub(crate) struct Worker;

impl actix::Actor for Worker {
    type Context = actix::Context<Self>;
}

/// Run the handler; what it says is in its grip then.
pub(crate) struct Perform(pub(crate) AtWork);

impl actix::Message for Perform {
    type Result = ();
}

impl actix::Handler<Perform> for Worker {
    /// Tied to the actor, unlike a `ResponseFuture`: when the worker ends, the handler is dropped
    /// with it.
    type Result = actix::ResponseActFuture<Self, ()>;

    fn handle(&mut self, Perform(work): Perform, _: &mut Self::Context) -> Self::Result {
        let grip = Arc::clone(&work.grip);
        let work = async move {
            if let Some(panic) = work.await {
                grip.say(Outcome::Crashed(panic.failure().await).into());
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
