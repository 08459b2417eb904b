//! The supervisor: takes deliveries of one stage in and keeps its workers to the desired state.

use crate::intake;
use crate::panics::Panic as Caught;
use crate::station::Station;
use actix::fut::WrapFuture;
use actix::{ActorContext, ActorFutureExt, AsyncContext};
use domain::event::Event;
use domain::ports::Follower;
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::time::sleep;

/// Owns the intake of one stage. It may be lost at any time: what it started belongs to the
/// station, what it had not started goes back to the broker.
pub(crate) struct Supervisor {
    station: Arc<Station>,
}

impl Supervisor {
    pub(crate) fn new(station: Arc<Station>) -> Self {
        Self { station }
    }
}

impl actix::Actor for Supervisor {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let stage = self.station.rules.name.clone();
        self.station.observe(&Event::SupervisorStarted {
            stage,
            holder: self.station.holder(),
        });
        let intake = intake::run(Arc::clone(&self.station)).into_actor(self);
        // The intake ends only when told to be quiet; then nothing is left to supervise.
        context.spawn(intake.map(|(), _, context| context.stop()));
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // Dropped while its thread unwinds, it died of a panic; whoever keeps it wants to know.
        if std::thread::panicking() {
            self.station.note_panic();
        }
    }
}

/// Keeps the stage's attempts to the desired state, whoever supervises them.
pub(crate) async fn follow(station: Arc<Station>) {
    loop {
        match station.setup.broker.follow().await {
            Ok(follower) => {
                let kept = AssertUnwindSafe(keep_to(&station, follower)).catch_unwind();
                if let Err(panic) = kept.await {
                    let why = format!("a bug in goaround: {}", Caught::caught(&*panic).message);
                    station.observe(&Event::StoreFailed {
                        what: "follow",
                        why,
                    });
                }
            }
            Err(error) => {
                station.observe(&Event::StoreFailed {
                    what: "follow",
                    why: error.to_string(),
                });
            }
        }
        sleep(crate::attempt::DURABLE_RETRY).await;
    }
}

async fn keep_to(station: &Station, mut follower: Box<dyn Follower>) {
    while let Ok(snapshot) = follower.next().await {
        station.hands.keep_to(&snapshot);
    }
}

/// Answers when the supervisor is gone, and only then.
pub(crate) struct Watch;

impl actix::Message for Watch {
    type Result = ();
}

impl actix::Handler<Watch> for Supervisor {
    type Result = actix::ResponseActFuture<Self, ()>;

    fn handle(&mut self, Watch: Watch, _: &mut Self::Context) -> Self::Result {
        Box::pin(std::future::pending::<()>().into_actor(self))
    }
}

/// Answers at once, unless its arbiter hangs.
pub(crate) struct Ping;

impl actix::Message for Ping {
    type Result = ();
}

impl actix::Handler<Ping> for Supervisor {
    type Result = ();

    fn handle(&mut self, Ping: Ping, _: &mut Self::Context) {}
}

/// End where you are. What was started is not the supervisor's and goes on.
pub(crate) struct End;

impl actix::Message for End {
    type Result = ();
}

impl actix::Handler<End> for Supervisor {
    type Result = ();

    fn handle(&mut self, End: End, context: &mut Self::Context) {
        context.terminate();
    }
}

/// Die of a bug: lets tests see that nothing is lost then.
pub(crate) struct Panic;

impl actix::Message for Panic {
    type Result = ();
}

impl actix::Handler<Panic> for Supervisor {
    type Result = ();

    #[expect(clippy::panic, reason = "it is what this message asks for")]
    fn handle(&mut self, Panic: Panic, _: &mut Self::Context) {
        panic!(
            "the supervisor of stage {} was told to panic",
            self.station.rules.name
        );
    }
}
