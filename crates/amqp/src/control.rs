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
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How many snapshots may be on their way to one follower.
const PREFETCH: u16 = 64;
/// A stream is read from a block of entries; whatever comes this shortly after belongs to it. And
/// no more than one snapshot in this time is followed for long, since each of them is answered by
/// every worker.
const LULL: Duration = Duration::from_millis(30);
/// After the channel was lost, and before the next one is asked for.
const RETRY: Duration = Duration::from_millis(200);
/// How long a subscription may take.
const SUBSCRIBE_MAX: Duration = Duration::from_secs(10);
/// After so long without a first snapshot the stream is subscribed to anew: the last one is always
/// there to be read, also by whoever has seen it on the connection before. Who subscribed at about
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
    pace: Pace,
    newest: Option<Snapshot>,
    subscription: Option<Subscription>,
}

struct Subscription {
    consumer: Consumer,
    /// Something has come on it.
    is_alive: bool,
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
            pace: Pace::default(),
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
        let mut next = match subscription.is_alive {
            true => first.await,
            false => match timeout(FIRST_MAX, first).await {
                Ok(next) => next,
                Err(_) => {
                    self.subscription = None;
                    return Ok(());
                }
            },
        };
        subscription.is_alive = true;
        let gathered_at = self.pace.gathers_until(Instant::now());
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
                self.pace.handed_on(Instant::now());
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

/// So many are followed at once after a rest: a roll call, a second one if the first was answered
/// before it was known what to ask, and the fence that the answers lead to. A ticket of a worker
/// that died waits for all of them.
const AT_ONCE: u32 = 3;

/// When the last [`AT_ONCE`] snapshots were handed on.
#[derive(Default)]
struct Pace(VecDeque<Instant>);

impl Pace {
    fn handed_on(&mut self, at: Instant) {
        if self.is_full() {
            self.0.pop_front();
        }
        self.0.push_back(at);
    }

    fn is_full(&self) -> bool {
        self.0.len() == AT_ONCE as usize
    }

    /// Until when more is gathered.
    fn gathers_until(&self, now: Instant) -> Instant {
        match self.0.front() {
            None => now + LULL,
            Some(first) if self.is_full() => (*first + LULL * AT_ONCE).max(now),
            Some(_) => now,
        }
    }
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
            is_alive: false,
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
    fn a_few_that_come_after_a_rest_are_followed_at_once_and_a_burst_at_its_pace() {
        let mut pace = Pace::default();
        let start = Instant::now();
        let read_whole = start + LULL;
        assert_eq!(pace.gathers_until(start), read_whole, "the block is read");
        let mut now = start;
        let mut burst = Vec::new();
        for _ in 0..10 {
            pace.handed_on(now);
            now = pace.gathers_until(now);
            burst.push(now.duration_since(start));
        }
        assert_eq!(burst[0], Duration::ZERO);
        assert!(burst[9] >= LULL * 7, "{burst:?}");
        let rested = now + LULL * AT_ONCE * 2;
        for _ in 0..AT_ONCE {
            assert_eq!(pace.gathers_until(rested), rested);
            pace.handed_on(rested);
        }
        assert!(pace.gathers_until(rested) > rested);
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
