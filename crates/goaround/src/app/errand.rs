//! What a launcher cannot do without becoming large: tells the broker that a process is gone.

use super::role::Role;
use super::servers;
use crate::config::{Backend, Config};
use crate::line::SystemClock;
use anyhow::Context as _;
use domain::names::Holder;
use domain::ports::Clock as _;
use domain::record::{Record, Said};
use handlers::launcher::{WORD, obituaries};
use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

/// Says in the journal that `holder` is gone, and how it died, if its data folder tells once the
/// launcher has given its word. Where broker and books are embedded there is nobody to tell: the
/// next process reads the folder.
///
/// # Errors
/// When the broker cannot be asked, or did not confirm it; or when the launcher is gone, too.
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
    let is_told = runtime.block_on(amqp::obituary::publish(&broker, async {
        let is_over = its_turn().await;
        is_over.then(|| obituaries::find(folder, holder).unwrap_or_else(|| bare(holder)))
    }))?;
    anyhow::ensure!(
        is_told,
        "the launcher of {holder} is gone, and what it was waiting for may still run: the death is \
         noticed when its heartbeat lapses"
    );
    Ok(ExitCode::SUCCESS)
}

/// Waits until nothing is left of the dead one and it is written down how it died; false when the
/// launcher went away before.
async fn its_turn() -> bool {
    let read = tokio::task::spawn_blocking(|| {
        let mut word = Vec::new();
        let read = std::io::stdin().read_to_end(&mut word);
        read.is_ok() && word == WORD
    });
    read.await.unwrap_or(false)
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
