//! The parent of a role: starts it as a child, passes signals on to it and its standard error on
//! to ours, and knows how it ended.
//!
//! It must outlive whatever its child dies of, so it does next to nothing: one thread that waits,
//! one that writes to standard error, no more memory than that takes. What it learns goes into an
//! [`Obituary`](domain::obituary::Obituary), and those into a small file ([`obituaries`]).

mod last_words;
pub mod obituaries;
mod oom;
mod orphans;
mod outlet;
mod passage;
mod rank;

pub use outlet::Pen;

use domain::outcome::Exit;
use oom::OomKills;
use passage::Passage;
use rank::Rank;
use rustix::process::{Pid, Signal};
use std::io::{self, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};
use wait4::Wait4 as _;

/// What a Rust process exits with after a panic that nobody caught.
const PANICKED: i32 = 101;
/// By it a child says that it has begun. No harm is done to a parent that does not listen for it,
/// and nobody else sends it: a terminal does not.
const HAS_BEGUN: Signal = Signal::URG;
/// What an errand gets when all that comes before it is done.
pub const WORD: &[u8] = b"\n";

/// Starts children, one after the other.
pub struct Launcher {
    passage: Passage,
    rank: Rank,
    terminate: Signals,
    interrupt: Signals,
    begun: Signals,
    ended: Signals,
}

/// A short errand on its way. It must be received.
#[must_use]
pub struct Errand(io::Result<Child>);

impl Errand {
    fn pid(&self) -> Option<Pid> {
        self.0.as_ref().ok().map(Pid::from_child)
    }
}

/// What was heard while a child ran.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    has_begun: bool,
    was_asked: bool,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// By itself, with this status.
    Left(i32),
    /// In the middle of its work.
    Died(Exit),
}

/// What came of a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// How the child ended.
    pub death: Death,
    /// Whether it had said that it is at work: by [`say_begun`].
    pub has_begun: bool,
    /// Whether it had been asked to stop.
    pub was_asked: bool,
    /// The most memory that was resident at once in it, or in one process that it had seen the
    /// end of, in bytes; `None` where nobody counts.
    pub memory_bytes_max: Option<u64>,
    /// How many processes around it the kernel killed in its last seconds because memory had run
    /// out.
    pub oom_kills: u64,
}

/// How a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rested {
    /// It is over.
    Over,
    /// We are asked to stop.
    Asked,
}

impl Launcher {
    /// Begins to listen for signals, and adopts what children leave behind. Call it on the thread
    /// that will launch, within a runtime of that thread: the kernel ends a child with the thread
    /// that has started it.
    ///
    /// # Errors
    /// When the kernel refuses a pipe, a thread or a signal.
    pub fn start() -> io::Result<Self> {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        Ok(Self {
            passage: Passage::open()?,
            rank: Rank::take(),
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            begun: signal(SignalKind::from_raw(HAS_BEGUN.as_raw()))?,
            ended: signal(SignalKind::child())?,
        })
    }

    /// Writes to our standard error, behind what children wrote before.
    pub fn pen(&self) -> Pen {
        self.passage.pen()
    }

    /// Starts the command as a child and waits until it has ended. `TERM` and `INT` are passed on
    /// to it. It has a process group of its own, so that a terminal does not signal it as well.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn launch(&mut self, mut command: Command) -> io::Result<Launched> {
        let entrance = self.passage.begin()?;
        let mut oom = OomKills::watch();
        let mut child = command.process_group(0).stderr(entrance).spawn()?;
        self.rank.put_before(child.id());
        let mut heard = Heard::default();
        let used = loop {
            if let Some(used) = child.try_wait4()? {
                break used;
            }
            let pass_on = tokio::select! {
                biased;
                _ = self.terminate.recv() => Signal::TERM,
                _ = self.interrupt.recv() => Signal::INT,
                _ = self.begun.recv() => {
                    heard.has_begun = true;
                    continue;
                }
                _ = self.ended.recv() => continue,
                () = oom.rest() => continue,
            };
            heard.was_asked = true;
            send(&child, pass_on);
        };
        self.overhear(&mut heard).await;
        Ok(Launched {
            death: death(used.status),
            has_begun: heard.has_begun,
            was_asked: heard.was_asked,
            memory_bytes_max: Some(used.rusage.maxrss).filter(|bytes| *bytes > 0),
            oom_kills: oom.lately(),
        })
    }

    /// Hears what came at the moment of the end: who stops a whole service asks us and our child at
    /// once, and it may be the quicker one.
    async fn overhear(&mut self, heard: &mut Heard) {
        // The runtime does not know of it before it has looked.
        tokio::task::yield_now().await;
        loop {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => heard.was_asked = true,
                _ = self.interrupt.recv() => heard.was_asked = true,
                _ = self.begun.recv() => heard.has_begun = true,
                () = std::future::ready(()) => return,
            }
        }
    }

    /// Sends a short errand out, beside all that is still to be done: it gets [`WORD`] when it is
    /// [received](Launcher::receive). If its standard input ends without, its launcher is gone, and
    /// what was to be done may not have been.
    pub fn send(&self, mut errand: Command) -> Errand {
        let begun = self.passage.of_errand().and_then(|entrance| {
            let errand = errand.process_group(0).stdin(Stdio::piped());
            errand.stderr(entrance).spawn()
        });
        Errand(begun)
    }

    /// Waits until everything that a child left behind is gone: no handler may run beside its next
    /// attempt. Whoever takes long is killed. To be called after each launch; an errand that was
    /// sent out is not in the way.
    pub async fn see_off(&mut self, errand: Option<&Errand>) {
        let ours = errand.and_then(Errand::pid);
        orphans::see_off(ours, &mut self.ended).await;
    }

    /// What the last child, and whoever it left behind, wrote last. To be asked when they are gone.
    pub fn last_words(&self) -> String {
        self.passage.last_words()
    }

    /// Waits, unless we are asked to stop or were since the last child ended.
    pub async fn rest(&mut self, pause: Duration) -> Rested {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Rested::Asked,
            _ = self.interrupt.recv() => Rested::Asked,
            () = sleep(pause) => Rested::Over,
        }
    }

    /// Waits for the end of an errand; one that takes longer than `patience` from now on is killed.
    ///
    /// # Errors
    /// When it could not be started.
    pub async fn receive(&mut self, errand: Errand, patience: Duration) -> io::Result<ExitStatus> {
        let mut child = errand.0?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that is gone already tells by its status why.
            stdin.write_all(WORD).ok();
        }
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            // An end since that look is heard: signals wait for whoever asks.
            if timeout_at(until, self.ended.recv()).await.is_err() {
                child.kill()?;
                return child.wait();
            }
        }
    }

    /// Makes sure that whoever reads our standard error had the time to take everything.
    pub async fn close(self) {
        self.passage.close().await;
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

/// Says to our launcher that we are at work: what ends us from now on is a death, whatever our exit
/// status. Before, it is the reason why we cannot begin.
///
/// # Errors
/// When the launcher is gone.
pub fn say_begun(launcher: u32) -> io::Result<()> {
    let pid = i32::try_from(launcher).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("this is no number of a process"))?;
    Ok(rustix::process::kill_process(pid, HAS_BEGUN)?)
}

#[cfg(test)]
mod tests;
