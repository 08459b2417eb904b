//! The process that starts the commands.
//!
//! It is small, so that its commands start fast and their peak memory is their own; it leads its
//! own session, so that a signal to the worker's group does not reach it; and it adopts what its
//! commands leave behind. Each of its threads has a socket of its own, waits there for a request,
//! runs it itself and replies, so nothing is handed from thread to thread. When the worker is
//! gone, all sockets end, and everything is killed.

mod attempt;
pub(crate) mod door;
mod files;
pub(crate) mod files_limit;
mod house;
mod orphans;
mod pipes;
pub(crate) mod shim;
mod slot;
pub mod stand_in;
pub(crate) mod tide;
mod unheard;

use house::House;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// The most commands that run at once.
pub const ATTEMPTS_MAX: usize = 16 * 1024;

/// The spawner: talks on the socket that is its standard input, until that ends.
///
/// Call it first: a command with a memory limit is started by way of it, with the same arguments.
pub fn main() -> ExitCode {
    if let Err(error) = shim::become_command() {
        let (status, excuse) = shim::excuse(&error);
        eprintln!("{excuse}");
        std::process::exit(status);
    }
    if let Err(error) = stand_in::die_with_it() {
        eprintln!("goaround spawner: expected to die with its stand-in, cannot: {error}");
        return ExitCode::FAILURE;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("goaround spawner: expected a worker's socket as standard input: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> std::io::Result<()> {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    // Fails on anything but a socket, before something is started that could not be watched.
    socket.local_addr()?;
    // Already in one that is not the worker's when it has a stand-in; that is as good.
    rustix::process::setsid().ok();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    leave_signals_to_the_worker()?;
    die_of_panics();
    let house = Arc::new(House::new(socket)?);
    house.serve();
    let gone_at = Instant::now();
    house.wait_until_empty();
    house.unheard.tell(gone_at);
    Ok(())
}

/// Whoever stops a whole service signals every process of it. The worker decides what becomes of
/// the running commands, and then closes the socket; until then the spawner has to live.
///
/// A listener that was made and dropped leaves a handler that does nothing. Unlike an ignored
/// signal that is not inherited by the commands.
fn leave_signals_to_the_worker() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _context = runtime.enter();
    for kind in [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// A thread that panicked would leave its command unwatched. The worker sees the end of the whole
/// process, and kills and reports everything that it ran.
fn die_of_panics() {
    let say = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        say(panic);
        std::process::abort();
    }));
}

/// How a command is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// TERM now, KILL after this long.
    Ask(Duration),
    /// KILL now.
    Kill,
}
