//! One broker for many tests. A runner gives each test a process of its own, and a broker takes
//! longer to start than most tests take, so they share one between processes: whoever comes first
//! starts it, and a small shell waits until nobody holds it any more and ends it.

use super::install::{Install, Version};
use super::node::{Node, answers};
use super::{Left, Options, Rabbit};
use crate::partners::{Missing, folder};
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A broker that others use too.
pub struct Shared {
    install: Install,
    node: Node,
    /// Locked for as long as this lives.
    _held: File,
}

impl Shared {
    /// Where it is: user `guest`, virtual host `/`.
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.node.port)
    }

    /// The port that it listens at.
    pub fn port(&self) -> u16 {
        self.node.port
    }

    /// Calls `rabbitmqctl` and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        self.node.ctl(&self.install, arguments)
    }
}

/// Ends the broker once its lock was free for some seconds. It is ended under the lock, so that
/// nobody can have just found it.
const REAPER: &str = "
    lock=$1 state=$2 folder=$3; shift 3
    while :; do
        flock \"$lock\" true
        sleep 5
        end='rm -f \"$0\"; kill -KILL \"$@\"'
        if flock --nonblock \"$lock\" sh -c \"$end\" \"$state\" \"$@\"; then
            sleep 1; rm -rf \"$folder\"; exit
        fi
    done";

pub(super) fn shared(version: Version) -> Result<Shared, Missing> {
    let install = Install::find(version)?;
    let place = folder().join(format!("shared/rabbitmq-{version}"));
    fs::create_dir_all(&place).expect("the folder of partners is ours");
    let held = open(&place.join("lock"));
    held.lock_shared().expect("the file system has locks");
    let starting = open(&place.join("starting"));
    starting.lock().expect("the file system has locks");
    let state = place.join("state");
    let node = match running(&state) {
        Some(node) => node,
        None => start(version, &place.join("lock"), &state)?,
    };
    Ok(Shared {
        install,
        node,
        _held: held,
    })
}

fn open(file: &Path) -> File {
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    options.open(file).expect("the folder of partners is ours")
}

fn running(state: &Path) -> Option<Node> {
    let text = fs::read_to_string(state).ok()?;
    let mut lines = text.lines();
    let port = lines.next()?.parse().ok()?;
    let mapper = lines.next()?.parse().ok()?;
    let folder = PathBuf::from(lines.next()?);
    answers(port)?;
    Some(Node::running(&folder, port, mapper))
}

#[expect(
    clippy::zombie_processes,
    reason = "the reaper outlives this process, which is what it is for"
)]
fn start(version: Version, lock: &Path, state: &Path) -> Result<Node, Missing> {
    let rabbit = Rabbit::with(Options::new(version))?;
    let ids: Vec<String> = rabbit
        .nodes
        .iter()
        .filter_map(Node::id)
        .map(|id| id.to_string())
        .collect();
    let Some(Left {
        mapper,
        mut nodes,
        folder,
    }) = rabbit.leave()
    else {
        unreachable!("it has just been started");
    };
    let node = nodes.remove(0);
    let text = format!("{}\n{}\n{}\n", node.port, node.mapper(), folder.display());
    let mut reaper = Command::new("sh");
    reaper
        .args(["-c", REAPER, "sh"])
        .args([lock, state, &folder]);
    reaper.args(ids).arg(mapper.id().to_string());
    reaper
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // Its own group: what ends this test must not end the one who cleans up after all of them.
    reaper.process_group(0).spawn().expect("there is a shell");
    fs::write(state, text).expect("the folder of partners is ours");
    Ok(node)
}
