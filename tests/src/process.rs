//! [`Process`]: one `goaround worker`, `controller` or `watchdog`, by its process id.

use crate::{eventually_every, program};
use rustix::process::Signal;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How long a process may take until it is ready; the machine may be building at the same time.
const READY_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOG_LINES_SHOWN: usize = 30;

/// One process of a field; killed when dropped.
pub struct Process {
    name: String,
    role: String,
    folder: PathBuf,
    environment: Vec<(String, String)>,
    port: u16,
    child: Option<Child>,
}

impl Process {
    /// Starts a role under a name of its own: its data folder and log are called so.
    pub(crate) fn start(
        (role, name): (&str, &str),
        folder: &Path,
        environment: Vec<(String, String)>,
    ) -> Self {
        let mut process = Self {
            name: name.to_owned(),
            role: role.to_owned(),
            folder: folder.to_owned(),
            environment,
            port: free_port(),
            child: None,
        };
        process.launch();
        process
    }

    fn launch(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("the scratch folder can be written");
        let child = Command::new(program())
            .current_dir(&self.folder)
            .args([&self.role, "--listen", &self.address()])
            .args(["--data", &format!("data-{}", self.name)])
            .envs(self.environment.iter().cloned())
            .env_remove("GOAROUND_URL")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its process id, while it was not ended by us.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        let child = self.child.as_mut();
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// When it ends instead, or does not become ready.
    pub fn await_ready(&mut self) {
        let is_ready = eventually_every(LOOK_EVERY, READY_MAX, || {
            assert!(self.is_running(), "{} ended:\n{}", self.name, self.log());
            self.is_ready().then_some(())
        });
        assert!(
            is_ready.is_some(),
            "{} is not ready:\n{}",
            self.name,
            self.log_tail()
        );
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        let url = format!("http://{}/readyz", self.address());
        ureq::get(&url).call().is_ok()
    }

    /// Its page of metrics.
    pub fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.address());
        let page = ureq::get(&url).call().ok();
        let text = page.and_then(|mut page| page.body_mut().read_to_string().ok());
        text.unwrap_or_default()
    }

    /// Ends it on the spot, as if its host were gone: whatever it has started goes with it.
    pub fn kill(&mut self) {
        let descendants: Vec<u32> = self.pid().map(descendants).unwrap_or_default();
        if let Some(mut child) = self.child.take() {
            child.kill().ok(); // It may have ended already.
            child.wait().expect("ours");
        }
        let are_gone = eventually_every(LOOK_EVERY, READY_MAX, || {
            let mut left = descendants.iter().filter(|pid| is_alive(**pid));
            left.next().is_none().then_some(())
        });
        // Somebody who fails already is not to fail twice.
        assert!(
            are_gone.is_some() || std::thread::panicking(),
            "{} is killed, and what it has started goes on",
            self.name
        );
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Panics
    /// When it does not run, or does not stop.
    pub fn stop(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let pid = rustix::process::Pid::from_child(&child);
        // It may have ended already.
        rustix::process::kill_process(pid, Signal::TERM).ok();
        let ended = eventually_every(LOOK_EVERY, READY_MAX, || child.try_wait().expect("ours"));
        if ended.is_none() {
            child.kill().expect("ours");
            child.wait().expect("ours");
        }
        ended.unwrap_or_else(|| panic!("{} did not stop:\n{}", self.name, self.log_tail()))
    }

    /// Waits until it has ended by itself.
    pub fn await_end(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut()?;
        eventually_every(LOOK_EVERY, READY_MAX, || child.try_wait().expect("ours"))
    }

    /// Kills the role and leaves its launcher, which starts it again.
    pub fn kill_child(&self) {
        self.signal_below(1, Signal::KILL);
    }

    /// Kills what starts the handlers, with them.
    pub fn kill_spawner(&self) {
        self.signal_below(2, Signal::KILL);
    }

    /// Stops the role where it is, as a machine does that has no time for it.
    pub fn freeze_child(&self) {
        self.signal_below(1, Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw_child(&self) {
        self.signal_below(1, Signal::CONT);
    }

    /// Signals the processes that are so many steps below.
    fn signal_below(&self, depth: usize, signal: Signal) {
        let mut pids: Vec<u32> = self.pid().into_iter().collect();
        for _ in 0..depth {
            pids = pids.iter().flat_map(|pid| children(*pid)).collect();
        }
        for pid in pids {
            let pid = i32::try_from(pid).ok();
            if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                // It may have ended in between.
                rustix::process::kill_process(pid, signal).ok();
            }
        }
    }

    /// Starts it again, with the same data folder.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// What it has logged so far, in all its lives.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// The last lines of that.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(LOG_LINES_SHOWN).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Everything that a process has started, directly or not.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut found = children(pid);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        found.extend(children(*pid));
        next += 1;
    }
    found
}

/// What a process has started itself.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let children = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("children"));
    let tasks = tasks.into_iter().flatten().flatten();
    let lists: Vec<String> = tasks.filter_map(|task| children(task).ok()).collect();
    let ids = lists.iter().flat_map(|list| list.split_whitespace());
    ids.filter_map(|id| id.parse().ok()).collect()
}

/// Whether there is such a process that is not just waiting to be reaped.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| state != 'Z')
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}
