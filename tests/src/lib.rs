//! Drives the real binary from outside, as its users do: commands in, text out, signals by pid.
//!
//! A [`Site`] is a folder with a `goaround.toml`, its handlers and its data; an [`Up`] is what runs
//! there. A [`field::Field`] is a broker, a store and any number of processes.
//! An [`audit::Audit`] compares what was promised with what happened at the far side. Nothing here
//! knows the product's own code.

pub mod audit;
pub mod field;
pub mod foreign;
pub mod line;
pub mod process;
pub mod teller;

use process::{children, descendants, is_alive};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use teller::Teller;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The binary under test, which the same build has made.
pub fn program() -> PathBuf {
    let mut folder = std::env::current_exe().expect("a test has a file");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let program = folder.join("goaround");
    assert!(
        program.exists(),
        "{} is missing: build the workspace first",
        program.display()
    );
    program
}

/// The root of the checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the checkout is there")
}

/// A folder with a configuration, handlers and data of its own.
pub struct Site {
    folder: tempfile::TempDir,
    port: u16,
}

impl Site {
    /// A site with this configuration.
    pub fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let site = Self { folder, port };
        site.write("goaround.toml", config);
        site
    }

    /// Where everything is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("the scratch folder can be written");
    }

    /// Writes an executable script. It appears whole: a handler may be looking at it.
    pub fn script(&self, name: &str, text: &str) {
        let new = self.path().join(format!("{name}.new"));
        std::fs::write(&new, text).expect("the scratch folder can be written");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("ours");
        std::fs::rename(&new, self.path().join(name)).expect("ours");
    }

    /// The address that its `up` listens on.
    pub fn listen(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The `up` command, not started yet.
    pub fn up_command(&self) -> Command {
        let mut command = Command::new(program());
        command
            .current_dir(self.path())
            .args(["up", "--data", "data", "--listen", &self.listen()])
            .env_remove("GOAROUND_URL")
            .stdout(Stdio::null());
        command
    }

    /// Starts `up` and waits until it is ready.
    pub fn up(&self) -> Up {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path().join("up.log"))
            .expect("the scratch folder can be written");
        let child = self
            .up_command()
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        let mut up = Up { child };
        let url = format!("http://{}/readyz", self.listen());
        let is_ready = eventually(|| {
            assert!(up.is_running(), "goaround up ended:\n{}", self.log());
            ureq::get(&url).call().is_ok().then_some(())
        });
        assert!(
            is_ready.is_some(),
            "goaround up is not ready:\n{}",
            self.log()
        );
        up
    }

    /// What every `up` here has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("up.log")).unwrap_or_default()
    }

    /// Runs a command of the command line against this site.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        self.cli_with_input(arguments, "")
    }

    /// The same with something on its standard input.
    pub fn cli_with_input(&self, arguments: &[&str], input: &str) -> Output {
        self.teller().run(arguments, input)
    }

    /// The command line, pointed at this site.
    pub fn teller(&self) -> Teller {
        Teller {
            folder: self.path().to_owned(),
            address: self.listen(),
        }
    }

    /// Runs a command that must succeed; returns what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.teller().ok(arguments)
    }

    /// Runs a command that prints JSON and must succeed.
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.teller().json(arguments)
    }

    /// The books.
    pub fn books(&self) -> Value {
        self.teller().books()
    }

    /// Waits until the books say so; returns them. Meanwhile nobody may be there to be asked.
    pub fn books_until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let found = eventually(|| self.teller().books_if_any().filter(&is_so));
        found.unwrap_or_else(|| {
            panic!(
                "{what} did not come about: {:?}\n{}",
                self.teller().books_if_any(),
                self.log_tail()
            )
        })
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().rev().take(40).collect();
        lines
            .into_iter()
            .rev()
            .fold(String::new(), |mut tail, line| {
                writeln!(tail, "{line}").ok(); // Writing to a string does not fail.
                tail
            })
    }
}

/// One running `goaround up`, a launcher and below it the process that does the work; killed when
/// dropped.
pub struct Up {
    child: Child,
}

impl Up {
    /// The launcher's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The process id of the one that does the work, while there is one.
    pub fn role(&self) -> Option<u32> {
        let is_role = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            // Its errands and what it has adopted are children, too.
            line.split(|byte| *byte == 0)
                .any(|word| word == b"--launcher")
        };
        children(self.pid()).into_iter().find(is_role)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills all of it on the spot: the launcher, and with it whatever it has started.
    pub fn kill(mut self) {
        assert!(
            self.end(),
            "goaround up is killed, and what it started goes on"
        );
    }

    fn end(&mut self) -> bool {
        let descendants = descendants(self.pid());
        self.child.kill().ok(); // It may have ended already.
        self.child.wait().ok();
        let are_gone = || {
            let mut left = descendants.iter().filter(|pid| is_alive(**pid));
            left.next().is_none().then_some(())
        };
        eventually(are_gone).is_some()
    }

    /// The processes that the one that does the work has started itself.
    pub fn children(&self) -> Vec<u32> {
        self.role().map(children).unwrap_or_default()
    }

    /// Asks it to stop.
    pub fn signal(&self) {
        signal_to(self.pid(), Signal::TERM);
    }

    /// Kills the one that does the work, and only that.
    pub fn kill_role(&self) {
        signal_to(self.role().expect("it runs"), Signal::KILL);
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) -> ExitStatus {
        self.signal();
        self.child.wait().expect("ours")
    }

    /// With which code it has ended.
    pub fn end_code(mut self) -> Option<i32> {
        self.child.wait().expect("ours").code()
    }
}

impl From<Child> for Up {
    fn from(child: Child) -> Self {
        Self { child }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Somebody who fails already is not to fail twice.
        self.end();
    }
}

/// Signals a process.
pub fn signal_to(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    rustix::process::kill_process(pid.expect("a process id"), signal).expect("ours");
}

/// Waits for the end of a command; one that does not end is killed, and the test fails.
fn within_patience(mut child: Child) -> Output {
    let stdout = gather(child.stdout.take());
    let stderr = gather(child.stderr.take());
    let ended = eventually(|| child.try_wait().expect("ours"));
    if ended.is_none() {
        child.kill().expect("ours");
    }
    let status = child.wait().expect("ours");
    let [stdout, stderr] =
        [stdout, stderr].map(|reader| reader.join().expect("the reader does not panic"));
    let output = Output {
        status,
        stdout,
        stderr,
    };
    assert!(
        ended.is_some(),
        "the command did not end: {}",
        show(&output)
    );
    output
}

fn gather(pipe: Option<impl std::io::Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).ok(); // What was read until then is what there is.
        }
        bytes
    })
}

/// Looks again and again until there is an answer, or patience is over.
pub fn eventually<T>(look: impl FnMut() -> Option<T>) -> Option<T> {
    eventually_every(Duration::from_millis(20), PATIENCE, look)
}

/// The same with a pause and a patience of its own.
pub fn eventually_every<T>(
    pause: Duration,
    patience: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> Option<T> {
    let start = Instant::now();
    while start.elapsed() < patience {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(pause);
    }
    None
}

/// Bytes as text, for messages.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An output as text, for messages.
pub fn show(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}
