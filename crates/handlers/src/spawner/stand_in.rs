//! Stands where the worker stands otherwise, so that one attempt has its processes for itself.
//!
//! A command may kill its parent, its parent's parent, or have the kernel kill whoever is largest
//! around it. Alone, its parent is a spawner that runs nothing else, and that one's parent is this
//! process. It starts the spawner, which dies with it, and waits; then it tells by its own exit
//! status how the spawner ended.

use super::leave_signals_to_the_worker;
use crate::launcher;
use domain::outcome::Exit;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus};

/// The first argument of a program that is to be a stand-in; those of its spawner follow.
pub const VERB: &str = "__alone";

/// The variable that tells a spawner whom it has to die with.
pub(crate) const PID: &str = "GOAROUND_STAND_IN_PID";

/// What the exit status of a stand-in begins with when its spawner died of a signal, as in a shell.
const SIGNALED: i32 = 128;

/// Who of those that are there for one command has died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dead {
    /// The spawner.
    Parent,
    /// The stand-in.
    Grandparent,
}

/// The stand-in: starts this program again as a spawner with these arguments, on the socket that is
/// its standard input, and waits for its end.
pub fn main(spawner: impl IntoIterator<Item = OsString>) -> ExitCode {
    match run(spawner) {
        Ok(status) => ExitCode::from(code(status)),
        Err(error) => {
            eprintln!("goaround stand-in: the spawner beneath it cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(spawner: impl IntoIterator<Item = OsString>) -> io::Result<ExitStatus> {
    // Its number is how the worker finds everything of the session: it knows no other.
    rustix::process::setsid().ok();
    leave_signals_to_the_worker()?;
    Command::new("/proc/self/exe")
        .args(spawner)
        .env(PID, std::process::id().to_string())
        // The leader of a group makes no session of its own, but stays in ours.
        .process_group(0)
        // We keep the socket too: when the worker sees its end, our exit status is settled.
        .status()
}

/// A signal's number is at most 64, and a spawner's own status below the mark.
fn code(status: ExitStatus) -> u8 {
    let signaled = || status.signal().map(|signal| SIGNALED + signal);
    let code = status.code().or_else(signaled);
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

/// Who died, and how, by the end of a stand-in.
pub(crate) fn account(exit: Exit) -> (Dead, Exit) {
    match exit {
        Exit::Status(status) if status > SIGNALED => {
            (Dead::Parent, Exit::Signal(status - SIGNALED))
        }
        Exit::Status(_) => (Dead::Parent, exit),
        Exit::Signal(_) => (Dead::Grandparent, exit),
    }
}

/// Makes this process die with its stand-in, if it has one. Called on the main thread.
///
/// # Errors
/// When the stand-in is gone already, or the kernel refuses.
pub(super) fn die_with_it() -> io::Result<()> {
    let Some(pid) = std::env::var_os(PID) else {
        return Ok(());
    };
    let number = pid.to_str().and_then(|pid| pid.parse().ok());
    let nonsense = || io::Error::other(format!("{PID}: expected a process, got {pid:?}"));
    launcher::die_with(number.ok_or_else(nonsense)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_died_and_how_is_told_by_the_end_of_the_stand_in() {
        for (status, told) in [
            (ExitStatus::from_raw(9), Exit::Signal(9)),
            (ExitStatus::from_raw(64), Exit::Signal(64)),
            (ExitStatus::from_raw(3 << 8), Exit::Status(3)),
            (ExitStatus::from_raw(0), Exit::Status(0)),
        ] {
            let exit = Exit::Status(code(status).into());
            assert_eq!(account(exit), (Dead::Parent, told));
        }
        let killed = Exit::Signal(9);
        assert_eq!(account(killed), (Dead::Grandparent, killed));
    }
}
