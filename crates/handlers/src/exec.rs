//! A handler that is a command, run once for each attempt.

mod alone;
mod error;
mod files;
mod survivors;

pub use error::ExecError;

use crate::ending::{self, Terms};
use crate::environment::{self, Facts};
use crate::helper::Spawner;
use crate::link::{Attempt, Death, Word};
use crate::processes::Mark;
use crate::program::Program;
use async_trait::async_trait;
use bytes::Bytes;
use domain::names::Version;
use domain::outcome::{Attempted, Failure, Outcome};
use domain::ports::{Context, Handler, Inspection, LetsGo, StopReason};
use domain::ticket::Ticket;
use domain::trial::Unbegun;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wire::child::{End, Invocation, InvocationLimits, Variable};

/// The most lines of standard error that one attempt adds to the log.
const LOG_LINES_MAX: usize = 200;

/// How a stage's command is run.
#[derive(Clone, Debug)]
pub struct ExecConfig {
    /// The program and its arguments. A program with a slash is a path, from `folder` on; any other
    /// is looked up in the `PATH` of `env`.
    pub command: Vec<String>,
    /// The folder it runs in.
    pub folder: PathBuf,
    /// What its environment holds beside the facts about the attempt. Without a `PATH` in it, that
    /// is `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`.
    pub env: BTreeMap<String, String>,
    /// Its version; by default the content of its file makes one.
    pub version: Option<Version>,
    /// How much it may use.
    pub limits: Limits,
    /// Where outside events are reported; ticket and generation are added to it.
    pub callback_url: Option<String>,
    /// Where the files for results and progress are made, and removed from.
    pub work_folder: PathBuf,
}

/// How much a command may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of standard output; one that writes more is stopped and has failed.
    pub stdout_bytes_max: u64,
    /// How much of the end of standard error is kept.
    pub stderr_bytes_max: u64,
    /// The most bytes of a result file.
    pub result_bytes_max: u64,
    /// The most memory that each of its processes may allocate.
    pub memory_bytes_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stdout_bytes_max: 1024 * 1024,
            stderr_bytes_max: 64 * 1024,
            result_bytes_max: 1024 * 1024,
            memory_bytes_max: None,
        }
    }
}

impl Limits {
    const fn to_wire(&self) -> InvocationLimits {
        InvocationLimits {
            stdout_bytes_max: self.stdout_bytes_max,
            stderr_bytes_max: self.stderr_bytes_max,
            result_bytes_max: self.result_bytes_max,
            memory_bytes_max: self.memory_bytes_max,
        }
    }
}

/// A handler that is a command. See [`ExecConfig`].
pub struct Exec {
    spawner: Spawner,
    program: Program,
    /// The environment as far as it is the same for each attempt.
    base: Vec<Variable>,
    version: Option<Version>,
    limits: Limits,
    callback_url: Option<String>,
    work_folder: PathBuf,
}

impl Exec {
    /// Sets a command up. Whether it can be started is told by [`Handler::inspect`].
    ///
    /// # Errors
    /// [`ExecError`] when the configuration can never work, or the work folder cannot be used.
    pub fn new(config: ExecConfig, spawner: Spawner) -> Result<Self, ExecError> {
        check(&config)?;
        let folder = absolute(&config.folder)?;
        let work_folder = files::prepare(&absolute(&config.work_folder)?)?;
        let search_path = config.env.get("PATH").map(String::as_str);
        Ok(Self {
            spawner,
            program: Program::new(config.command, folder, search_path),
            base: environment::base(&config.env),
            version: config.version,
            limits: config.limits,
            callback_url: config.callback_url,
            work_folder,
        })
    }

    /// Everything of the attempt but its number, and the mark of its processes.
    fn invocation(
        &self,
        program: &Path,
        place: u64,
        ticket: &Ticket,
        context: &Context,
    ) -> (Invocation, Mark) {
        let file = |suffix| self.work_folder.join(files::name(place, suffix));
        let (result, progress) = (file("result"), file("progress"));
        let facts = Facts {
            deadline: context.deadline,
            result: &result,
            progress: &progress,
            callback_url: self.callback_url.as_deref(),
        };
        let (mut env, mark) = environment::facts(ticket, &facts);
        env.extend_from_slice(&self.base);
        let args = self.program.args().iter();
        let invocation = Invocation {
            id: 0,
            program: bytes(program.as_os_str()),
            args: args.map(|arg| bytes(arg.as_ref())).collect(),
            folder: bytes(self.program.folder().as_os_str()),
            env,
            stdin: ticket.payload.bytes.clone(),
            limits: Some(self.limits.to_wire()),
            result_path: bytes(result.as_os_str()),
            progress_path: bytes(progress.as_os_str()),
        };
        (invocation, mark)
    }

    /// Where the program is. A start by way of a shim would give a file that is no program to a
    /// shell, so with a limit, what is there is looked at first.
    fn path(&self) -> Result<PathBuf, String> {
        let is_limited = self.limits.memory_bytes_max.is_some();
        if is_limited && let Some(why) = self.program.obstacle() {
            return Err(why);
        }
        self.program.path()
    }

    /// Sends the attempt out to a spawner and waits for its end.
    async fn run(&self, spawner: &Spawner, ticket: &Ticket, context: &Context) -> Attempted {
        let path = match self.path() {
            Ok(path) => path,
            Err(why) => return Outcome::Unstartable(Failure::new("CannotStart", why)).into(),
        };
        let begun = tokio::select! {
            biased;
            begun = self.begin(spawner, &path, ticket, context) => begun,
            reason = context.stop.stopped() => return never_begun(reason).into(),
        };
        let mut stopped = None;
        let word = match begun {
            Ok(attempt) => wait(attempt, context, &mut stopped).await,
            Err(word) => word,
        };
        self.judge(word, stopped, ticket, context)
    }

