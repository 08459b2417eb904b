//! The configuration: flags over environment over file over defaults, parsed and composed.
//!
//! [`KEYS`] is the one table of keys. [`Loaded::read`] reads all layers and answers with a
//! [`Config`] or with every problem there is, each with its place, expectation and value.

mod backend;
mod compose;
mod environment;
mod file;
mod key;
mod mask;
mod path;
mod problem;
mod reference;
mod schema;
mod secret;
mod settings;
mod size;
mod value;

pub use backend::{Backend, ServerUrl};
pub use key::{KEYS, Key, Preset};
pub use path::Path as KeyPath;
pub(crate) use path::nearest;
pub use problem::{BadConfig, Problem, Source};
pub use reference::{example, reference};
pub use schema::schema;
pub use secret::Secret;
pub use settings::{Setting, Settings};
pub use value::{Kind, Value, Variable};

use actors::controller::Keeping;
use domain::flow::Flows;
use domain::names::{StageName, Version};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::{PostgresConfig, PostgresError};

/// Everything that `goaround up` needs to know.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The stages with their rules, and the flows over them.
    pub flows: Flows,
    /// How each stage's work is done.
    pub handlers: BTreeMap<StageName, Run>,
    /// API and viewer.
    pub http: Http,
    /// Where the queues are.
    pub broker: Broker,
    /// Where the books are.
    pub store: Store,
    /// How long what has ended is kept.
    pub keeping: Keeping,
    /// What is refused for being too big.
    pub limits: Limits,
    /// How long running handlers may go on after a stop is asked for.
    pub drain: Duration,
    /// The folder that relative programs and files are relative to.
    pub folder: PathBuf,
    /// The file it came from, if it came from one.
    pub file: Option<PathBuf>,
}

/// A command that handles a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The program and its arguments; at least the program.
    pub command: Vec<String>,
    /// Its environment, beyond what every handler is told.
    pub env: BTreeMap<String, String>,
    /// Its version, if the user names it.
    pub version: Option<Version>,
    /// The most address space each of its processes may have.
    pub memory_bytes_max: Option<u64>,
    /// The most it may write to its standard output.
    pub stdout_bytes_max: u64,
    /// How much of its standard error is kept; what was written before that is cut.
    pub stderr_bytes_max: u64,
    /// The most it may write into its result file.
    pub result_bytes_max: u64,
}

/// Where API and viewer listen, and who may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// The address.
    pub listen: SocketAddr,
    /// Where handlers reach the API, if not at `listen`.
    pub url: Option<String>,
    /// What clients must send; without one, only this machine may come in.
    pub token: Option<Secret>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7878)),
            url: None,
            token: None,
        }
    }
}

/// Where the queues are, and how they are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// In the data folder, or on RabbitMQ; with its password.
    pub at: Backend,
    /// What all names there begin with.
    pub prefix: String,
    /// The broker's own acknowledgement time-out.
    pub ack_timeout: Duration,
    /// How long it may take to confirm.
    pub publish_timeout: Duration,
    /// The certificates that its own must be signed by.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show to it, and its key.
    pub client_files: Option<(PathBuf, PathBuf)>,
}

/// Where the books are, and how they are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// In the data folder, or on PostgreSQL; with its password.
    pub at: Backend,
    /// How many connections a process opens at most.
    pub connections_max: usize,
}

impl Default for Broker {
    fn default() -> Self {
        Self {
            at: Backend::Embedded,
            prefix: "goaround".into(),
            ack_timeout: Duration::from_secs(30 * 60),
            publish_timeout: Duration::from_secs(10),
            ca_file: None,
            client_files: None,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            at: Backend::Embedded,
            connections_max: 10,
        }
    }
}

impl Broker {
    /// How RabbitMQ is reached; nothing if the queues are in the data folder.
    ///
    /// # Errors
    /// When a URL, a prefix or a certificate is none; says which key, never the password.
    pub fn connection(&self) -> Result<Option<amqp::Config>, amqp::config::BadConfig> {
        let Backend::Server(url) = &self.at else {
            return Ok(None);
        };
        let (cert_file, key_file) = self.client_files.clone().unzip();
        let mut connection = amqp::Config::new(url.reveal())?.with_tls(&amqp::Tls {
            ca_file: self.ca_file.clone(),
            cert_file,
            key_file,
        })?;
        connection.names = amqp::Names::new(&self.prefix)?;
        connection.ack_timeout = self.ack_timeout;
        connection.publish_timeout = self.publish_timeout;
        Ok(Some(connection))
    }
}

