//! The roles, alone or all in one process. Parse, then build, then run.

mod embedded;
mod errand;
mod launcher;
mod role;
mod serve;
mod servers;
mod stages;

pub use errand::tell_of;
pub use launcher::{Restart, launch};
pub use role::{Role, is_of_configuration};

use crate::config::{Backend, Config};
use domain::names::Holder;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

/// Where and how to run.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// The data folder.
    pub data: PathBuf,
    /// How log lines look.
    pub log_format: telemetry::logs::Format,
    /// Whether log lines are coloured.
    pub log_colour: telemetry::logs::Colour,
    /// What is logged, in the syntax of `RUST_LOG`.
    pub log_filter: String,
    /// Whether a launcher watches over this process.
    pub launch: Launch,
    /// What a launcher does when it dies.
    pub restart: Restart,
}

/// Who watches over the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Launch {
    /// Nobody.
    Alone,
    /// The process with this number; it has given us this name.
    By(u32, Holder),
}

/// Runs a role, or all of them, until it is told to stop.
///
/// # Errors
/// One that [`is_of_configuration`] when that is not one for this role. Else when it cannot start:
/// the data folder is in use, damaged or read-only, the address is taken, or broker or store cannot
/// be used. Says which, and what to do.
pub fn run(role: Role, config: Config, options: UpOptions) -> anyhow::Result<ExitCode> {
    role.check(&config)?;
    if let Launch::By(launcher, _) = &options.launch {
        handlers::launcher::die_with(*launcher)?;
    }
    telemetry::logs::start(&options.log_filter, options.log_format, options.log_colour)
        .map_err(anyhow::Error::msg)?;
    actors::listen_to_panics();
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen).map_err(|error| role.cannot_listen(listen, &error))?;
    let system = actix_rt::System::new();
    match &config.broker.at {
        Backend::Embedded => system.block_on(embedded::run(config, options, listener)),
        Backend::Server(_) => system.block_on(servers::run(role, config, options, listener)),
    }
}

fn greet(role: Role, config: &Config, options: &UpOptions, address: SocketAddr) {
    if let Launch::By(launcher, _) = &options.launch
        && let Err(error) = handlers::launcher::say_begun(*launcher)
    {
        warn!("the launcher cannot be told that this process is up: {error}");
    }
    let stages: Vec<String> = config
        .flows
        .stages()
        .iter()
        .map(|stage| stage.name.to_string())
        .collect();
    info!(
        "goaround {} {role} is up: http://{address}  broker: {}  stages: {}  data: {}",
        env!("CARGO_PKG_VERSION"),
        config.broker.at,
        stages.join(", "),
        options.data.display(),
    );
}

async fn wait_for_the_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