    /// # Cancel safety
    /// Safe: what was not returned was not sent.
    async fn begin(
        &self,
        spawner: &Spawner,
        program: &Path,
        ticket: &Ticket,
        context: &Context,
    ) -> Result<Attempt, Word> {
        let place = spawner.place().await?;
        let (invocation, mark) = self.invocation(program, place.number(), ticket, context);
        spawner.begin(invocation, mark, place).await
    }

    fn judge(
        &self,
        word: Word,
        stopped: Option<StopReason>,
        ticket: &Ticket,
        context: &Context,
    ) -> Attempted {
        match word {
            Word::Closed => Outcome::Abandoned.into(),
            Word::Unsendable(error) => Outcome::Rejected(Failure::new(
                "PayloadTooLarge",
                format!("the payload cannot be given to a command: {error}"),
            ))
            .into(),
            Word::SpawnerDied { death, beside } => {
                let failure = match context.alone {
                    true => alone::failure(&death),
                    false => spawner_died(&death),
                };
                Outcome::ProcessDied { failure, beside }.into()
            }
            Word::NoSpawner(why) => Outcome::Failed(
                Unbegun::CannotSpawn
                    .failure(format!("the command could not be started just now: {why}")),
            )
            .into(),
            Word::End(end) => {
                log(&end, ticket);
                let terms = Terms {
                    ticket,
                    program: &self.program,
                    limits: &self.limits,
                    stopped,
                    whose: whose_deadline(ticket, context),
                };
                ending::judge(end, &terms)
            }
        }
    }
}

/// Waits for the end of an attempt, and stops it when that is asked for.
async fn wait(mut attempt: Attempt, context: &Context, stopped: &mut Option<StopReason>) -> Word {
    let reason = tokio::select! {
        biased;
        word = attempt.ended() => return word,
        reason = context.stop.stopped() => reason,
    };
    *stopped = Some(reason);
    attempt.stop(millis(context.grace));
    match context.alone {
        true => alone::ended(attempt, reason, context.grace).await,
        false => attempt.ended().await,
    }
}

#[async_trait]
impl Handler for Exec {
    /// # Cancel safety
    /// Dropping the future kills the command and everything that it started.
    async fn handle(&self, ticket: Arc<Ticket>, context: Context) -> Attempted {
        match context.alone {
            true => self.run_alone(&ticket, &context).await,
            false => self.run(&self.spawner, &ticket, &context).await,
        }
    }

    fn inspect(&self) -> Inspection {
        let obstacle = self.program.obstacle();
        let version = self.version.clone();
        Inspection {
            version: version.unwrap_or_else(|| self.program.version(obstacle.as_deref())),
            obstacle,
        }
    }

    fn lets_go(&self) -> LetsGo {
        LetsGo::WhenStopped
    }
}

fn check(config: &ExecConfig) -> Result<(), ExecError> {
    if config.command.first().is_none_or(String::is_empty) {
        return Err(ExecError::NoProgram(config.command.clone()));
    }
    let mut command = config.command.iter();
    let mut values = config.env.values();
    for (place, nul) in [
        ("run", command.find(|word| word.contains('\0'))),
        ("env", values.find(|value| value.contains('\0'))),
    ] {
        if let Some(got) = nul.cloned() {
            return Err(ExecError::Nul { place, got });
        }
    }
    let is_bad = |name: &&String| name.is_empty() || name.contains(['\0', '=']);
    match config.env.keys().find(is_bad) {
        Some(name) => Err(ExecError::BadVariable(name.clone())),
        None => Ok(()),
    }
}

fn absolute(folder: &Path) -> Result<PathBuf, ExecError> {
    std::path::absolute(folder).map_err(|error| ExecError::Folder {
        folder: folder.to_owned(),
        error,
    })
}

fn bytes(text: &OsStr) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// At least one, since none means "at once, without asking".
fn millis(grace: Duration) -> u64 {
    u64::try_from(grace.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// What the deadline of this attempt is called.
fn whose_deadline(ticket: &Ticket, context: &Context) -> &'static str {
    match ticket.deadline.is_some_and(|own| own <= context.deadline) {
        true => "the ticket's own deadline",
        false => "the deadline",
    }
}

fn never_begun(reason: StopReason) -> Outcome {
    match reason {
        StopReason::Drain | StopReason::Cancelled => Outcome::Abandoned,
        StopReason::Deadline => Outcome::TimedOut(Unbegun::NoPlaceInTime.failure(
            "the deadline passed before the command could be started: the process that starts \
             commands was down or had no place",
        )),
    }
}

fn spawner_died(death: &Death) -> Failure {
    let why = &death.why;
    Failure {
        exit: death.exit,
        ..Failure::new(
            "SpawnerDied",
            format!(
                "the process that starts the commands died, and this attempt was killed: {why}"
            ),
        )
    }
}

/// What a handler complains of goes to the log.
fn log(end: &End, ticket: &Ticket) {
    let End::Ended(ended) = end else { return };
    let text = String::from_utf8_lossy(&ended.stderr_tail);
    let lines: Vec<&str> = text.lines().rev().take(LOG_LINES_MAX).collect();
    let (id, stage) = (ticket.id(), &ticket.stage);
    for line in lines.into_iter().rev() {
        tracing::info!(ticket.id = %id, ticket.stage = %stage, "stage {stage} says: {line}");
    }
    if ended.leftovers > 0 {
        let leftovers = ended.leftovers;
        tracing::warn!(
            ticket.id = %id,
            ticket.stage = %stage,
            leftovers,
            "{leftovers} processes that ticket {id} had left behind were killed"
        );
    }
}
