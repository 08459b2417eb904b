//! A spawner for one attempt alone, beneath a stand-in for the worker: whatever that attempt does
//! to the processes above it, no other one is in them.

use super::{Life, Line, Shared, Spawner, SpawnerCommand, closed};
use crate::spawner::stand_in;
use std::future::pending;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use tokio::sync::watch;

/// Used as a spawner is. Dropped, it kills what runs and ends, and its keeper sees to that.
pub(crate) struct Alone(Spawner);

impl Spawner {
    /// Starts a spawner for one attempt. It lives for as long as this one does, at most.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Cancel safety
    /// Safe: one that was not returned is ended.
    pub(crate) async fn alone(&self) -> Result<Alone, Arc<str>> {
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
        match settled.as_deref() {
            Ok(Line::Up(_)) => Ok(alone),
            Ok(Line::Broken(why)) => Err(Arc::clone(why)),
            Ok(Line::Down | Line::Closed) | Err(_) => Err("this worker is going down".into()),
        }
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
    let end = match Life::begin(&shared.command) {
        Ok(life) => live(life, &shared, &mut all_closing).await,
        Err(error) => {
            let program = shared.command.program.display();
            Line::Broken(format!("{program} cannot be started: {error}").into())
        }
    };
    shared.line.send_replace(end);
}

/// Returns how its line is then.
async fn live(life: Life, shared: &Shared, all_closing: &mut watch::Receiver<bool>) -> Line {
    let link = Arc::clone(&life.link);
    let was_up = AtomicBool::new(false);
    let welcome = async {
        link.greeted().await;
        was_up.store(true, Ordering::Relaxed);
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
    match death {
        Some(death) if was_up.load(Ordering::Relaxed) => {
            let why = death.why;
            tracing::error!("the spawner of one attempt died, and nothing else with it: {why}");
            Line::Closed
        }
        Some(death) => Line::Broken(death.why),
        None => Line::Closed,
    }
}
