//! A spawner for one attempt alone, beneath a stand-in for the worker: whatever that attempt does
//! to the processes above it, no other one is in them.

use super::{Life, Line, Shared, Spawner, SpawnerCommand, closed};
use crate::spawner::stand_in;
use std::future::pending;
use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError};
use tokio::sync::watch;

/// Used as a spawner is. Dropped, it kills what runs and ends, and its keeper sees to that.
pub(crate) struct Alone(Spawner);

impl Spawner {
    /// Starts a spawner for one attempt; `None` when that did not succeed, which is logged. It
    /// lives for as long as this one does, at most.
    ///
    /// # Cancel safety
    /// Safe: one that was not returned is ended.
    pub(crate) async fn alone(&self) -> Option<Alone> {
        let own = &self.shared;
        let shared = Arc::new(Shared {
            command: own.command.alone(),
            runtime: own.runtime.clone(),
            line: watch::Sender::new(Line::Down),
            closing: watch::Sender::new(false),
            // The numbers of places name files, whoever writes them.
            places: own.places.clone(),
            next_id: AtomicU64::new(1),
        });
        let mut line = shared.line.subscribe();
        let keeper = keep(Arc::clone(&shared), own.closing.subscribe());
        let alone = Alone(Self {
            shared,
            keepers: Arc::default(),
        });
        self.employ(keeper);
        let settled = line.wait_for(|line| !matches!(line, Line::Down)).await;
        let is_up = settled.is_ok_and(|line| matches!(*line, Line::Up(_)));
        is_up.then_some(alone)
    }

    fn employ(&self, keeper: impl Future<Output = ()> + Send + 'static) {
        let mut keepers = self.keepers.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are not to pile up.
        while keepers.try_join_next().is_some() {}
        keepers.spawn_on(keeper, &self.shared.runtime);
    }
}

impl SpawnerCommand {
    /// The same beneath a stand-in.
    fn alone(&self) -> Self {
        let verb = [stand_in::VERB.into()].into_iter();
        Self {
            program: self.program.clone(),
            args: verb.chain(self.args.iter().cloned()).collect(),
        }
    }
}

impl Deref for Alone {
    type Target = Spawner;

    fn deref(&self) -> &Spawner {
        &self.0
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0.shared.closing.send_replace(true);
    }
}

/// Is with it until its end. It is not up before it has said hello: what is sent to it then is
/// begun, unless something happens to it.
async fn keep(shared: Arc<Shared>, mut all_closing: watch::Receiver<bool>) {
    match Life::begin(&shared.command) {
        Ok(life) => live(life, &shared, &mut all_closing).await,
        Err(error) => {
            let program = shared.command.program.display();
            tracing::error!("a spawner for one attempt, {program}, cannot be started: {error}");
        }
    }
    shared.line.send_replace(Line::Closed);
}

async fn live(life: Life, shared: &Shared, all_closing: &mut watch::Receiver<bool>) {
    let link = Arc::clone(&life.link);
    let welcome = async {
        link.greeted().await;
        shared.line.send_replace(Line::Up(Arc::clone(&link)));
    };
    let follow = async {
        closed(all_closing).await;
        shared.closing.send_replace(true);
    };
    let attend = async {
        tokio::join!(welcome, follow);
        pending().await
    };
    let mut closing = shared.closing.subscribe();
    let death = tokio::select! {
        death = life.spend(&shared.line, &mut closing) => death,
        never = attend => never,
    };
    if let Some(death) = death {
        let why = death.why;
        tracing::error!("the spawner of one attempt died, and nothing else with it: {why}");
    }
}
