//! `goaround up`: all roles in one process. Parse, then build, then run.

mod serve;
mod stages;

use crate::config::Config;
use crate::line::{Line, LineConfig, RunningLine};
use anyhow::Context as _;
use serve::Serving;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
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
}

/// How long what is left may take to be made durable once no handler runs any more.
const LAST_SETTLEMENTS: Duration = Duration::from_secs(5);

/// Runs everything until it is told to stop.
///
/// # Errors
/// When it cannot start: the data folder is in use, damaged or read-only, or the address is taken.
/// Says which, and what to do.
pub fn up(config: Config, options: UpOptions) -> anyhow::Result<ExitCode> {
    telemetry::logs::start(&options.log_filter, options.log_format, options.log_colour)
        .map_err(anyhow::Error::msg)?;
    actors::listen_to_panics();
    let listen = config.http.listen;
    let listener = TcpListener::bind(listen).with_context(|| {
        format!("cannot listen on {listen}: is another goaround running there? Stop it, or choose another address with --listen")
    })?;
    actix_rt::System::new().block_on(run(config, options, listener))
}

async fn run(
    config: Config,
    options: UpOptions,
    listener: TcpListener,
) -> anyhow::Result<ExitCode> {
    let live = web::Live::new();
    let mut line_config = LineConfig::new(options.data.clone(), config.flows.clone());
    line_config.keeping = config.keeping;
    line_config
        .observers
        .push(std::sync::Arc::new(live.clone()));
    let line = Line::open(line_config)?;
    let address = listener.local_addr()?;
    let stages = stages::Stages::start(&config, &options.data, address)?;
    let running = line.start(stages.handlers(), stages.arbiters());
    let serving = Serving::start(&config, listener, &line, &running, (&stages, live)).await?;
    greet(&config, &options, address);
    wait_for_the_end().await?;
    let landed = go_down(&running, &stages, config.drain).await;
    drop(running);
    serving.stop().await;
    stages.close().await;
    line.close();
    info!("goaround has stopped");
    Ok(if landed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn greet(config: &Config, options: &UpOptions, address: std::net::SocketAddr) {
    let stages: Vec<String> = config
        .flows
        .stages()
        .iter()
        .map(|stage| stage.name.to_string())
        .collect();
    info!(
        "goaround {} is up: http://{address}  stages: {}  data: {}",
        env!("CARGO_PKG_VERSION"),
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

/// Takes no more and lets what is in hand finish; a second signal, or the end of the deadline, ends
/// every handler. What was ended so is handed back, and nothing is charged.
async fn go_down(running: &RunningLine, stages: &stages::Stages, drain: Duration) -> bool {
    info!("stopping: taking no more, finishing what is in hand (a second signal does not wait)");
    let draining = running.drain(drain);
    tokio::pin!(draining);
    let landed = tokio::select! {
        landed = &mut draining => landed,
        again = wait_for_the_end() => {
            warn!("stopping at once: what is in hand is handed back");
            stages.end_handlers().await;
            again.is_ok() && draining.await
        }
    };
    if landed {
        return true;
    }
    stages.end_handlers().await;
    let landed = running.drain(LAST_SETTLEMENTS).await;
    if !landed {
        warn!("some outcomes could not be made durable; their tickets go around at the next start");
    }
    landed
}
