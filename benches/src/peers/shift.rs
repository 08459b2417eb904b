//! A worker at work, watched from outside: what it has handled, and what it takes for that.

use super::peer::Peer;
use crate::cpu;
use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often the counts are read; what a rate may be wrong by.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Adding up memory holds a process for a moment.
const WEIGH_EVERY: Duration = Duration::from_millis(250);
/// After that it is not coming any more.
const PATIENCE: Duration = Duration::from_secs(60);
/// A ticket that is handled twice shows up by then.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// How long a worker takes to start, at most, and to have nothing to do.
const IDLE: Duration = Duration::from_secs(10);
const END_MAX: Duration = Duration::from_secs(20);
const HUNDRED_THOUSAND: f64 = 100_000.0;

/// What a drain took.
pub(super) struct Drained {
    /// Tickets a second between the first and the last.
    pub(super) rate: f64,
    /// In the same time, for a hundred thousand of them.
    pub(super) cpu_seconds: f64,
    pub(super) peak_bytes: u64,
}

/// The processes of a worker; they end with this.
pub(super) struct Shift {
    peer: Peer,
    child: Child,
    counts: PathBuf,
    peak_bytes: u64,
    weighed: Instant,
}

impl Shift {
    /// Starts a worker that counts in this folder.
    pub(super) fn start(peer: Peer, command: &mut Command, counts: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(peer.log().parent().context("a log is in a folder")?)?;
        let log = File::create(peer.log())?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Self {
            peer,
            child,
            counts: counts.to_owned(),
            peak_bytes: 0,
            weighed: Instant::now(),
        })
    }

    /// Memory of a worker that has nothing to do.
    pub(super) fn idle_bytes(mut self) -> anyhow::Result<u64> {
        std::thread::sleep(IDLE);
        self.is_alive()?;
        Ok(self.bytes())
    }

    /// Watches it handle so many tickets.
    pub(super) fn drain(&mut self, count: u64) -> anyhow::Result<Drained> {
        let (start, before) = self.wait_for(1)?;
        let cpu = self.cpu_ticks();
        anyhow::ensure!(before < count, "{count} tickets are too few to measure");
        let (end, _) = self.wait_for(count)?;
        let ticks = self.cpu_ticks() - cpu;
        self.weigh();
        std::thread::sleep(AFTERWARDS);
        let handled = self.handled()?;
        anyhow::ensure!(handled == count, "{handled} were handled of {count}");
        let tickets = (count - before) as f64;
        Ok(Drained {
            rate: tickets / (end - start).as_secs_f64(),
            cpu_seconds: ticks as f64 / cpu::TICKS_A_SECOND / tickets * HUNDRED_THOUSAND,
            peak_bytes: self.peak_bytes,
        })
    }

    /// Returns when it had handled so many, and how many it were when that was seen.
    fn wait_for(&mut self, count: u64) -> anyhow::Result<(Instant, u64)> {
        let (mut known, mut moved) = (0, Instant::now());
        loop {
            let handled = self.handled()?;
            if handled >= count {
                return Ok((Instant::now(), handled));
            }
            if handled > known {
                (known, moved) = (handled, Instant::now());
            }
            let is_patient = moved.elapsed() < PATIENCE;
            anyhow::ensure!(is_patient, "it stands still at {handled} of {count}");
            self.is_alive()?;
            if self.weighed.elapsed() >= WEIGH_EVERY {
                self.weigh();
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn is_alive(&mut self) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        let log = self.peer.log();
        anyhow::ensure!(ended.is_none(), "it has ended, see {}", log.display());
        Ok(())
    }

    /// The sum over its processes.
    fn handled(&self) -> anyhow::Result<u64> {
        let mut sum = 0;
        for file in std::fs::read_dir(&self.counts)? {
            let told = std::fs::read(file?.path())?;
            // One that was only just made is empty.
            sum += <[u8; 8]>::try_from(told).map_or(0, u64::from_le_bytes);
        }
        Ok(sum)
    }

    fn weigh(&mut self) {
        self.peak_bytes = self.peak_bytes.max(self.bytes());
        self.weighed = Instant::now();
    }

    fn bytes(&self) -> u64 {
        let of = |pid| cpu::proportional_bytes(pid).unwrap_or(0); // It may be gone by now.
        self.processes().into_iter().map(of).sum()
    }

    fn cpu_ticks(&self) -> u64 {
        let of = |pid| cpu::ticks(pid).unwrap_or(0); // It may be gone by now.
        self.processes().into_iter().map(of).sum()
    }

    /// The processes of the worker. What ours has started is a controller, which is none.
    fn processes(&self) -> Vec<u32> {
        match self.peer {
            Peer::Ours => vec![self.child.id()],
            _ => tree(self.child.id()),
        }
    }
}

impl Drop for Shift {
    fn drop(&mut self) {
        let all = tree(self.child.id());
        // Ours have to put things in order first, and end when nobody holds the pipe.
        self.child.stdin.take();
        if !self.peer.is_of_the_house() {
            kill_process(Pid::from_child(&self.child), Signal::TERM).ok(); // It may have ended.
        }
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > END_MAX {
                all.into_iter().for_each(kill);
                self.child.wait().ok(); // It was just killed.
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.and_then(|pid| kill_process(pid, Signal::KILL).ok()); // It may have ended.
}

/// A process and all below it.
fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let children = cpu::children(*pid).unwrap_or_default();
        found.extend(children);
        next += 1;
    }
    found
}
