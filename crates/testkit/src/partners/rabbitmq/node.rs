//! One node: its folder, its ports, its process.

use super::install::Install;
use crate::partners::free_port;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A node starts in 4 to 8 seconds; on a machine that builds at the same time it may take long.
const START_MAX: Duration = Duration::from_secs(120);
/// A node stops in 2 to 8 seconds, and may wait for its cluster before.
const STOP_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOPBACK: &str = "-kernel inet_dist_use_interface {127,0,0,1}";
const LOG_LINES_SHOWN: usize = 20;

pub(super) struct Node {
    number: usize,
    pub(super) port: u16,
    distribution: u16,
    mapper: u16,
    folder: PathBuf,
    process: Option<Child>,
}

impl Node {
    pub(super) fn new(folder: &Path, number: usize, mapper: u16) -> Self {
        Self {
            number,
            port: free_port(),
            distribution: free_port(),
            mapper,
            folder: folder.to_owned(),
            process: None,
        }
    }

    /// One that somebody else has started.
    pub(super) fn running(folder: &Path, port: u16, mapper: u16) -> Self {
        let folder = folder.to_owned();
        Self {
            number: 1,
            port,
            distribution: 0,
            mapper,
            folder,
            process: None,
        }
    }

    /// The port of its mapper.
    pub(super) fn mapper(&self) -> u16 {
        self.mapper
    }

    pub(super) fn name_of(&self, number: usize) -> String {
        // The mapper's port makes the name unique on this machine, should mappers ever meet.
        format!("r{number}-{}@localhost", self.mapper)
    }

    fn own(&self) -> String {
        format!("n{}", self.number)
    }

    pub(super) fn configure(&self, advanced: &str, conf: &str, plugins: &[String]) {
        let own = self.folder.join(self.own());
        for part in ["log", "mnesia"] {
            fs::create_dir_all(own.join(part)).expect("the folder is ours");
        }
        let enabled = format!("[{}].\n", plugins.join(","));
        for (name, text) in [
            ("rabbitmq.conf", conf),
            ("advanced.config", advanced),
            ("enabled_plugins", &enabled),
        ] {
            fs::write(own.join(name), text).expect("the folder is ours");
        }
    }

    pub(super) fn launch(&mut self, install: &Install) {
        let mut command = self.command(install, "rabbitmq-server");
        let out = fs::File::create(self.out()).expect("the folder is ours");
        let err = out.try_clone().expect("a file can be shared");
        // `detached` makes the script become the node instead of watching over it.
        command.env("detached", "1").stdout(out).stderr(err);
        self.process = Some(
            command
                .spawn()
                .expect("the script is there: it was looked for"),
        );
    }

    fn out(&self) -> PathBuf {
        self.folder.join(self.own()).join("log/out")
    }

    fn command(&self, install: &Install, script: &str) -> Command {
        let mut command = install.command(&self.folder, &install.script(script));
        let home = install.inside(&self.folder);
        let own = home.join(self.own());
        command
            .env("HOME", &home)
            .env("ERL_CRASH_DUMP", own.join("erl_crash.dump"))
            .env("ERL_EPMD_PORT", self.mapper.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", self.name_of(self.number))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.distribution.to_string())
            .env("RABBITMQ_MNESIA_BASE", own.join("mnesia"))
            .env("RABBITMQ_LOG_BASE", own.join("log"))
            .env("RABBITMQ_CONFIG_FILE", own.join("rabbitmq"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", own.join("advanced.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", own.join("enabled_plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_GENERATED_CONFIG_DIR", own.join("config"))
            .env("RABBITMQ_PID_FILE", own.join("pid"))
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", LOOPBACK)
            .env("RABBITMQ_CTL_ERL_ARGS", LOOPBACK);
        command
    }

    /// Waits until it answers like a broker.
    pub(super) fn await_answer(&mut self) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if answers(self.port).is_some() {
                return Ok(());
            }
            let ended = match &mut self.process {
                Some(process) => process.try_wait().ok().flatten(),
                None => return Err("it was not launched".to_owned()),
            };
            if let Some(status) = ended {
                return Err(format!("it ended with {status}: {}", self.last_words()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Err(format!(
            "no answer within {START_MAX:?}: {}",
            self.last_words()
        ))
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.out()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(LOG_LINES_SHOWN).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    pub(super) fn stop(&mut self) {
        self.signal("TERM");
        let began = Instant::now();
        while let Some(process) = &mut self.process {
            match process.try_wait() {
                Ok(None) if began.elapsed() < STOP_MAX => std::thread::sleep(LOOK_EVERY),
                _ => break,
            }
        }
        self.kill();
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().ok();
            process.wait().ok();
        }
    }

    pub(super) fn signal(&self, signal: &str) {
        if let Some(process) = &self.process {
            let mut command = Command::new("kill");
            command.args([format!("-{signal}"), process.id().to_string()]);
            command.stderr(Stdio::null()).status().ok();
        }
    }

    /// The process id, while it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    pub(super) fn ctl(&self, install: &Install, arguments: &[&str]) -> String {
        let output = self
            .command(install, "rabbitmqctl")
            .args(arguments)
            .output()
            .expect("the script is there: it was looked for");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "rabbitmqctl {arguments:?}: {told}{failed}"
        );
        told
    }
}

/// Whether a broker answers at the port; its first word is a frame of the method kind.
pub(super) fn answers(port: u16) -> Option<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let wait = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, wait).ok()?;
    stream.set_read_timeout(Some(wait)).ok()?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").ok()?;
    let mut first = [0];
    stream.read_exact(&mut first).ok()?;
    (first[0] == 1).then_some(())
}

/// The secret that nodes and tools of one broker share.
pub(super) fn cookie(folder: &Path) {
    let file = folder.join(".erlang.cookie");
    fs::write(&file, uuid::Uuid::now_v7().simple().to_string()).expect("the folder is ours");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
}

/// Starts a port mapper. A node that finds none would start one that never ends.
pub(super) fn mapper(install: &Install, folder: &Path, port: u16) -> Result<Child, String> {
    let mut command = install.command(folder, "epmd");
    command.args(["-port", &port.to_string(), "-address", "127.0.0.1"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut mapper = command
        .spawn()
        .map_err(|error| format!("no epmd: {error}"))?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let began = Instant::now();
    while began.elapsed() < START_MAX {
        if TcpStream::connect_timeout(&address, LOOK_EVERY).is_ok() {
            return Ok(mapper);
        }
        if let Ok(Some(status)) = mapper.try_wait() {
            return Err(format!("epmd ended with {status}"));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    mapper.kill().ok();
    mapper.wait().ok();
    Err("epmd does not answer".to_owned())
}
