//! The parent of a role: starts it as a child, passes signals on, and knows how it ended.

use domain::outcome::Exit;
use rustix::process::{Pid, Signal};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus};
use tokio::signal::unix::{SignalKind, signal};

/// What a Rust process exits with after a panic that nobody caught.
const PANICKED: i32 = 101;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// By itself, with this status; it had its say.
    Left(i32),
    /// In the middle of its work.
    Died(Exit),
}

/// What came of a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launched {
    /// How the child ended.
    pub death: Death,
    /// Whether it had been asked to stop.
    pub was_asked: bool,
}

/// Starts the command as a child and waits until it has ended. `TERM` and `INT` are passed on to
/// it. It has a process group of its own, so that a terminal does not signal it as well.
///
/// # Errors
/// When it cannot be started.
pub async fn launch(mut command: Command) -> io::Result<Launched> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut ended = signal(SignalKind::child())?;
    let mut child = command.process_group(0).spawn()?;
    let mut was_asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            let death = death(status);
            return Ok(Launched { death, was_asked });
        }
        let pass_on = tokio::select! {
            _ = ended.recv() => continue,
            _ = terminate.recv() => Signal::TERM,
            _ = interrupt.recv() => Signal::INT,
        };
        was_asked = true;
        send(&child, pass_on);
    }
}

/// It is ours and not reaped yet, so its number cannot be another's.
fn send(child: &Child, signal: Signal) {
    if let Err(error) = rustix::process::kill_process(Pid::from_child(child), signal) {
        tracing::warn!("signal {signal:?} could not be passed on: {error}");
    }
}

fn death(status: ExitStatus) -> Death {
    match (status.code(), status.signal()) {
        (Some(PANICKED), _) => Death::Died(Exit::Status(PANICKED)),
        (Some(code), _) => Death::Left(code),
        (None, signal) => Death::Died(Exit::Signal(signal.unwrap_or_default())),
    }
}

/// Makes this process die with its launcher. Call it first thing, on the main thread.
///
/// # Errors
/// When the launcher is gone already, or the kernel refuses.
pub fn die_with(launcher: u32) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before the kernel was asked to watch it.
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_pid());
    match parent.and_then(|pid| u32::try_from(pid).ok()) == Some(launcher) {
        true => Ok(()),
        false => Err(io::Error::other("the launcher is gone")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]);
        command
    }

    #[tokio::test]
    async fn a_child_that_dies_is_told_from_one_that_leaves() {
        for (line, death) in [
            ("exit 0", Death::Left(0)),
            ("exit 2", Death::Left(2)),
            ("exit 101", Death::Died(Exit::Status(101))),
            ("kill -KILL $$", Death::Died(Exit::Signal(9))),
            ("kill -ABRT $$", Death::Died(Exit::Signal(6))),
        ] {
            let launched = launch(shell(line)).await.unwrap();
            assert_eq!(
                (launched.death, launched.was_asked),
                (death, false),
                "{line}"
            );
        }
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_an_error() {
        assert!(launch(Command::new("/nowhere/at/all")).await.is_err());
    }
}
