//! [`Field`]: one broker, one store, one configuration, and any number of processes.

use crate::audit::Effects;
use crate::process::Process;
use crate::teller::Teller;
use serde_json::Value;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use testkit::partners::or_skip;
use testkit::partners::postgres::PostgresServer;
use testkit::partners::rabbitmq::{Options, Rabbit, Shared, Version};

const DATABASE: &str = "goaround";

/// Where the tickets travel.
pub enum Broker {
    /// Used by other tests too: nothing may be done to it.
    Shared(Shared),
    /// For this test alone.
    Own(Rabbit),
}

impl Broker {
    /// How to reach it.
    pub fn url(&self) -> String {
        match self {
            Self::Shared(broker) => broker.url(),
            Self::Own(broker) => broker.url(),
        }
    }

    /// The port that it listens at.
    pub fn port(&self) -> u16 {
        match self {
            Self::Shared(broker) => broker.port(),
            Self::Own(broker) => broker.port(),
        }
    }

    /// Calls `rabbitmqctl`.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        match self {
            Self::Shared(broker) => broker.ctl(arguments),
            Self::Own(broker) => broker.ctl(arguments),
        }
    }
}

/// A place where processes work together.
pub struct Field {
    folder: tempfile::TempDir,
    prefix: String,
    environment: Vec<(String, String)>,
    /// What handlers leave behind; its own folder, as if it were elsewhere.
    far: tempfile::TempDir,
    /// The broker.
    pub broker: Broker,
    /// The store.
    pub postgres: Arc<PostgresServer>,
}

impl Field {
    /// A field on the broker that tests share; `None` when a partner is missing, which is said.
    /// In the configuration `EFFECT` stands for the handler that leaves a trace.
    pub fn shared(config: &str) -> Option<Self> {
        let broker = or_skip(Rabbit::shared(Version::V310))?;
        Self::on(Broker::Shared(broker), config)
    }

    /// A field on a broker of its own.
    pub fn with(options: Options, config: &str) -> Option<Self> {
        let broker = or_skip(options.start())?;
        Self::on(Broker::Own(broker), config)
    }

    fn on(broker: Broker, config: &str) -> Option<Self> {
        let postgres = or_skip(PostgresServer::shared())?;
        let postgres_url = postgres.create_database(DATABASE);
        let far = tempfile::tempdir().expect("a scratch folder");
        std::fs::create_dir(far.path().join("locks")).expect("ours");
        let name = uuid::Uuid::now_v7().simple().to_string();
        let field = Self {
            folder: tempfile::tempdir().expect("a scratch folder"),
            prefix: format!("x{}", &name[20..]),
            environment: Vec::new(),
            far,
            broker,
            postgres,
        };
        let (url, prefix) = (field.broker.url(), &field.prefix);
        let head = format!(
            "[broker]\nurl = \"{url}\"\nprefix = \"{prefix}\"\n[store]\nurl = \"{postgres_url}\"\n"
        );
        field.write("goaround.toml", &format!("{head}{}", field.filled(config)));
        Some(field)
    }

    /// The configuration, with the handler's path and folder filled in.
    fn filled(&self, config: &str) -> String {
        let effect = crate::program().with_file_name("effect");
        assert!(effect.exists(), "{} is missing", effect.display());
        let run = format!(
            "\"{}\", \"{}\"",
            effect.display(),
            self.far.path().display()
        );
        config.replace("EFFECT", &run)
    }

    /// Replaces the stages and flows of the configuration; processes read it when they start.
    pub fn reconfigure(&self, config: &str) {
        let file = self.path().join("goaround.toml");
        let old = std::fs::read_to_string(&file).expect("it was written");
        let head: Vec<&str> = old.lines().take(5).collect();
        let text = format!("{}\n{}", head.join("\n"), self.filled(config));
        self.write("goaround.toml", &text);
    }

    /// Covers a key of the configuration for every process that is started from now on.
    pub fn set(&mut self, key: &str, value: &str) {
        let name = format!("GOAROUND__{}", key.replace('.', "__").to_uppercase());
        self.environment.push((name, value.to_owned()));
    }

