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
    let start = || Running::start(house, invocation);
    let mut running = match files_limit::raised_for(start) {
        Ok(running) => running,
        Err(error) => return not_started(&error),
    };
    let was_heard = running.watch(house, slot);
    // A list that cannot be had may hold anything.
    let has_heirs = !house.orphans.are_none();
    if has_heirs {
        running.hear_out(house, slot);
    } else if was_heard {
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
    feed: Option<Feed>,
    stdout: Capture,
    stderr: Tail,
    told_at: Option<Instant>,
    killed_at: Option<Instant>,
    has_ended: bool,
    was_asked: bool,
    was_killed: bool,
}

/// What woke the thread.
#[derive(Clone, Copy)]
struct Woken {
    has_ended: bool,
    is_called: bool,
    was_heard: bool,
}

impl Running {
    fn start(house: &House, invocation: &Invocation) -> io::Result<Self> {
        let limits = invocation.limits.unwrap_or_default();
        let (stdout, stdout_end) = Capture::new(limits.stdout_bytes_max)?;
        let (stderr, stderr_end) = Tail::new(limits.stderr_bytes_max)?;
        let (feed, stdin) = match invocation.stdin.is_empty() {
            true => (None, Stdio::from(house.nothing.try_clone()?)),
            false => {
                let (feed, end) = Feed::new(invocation.stdin.clone())?;
                (feed, Stdio::from(end))
            }
        };
        let mut command = command(invocation, &limits);
        command.stdin(stdin).stdout(stdout_end).stderr(stderr_end);
        let (child, handle) = spawn(command)?;
        Ok(Self {
            id: invocation.id,
            group: Pid::from_child(&child),
            child,
            handle,
            feed: feed.and_then(Feed::go_on),
            stdout,
            stderr,
            told_at: Some(Instant::now() + QUICK),
            killed_at: None,
            has_ended: false,
            was_asked: false,
            was_killed: false,
        })
    }

    /// Feeds it and listens to it until it has ended. Returns whether something was heard at the
    /// very end: then there may be more. What it wrote, it wrote before, so it could be seen.
    fn watch(&mut self, house: &House, slot: &mut Slot) -> bool {
        loop {
            let next = [self.told_at, self.killed_at].into_iter().flatten().min();
            let woken = self.wait(house, slot, next);
            if woken.has_ended {
                self.has_ended = true;
                // Nothing is expected of it any more.
                self.feed = None;
                return woken.was_heard;
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

    /// Something may have been left behind. It may go on writing for a moment, as in a pipeline of
    /// a shell that did not wait for all of it.
    fn hear_out(&mut self, house: &House, slot: &mut Slot) {
        self.stdout.let_end();
        self.stderr.let_end();
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

    /// Nobody is left to write: takes what is in the pipes.
    fn drain(&mut self, house: &House, slot: &Slot) {
        while !self.stdout.has_overflowed()
            && self.wait(house, slot, Some(Instant::now())).was_heard
        {}
    }

    /// Sleeps until something happens or `until`, and moves what can be moved.
    fn wait(&mut self, house: &House, slot: &Slot, until: Option<Instant>) -> Woken {
        // A place that is not needed watches for nothing on what can neither end nor fail.
        let idle = || PollFd::new(&house.nothing, PollFlags::empty());
        let listen = |pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN);
        let mut polled = [
            slot.socket().map_or_else(idle, listen),
            // Before the pipes: they are looked at in this order.
            if self.has_ended {
                idle()
            } else {
                PollFd::new(&self.handle, PollFlags::IN)
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
            was_heard: !(stdout | stderr).is_empty(),
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
        let leftovers = match has_heirs {
            true => house.orphans.clear(&self.brood(invocation), house),
            false => 0,
        };
        let ended = self.tell(&account, leftovers, invocation);
        match shim::failure(&ended) {
            Some(failure) if is_limited(invocation) => End::NotStarted(failure),
            _ => End::Ended(ended),
        }
    }

    fn tell(self, account: &ResUse, leftovers: u32, invocation: &Invocation) -> Ended {
        let limits = invocation.limits.unwrap_or_default();
        Ended {
            exit: exit(account),
            was_asked: self.was_asked,
            stdout_overflowed: self.stdout.has_overflowed(),
            stdout: self.stdout.into_bytes(),
            stderr_bytes: self.stderr.bytes_seen(),
            stderr_tail: self.stderr.into_bytes(),
            result: files::take_result(&invocation.result_path, limits.result_bytes_max),
            progress: files::take_progress(&invocation.progress_path),
            usage: Some(usage(account)),
            leftovers,
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

fn is_limited(invocation: &Invocation) -> bool {
    let limits = invocation.limits.unwrap_or_default();
    limits.memory_bytes_max.is_some()
}

fn spawn(mut command: Command) -> io::Result<(Child, OwnedFd)> {
    let mut child = command.spawn()?;
    let pid = Pid::from_child(&child);
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => Ok((child, handle)),
        Err(error) => {
            processes::signal_group(pid, Signal::KILL);
            child.wait()?;
            Err(error.into())
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
