//! The launcher of a role: starts it as a child, starts it again when it dies, and says at once
//! what its death leaves behind.
//!
//! It reads no configuration and opens no connection: what that takes, a short errand of the same
//! program does, and a child that cannot begin says so itself.

use super::UpOptions;
use super::role::Role;
use crate::line::{Ground, SystemClock};
use anyhow::Context as _;
use domain::names::Holder;
use domain::obituary::Obituary;
use domain::outcome::Exit;
use domain::ports::Clock as _;
use domain::record::{Record, Said};
use domain::time::show_duration;
use handlers::launcher::{Death, Launched, Launcher, Rested, obituaries};
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, warn};

/// The pause before the second start in a row; it doubles with each death that follows soon.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A role that ran for so long is started again at once.
const RAN_WELL: Duration = Duration::from_secs(30);
/// How long it may take to tell the broker of a death. Without that word it is noticed a few
/// seconds later, so it is not worth a longer wait for a broker that is down.
const TELL_MAX: Duration = Duration::from_secs(5);
/// The exit codes of the documentation: whoever ends with one of them knew why.
const CODES: std::ops::RangeInclusive<i32> = 1..=6;
/// Says that this process has begun a second time.
const LEAN: &str = "--lean";

/// Becomes the launcher of a role, and runs it in a child until it ends by itself. `arguments` are
/// those of this process, the program's own name first.
///
/// # Errors
/// When the child cannot even be started.
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

impl Watch<'_> {
    async fn run(&self, launcher: &mut Launcher) -> anyhow::Result<ExitCode> {
        let (mut pause, mut last) = (Duration::ZERO, ExitCode::SUCCESS);
        while launcher.rest(pause).await == Rested::Over {
            let holder = Ground::new_holder()?;
            let (began, began_at) = (Instant::now(), SystemClock.now());
            let launched = launcher
                .launch(self.command(&holder))
                .await
                .with_context(|| format!("goaround {} cannot be started", self.role))?;
            let died_at = SystemClock.now();
            launcher.see_off().await;
            let exit = match launched.death {
                Death::Died(exit) => exit,
                Death::Left(status) => {
                    self.say_left(status, &launched, began.elapsed());
                    return Ok(code(Exit::Status(status)));
                }
            };
            let was_asked = launched.was_asked;
            let obituary = Obituary {
                exit,
                began_at,
                died_at,
                memory_bytes_max: launched.memory_bytes_max,
                oom_kills: launched.oom_kills,
                last_words: launched.last_words,
            };
            pause = pause_after(pause, began.elapsed());
            self.say_died(&holder, &obituary, (!was_asked).then_some(pause));
            self.tell(launcher, holder, obituary.bounded()).await;
            last = code(exit);
            if was_asked {
                break;
            }
        }
        Ok(last)
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

    /// A role that ends by itself has said why. One that has not, or that ends as this program
    /// never does, ended before it could: a library is missing, for example.
    fn say_left(&self, status: i32, launched: &Launched, lived: Duration) {
        let knew_why = CODES.contains(&status) && !launched.last_words.is_empty();
        if status != 0 && !knew_why {
            error!(
                "goaround {} ended with exit status {status} after {}; it is not started again",
                self.role,
                show_duration(lived),
            );
        }
    }

    fn say_died(&self, holder: &Holder, obituary: &Obituary, again_in: Option<Duration>) {
        let then = match again_in {
            None => "it was asked to stop, so it is not started again".to_owned(),
            Some(Duration::ZERO) => "it is started again at once".to_owned(),
            Some(pause) => format!("it is started again in {}", show_duration(pause)),
        };
        let facts = obituary.facts().replace('\n', "; ");
        error!("goaround {} ({holder}): {facts}; {then}", self.role);
    }

    /// Writes down how it died, for those that come after it, and says that it is gone, so that
    /// nobody waits for its heartbeat.
    async fn tell(&self, launcher: &mut Launcher, holder: Holder, obituary: Obituary) {
        let gone = Record {
            by: holder.clone(),
            at: obituary.died_at,
            said: Said::Gone {
                holder: holder.clone(),
                why: format!("its launcher saw it die: {}", obituary.cause()),
                obituary: Some(Box::new(obituary)),
            },
        };
        if let Err(error) = obituaries::add(&self.options.data, gone) {
            let folder = self.options.data.display();
            warn!("how it died could not be written into {folder}, so no report tells: {error}");
        }
        if !self.role.works() {
            return;
        }
        let mut errand = self.same();
        errand.args(["--tell-of", holder.as_str()]);
        let told = launcher.run(errand, TELL_MAX).await;
        let why = match told {
            Ok(status) if status.success() => return,
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        warn!("its death could not be told, so it is noticed when its heartbeat lapses: {why}");
    }
}

/// Also the shell's: 128 and the number of the signal.
fn code(exit: Exit) -> ExitCode {
    let number = match exit {
        Exit::Status(status) => status,
        Exit::Signal(signal) => 128 + signal,
    };
    ExitCode::from(u8::try_from(number).unwrap_or(1))
}

fn pause_after(pause: Duration, ran: Duration) -> Duration {
    match ran {
        ran if ran >= RAN_WELL => Duration::ZERO,
        _ if pause.is_zero() => PAUSE_FIRST,
        _ => (pause * 2).min(PAUSE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_that_dies_again_and_again_is_started_less_and_less_often() {
        let soon = Duration::from_secs(1);
        let mut pause = Duration::ZERO;
        let mut all = Vec::new();
        for _ in 0..9 {
            pause = pause_after(pause, soon);
            all.push(pause.as_millis());
        }
        assert_eq!(
            all,
            [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
        );
        assert_eq!(pause_after(pause, RAN_WELL), Duration::ZERO);
    }
}
