//! [`Consumer`]: hands out what the subscription has put on the stage's shelf.

use crate::ended::Ended;
use crate::error::Error;
use crate::worker::feed::Feed;
use crate::worker::lane::Lane;
use crate::worker::prefetch::Prefetch;
use crate::worker::shared::Shared;
use crate::worker::shelf::Shelf;
use crate::worker::subscription::{Subscription, Ticker};
use async_trait::async_trait;
use domain::delivery::Incoming;
use domain::names::StageName;
use domain::ports::{Consumer, StreamEnded};
use std::num::NonZeroUsize;
use std::sync::Arc;

/// One subscription to one stage, as the one who works on it sees it. Dropping it ends the
/// subscription; what was not handed out is handed back.
pub(crate) struct StageConsumer {
    shared: Arc<Shared>,
    shelf: Arc<Shelf>,
    ticker: Arc<Ticker>,
}

impl StageConsumer {
    /// Opens a channel for a subscription; the subscription itself is to be run by somebody.
    pub(crate) async fn open(
        shared: &Arc<Shared>,
        stage: &StageName,
        prefetch: NonZeroUsize,
    ) -> Result<(Self, Subscription), Error> {
        // Somebody may have deleted it, and that may be why we are here.
        let stages = [stage.clone()];
        crate::topology::declare_stages(&shared.link, &shared.config.names, &stages).await?;
        let (channel, _) = shared.link.channel().await?;
        let slots = shared
            .settings
            .flows
            .stage(stage)
            .map(|rules| rules.concurrency);
        let consumer = Self {
            shared: Arc::clone(shared),
            shelf: shared.shelf(stage),
            ticker: Ticker::new(),
        };
        consumer.shelf.enter();
        let lane = Arc::new(Lane::new(channel));
        let queue = shared.config.names.stage(stage);
        let subscription = Subscription {
            shared: Arc::clone(shared),
            shelf: Arc::clone(&consumer.shelf),
            feed: Feed::new(Arc::clone(&lane), queue),
            lane,
            ticker: Arc::clone(&consumer.ticker),
            prefetch: Prefetch::new(prefetch, slots.unwrap_or(prefetch)),
        };
        Ok((consumer, subscription))
    }
}

#[async_trait]
impl Consumer for StageConsumer {
    async fn next(&mut self, max: NonZeroUsize) -> Result<Vec<Incoming>, StreamEnded> {
        loop {
            let changed = self.shelf.changed().notified();
            tokio::pin!(changed);
            // Registered before looking, so that what comes in between wakes it all the same.
            changed.as_mut().enable();
            let stage = self.shelf.stage();
            let taken = self
                .shelf
                .take(max.get(), |used| self.shared.may_hand_out(stage, used));
            if !taken.is_empty() {
                return Ok(taken);
            }
            if let Some(Ended { reason, why }) = self.ticker.ended() {
                let stage = stage.clone();
                return Err(StreamEnded { stage, reason, why });
            }
            self.shelf.hungry().notify_one();
            changed.await;
        }
    }
}

impl Drop for StageConsumer {
    fn drop(&mut self) {
        self.ticker.quit();
    }
}

/// Wakes whoever waits for deliveries when the broker takes messages again.
pub(crate) async fn wake(shared: Arc<Shared>) {
    let mut publishing = shared.publisher.link().state();
    while publishing.changed().await.is_ok() {
        for shelf in shared.all_shelves() {
            shelf.changed().notify_waiters();
        }
    }
}
