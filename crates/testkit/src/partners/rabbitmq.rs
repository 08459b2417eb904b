//! A private RabbitMQ of one of three versions, or a small cluster of it.
//!
//! The oldest comes from the system's packages; the newer ones live in folders of their own, with
//! everything they need inside, and are started in there.

mod install;
mod node;
mod shared;

pub use install::Version;
pub use shared::Shared;

use super::{Missing, free_port};
use install::Install;
use node::Node;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;
use tempfile::TempDir;

/// How a broker is to be.
#[derive(Clone, Debug)]
pub struct Options {
    version: Version,
    nodes: usize,
    consumer_timeout: Option<Duration>,
    plugins: Vec<String>,
    lines: String,
}

impl Options {
    /// One node, everything else as it comes.
    pub fn new(version: Version) -> Self {
        let (plugins, lines) = (Vec::new(), String::new());
        Self {
            version,
            nodes: 1,
            consumer_timeout: None,
            plugins,
            lines,
        }
    }

    /// A cluster of so many nodes.
    #[must_use]
    pub fn nodes(mut self, count: usize) -> Self {
        self.nodes = count;
        self
    }

    /// Takes deliveries back that are not acked for so long; looks every second.
    #[must_use]
    pub fn consumer_timeout(mut self, timeout: Duration) -> Self {
        self.consumer_timeout = Some(timeout);
        self
    }

    /// With this plugin.
    #[must_use]
    pub fn plugin(mut self, name: &str) -> Self {
        self.plugins.push(name.to_owned());
        self
    }

    /// With this line in `rabbitmq.conf`.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        writeln!(self.lines, "{line}").ok();
        self
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// [`Missing`] when this version is not installed here.
    ///
    /// # Panics
    /// When it is installed and does not start.
    pub fn start(self) -> Result<Rabbit, Missing> {
        Rabbit::with(self)
    }
}

/// A broker that ends when this is dropped.
pub struct Rabbit {
    install: Install,
    /// The port mapper of the nodes; ours alone, in the foreground, so that it ends with us.
    mapper: Option<Child>,
    nodes: Vec<Node>,
    /// Removed last; `None` once somebody else looks after it.
    folder: Option<TempDir>,
}

/// What is left of a broker that goes on without us.
struct Left {
    mapper: Child,
    nodes: Vec<Node>,
    folder: PathBuf,
}

/// A port that was free may be taken by the time the node wants it.
const ATTEMPTS: usize = 3;

impl Rabbit {
    /// One node of this version.
    ///
    /// # Errors
    /// [`Missing`] when it is not installed here.
    pub fn start(version: Version) -> Result<Self, Missing> {
        Options::new(version).start()
    }

    /// The URL of a broker of this version that tests share, across processes too. A test keeps
    /// to names of its own there, and changes nothing that others would notice. It ends some
    /// seconds after the last test that holds it.
    ///
    /// # Errors
    /// [`Missing`] when it is not installed here.
    pub fn shared(version: Version) -> Result<Shared, Missing> {
        shared::shared(version)
    }

    fn with(options: Options) -> Result<Self, Missing> {
        let install = Install::find(options.version)?;
        let mut told = String::new();
        for _ in 0..ATTEMPTS {
            match Self::attempt(&install, &options) {
                Ok(rabbit) => return Ok(rabbit),
                Err(why) => told = why,
            }
        }
        panic!("RabbitMQ {} did not start: {told}", options.version);
    }

    fn attempt(install: &Install, options: &Options) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("goaround-rabbitmq-")
            .tempdir()
            .map_err(|error| format!("no folder for it: {error}"))?;
        let place = folder.path().to_owned();
        node::cookie(&place);
        let mapper_port = free_port();
        let mapper = Some(node::mapper(install, &place, mapper_port)?);
        let (install, nodes, folder) = (install.clone(), Vec::new(), Some(folder));
        let mut rabbit = Self {
            install,
            mapper,
            nodes,
            folder,
        };
        for number in 1..=options.nodes {
            let node = Node::new(&place, number, mapper_port);
            node.configure(&advanced(options), &conf(options, &node), &options.plugins);
            rabbit.nodes.push(node);
        }
        for node in &mut rabbit.nodes {
            node.launch(&rabbit.install);
        }
        for node in &mut rabbit.nodes {
            node.await_answer()?;
        }
        Ok(rabbit)
    }

    /// Lets it go on without us.
    fn leave(mut self) -> Option<Left> {
        let folder = self.folder.take()?.keep();
        let mapper = self.mapper.take()?;
        Some(Left {
            mapper,
            nodes: std::mem::take(&mut self.nodes),
            folder,
        })
    }

    /// Where it is: user `guest`, virtual host `/`.
    pub fn url(&self) -> String {
        self.url_of(0)
    }

    /// Where a node of the cluster is.
    pub fn url_of(&self, node: usize) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.nodes[node].port)
    }

    /// The port that it listens at.
    pub fn port(&self) -> u16 {
        self.nodes[0].port
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(&mut self) {
        self.stop_node(0);
    }

    /// Ends it as a power failure would.
    pub fn kill(&mut self) {
        self.kill_node(0);
    }

    /// Starts it again, on the same port with the same data.
    pub fn restart(&mut self) {
        self.restart_node(0);
    }

    /// Asks a node to stop.
    pub fn stop_node(&mut self, node: usize) {
        self.nodes[node].stop();
    }

    /// Ends a node as a power failure would.
    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Starts a node again.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart_node(&mut self, node: usize) {
        self.nodes[node].stop();
        self.nodes[node].launch(&self.install);
        if let Err(why) = self.nodes[node].await_answer() {
            panic!("RabbitMQ did not come up again: {why}");
        }
    }

    /// Freezes it: connections stay, nothing is answered.
    pub fn freeze(&mut self) {
        self.nodes[0].signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&mut self) {
        self.nodes[0].signal("CONT");
    }

    /// Calls `rabbitmqctl` and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        self.nodes[0].ctl(&self.install, arguments)
    }

    /// Raises the memory alarm: whoever publishes is blocked.
    pub fn raise_alarm(&self) {
        self.ctl(&["set_vm_memory_high_watermark", "0.00001"]);
    }

    /// Ends the memory alarm.
    pub fn clear_alarm(&self) {
        self.ctl(&["set_vm_memory_high_watermark", "0.4"]);
    }
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
        if let Some(mut mapper) = self.mapper.take() {
            mapper.kill().ok();
            mapper.wait().ok();
        }
    }
}

fn conf(options: &Options, node: &Node) -> String {
    let mut conf = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\nloopback_users = none\nlog.console = false\n\
         disk_free_limit.absolute = 50MB\nvm_memory_high_watermark.relative = 0.4\n",
        node.port
    );
    if options.nodes > 1 {
        conf.push_str("cluster_formation.peer_discovery_backend = classic_config\n");
        for number in 1..=options.nodes {
            let name = node.name_of(number);
            writeln!(
                conf,
                "cluster_formation.classic_config.nodes.{number} = {name}"
            )
            .ok();
        }
    }
    conf.push_str(&options.lines);
    conf
}

fn advanced(options: &Options) -> String {
    match options.consumer_timeout {
        None => "[].\n".to_owned(),
        // The time-out is looked at when the channel ticks, which is once a minute otherwise.
        Some(timeout) => format!(
            "[{{rabbit,[{{channel_tick_interval,1000}},{{consumer_timeout,{}}}]}}].\n",
            timeout.as_millis()
        ),
    }
}
