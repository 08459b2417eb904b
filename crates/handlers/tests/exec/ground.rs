//! A spawner of its own for each test, and commands in words.

use async_trait::async_trait;
use domain::names::{FlowName, Key, Kind, StageName};
use domain::outcome::{Attempted, Failure, Outcome};
use domain::ports::{Context, Handler, StopReason, StopSignal};
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use handlers::{Exec, ExecConfig, Limits, Spawner, SpawnerCommand};
use rustix::process::{Pid, Signal};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A folder and a spawner.
pub(crate) struct Ground {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) spawner: Spawner,
}

/// The helper process that Cargo built.
pub(crate) fn spawner_command() -> SpawnerCommand {
    SpawnerCommand {
        program: env!("CARGO_BIN_EXE_goaround-spawner").into(),
        args: Vec::new(),
    }
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            spawner: Spawner::start(spawner_command()).unwrap(),
        }
    }

    pub(crate) fn config(&self, command: &[&str]) -> ExecConfig {
        ExecConfig {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            folder: self.folder.path().to_owned(),
            env: BTreeMap::new(),
            version: None,
            limits: Limits::default(),
            callback_url: None,
            work_folder: self.folder.path().join("work"),
        }
    }

    pub(crate) fn command(&self, command: &[&str]) -> Arc<Exec> {
        self.exec(self.config(command))
    }

    pub(crate) fn exec(&self, config: ExecConfig) -> Arc<Exec> {
        Arc::new(Exec::new(config, self.spawner.clone()).unwrap())
    }

    /// A handler that is a line of shell.
    pub(crate) fn shell(&self, script: &str) -> Arc<Exec> {
        self.command(&["sh", "-c", script])
    }

    /// Runs a line of shell on a plain ticket.
    pub(crate) async fn run(&self, script: &str) -> Attempted {
        handle(&self.shell(script), ticket("")).await
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The numbers of processes that a command has written to a file, one a line, once there are
    /// so many.
    pub(crate) async fn pids(&self, name: &str, count: usize) -> Vec<u32> {
        pids_in(&self.path(name), count).await
    }

    /// Ends the spawner, which may not take for ever.
    pub(crate) async fn close(&self) {
        let closed = tokio::time::timeout(PATIENCE, self.spawner.close());
        closed.await.expect("the spawner closes");
    }

    /// What is left in the folder of results and progress, beside the lock of it.
    pub(crate) fn left_over(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("work")).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| !path.ends_with("lock")).collect()
    }
}

/// Another process that is a worker, with one command at work. Dropped, it is killed, and its
/// spawner with its commands follows.
pub(crate) struct Sleeper {
    folder: Arc<tempfile::TempDir>,
    process: Child,
}

impl Sleeper {
    /// One with a folder of its own and this line of shell; `alone` or `among` others.
    pub(crate) fn start(script: &str, company: &str) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), script, company)
    }

    /// Another one, in the folder of this one.
    pub(crate) fn start_again(&self, script: &str, company: &str) -> Self {
        Self::start_in(Arc::clone(&self.folder), script, company)
    }

    fn start_in(folder: Arc<tempfile::TempDir>, script: &str, company: &str) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_goaround-sleeper"))
            .arg(spawner_command().program)
            .arg(folder.path())
            .args([script, company])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, process }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// See [`Ground::pids`].
    pub(crate) async fn pids(&self, name: &str, count: usize) -> Vec<u32> {
        pids_in(&self.path(name), count).await
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.wait();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) {
        self.process.wait().unwrap();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// See [`Ground::pids`].
pub(crate) async fn pids_in(path: &Path, count: usize) -> Vec<u32> {
    let pids = || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let pids: Vec<u32> = whole
            .lines()
            .filter_map(|line| line.trim().parse().ok())
            .collect();
        (pids.len() >= count).then_some(pids)
    };
    until(&format!("{count} pids in {}", path.display()), pids).await
}

/// Looks again and again until there is an answer; a real process gives no other sign.
pub(crate) async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether a process runs; a dead one that nobody has reaped yet does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("X", |(_, rest)| rest);
    !state.starts_with(['Z', 'X'])
}

/// Whether not even a dead process is left.
pub(crate) fn is_gone(pid: u32) -> bool {
    !Path::new(&format!("/proc/{pid}")).exists()
}

/// Who started it.
pub(crate) fn parent_of(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    rest.split(' ').nth(1).unwrap().parse().unwrap()
}

