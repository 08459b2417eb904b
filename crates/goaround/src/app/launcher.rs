//! The launcher of a role: starts it as a child, starts it again when it dies, and says at once
//! what its death leaves behind.
//!
//! It reads no configuration and opens no connection: what that takes, a short errand of the same
//! program does, and a child that cannot begin says so itself.

mod end;

pub use end::Restart;

use super::UpOptions;
use super::role::Role;
use crate::line::{Ground, SystemClock};
use anyhow::Context as _;
use domain::names::Holder;
use domain::obituary::Obituary;
use domain::ports::Clock as _;
use domain::record::{Record, Said};
use domain::time::show_duration;
use end::{End, Then};
use handlers::launcher::{Death, Errand, Launched, Launcher, Rested, obituaries};
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, warn};

/// How long it may take to tell the broker of a death. Without that word it is noticed a few
/// seconds later, so it is not worth a longer wait for a broker that is down.
const TELL_MAX: Duration = Duration::from_secs(5);
/// Says that this process has begun a second time.
const LEAN: &str = "--lean";

/// Becomes the launcher of a role, and runs it in a child until it is to stop. `arguments` are
/// those of this process, the program's own name first.
///
/// # Errors
/// When the child cannot even be started, and none was at work before it.
pub fn launch(
    role: Role,
    options: &UpOptions,
    mut arguments: Vec<OsString>,
) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find the program's own file")?;
    if arguments.pop_if(|last| last == LEAN).is_none() {
        become_lean(&program, &arguments);
    }
    // One thread: the kernel ends the child with the thread that has started it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the launcher cannot start")?;
    runtime.block_on(async {
        let mut launcher = Launcher::start().context("the launcher cannot start")?;
        let pen = launcher.pen();
        let (filter, format, colour) =
            (&options.log_filter, options.log_format, options.log_colour);
        telemetry::logs::start_to(filter, format, colour, move || pen.clone())
            .map_err(anyhow::Error::msg)?;
        let watch = Watch {
            role,
            options,
            program,
            arguments,
        };
        let ended = watch.run(&mut launcher).await;
        launcher.close().await;
        ended
    })
}

/// Begins once more. `main` does without huge pages, which stays so, but the allocator had taken
/// some before: more than all that the launcher needs.
fn become_lean(program: &Path, arguments: &[OsString]) {
    let mut lean = Command::new(program);
    if let Some((name, rest)) = arguments.split_first() {
        lean.arg0(name).args(rest);
    }
    // It does not return unless it fails, and then we are merely larger.
    let _failed: std::io::Error = lean.arg(LEAN).exec();
}

/// A role that is watched over.
struct Watch<'a> {
    role: Role,
    options: &'a UpOptions,
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// One start of it, and how that ended.
struct Life {
    holder: Holder,
    launched: Launched,
    obituary: Obituary,
    ran: Duration,
    /// On its way to tell of its death, when somebody may have heard of it.
    errand: Option<Errand>,
}

