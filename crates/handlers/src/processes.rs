//! Finding and ending the processes that an attempt has left behind.
//!
//! A command leads a process group, and a kill of the group ends most of what it started. What has
//! left the group (`setsid`) is found by its parent, since orphans come to the nearest subreaper,
//! and told apart by the [`Mark`] in its environment.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a process may take to become another program, before it is taken for one without an
/// environment.
const EXEC_MAX: Duration = Duration::from_secs(1);

/// The variables that say which attempt a process belongs to.
const MARK_NAMES: [&str; 4] = [
    "GOAROUND_TICKET_ID",
    "GOAROUND_HOP",
    "GOAROUND_GENERATION",
    "GOAROUND_ATTEMPT",
];

/// What the environment of every process of an attempt holds, unless the process took it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark(Vec<Vec<u8>>);

impl Mark {
    /// The mark in this environment; one that has none belongs to nobody.
    pub(crate) fn in_env<'a>(env: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let is_mark = |name: &[u8]| MARK_NAMES.iter().any(|mark| mark.as_bytes() == name);
        let entries = env.filter(|(name, _)| is_mark(name));
        Self(
            entries
                .map(|(name, value)| [name, b"=", value].concat())
                .collect(),
        )
    }

    /// Whether the environment of this process bears it.
    fn is_on(&self, pid: Pid) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let environ = environ_of(pid);
        let bears = |entry: &Vec<u8>| environ.split(|byte| *byte == 0).any(|have| have == entry);
        self.0.iter().all(bears)
    }
}

/// The environment that a process began with; empty for a dead one, and for one of somebody else.
pub(crate) fn environ_of(pid: Pid) -> Vec<u8> {
    let until = Instant::now() + EXEC_MAX;
    loop {
        let environ = match std::fs::read(format!("/proc/{pid}/environ")) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Vec::new(),
            other => other.unwrap_or_default(),
        };
        if !environ.is_empty() || !is_in_exec(pid) || Instant::now() >= until {
            return environ;
        }
        // For some microseconds of its exec, a process has no environment to be seen.
        std::thread::yield_now();
    }
}

/// Whether a process is just becoming another program: alive, and its environment nowhere.
fn is_in_exec(pid: Pid) -> bool {
    const STATE: usize = 0;
    const FLAGS: usize = 6;
    const ENV_END: usize = 48;
    /// `PF_KTHREAD`: a thread of the kernel has no environment at any time.
    const OF_THE_KERNEL: u32 = 0x0020_0000;
    let Some(stat) = stat(pid) else { return false };
    let is_alive = stat.get(STATE).is_some_and(|state| !is_dead(state));
    let flags = stat.get(FLAGS).and_then(|flags| flags.parse::<u32>().ok());
    let is_program = flags.is_none_or(|flags| flags & OF_THE_KERNEL == 0);
    is_alive && is_program && stat.get(ENV_END).is_some_and(|end| end == "0")
}

/// Whether a process in this state runs no more, though nobody has reaped it.
fn is_dead(state: &str) -> bool {
    matches!(state, "Z" | "X")
}

/// What is known of an attempt's processes.
#[derive(Clone, Debug)]
pub(crate) struct Brood {
    /// The group of its command, if it is known.
    pub(crate) group: Option<Pid>,
    /// The mark of its environment.
    pub(crate) mark: Mark,
}

impl Brood {
    /// Whether this process belongs to it.
    pub(crate) fn has(&self, pid: Pid) -> bool {
        let group = || rustix::process::getpgid(Some(pid)).ok();
        (self.group.is_some() && self.group == group()) || self.mark.is_on(pid)
    }
}

/// A process, as it was at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) pid: Pid,
    /// Who started it, or took it over.
    pub(crate) parent: Option<Pid>,
    pub(crate) group: Option<Pid>,
    /// In the kernel's letter: R, S, D, Z, …
    pub(crate) state: String,
    /// In the kernel's ticks; with its number it tells it from every other process.
    began_at: String,
}

impl Seen {
    /// Looks at it, if it is there.
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        let mut fields = stat(pid)?.into_iter();
        let state = fields.next()?;
        let parent = pid_in(&fields.next()?);
        let group = pid_in(&fields.next()?);
        Some(Self {
            pid,
            parent,
            group,
            state,
            // It is the 20th, and three are taken.
            began_at: fields.nth(16)?,
        })
    }

    pub(crate) fn is_dead(&self) -> bool {
        is_dead(&self.state)
    }

    /// Takes hold of exactly this one; `None` when it is gone.
    ///
    /// # Errors
    /// When there is no room for a handle.
    pub(crate) fn hold(&self) -> io::Result<Option<Held>> {
        let handle = match rustix::process::pidfd_open(self.pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let pid = self.pid;
        let now = Self::of(pid).filter(|now| now.began_at == self.began_at);
        Ok(now.map(|_| Held { pid, handle }))
    }
}

/// A process, held so that its number cannot come to mean another one.
pub(crate) struct Held {
    pid: Pid,
    handle: OwnedFd,
}

