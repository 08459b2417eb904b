//! The last word about a worker, said by its launcher.

use crate::config::Config;
use crate::journal::Journal;
use crate::link::{Link, Purpose};
use crate::publisher::Publisher;
use domain::ports::StoreError;
use domain::record::Record;
use std::sync::Arc;

/// Writes into the journal that a worker is gone, so that nobody has to wait for it to lapse.
/// Durable when it returns true. Connects while it waits for what there is to say, and says nothing
/// when there is nothing.
///
/// # Errors
/// [`StoreError`] when the broker did not confirm it; the controller then finds out by itself.
pub async fn publish(
    config: &Config,
    gone: impl Future<Output = Option<Record>>,
) -> Result<bool, StoreError> {
    let link = Arc::new(Link::start(config, Purpose::Publish));
    let publisher = Arc::new(Publisher::start(Arc::clone(&link)));
    let Some(gone) = gone.await else {
        return Ok(false);
    };
    let journal = Journal::new(publisher, &config.names);
    journal.write(&[gone]).await?;
    Ok(true)
}
