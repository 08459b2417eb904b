//! What does the work of each configured stage, and where it lives.

use crate::config::{Config, Run};
use crate::helper;
use actix_rt::Arbiter;
use actors::Running;
use actors::root::Arbiters;
use anyhow::Context as _;
use domain::event::Loss;
use domain::names::StageName;
use domain::ports::{Handler, Inspection};
use handlers::{Exec, ExecConfig, ExecError, Limits, Spawner, SpawnerCommand};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::{info, warn};

/// The handlers of all stages, the process that spawns their commands, and their threads.
pub(super) struct Stages {
    handlers: BTreeMap<StageName, Arc<dyn Handler>>,
    spawner: Spawner,
    threads: Arc<Mutex<BTreeMap<StageName, Arbiter>>>,
}

impl Stages {
    /// Starts the spawner and makes a handler for each stage.
    pub(super) fn start(config: &Config, folder: &Path, api: Option<&str>) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find the program's own file")?;
        let command = SpawnerCommand {
            program,
            args: vec![helper::SPAWNER.into()],
        };
        let spawner =
            Spawner::start(command).context("cannot start the process that spawns handlers")?;
        let work_folder = folder.join("work");
        std::fs::create_dir_all(&work_folder)
            .with_context(|| format!("cannot make the folder {}", work_folder.display()))?;
        let work_folder = work_folder.canonicalize()?;
        let mut handlers: BTreeMap<StageName, Arc<dyn Handler>> = BTreeMap::new();
        for (stage, run) in &config.handlers {
            let exec = ExecConfig {
                command: run.command.clone(),
                folder: config.folder.clone(),
                env: run.env.clone(),
                version: run.version.clone(),
                limits: limits(run),
                callback_url: api.map(|api| format!("{api}/api/v1/callbacks")),
                work_folder: work_folder.clone(),
            };
            let handler =
                Exec::new(exec, spawner.clone()).map_err(|error| refusal(stage, error))?;
            handlers.insert(stage.clone(), Arc::new(handler));
        }
        Ok(Self {
            handlers,
            spawner,
            threads: Arc::default(),
        })
    }

    pub(super) fn handlers(&self) -> BTreeMap<StageName, Arc<dyn Handler>> {
        self.handlers.clone()
    }

    /// A thread for each stage, so that one that hangs does not hang the others. After a freeze the
    /// stage gets a new one; the old one is left to whatever it hangs in.
    pub(super) fn arbiters(&self) -> Arbiters {
        let threads = Arc::clone(&self.threads);
        Box::new(move |stage, last| {
            let mut threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
            match threads.get(stage) {
                Some(arbiter) if arbiter.alive() && last != Some(Loss::Frozen) => arbiter.handle(),
                _ => {
                    let arbiter = Arbiter::new();
                    let handle = arbiter.handle();
                    threads.insert(stage.clone(), arbiter);
                    handle
                }
            }
        })
    }

    /// Looks at all handlers again.
    pub(super) fn inspections(
        &self,
    ) -> Arc<dyn Fn() -> BTreeMap<StageName, Inspection> + Send + Sync> {
        let handlers = self.handlers.clone();
        Arc::new(move || {
            handlers
                .iter()
                .map(|(stage, handler)| (stage.clone(), handler.inspect()))
                .collect()
        })
    }

    /// Ends every handler that runs, at once; their attempts count as abandoned.
    pub(super) async fn end_handlers(&self) {
        self.spawner.close().await;
    }

    /// Ends the threads and the spawner with everything that it started.
    pub(super) async fn close(self) {
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for arbiter in threads.into_values() {
            arbiter.stop();
        }
        self.spawner.close().await;
    }
}

fn refusal(stage: &StageName, error: ExecError) -> anyhow::Error {
    match error {
        // Whichever stage came first, its configuration has nothing to do with this.
        ExecError::WorkFolderInUse { .. } | ExecError::Survivors { .. } => error.into(),
        _ => anyhow::Error::new(error).context(format!("stage.{stage}.run cannot be used")),
    }
}

fn limits(run: &Run) -> Limits {
    Limits {
        stdout_bytes_max: run.stdout_bytes_max,
        stderr_bytes_max: run.stderr_bytes_max,
        result_bytes_max: run.result_bytes_max,
        memory_bytes_max: run.memory_bytes_max,
    }
}

/// How long what is left may take to be made durable once no handler runs any more.
const LAST_SETTLEMENTS: Duration = Duration::from_secs(5);

/// Takes no more and lets what is in hand finish; a second signal, or the end of the deadline, ends
/// every handler. What was ended so is handed back, and nothing is charged.
pub(super) async fn go_down(running: &Running, drain: Duration, stages: &Stages) -> bool {
    info!("stopping: taking no more, finishing what is in hand (a second signal does not wait)");
    let draining = running.drain(drain);
    tokio::pin!(draining);
    let landed = tokio::select! {
        landed = &mut draining => landed,
        again = super::wait_for_the_end() => {
            warn!("stopping at once: what is in hand is handed back");
            stages.end_handlers().await;
            again.is_ok() && draining.await
        }
    };
    if landed {
        return true;
    }
    stages.end_handlers().await;
    let landed = running.drain(LAST_SETTLEMENTS).await;
    if !landed {
        warn!("some outcomes could not be made durable; their tickets go around at the next start");
    }
    landed
}
