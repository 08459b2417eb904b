//! An attempt on trial: it runs beneath processes that are there for it alone.

use super::{Exec, never_begun};
use crate::helper::Alone;
use crate::link::{Attempt, Death, Word};
use crate::spawner::stand_in::{self, Dead};
use domain::outcome::{Attempted, Failure, Outcome};
use domain::ports::{Context, StopReason};
use domain::ticket::Ticket;
use domain::trial::Unbegun;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How much longer than its grace one that was told to stop may take before its processes are
/// taken for stopped themselves.
const GRACE_MARGIN: Duration = Duration::from_secs(5);

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
    /// may pass: it is tried some times, not in a hurry. Then somebody has to be told, and the
    /// ticket stays on trial.
    ///
    /// # Errors
    /// What comes of the attempt, when there will be none.
    async fn isolate(&self, context: &Context) -> Result<Alone, Outcome> {
        let mut last: Arc<str> = "".into();
        for pause in PAUSES.map(Some).into_iter().chain([None]) {
            let spawner = tokio::select! {
                biased;
                spawner = self.spawner.alone() => spawner,
                reason = context.stop.stopped() => return Err(never_begun(reason)),
            };
            match spawner {
                Ok(spawner) => return Ok(spawner),
                Err(why) => last = why,
            }
            tokio::select! {
                biased;
                reason = context.stop.stopped() => return Err(never_begun(reason)),
                () = self.spawner.closing() => return Err(Outcome::Abandoned),
                () = sleep(pause.unwrap_or_default()) => {}
            }
        }
        Err(Outcome::Failed(cannot_isolate(&last)))
    }
}

fn cannot_isolate(why: &str) -> Failure {
    let tries = PAUSES.len() + 1;
    Unbegun::CannotSpawn.failure(format!(
        "it is on trial, and the processes that it needs for itself could not be started in \
         {tries} tries: {why}; see whether this host has processes and memory left (ulimit -u, \
         pids.max, free), and whether the program of the worker is still in its place"
    ))
}

/// Waits for the end of one that was told to stop. A command may have stopped the processes above
/// it: those say nothing any more, and have to be killed.
pub(super) async fn ended(mut attempt: Attempt, reason: StopReason, grace: Duration) -> Word {
    if let Ok(word) = timeout(grace + GRACE_MARGIN, attempt.ended()).await {
        return word;
    }
    attempt.give_up("it did not answer when its command was to be stopped, so it was killed");
    match (attempt.ended().await, reason) {
        // Whatever it did, it was not given the time to end.
        (Word::SpawnerDied { .. }, StopReason::Drain | StopReason::Cancelled) => Word::Closed,
        (word, _) => word,
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
