//! [`Consumer`] and [`Follower`]: woken, never polling.

use crate::error::closed;
use crate::lease::Subscription;
use crate::queue::Taken;
use async_trait::async_trait;
use domain::control::Snapshot;
use domain::delivery::Incoming;
use domain::event::Ending;
use domain::ports::{Consumer, Follower, StoreError, StreamEnded};
use std::num::NonZeroUsize;
use std::sync::Arc;
use tokio::sync::watch;

/// One subscription to a stage.
pub(crate) struct StageConsumer {
    pub(crate) lender: Arc<Subscription>,
}

#[async_trait]
impl Consumer for StageConsumer {
    async fn next(&mut self, max: NonZeroUsize) -> Result<Vec<Incoming>, StreamEnded> {
        let queue = &self.lender.queue;
        loop {
            let changed = queue.changed().notified();
            tokio::pin!(changed);
            // Registered before looking, so that what comes in between wakes it all the same.
            changed.as_mut().enable();
            match queue.take(&self.lender, max.get()) {
                Taken::Some(taken) => return Ok(taken),
                Taken::Nothing => changed.await,
                Taken::Ended(why) => {
                    let stage = queue.stage.clone();
                    let reason = Ending::Unavailable;
                    return Err(StreamEnded { stage, reason, why });
                }
            }
        }
    }
}

/// Follows the snapshot.
pub(crate) struct SnapshotFollower {
    pub(crate) control: watch::Receiver<Snapshot>,
}

#[async_trait]
impl Follower for SnapshotFollower {
    async fn next(&mut self) -> Result<Snapshot, StoreError> {
        self.control.changed().await.map_err(|_| closed())?;
        Ok(self.control.borrow_and_update().clone())
    }
}