impl Watch<'_> {
    async fn run(&self, launcher: &mut Launcher) -> anyhow::Result<ExitCode> {
        let (mut pause, mut was_up, mut code) = (Duration::ZERO, false, ExitCode::SUCCESS);
        while launcher.rest(pause).await == Rested::Over {
            let life = match self.live(launcher, was_up).await {
                Ok(life) => life,
                Err(error) if was_up && self.options.restart == Restart::Always => {
                    // Memory, process ids or the program's own file may be short for a moment only,
                    // and whoever ends here for good needs a person.
                    pause = self.say_not_started(&error, pause);
                    launcher.see_off(None).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            code = end::code(&life.launched);
            was_up |= life.launched.has_begun;
            match End::of(&life.launched, was_up) {
                End::Stopped => break,
                End::CannotBegin => {
                    self.say_cannot_begin(&life);
                    break;
                }
                End::Died => {}
            }
            let then = Then::after(&life.launched, self.options.restart, pause, life.ran);
            self.say_died(&life, then);
            self.tell(launcher, life).await;
            match then {
                Then::Again(later) => pause = later,
                Then::Asked | Then::Left => break,
            }
        }
        Ok(code)
    }

    /// Starts it and waits until it, and everything that it left behind, is gone.
    async fn live(&self, launcher: &mut Launcher, was_up: bool) -> anyhow::Result<Life> {
        let holder = Ground::new_holder()?;
        let (began, began_at) = (Instant::now(), SystemClock.now());
        let launched = launcher
            .launch(self.command(&holder))
            .await
            .with_context(|| format!("goaround {} cannot be started", self.role))?;
        let (ran, died_at) = (began.elapsed(), SystemClock.now());
        // A ticket waits for its word, so it is on its way before anything else is done.
        let errand = self.errand(&launched, was_up, &holder);
        let errand = errand.map(|errand| launcher.send(errand));
        launcher.see_off(errand.as_ref()).await;
        let obituary = Obituary {
            exit: end::exit(launched.death),
            began_at,
            died_at,
            memory_bytes_max: launched.memory_bytes_max,
            oom_kills: launched.oom_kills,
            last_words: launcher.last_words(),
        };
        Ok(Life {
            holder,
            launched,
            obituary: obituary.bounded(),
            ran,
            errand,
        })
    }

    /// What tells the broker of a death, when it has to be told.
    fn errand(&self, launched: &Launched, was_up: bool, holder: &Holder) -> Option<Command> {
        let has_died = End::of(launched, was_up || launched.has_begun) == End::Died;
        (has_died && self.role.works() && may_have_worked(launched)).then(|| {
            let mut errand = self.same();
            errand.args(["--tell-of", holder.as_str()]);
            errand
        })
    }

    /// What does the work, under this name.
    fn command(&self, holder: &Holder) -> Command {
        let mut command = self.same();
        command.args(["--as", holder.as_str()]);
        command.args(["--launcher", &std::process::id().to_string()]);
        // It cannot see by itself where its log goes.
        if self.options.log_colour == telemetry::logs::Colour::Always {
            command.arg("--coloured");
        }
        command
    }

    /// This program with its arguments, as it was called.
    fn same(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.arguments.get(1..).unwrap_or_default());
        command
    }

    /// The last that is on standard error, for whoever looks there first.
    fn say_cannot_begin(&self, life: &Life) {
        // Where nothing ever ran there need not be a folder, and nobody to read in it.
        if self.options.data.is_dir() {
            self.write_down(life);
        }
        let remedy = match life.obituary.last_words.is_empty() {
            true => "it did not say why; --no-launcher runs it without a parent",
            false => "above it says why: put that right, then run it anew",
        };
        let (role, holder, facts) = (self.role, &life.holder, life.facts());
        error!("goaround {role} ({holder}) cannot begin: {facts}; {remedy}");
    }

    /// Returns the pause until the next start.
    fn say_not_started(&self, error: &anyhow::Error, pause: Duration) -> Duration {
        let pause = end::pause_after(pause, Duration::ZERO);
        error!("{error:#}; it is tried again in {}", show_duration(pause));
        pause
    }

    fn say_died(&self, life: &Life, then: Then) {
        let (role, holder, facts) = (self.role, &life.holder, life.facts());
        error!("goaround {role} ({holder}): {facts}; {then}");
    }

    /// Writes down how it died, and sees to it that the broker has heard.
    async fn tell(&self, launcher: &mut Launcher, life: Life) {
        // Who works on tickets has a folder, or has lost it, which is worth a word.
        if self.role.works() || self.options.data.is_dir() {
            self.write_down(&life);
        }
        let Some(errand) = life.errand else { return };
        let why = match launcher.receive(errand, TELL_MAX).await {
            Ok(status) if status.success() => return,
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        warn!("its death could not be told, so it is noticed when its heartbeat lapses: {why}");
    }

    /// For those that come after it.
    fn write_down(&self, life: &Life) {
        if let Err(error) = obituaries::add(&self.options.data, life.gone()) {
            let folder = self.options.data.display();
            warn!("how it died could not be written into {folder}, so no report tells: {error}");
        }
    }
}

impl Life {
    fn facts(&self) -> String {
        self.obituary.facts().replace('\n', "; ")
    }

    fn gone(&self) -> Record {
        Record {
            by: self.holder.clone(),
            at: self.obituary.died_at,
            said: Said::Gone {
                holder: self.holder.clone(),
                why: format!("its launcher saw it die: {}", self.obituary.cause()),
                obituary: Some(Box::new(self.obituary.clone())),
            },
        }
    }
}

/// Whether somebody may have heard of it. What left before it was at work has said why, and the
/// broker may well be the reason.
const fn may_have_worked(launched: &Launched) -> bool {
    launched.has_begun || matches!(launched.death, Death::Died(_))
}

#[cfg(test)]
mod tests;
