//! `goaround up`, `worker`, `controller`, `watchdog`: the processes that run for long.

use super::failure::{Code, Failure};
use super::terminal::Terminal;
use super::text::counted;
use crate::app::{self, Launch, Restart, Role, UpOptions};
use crate::config::{Config, Loaded, Surroundings};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use telemetry::logs::Colour;

/// Run everything in this process: API, viewer and all stages
#[derive(Args)]
#[command(before_help = "Example:\n  goaround up --config goaround.toml --data .goaround")]
pub(super) struct Up {
    #[command(flatten)]
    how: How,
}

/// Run handlers only, for tickets that a broker carries; needs nothing but the broker
#[derive(Args)]
#[command(before_help = "Example:\n  goaround worker --data worker-1 --listen 127.0.0.1:7881")]
pub(super) struct Worker {
    #[command(flatten)]
    how: How,
}

/// Keep the books, move waiting tickets on, serve API and viewer; needs broker and store
#[derive(Args)]
#[command(before_help = "Example:\n  goaround controller --listen 127.0.0.1:7878")]
pub(super) struct Controller {
    #[command(flatten)]
    how: How,
}

/// Listen to the workers' signs of life; needs nothing but the broker
#[derive(Args)]
#[command(before_help = "Example:\n  goaround watchdog --listen 127.0.0.1:7880")]
pub(super) struct Watchdog {
    #[command(flatten)]
    how: How,
}

#[derive(Args)]
struct How {
    /// The configuration
    #[arg(long, value_name = "FILE", default_value = "goaround.toml")]
    config: PathBuf,
    /// The folder for everything that must not get lost
    #[arg(long, value_name = "FOLDER", default_value = ".goaround")]
    data: PathBuf,
    /// Where it listens: probes and metrics, API and viewer where they are; covers `http.listen`
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// What is logged, as in RUST_LOG [default: RUST_LOG, else info,actix_server=warn,lapin=off]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look: text or json
    #[arg(long, value_name = "FORM", default_value = "text")]
    log_format: telemetry::logs::Format,
    /// Do the work in this very process, without a parent that starts it again when it dies
    #[arg(long)]
    no_launcher: bool,
    /// Whether that parent starts it again when it dies
    #[arg(long, value_enum, default_value_t = Restart::Always, conflicts_with = "no_launcher")]
    restart: Restart,
    /// The name that the launcher has given to this process
    #[arg(long = "as", value_name = "HOLDER", hide = true, requires = "launcher")]
    holder: Option<domain::names::Holder>,
    /// The process id of the launcher
    #[arg(long, value_name = "PID", hide = true, requires = "holder")]
    launcher: Option<u32>,
    /// The launcher passes log lines on to a terminal
    #[arg(long, hide = true)]
    coloured: bool,
    /// The launcher has begun a second time
    #[arg(long, hide = true)]
    lean: bool,
    /// An errand of the launcher: tell the broker that this process is gone
    #[arg(long, value_name = "HOLDER", hide = true, conflicts_with = "holder")]
    tell_of: Option<domain::names::Holder>,
}

impl Up {
    pub(super) fn run(self, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        self.how.run(Role::All, terminal)
    }
}

impl Worker {
    pub(super) fn run(self, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        self.how.run(Role::Worker, terminal)
    }
}

impl Controller {
    pub(super) fn run(self, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        self.how.run(Role::Controller, terminal)
    }
}

impl Watchdog {
    pub(super) fn run(self, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        self.how.run(Role::Watchdog, terminal)
    }
}

impl How {
    fn run(self, role: Role, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        let failed = |error: anyhow::Error| {
            let code = match app::is_of_configuration(&error) {
                true => Code::Usage,
                false => Code::Failed,
            };
            Failure::new(code, format!("{error:#}"))
        };
        let is_launcher = !self.no_launcher && self.launcher.is_none() && self.tell_of.is_none();
        if is_launcher {
            let arguments = terminal.world().arguments.clone();
            return app::launch(role, &self.options(terminal), arguments).map_err(failed);
        }
        let config = self.load(terminal)?;
        if let Some(holder) = &self.tell_of {
            return app::tell_of(role, &config, &self.data, holder).map_err(failed);
        }
        terminal.note(&format!(
            "goaround {role}: {}: {}, {}; data in {}",
            self.config.display(),
            counted(config.flows.stages().len(), "stage"),
            counted(config.flows.flows().len(), "flow"),
            self.data.display()
        ));
        app::run(role, config, self.options(terminal)).map_err(failed)
    }

    fn load(&self, terminal: &Terminal<'_>) -> Result<Config, Failure> {
        let listen = self.listen.clone();
        let flags: Vec<_> = listen
            .map(|listen| ("--listen", "http.listen", listen))
            .into_iter()
            .collect();
        let loaded = Loaded::read(&Surroundings {
            file: Some(&self.config),
            variables: &terminal.world().variables,
            flags: &flags,
        })?;
        Ok(loaded.config)
    }

    fn options(&self, terminal: &Terminal<'_>) -> UpOptions {
        let log = self.log.clone();
        let log = log.or_else(|| terminal.variable("RUST_LOG").map(str::to_owned));
        UpOptions {
            data: self.data.clone(),
            log_format: self.log_format,
            log_colour: match self.coloured || terminal.colours_log() {
                true => Colour::Always,
                false => Colour::Never,
            },
            log_filter: log.unwrap_or_else(|| "info,actix_server=warn,lapin=off".into()),
            launch: match (self.launcher, self.holder.clone()) {
                (Some(launcher), Some(holder)) => Launch::By(launcher, holder),
                _ => Launch::Alone,
            },
            restart: self.restart,
        }
    }
}
