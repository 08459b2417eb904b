//! What a launcher cannot do without becoming large: tells the broker that a process is gone.

use super::role::Role;
use super::servers;
use crate::config::{Backend, Config};
use crate::line::SystemClock;
use anyhow::Context as _;
use domain::names::Holder;
use domain::ports::Clock as _;
use domain::record::{Record, Said};
use handlers::launcher::obituaries;
use std::io::sink;
use std::path::Path;
use std::process::ExitCode;

/// Says in the journal that `holder` is gone, and how it died, if its data folder tells once
/// standard input has ended. Where broker and books are embedded there is nobody to tell: the next
/// process reads the folder.
///
/// # Errors
/// When the broker cannot be asked, or did not confirm it.
pub fn tell_of(
    role: Role,
    config: &Config,
    folder: &Path,
    holder: &Holder,
) -> anyhow::Result<ExitCode> {
    if !role.works() || matches!(config.broker.at, Backend::Embedded) {
        return Ok(ExitCode::SUCCESS);
    }
    let broker = servers::broker(config, "launcher")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the word cannot be sent")?;
    runtime.block_on(amqp::obituary::publish(&broker, async {
        input_ended().await;
        obituaries::find(folder, holder).unwrap_or_else(|| bare(holder))
    }))?;
    Ok(ExitCode::SUCCESS)
}

/// Waits until the launcher has written down what it knows, or is gone.
async fn input_ended() {
    let read = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut sink()));
    read.await.map(drop).ok(); // Whatever went wrong, it is over.
}

/// The folder was full, or not there.
fn bare(holder: &Holder) -> Record {
    Record {
        by: holder.clone(),
        at: SystemClock.now(),
        said: Said::Gone {
            holder: holder.clone(),
            why: "its launcher saw it die".into(),
            obituary: None,
        },
    }
}