impl Held {
    /// Takes hold of a child that nobody else waits for.
    pub(crate) fn new(pid: Pid) -> Option<Self> {
        let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
        Some(Self { pid, handle })
    }

    /// Kills it.
    pub(crate) fn kill(&self) {
        // It may be dead already, which is what is wanted.
        rustix::process::pidfd_send_signal(&self.handle, Signal::KILL).ok();
    }

    /// Whether it was dead at that time; returns as soon as it is.
    pub(crate) fn is_dead_by(&self, until: Instant) -> bool {
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: i64::try_from(rest.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(rest.subsec_nanos()),
            };
            let mut death = [PollFd::new(&self.handle, PollFlags::IN)];
            match rustix::event::poll(&mut death, Some(&timeout)) {
                Err(Errno::INTR) => {}
                other => return other.is_ok_and(|dead| dead > 0),
            }
        }
    }

    /// Its process number.
    pub(crate) const fn pid(&self) -> Pid {
        self.pid
    }
}

/// Waits until each of them is dead; they are still there to be reaped.
pub(crate) fn await_deaths(held: &[Held]) {
    for one in held {
        let mut death = [PollFd::new(&one.handle, PollFlags::IN)];
        while rustix::event::poll(&mut death, None) == Err(Errno::INTR) {}
    }
}

/// Takes a dead child off the process table; a living one is left alone.
pub(crate) fn reap(pid: Pid) -> bool {
    matches!(
        rustix::process::waitpid(Some(pid), WaitOptions::NOHANG),
        Ok(Some(_))
    )
}

/// Kills a process group whose number is known to be still its own.
pub(crate) fn signal_group(group: Pid, signal: Signal) {
    // A group that is gone is what is wanted.
    rustix::process::kill_process_group(group, signal).ok();
}

/// All processes whose parent is this process.
pub(crate) fn children() -> Vec<Pid> {
    let own = rustix::process::getpid();
    processes()
        .filter(|pid| parent_of(*pid) == Some(own))
        .collect()
}

/// All processes there are.
pub(crate) fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// Who started it, or took it over.
fn parent_of(pid: Pid) -> Option<Pid> {
    const PARENT: usize = 1;
    pid_in(stat(pid)?.get(PARENT)?)
}

/// `None` for what is outside of our container, which has the number 0.
fn pid_in(field: &str) -> Option<Pid> {
    Pid::from_raw(field.parse().ok()?)
}

/// The fields of `/proc/<pid>/stat` that come after its name; the first is its state.
fn stat(pid: Pid) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets and may hold anything, brackets too.
    let after_name = stat.rsplit_once(')')?.1;
    Some(
        after_name
            .split_ascii_whitespace()
            .map(str::to_owned)
            .collect(),
    )
}

/// Kills everything of a session and of these attempts, and returns once it is gone. Only for a
/// process that has adopted what they have left behind.
pub(crate) fn bury(session: Option<Pid>, broods: &[Brood]) -> usize {
    let mut buried = 0;
    loop {
        let children = children();
        let session_of = |pid: &Pid| rustix::process::getsid(Some(*pid)).ok();
        let is_in_session = |pid: &Pid| session.is_some() && session == session_of(pid);
        let is_theirs =
            |pid: &Pid| is_in_session(pid) || broods.iter().any(|brood| brood.has(*pid));
        let dead = children.iter().filter(|pid| is_theirs(pid));
        let held: Vec<Held> = dead.filter_map(|pid| Held::new(*pid)).collect();
        if held.is_empty() {
            return buried;
        }
        held.iter().for_each(Held::kill);
        await_deaths(&held);
        buried += held.iter().filter(|one| reap(one.pid())).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_mark_is_what_names_the_attempt_and_nothing_else() {
        let env: [(&[u8], &[u8]); 3] = [
            (b"PATH", b"/bin"),
            (b"GOAROUND_TICKET_ID", b"t"),
            (b"GOAROUND_KEY", b"k"),
        ];
        assert_eq!(
            Mark::in_env(env.into_iter()),
            Mark(vec![b"GOAROUND_TICKET_ID=t".to_vec()])
        );
    }

    #[test]
    fn a_process_without_a_mark_or_group_belongs_to_nobody() {
        let brood = Brood {
            group: None,
            mark: Mark::in_env(std::iter::empty()),
        };
        assert!(!brood.has(rustix::process::getpid()));
    }

    #[test]
    fn a_marked_child_is_found_killed_and_reaped() {
        let mut child = Command::new("/bin/sleep")
            .arg("600")
            .env("GOAROUND_TICKET_ID", "bury-me")
            .spawn()
            .unwrap();
        let env: [(&[u8], &[u8]); 1] = [(b"GOAROUND_TICKET_ID", b"bury-me")];
        let brood = Brood {
            group: None,
            mark: Mark::in_env(env.into_iter()),
        };
        assert_eq!(bury(None, &[brood]), 1);
        assert!(child.try_wait().is_err(), "it was reaped already");
    }
}
