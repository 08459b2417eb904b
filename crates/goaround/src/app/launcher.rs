//! The launcher of a role: starts it as a child, starts it again when it dies, and says at once
//! what its death leaves behind.

use super::role::Role;
use super::servers;
use crate::config::Config;
use crate::line::{Ground, SystemClock};
use anyhow::Context as _;
use domain::names::Holder;
use domain::outcome::Exit;
use domain::ports::Clock as _;
use handlers::launcher::{Death, launch};
use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tracing::{error, warn};

/// The pause before the second start in a row; it doubles with each death that follows soon.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A role that ran for so long is started again at once.
const RAN_WELL: Duration = Duration::from_secs(30);

/// Runs the role in a child until it ends by itself.
pub(super) fn run(role: Role, config: &Config, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    // One thread: the kernel ends the child with the thread that has started it.
    let runtime = tokio::runtime::Builder::new_current_thread();
    runtime_of(runtime)?.block_on(watch(role, config, arguments))
}

fn runtime_of(mut builder: tokio::runtime::Builder) -> anyhow::Result<tokio::runtime::Runtime> {
    builder
        .enable_all()
        .build()
        .context("the launcher cannot start")
}

async fn watch(role: Role, config: &Config, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find the program's own file")?;
    let mut pause = Duration::ZERO;
    loop {
        sleep(pause).await;
        let holder = Ground::new_holder()?;
        let mut command = Command::new(&program);
        command.args(arguments.get(1..).unwrap_or_default());
        command.args(["--as", holder.as_str()]);
        command.args(["--launcher", &std::process::id().to_string()]);
        let began = Instant::now();
        let launched = launch(command)
            .await
            .with_context(|| format!("goaround {role} cannot be started"))?;
        let exit = match launched.death {
            Death::Left(code) => return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
            Death::Died(exit) => exit,
        };
        tell(role, config, holder, exit).await;
        if launched.was_asked {
            return Ok(ExitCode::FAILURE);
        }
        pause = match began.elapsed() {
            ran if ran >= RAN_WELL => Duration::ZERO,
            _ if pause.is_zero() => PAUSE_FIRST,
            _ => (pause * 2).min(PAUSE_MAX),
        };
    }
}

/// Says that the child is gone, so that nobody waits for its heartbeat.
async fn tell(role: Role, config: &Config, holder: Holder, exit: Exit) {
    error!("goaround {role} ({holder}) died: {exit}; it is started again");
    if !role.works() {
        return;
    }
    let broker = match servers::broker(config, "launcher") {
        Ok(broker) => broker,
        Err(error) => {
            warn!("its death cannot be told: {error:#}");
            return;
        }
    };
    let why = format!("its launcher saw it die: {exit}");
    let told = amqp::obituary::publish(&broker, holder, why, SystemClock.now()).await;
    if let Err(error) = told {
        warn!("its death could not be told, so it is noticed when its heartbeat lapses: {error}");
    }
}