pub(crate) fn ticket(payload: impl Into<Vec<u8>>) -> Arc<Ticket> {
    let id: TicketId = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f".parse().unwrap();
    Arc::new(Ticket {
        name: Name::first(id),
        kind: Kind::new("package").unwrap(),
        flow: Some(FlowName::new("ci").unwrap()),
        stage: StageName::new("build").unwrap(),
        key: Some(Key::new("rust").unwrap()),
        payload: Payload::untyped(payload.into()),
        deadline: None,
        created_at: Timestamp::EPOCH,
        lineage: Lineage::root(id),
        trace: None,
    })
}

/// Asks a handler to stop when a test says so.
#[derive(Clone)]
pub(crate) struct Switch(watch::Sender<Option<StopReason>>);

impl Switch {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub(crate) fn stop(&self, reason: StopReason) {
        self.0.send_replace(Some(reason));
    }

    pub(crate) fn context(&self, grace: Duration) -> Context {
        Context {
            alone: false,
            deadline: Timestamp::from_micros(1_795_269_802_120_000),
            grace,
            stop: Arc::new(self.clone()),
        }
    }
}

#[async_trait]
impl StopSignal for Switch {
    async fn stopped(&self) -> StopReason {
        let mut seen = self.0.subscribe();
        let stopped = seen.wait_for(Option::is_some).await;
        stopped.unwrap().unwrap()
    }
}

/// Runs one attempt, which nobody stops.
pub(crate) async fn handle(exec: &Arc<Exec>, ticket: Arc<Ticket>) -> Attempted {
    let context = Switch::new().context(Duration::from_secs(10));
    let attempt = exec.handle(ticket, context);
    tokio::time::timeout(PATIENCE, attempt)
        .await
        .expect("the attempt ends")
}

/// Runs one attempt alone, which nobody stops.
pub(crate) async fn handle_alone(exec: &Arc<Exec>, ticket: Arc<Ticket>) -> Attempted {
    let context = Context {
        alone: true,
        ..Switch::new().context(Duration::from_secs(10))
    };
    let attempt = exec.handle(ticket, context);
    tokio::time::timeout(PATIENCE, attempt)
        .await
        .expect("the attempt ends")
}

/// An attempt that runs beside the test. Dropped, it is killed.
pub(crate) struct Begun {
    switch: Switch,
    task: JoinSet<Attempted>,
}

pub(crate) fn begin(exec: &Arc<Exec>, grace: Duration) -> Begun {
    begin_with(exec, ticket(""), |switch| switch.context(grace))
}

/// The same at a ticket whose own deadline is the attempt's.
pub(crate) fn begin_at_last(exec: &Arc<Exec>, grace: Duration) -> Begun {
    let deadline = Some(Switch::new().context(grace).deadline);
    let ticket = Ticket {
        deadline,
        ..Ticket::clone(&ticket(""))
    };
    begin_with(exec, Arc::new(ticket), |switch| switch.context(grace))
}

/// The same, of one on trial.
pub(crate) fn begin_alone(exec: &Arc<Exec>, grace: Duration) -> Begun {
    begin_with(exec, ticket(""), |switch| Context {
        alone: true,
        ..switch.context(grace)
    })
}

fn begin_with(
    exec: &Arc<Exec>,
    ticket: Arc<Ticket>,
    context: impl Fn(&Switch) -> Context,
) -> Begun {
    let switch = Switch::new();
    let (exec, context) = (Arc::clone(exec), context(&switch));
    let mut task = JoinSet::new();
    task.spawn(async move { exec.handle(ticket, context).await });
    Begun { switch, task }
}

impl Begun {
    pub(crate) fn stop(&self, reason: StopReason) {
        self.switch.stop(reason);
    }

    pub(crate) async fn ended(mut self) -> Attempted {
        let end = tokio::time::timeout(PATIENCE, self.task.join_next()).await;
        end.expect("the attempt ends").unwrap().unwrap()
    }
}

/// What went wrong.
pub(crate) fn failure(attempted: &Attempted) -> &Failure {
    let failure = attempted.outcome.failure();
    failure.unwrap_or_else(|| panic!("expected a failure, got {attempted:?}"))
}

/// The payload that is handed on.
pub(crate) fn payload(attempted: &Attempted) -> Option<&Payload> {
    match &attempted.outcome {
        Outcome::Done(done) => done.payload.as_ref(),
        other => panic!("expected it to be done, got {other:?}"),
    }
}
