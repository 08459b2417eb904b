//! An attempt on trial: it runs beneath processes that are there for it alone.

use super::{Exec, never_begun};
use crate::helper::Alone;
use crate::link::Death;
use crate::spawner::stand_in::{self, Dead};
use domain::outcome::{Attempted, Failure, Outcome};
use domain::ports::Context;
use domain::ticket::Ticket;
use std::time::Duration;
use tokio::time::sleep;

/// How long is waited before its processes are tried to be started again.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
    Duration::from_millis(800),
];

impl Exec {
    /// # Cancel safety
    /// Dropped, everything of the attempt is killed, its processes too.
    pub(super) async fn run_alone(&self, ticket: &Ticket, context: &Context) -> Attempted {
        let spawner = match self.isolate(context).await {
            Ok(spawner) => spawner,
            Err(outcome) => return outcome.into(),
        };
        let attempted = self.run(&spawner, ticket, context).await;
        spawner.close().await;
        attempted
    }

    /// Processes for one attempt. That they cannot be started says nothing about the ticket, and
    /// is not for ever: after some tries it goes back as one that was never begun, uncharged and
    /// still on trial. The tries take so long that this is not done in a hurry.
    ///
    /// # Errors
    /// What comes of the attempt, when there will be none.
    async fn isolate(&self, context: &Context) -> Result<Alone, Outcome> {
        for pause in PAUSES.map(Some).into_iter().chain([None]) {
            let spawner = tokio::select! {
                biased;
                spawner = self.spawner.alone() => spawner,
                reason = context.stop.stopped() => return Err(never_begun(reason)),
            };
            if let Some(spawner) = spawner {
                return Ok(spawner);
            }
            tokio::select! {
                () = sleep(pause.unwrap_or_default()) => {}
                _ = context.stop.stopped() => break,
                () = self.spawner.closing() => break,
            }
        }
        Err(Outcome::Abandoned)
    }
}

/// What is known when one of its processes died at it. Says the same each time, whichever ticket
/// it was: who died, and of what.
pub(super) fn failure(death: &Death) -> Failure {
    let (dead, how) = match death.exit.map(stand_in::account) {
        Some((Dead::Parent, exit)) => ("parent", exit.to_string()),
        Some((Dead::Grandparent, exit)) => ("grandparent", exit.to_string()),
        None => ("parent", death.why.to_string()),
    };
    let message =
        format!("the {dead} process of the command died, which was there for it alone: {how}");
    Failure {
        exit: death.exit.map(|exit| stand_in::account(exit).1),
        ..Failure::new("ProcessDied", message)
    }
}