impl Store {
    /// How PostgreSQL is reached; nothing if the books are in the data folder.
    ///
    /// # Errors
    /// When its URL is none; says what is wrong with it, never the password.
    pub fn connection(&self) -> Result<Option<PostgresConfig>, PostgresError> {
        let Backend::Server(url) = &self.at else {
            return Ok(None);
        };
        let mut connection = PostgresConfig::new(url.reveal());
        connection.pool_max = self.connections_max;
        connection.check()?;
        Ok(Some(connection))
    }
}

/// What is refused for being too big.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The biggest payload of a ticket.
    pub payload_bytes_max: usize,
}

impl Default for Config {
    /// What holds without a file: no stages, and the defaults of the table.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        Self {
            flows: Flows::default(),
            handlers: BTreeMap::new(),
            http: Http::default(),
            broker: Broker::default(),
            store: Store::default(),
            keeping: Keeping {
                tickets_for: 30 * DAY,
                tickets_max: 2_000_000,
                oopses_for: 90 * DAY,
                oopses_max: 200_000,
            },
            limits: Limits {
                payload_bytes_max: 1 << 20,
            },
            drain: Duration::from_secs(20),
            folder: PathBuf::from("."),
            file: None,
        }
    }
}

impl Config {
    /// Where handlers reach the API, when we listen at `address`.
    pub fn api_url(&self, address: SocketAddr) -> String {
        let url = self.http.url.clone();
        url.unwrap_or_else(|| format!("http://{address}"))
    }

    /// What of it the web server needs.
    pub fn web(&self) -> web::Config {
        let mut config = web::Config::new(self.http.listen);
        let token = self.http.token.as_ref();
        config.token = token.map(|token| web::Token::new(token.reveal()));
        config.payload_bytes_max = self.limits.payload_bytes_max;
        config
    }
}

/// Where a configuration comes from.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The file; without one only environment and flags are read.
    pub file: Option<&'a Path>,
    /// The environment.
    pub variables: &'a BTreeMap<String, String>,
    /// Flags that set a key: the flag, the key with dots, the text.
    pub flags: &'a [(&'static str, &'static str, String)],
}

/// A configuration, and where each of its values was set.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The values with their places.
    pub settings: Settings,
}

impl Loaded {
    /// Reads all layers.
    ///
    /// # Errors
    /// [`BadConfig`] with every problem there is.
    pub fn read(around: &Surroundings<'_>) -> Result<Self, BadConfig> {
        let mut settings = Settings::default();
        let mut problems = Vec::new();
        let mut is_file_torn = false;
        if let Some(file) = around.file {
            let name = file.to_string_lossy();
            match text_of(file) {
                Ok(text) => {
                    let reading = file::read(&name, &text, &mut settings);
                    problems.extend(reading.problems);
                    is_file_torn = reading.is_torn;
                }
                Err(what) => {
                    problems.push(compose::whole_file(&name, what));
                    is_file_torn = true;
                }
            }
        }
        problems.extend(environment::read(around.variables, &mut settings));
        for (flag, key, text) in around.flags {
            let path = KeyPath::of(&key.split('.').collect::<Vec<_>>());
            let set = environment::set(&path, text, Source::Flag(flag), &mut settings);
            problems.extend(set.err());
        }
        Self::compose(settings, around, problems, is_file_torn)
    }

    fn compose(
        settings: Settings,
        around: &Surroundings<'_>,
        mut problems: Vec<Problem>,
        is_file_torn: bool,
    ) -> Result<Self, BadConfig> {
        let folder = around.file.and_then(Path::parent).unwrap_or(Path::new("."));
        let folder = if folder.as_os_str().is_empty() {
            Path::new(".")
        } else {
            folder
        };
        // What is missing in a file that could not be read says nothing.
        match compose::compose(&settings, folder, around) {
            Ok(config) if problems.is_empty() => return Ok(Self { config, settings }),
            Err(more) if !is_file_torn => problems.extend(more),
            _ => {}
        }
        problems.sort();
        problems.dedup();
        Err(BadConfig { problems })
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "no such file; `goaround init` writes one, --config names another".to_owned()
        }
        _ => error.to_string(),
    })?;
    let mut bytes = Vec::new();
    let limited = file.take(file::FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    limited.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > file::FILE_BYTES_MAX {
        return Err(format!(
            "expected at most {} bytes, got more",
            file::FILE_BYTES_MAX
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        format!("expected UTF-8 text, got other bytes in line {line}")
    })
}

#[cfg(test)]
mod tests;
