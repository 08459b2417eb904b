//! One command, from its start to the moment when nothing of it runs any more.

use super::house::{House, not_started};
use super::pipes::{Capture, Feed, Tail};
use super::slot::Slot;
use super::{Order, files, files_limit, shim};
use crate::processes::{self, Brood, Mark};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wait4::{ResUse, Wait4};
use wire::child::{End, Ended, Event, Exit, Invocation, InvocationLimits, Spawned, UsageSum};

/// A command that ends sooner is not worth telling its process number.
const QUICK: Duration = Duration::from_millis(20);

/// How long the pipes of a command that has ended are read, when something else still holds them.
const LINGER: Duration = Duration::from_secs(1);

/// Runs a command and returns once it and everything that it started are gone.
pub(super) fn run(house: &House, slot: &mut Slot, invocation: &Invocation) -> End {
    let started = files_limit::raised_for(|| Running::start(house, invocation));
    let mut running = match started {
        Ok(running) => running,
        Err(error) => return not_started(&error),
    };
    running.watch(house, slot);
    running.stop_feeding();
    // A list that cannot be had may hold anything.
    let has_heirs = !house.orphans.are_none();
    if has_heirs {
        running.hear_out(house, slot);
    } else {
        running.drain(house, slot);
    }
    running.finish(house, invocation, has_heirs)
}

/// A command at work.
struct Running {
    id: u64,
    child: Child,
    group: Pid,
    handle: OwnedFd,
    /// Holds the other ends of the output pipes, so that they do not end before the command does
    /// and wake us for nothing.
    command: Option<Command>,
    feed: Option<Feed>,
    stdout: Capture,
    stderr: Tail,
    told_at: Option<Instant>,
    killed_at: Option<Instant>,
    was_asked: bool,
    was_killed: bool,
}

/// What woke the thread.
#[derive(Clone, Copy)]
struct Woken {
    has_ended: bool,
    is_called: bool,
}

impl Running {
    fn start(house: &House, invocation: &Invocation) -> io::Result<Self> {
        let limits = invocation.limits.unwrap_or_default();
        let (stdout, stdout_end) = Capture::new(limits.stdout_bytes_max)?;
        let (stderr, stderr_end) = Tail::new(limits.stderr_bytes_max)?;
        let (feed, stdin) = match invocation.stdin.is_empty() {
            true => (None, Stdio::from(house.nothing.try_clone()?)),
            false => Feed::new(invocation.stdin.clone())
                .map(|(feed, end)| (Some(feed), Stdio::from(end)))?,
        };
        let mut command = command(invocation, &limits);
        command.stdin(stdin).stdout(stdout_end).stderr(stderr_end);
        let mut child = command.spawn()?;
        let group = Pid::from_child(&child);
        let handle = match rustix::process::pidfd_open(group, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(error) => {
                processes::signal_group(group, Signal::KILL);
                child.wait()?;
                return Err(error.into());
            }
        };
        Ok(Self {
            id: invocation.id,
            child,
            group,
            handle,
            command: Some(command),
            feed: feed.and_then(Feed::go_on),
            stdout,
            stderr,
            told_at: Some(Instant::now() + QUICK),
            killed_at: None,
            was_asked: false,
            was_killed: false,
        })
    }

    /// Feeds it and listens to it until it has ended.
    fn watch(&mut self, house: &House, slot: &mut Slot) {
        loop {
            let next = [self.told_at, self.killed_at].into_iter().flatten().min();
            let woken = self.wait(house, slot, next);
            if woken.has_ended {
                return;
            }
            if woken.is_called
                && let Some(order) = slot.order(self.id)
            {
                self.obey(order);
            }
            if self.stdout.has_overflowed() || is_over(self.killed_at) {
                self.kill();
            }
            if is_over(self.told_at) {
                self.told_at = None;
                let pid = self.group.as_raw_nonzero().get().unsigned_abs();
                house.tell(Event::Spawned(Spawned { id: self.id, pid }));
            }
        }
    }

    /// It has ended, and so nothing is expected of it any more.
    fn stop_feeding(&mut self) {
        self.command = None;
        self.feed = None;
    }

    /// Something may have been left behind. It may go on writing for a moment, as in a pipeline of
    /// a shell that did not wait for all of it.
    fn hear_out(&mut self, house: &House, slot: &mut Slot) {
        let linger = if self.was_killed {
            Duration::ZERO
        } else {
            LINGER
        };
        let lingered = Instant::now() + linger;
        let mut deaf_at = self.killed_at.map_or(lingered, |at| at.min(lingered));
        while self.stdout.is_open() || self.stderr.is_open() {
            let woken = self.wait(house, slot, Some(deaf_at));
            if woken.is_called && slot.order(self.id).is_some() {
                deaf_at = Instant::now();
            }
            if self.stdout.has_overflowed() || is_over(Some(deaf_at)) {
                return;
            }
        }
    }

    /// Nobody is left to write: takes what is in the pipes. They need not end, since a command that
    /// another thread is just starting holds all our pipes for a moment.
    fn drain(&mut self, house: &House, slot: &Slot) {
        let mut left = u64::MAX;
        while left > 0 && !self.stdout.has_overflowed() {
            let before = self.stdout.bytes_seen() + self.stderr.bytes_seen();
            self.wait(house, slot, Some(Instant::now()));
            left = self.stdout.bytes_seen() + self.stderr.bytes_seen() - before;
        }
    }

