//! The real binary, started in a folder of its own and ended by pid.

use crate::cpu;
use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running `goaround up`, or another role.
pub(crate) struct Up {
    child: Child,
    url: String,
}

/// The binary that was built beside this one.
pub(crate) fn program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("goaround");
    anyhow::ensure!(
        program.exists(),
        "{} is missing: run make bench",
        program.display()
    );
    Ok(program)
}

impl Up {
    /// Starts it on a free port and waits until it is ready; returns how long that took.
    pub(crate) fn start(config: &Path, folder: &Path) -> anyhow::Result<(Self, Duration)> {
        // What is measured is the process that does the work, not the one that watches over it.
        Self::start_as(&["up", "--no-launcher"], config, folder)
    }

    /// The same for a process of another role, with whatever else is said to it.
    pub(crate) fn start_as(
        role: &[&str],
        config: &Path,
        folder: &Path,
    ) -> anyhow::Result<(Self, Duration)> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let start = Instant::now();
        let child = Command::new(program()?)
            .args(role)
            .arg("--config")
            .arg(config)
            .arg("--data")
            .arg(folder)
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .stderr(Stdio::null())
            .spawn()?;
        let up = Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
        };
        while !up.is_ready() {
            anyhow::ensure!(
                start.elapsed() < Duration::from_secs(60),
                "goaround {role:?} is not ready"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok((up, start.elapsed()))
    }

    fn is_ready(&self) -> bool {
        ureq::get(&format!("{}/readyz", self.url)).call().is_ok()
    }

    /// A command line call to it, with nothing of its output shown.
    pub(crate) fn goaround(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let status = Command::new(program()?)
            .args(["--url", &self.url])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        anyhow::ensure!(
            status.success(),
            "goaround {arguments:?} ended with {status}"
        );
        Ok(())
    }

    /// Resident memory now, in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .context("no VmRSS")?;
        let kib: u64 = line
            .split_whitespace()
            .nth(1)
            .context("no number")?
            .parse()?;
        Ok(kib * 1024)
    }

    /// CPU time so far, in clock ticks of 10 ms.
    pub(crate) fn cpu_ticks(&self) -> anyhow::Result<u64> {
        cpu::ticks(self.pid())
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        self.signal(Signal::TERM).ok();
        self.child.wait().ok(); // It is ours, and it was told to end.
    }
}