    /// Where the configuration is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What the names on the broker begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How to reach the database.
    pub fn store_url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    /// What the database answers.
    pub fn sql(&self, statement: &str) -> String {
        self.postgres.sql(DATABASE, statement)
    }

    /// Writes a file.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).expect("the scratch folder can be written");
    }

    /// Writes an executable script; it appears whole.
    pub fn script(&self, name: &str, text: &str) {
        let new = self.path().join(format!("{name}.new"));
        std::fs::write(&new, text).expect("the scratch folder can be written");
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("ours");
        std::fs::rename(&new, self.path().join(name)).expect("ours");
    }

    /// A file at the far side.
    pub fn far(&self, name: &str) -> PathBuf {
        self.far.path().join(name)
    }

    /// What happened at the far side so far.
    pub fn effects(&self) -> Effects {
        Effects::read(&self.far("effects.log"))
    }

    /// Starts a worker.
    pub fn worker(&self, name: &str) -> Process {
        self.start("worker", name, &[])
    }

    /// Starts a controller, and waits until it is ready.
    pub fn controller(&self, name: &str) -> Process {
        let mut controller = self.start("controller", name, &[]);
        controller.await_ready();
        controller
    }

    /// Starts a process whose configuration differs in these keys.
    pub fn start(&self, role: &str, name: &str, differs: &[(&str, &str)]) -> Process {
        let differs = differs.iter().map(|(key, value)| {
            let key = key.replace('.', "__").to_uppercase();
            (format!("GOAROUND__{key}"), (*value).to_owned())
        });
        let environment = self.environment.iter().cloned().chain(differs).collect();
        Process::start((role, name), self.path(), environment)
    }

    /// The broker's URL with another port, for a proxy before it.
    pub fn url_through(&self, port: u16) -> String {
        let own = format!(":{}/", self.broker.port());
        self.broker.url().replace(&own, &format!(":{port}/"))
    }

    /// The command line, pointed at this process.
    pub fn ask(&self, process: &Process) -> Teller {
        Teller {
            folder: self.path().to_owned(),
            address: process.address(),
        }
    }

    /// Submits so many tickets to a flow through this controller, with their numbers as payloads;
    /// returns the ids that were confirmed.
    pub fn submit(&self, controller: &Process, flow: &str, count: usize) -> Vec<String> {
        let mut lines = String::new();
        for n in 0..count {
            writeln!(lines, r#"{{"flow":"{flow}","payload":"{n:06}\n"}}"#).expect("a string");
        }
        let file = format!("{}-{flow}.jsonl", controller.name());
        self.write(&file, &lines);
        let ids = self.ask(controller).ok(&["submit", "--jsonl", &file]);
        let ids: Vec<String> = ids.lines().map(str::to_owned).collect();
        assert_eq!(ids.len(), count, "each ticket is confirmed");
        ids
    }

    /// Waits until the books say so; returns them.
    ///
    /// # Panics
    /// When they do not; shows the ends of all logs.
    pub fn books_until(
        &self,
        controller: &Process,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let (books, is_so) = self.ask(controller).watch_books(is_so);
        assert!(is_so, "{what} did not come about: {books}\n{}", self.logs());
        books
    }

    /// The ends of all logs.
    pub fn logs(&self) -> String {
        let mut told = String::new();
        for entry in std::fs::read_dir(self.path()).expect("ours").flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let log = std::fs::read_to_string(&path).unwrap_or_default();
                let lines: Vec<&str> = log.lines().rev().take(25).collect();
                let lines: Vec<&str> = lines.into_iter().rev().collect();
                write!(told, "--- {}\n{}\n", path.display(), lines.join("\n")).expect("a string");
            }
        }
        told
    }

    /// Keeps logs, configuration and what happened at the far side in a folder that stays.
    pub fn keep(&self, to: &Path) {
        std::fs::create_dir_all(to).expect("the folder can be made");
        let entries = [self.path(), self.far.path()].map(std::fs::read_dir);
        for entry in entries.into_iter().flatten().flatten().flatten() {
            if entry.path().is_file() {
                std::fs::copy(entry.path(), to.join(entry.file_name())).ok();
            }
        }
    }
}