    /// Sleeps until something happens or `until`, and moves what can be moved.
    fn wait(&mut self, house: &House, slot: &Slot, until: Option<Instant>) -> Woken {
        // A place that is not needed watches for nothing on what can neither end nor fail.
        let idle = || PollFd::new(&house.nothing, PollFlags::empty());
        let listen = |pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN);
        let is_running = self.command.is_some();
        let mut polled = [
            slot.socket().map_or_else(idle, listen),
            if is_running {
                PollFd::new(&self.handle, PollFlags::IN)
            } else {
                idle()
            },
            self.stdout.pipe().map_or_else(idle, listen),
            self.stderr.pipe().map_or_else(idle, listen),
            self.feed.as_ref().map_or_else(idle, |feed| {
                PollFd::from_borrowed_fd(feed.pipe(), PollFlags::OUT)
            }),
        ];
        let timeout = until.map(|until| timespec(until.saturating_duration_since(Instant::now())));
        // A signal is not an event; the little that a sleep may get longer by it does not matter.
        while poll(&mut polled, timeout.as_ref()) == Err(Errno::INTR) {}
        let [called, ended, stdout, stderr, feed] = polled.map(|one| one.revents());
        self.stdout.read(stdout);
        self.stderr.read(stderr);
        if !feed.is_empty() {
            self.feed = self.feed.take().and_then(Feed::go_on);
        }
        Woken {
            has_ended: !ended.is_empty(),
            is_called: !called.is_empty(),
        }
    }

    fn obey(&mut self, order: Order) {
        self.was_asked = true;
        match order {
            Order::Kill => self.kill(),
            Order::Ask(grace) => {
                processes::signal_group(self.group, Signal::TERM);
                self.killed_at = Instant::now().checked_add(grace);
            }
        }
    }

    /// The command is not reaped yet, so the number of its group cannot be another's.
    fn kill(&mut self) {
        if !self.was_killed {
            processes::signal_group(self.group, Signal::KILL);
        }
        self.was_killed = true;
        self.killed_at = None;
    }

    /// Makes sure that nothing is left, and tells how it went.
    fn finish(mut self, house: &House, invocation: &Invocation, has_heirs: bool) -> End {
        if has_heirs {
            // Before the command is reaped: its number keeps the group's from being another's.
            processes::signal_group(self.group, Signal::KILL);
        }
        let account = match self.child.try_wait4() {
            Ok(Some(account)) => account,
            Ok(None) => return not_started(&io::Error::other("its end was seen but not found")),
            Err(error) => return not_started(&error),
        };
        let limits = invocation.limits.unwrap_or_default();
        let leftovers = match has_heirs {
            true => house.orphans.clear(&self.brood(invocation), house),
            false => 0,
        };
        let result = files::take_result(&invocation.result_path, limits.result_bytes_max);
        let ended = Ended {
            exit: exit(&account),
            was_asked: self.was_asked,
            stdout_overflowed: self.stdout.has_overflowed(),
            stdout: self.stdout.into_bytes(),
            stderr_bytes: self.stderr.bytes_seen(),
            stderr_tail: self.stderr.into_bytes(),
            result,
            progress: files::take_progress(&invocation.progress_path),
            usage: Some(usage(&account)),
            leftovers,
        };
        match shim::failure(&ended) {
            Some(failure) if limits.memory_bytes_max.is_some() => End::NotStarted(failure),
            _ => End::Ended(ended),
        }
    }

    fn brood(&self, invocation: &Invocation) -> Brood {
        let env = invocation.env.iter();
        Brood {
            group: Some(self.group),
            mark: Mark::in_env(env.map(|variable| (&variable.name[..], &variable.value[..]))),
        }
    }
}

/// Only what keeps `posix_spawn` possible: a fork would copy our page tables, and code between fork
/// and exec could not be safe.
fn command(invocation: &Invocation, limits: &InvocationLimits) -> Command {
    let mut command = match limits.memory_bytes_max {
        Some(bytes_max) => shim::command(invocation, bytes_max),
        None => {
            let mut command = Command::new(OsStr::from_bytes(&invocation.program));
            command
                .args(invocation.args.iter().map(|arg| OsStr::from_bytes(arg)))
                .env_clear();
            command
        }
    };
    command
        .current_dir(OsStr::from_bytes(&invocation.folder))
        .process_group(0);
    for variable in &invocation.env {
        let name = OsStr::from_bytes(&variable.name);
        command.env(name, OsStr::from_bytes(&variable.value));
    }
    command
}

fn exit(account: &ResUse) -> Option<Exit> {
    let code = account.status.code().map(Exit::Status);
    code.or_else(|| account.status.signal().map(Exit::Signal))
}

fn usage(account: &ResUse) -> UsageSum {
    let micros = |length: Duration| u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
    UsageSum {
        memory_bytes_max: account.rusage.maxrss,
        cpu_user_us: micros(account.rusage.utime),
        cpu_system_us: micros(account.rusage.stime),
    }
}

fn is_over(time: Option<Instant>) -> bool {
    time.is_some_and(|time| time <= Instant::now())
}

fn timespec(length: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(length.subsec_nanos()),
    }
}
