//! The desired state on its way to everybody: a stream of snapshots, of which only the newest
//! counts. Whoever comes reads the last one and follows from there.

use crate::error::Error;
use crate::link::Link;
use crate::names::Names;
use crate::publisher::{Message, Publisher};
use async_trait::async_trait;
use domain::control::Snapshot;
use domain::ports::{self, Sent, StoreError};
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Consumer};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How many snapshots may be on their way to one follower.
const PREFETCH: u16 = 64;
/// A stream is read from a block of entries; whatever comes this shortly after belongs to it. And
/// no two snapshots are followed closer together, since each of them is answered by every worker.
const LULL: Duration = Duration::from_millis(30);
/// After the channel was lost, and before the next one is asked for.
const RETRY: Duration = Duration::from_millis(200);
/// How long a subscription may take.
const SUBSCRIBE_MAX: Duration = Duration::from_secs(10);
/// After so long without a first snapshot the stream is subscribed to anew. Who subscribed at about
/// the moment in which its first entry was written did not always get it (seen on RabbitMQ 3.10).
const FIRST_MAX: Duration = Duration::from_secs(3);
const PERSISTENT: u8 = 2;

/// Makes this snapshot the newest one. It may be repeated.
///
/// # Errors
/// [`StoreError::Unavailable`] when it is not certain that it arrived.
pub async fn spread(
    publisher: &Publisher,
    names: &Names,
    snapshot: &Snapshot,
) -> Result<(), StoreError> {
    let message = Message {
        exchange: names.exchange().into(),
        routing_key: names.control().into(),
        body: wire::control::encode(snapshot),
        properties: BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type(wire::control::CONTENT_TYPE.into()),
    };
    match publisher.publish(message).await {
        Sent::Confirmed => Ok(()),
        Sent::Begun | Sent::Doubtful | Sent::Unsent => Err(StoreError::Unavailable(format!(
            "revision {} of the desired state did not reach the broker for certain: workers keep \
             to the one before until it does",
            snapshot.revision
        ))),
    }
}

/// Follows the desired state from the newest snapshot on, over lost connections.
pub struct Follower {
    link: Arc<Link>,
    queue: String,
    seen: Option<u64>,
    /// When that was handed on.
    seen_at: Option<Instant>,
    newest: Option<Snapshot>,
    subscription: Option<Subscription>,
}

struct Subscription {
    consumer: Consumer,
    /// Kept because the consumer ends with it.
    _channel: Channel,
}

impl Follower {
    /// Follows over this link.
    pub fn new(link: Arc<Link>, names: &Names) -> Self {
        let queue = names.control();
        Self {
            link,
            queue,
            seen: None,
            seen_at: None,
            newest: None,
            subscription: None,
        }
    }

    /// Takes in what there is; waits for something when there is nothing.
    async fn read(&mut self) -> Result<(), Error> {
        let subscription = match &mut self.subscription {
            Some(subscription) => subscription,
            empty => empty.insert(subscribe(&self.link, &self.queue).await?),
        };
        let first = subscription.consumer.next();
        let mut next = match self.seen {
            Some(_) => first.await,
            None => match timeout(FIRST_MAX, first).await {
                Ok(next) => next,
                Err(_) => {
                    self.subscription = None;
                    return Ok(());
                }
            },
        };
        let gathered_at = gathered_at(self.seen_at, Instant::now());
        loop {
            let Some(Ok(delivery)) = next else {
                self.subscription = None;
                return Err(Error::Broken(
                    "the stream of desired states ended".to_owned(),
                ));
            };
            // A stream forgets nothing by an ack; it only sends more.
            delivery.ack(BasicAckOptions::default()).await.ok();
            take_in(&mut self.newest, self.seen, &delivery.data);
            match timeout_at(gathered_at, subscription.consumer.next()).await {
                Ok(more) => next = more,
                Err(_) => return Ok(()),
            }
        }
    }
}

#[async_trait]
impl ports::Follower for Follower {
    async fn next(&mut self) -> Result<Snapshot, StoreError> {
        loop {
            if let Some(snapshot) = self.newest.take() {
                self.seen = Some(snapshot.revision);
                self.seen_at = Some(Instant::now());
                return Ok(snapshot);
            }
            match self.read().await {
                Ok(()) => {}
                Err(error) if error.is_passing() => {
                    tracing::debug!("the desired state is not heard for now: {error}");
                    tokio::time::sleep(RETRY).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Until when more is gathered: one that comes after a rest is followed at once.
fn gathered_at(seen_at: Option<Instant>, now: Instant) -> Instant {
    seen_at.map_or(now + LULL, |at| (at + LULL).max(now))
}

/// Keeps the snapshot if it is newer than the one before.
fn take_in(newest: &mut Option<Snapshot>, seen: Option<u64>, bytes: &[u8]) {
    match wire::control::decode(bytes) {
        Ok(snapshot) => {
            let known = newest.as_ref().map(|newest| newest.revision).max(seen);
            if known.is_none_or(|known| snapshot.revision > known) {
                *newest = Some(snapshot);
            }
        }
        Err(error) => tracing::error!(
            "a desired state cannot be read, the one before stays in force: {error}; a newer \
             controller may have written it: bring this process to its version"
        ),
    }
}

async fn subscribe(link: &Link, queue: &str) -> Result<Subscription, Error> {
    let doing = "follow the desired state";
    let (channel, _) = link.channel().await?;
    let subscribing = async {
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let mut arguments = FieldTable::default();
        arguments.insert(
            "x-stream-offset".into(),
            AMQPValue::LongString("last".into()),
        );
        let options = BasicConsumeOptions::default();
        channel
            .basic_consume(queue.into(), "".into(), options, arguments)
            .await
    };
    match tokio::time::timeout(SUBSCRIBE_MAX, subscribing).await {
        Ok(Ok(consumer)) => Ok(Subscription {
            consumer,
            _channel: channel,
        }),
        Ok(Err(error)) => Err(Error::of_channel(&error, doing)),
        Err(_) => Err(Error::Broken(format!(
            "the broker did not let us {doing} in time"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(revision: u64) -> Vec<u8> {
        let snapshot = Snapshot {
            revision,
            ..Snapshot::default()
        };
        wire::control::encode(&snapshot).to_vec()
    }

    fn revision(newest: &Option<Snapshot>) -> Option<u64> {
        newest.as_ref().map(|newest| newest.revision)
    }

    #[test]
    fn what_cannot_be_read_and_what_is_older_changes_nothing() {
        let mut newest = None;
        take_in(&mut newest, Some(7), b"\xff\xff");
        take_in(&mut newest, Some(7), &bytes(7));
        take_in(&mut newest, Some(7), &bytes(6));
        assert_eq!(revision(&newest), None);
    }

    #[test]
    fn one_that_comes_after_a_rest_is_followed_at_once_and_a_burst_as_one() {
        let now = Instant::now();
        assert_eq!(
            gathered_at(None, now),
            now + LULL,
            "the block is read to its end"
        );
        let just_now = now.checked_sub(LULL / 3);
        assert!(gathered_at(just_now, now) > now);
        let long_ago = now.checked_sub(LULL * 3);
        assert_eq!(gathered_at(long_ago, now), now);
    }

    #[test]
    fn the_newest_counts_in_whatever_order_they_come() {
        let mut newest = None;
        for sent in [3, 5, 4] {
            take_in(&mut newest, None, &bytes(sent));
        }
        assert_eq!(revision(&newest), Some(5));
    }
}
