//! [`Inbox`]: reads a queue in order and in groups, and acks what is durable elsewhere.

use crate::config::Config;
use crate::ended::Ended;
use crate::error::Error;
use crate::link::Link;
use crate::publisher::{Message, Publisher};
use crate::quarantine;
use async_trait::async_trait;
use domain::names::StageName;
use domain::ports::{Inbox, Sent, StoreError, StreamEnded};
use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long the broker may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long a reader may take to leave that is about to.
const LEAVE_MAX: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// No further message joins a group whose messages have this many bytes: whoever takes the group
/// has it in memory several times.
const GROUP_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What a message is to whoever reads the queue.
pub(crate) enum Content<T> {
    /// These entries, in their order.
    Entries(Vec<T>),
    /// Somebody else has to hear of it first, durably.
    Aside(Box<Message>),
    /// It cannot be read, because of this.
    Unreadable(String),
}

/// Reads a message of one queue.
pub(crate) type Reader<T> = Box<dyn Fn(&Delivery) -> Content<T> + Send>;

/// One subscription to one queue of ours.
pub(crate) struct QueueInbox<T> {
    queue: Queue,
    channel: Channel,
    consumer: Consumer,
    read: Reader<T>,
    /// Read, and not returned yet: the entries of one message, and its tag.
    ready: VecDeque<(u64, Vec<T>)>,
    /// Came in, and not read yet.
    raw: VecDeque<Delivery>,
    /// Everything up to this was returned.
    returned: u64,
    /// Everything up to this was acked.
    acked: u64,
    ended: Option<Ended>,
}

/// Which queue, and what goes around it.
pub(crate) struct Queue {
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) quarantined: Arc<AtomicU64>,
    /// Whether messages stay until they are acked.
    pub(crate) is_kept: bool,
    /// How many messages may be on their way or in our hands: all of them are in memory at once,
    /// and what makes reading fast is the group, not the window.
    pub(crate) window: u16,
}

impl<T: Send> QueueInbox<T> {
    pub(crate) async fn open(link: &Link, queue: Queue, read: Reader<T>) -> Result<Self, Error> {
        let (channel, _) = link.channel().await?;
        Self::open_on(channel, queue, read).await
    }

    /// The same, if nobody else reads the queue. A broker needs up to three heartbeats to notice
    /// that a reader is gone with its host, and gives it its share until then: what is read beside
    /// it has holes.
    pub(crate) async fn open_alone(
        link: &Link,
        queue: Queue,
        read: Reader<T>,
    ) -> Result<Self, Error> {
        let (channel, _) = link.channel().await?;
        let since = Instant::now();
        // What the one before had in hand comes back when it is gone, and before what came later:
        // so it must be gone first.
        while readers(&channel, &queue.name).await? > 0 {
            if since.elapsed() >= LEAVE_MAX {
                return Err(somebody_else(&queue.name));
            }
            sleep(LOOK_AGAIN).await;
        }
        let inbox = Self::open_on(channel, queue, read).await?;
        if readers(&inbox.channel, &inbox.queue.name).await? == 1 {
            return Ok(inbox);
        }
        let gone = inbox
            .channel
            .close(200, "somebody else reads the queue".into());
        timeout(ANSWER_MAX, gone).await.ok();
        Err(somebody_else(&inbox.queue.name))
    }

    pub(crate) async fn open_on(
        channel: Channel,
        queue: Queue,
        read: Reader<T>,
    ) -> Result<Self, Error> {
        let consumer = subscribe(&channel, &queue).await?;
        Ok(Self {
            queue,
            channel,
            consumer,
            read,
            ready: VecDeque::new(),
            raw: VecDeque::new(),
            returned: 0,
            acked: 0,
            ended: None,
        })
    }

    /// Waits for messages, and takes whatever else is here already.
    async fn gather(&mut self, max: usize) -> Result<(), Ended> {
        let mut next = match self.raw.is_empty() {
            true => Some(self.consumer.next().await),
            false => self.consumer.next().now_or_never(),
        };
        while let Some(delivery) = next {
            match delivery {
                Some(Ok(delivery)) => self.raw.push_back(delivery),
                Some(Err(error)) => return Err(Ended::of(&error)),
                None => return Err(Ended::without_a_word(&self.channel)),
            }
            if self.raw.len() >= max {
                break;
            }
            next = self.consumer.next().now_or_never();
        }
        Ok(())
    }

    /// Reads what came in. Everything stays where it is until it is dealt with, so that nothing is
    /// lost when this is dropped in the middle.
    async fn read(&mut self, max: usize) -> Result<(), Ended> {
        let mut count: usize = self.ready.iter().map(|(_, entries)| entries.len()).sum();
        let mut bytes = 0;
        while let Some(delivery) = self.raw.front() {
            if count >= max || bytes >= GROUP_BYTES_MAX {
                return Ok(());
            }
            bytes += delivery.data.len();
            let entries = match (self.read)(delivery) {
                Content::Entries(entries) => entries,
                Content::Aside(message) => {
                    self.queue.publish(*message).await?;
                    Vec::new()
                }
                Content::Unreadable(why) => {
                    self.queue.quarantine(delivery, &why).await?;
                    Vec::new()
                }
            };
            count += entries.len();
            self.ready.push_back((delivery.delivery_tag, entries));
            self.raw.pop_front();
        }
        Ok(())
    }

    async fn fill(&mut self, max: usize) -> Result<(), Ended> {
        while self.ready.iter().all(|(_, entries)| entries.is_empty()) {
            // Nothing for the caller, so nobody will say that it is done.
            self.forget_empty().await;
            self.gather(max).await?;
            self.read(max).await?;
        }
        Ok(())
    }

    /// Acks what had nothing inside, as far as everything before it was returned and is done.
    async fn forget_empty(&mut self) {
        if self.returned != self.acked {
            return;
        }
        if let Some((tag, _)) = self.ready.back() {
            let tag = *tag;
            self.ready.clear();
            self.returned = tag;
            self.ack().await.ok(); // If not, it comes again.
        }
    }

    async fn ack(&mut self) -> Result<(), StoreError> {
        let upto = self.returned;
        if upto == self.acked || !self.queue.is_kept {
            return Ok(());
        }
        let acked = self
            .channel
            .basic_ack(upto, BasicAckOptions { multiple: true });
        match timeout(ANSWER_MAX, acked).await {
            Ok(Ok(())) => {
                self.acked = upto;
                Ok(())
            }
            Ok(Err(error)) => Err(self.queue.unavailable(&error.to_string())),
            Err(_) => Err(self.queue.unavailable("no answer in time")),
        }
    }
}

#[async_trait]
impl<T: Send> Inbox<T> for QueueInbox<T> {
    async fn next(&mut self, max: NonZeroUsize) -> Result<Vec<T>, StreamEnded> {
        if let Some(ended) = &self.ended {
            return Err(self.queue.ended(ended));
        }
        if let Err(ended) = self.fill(max.get()).await {
            let told = self.queue.ended(&ended);
            self.ended = Some(ended);
            return Err(told);
        }
        let mut group = Vec::new();
        while group.len() < max.get()
            && let Some((tag, entries)) = self.ready.pop_front()
        {
            group.extend(entries);
            self.returned = tag;
        }
        Ok(group)
    }

    async fn done(&mut self) -> Result<(), StoreError> {
        self.ack().await
    }
}

impl Queue {
    async fn publish(&self, message: Message) -> Result<(), Ended> {
        match self.publisher.publish(message).await {
            Sent::Confirmed => Ok(()),
            Sent::Begun | Sent::Doubtful | Sent::Unsent => {
                let why = "what is to go elsewhere was not confirmed";
                Err(Ended::unavailable(why))
            }
        }
    }

    /// Keeps a message aside as it came, with the reason.
    async fn quarantine(&self, delivery: &Delivery, why: &str) -> Result<(), Ended> {
        tracing::error!(
            queue = self.name,
            "a message cannot be read and is kept in {}: {why}",
            self.config.names.quarantine()
        );
        let message = quarantine::message(&self.config.names, delivery, why);
        self.publish(message).await?;
        self.quarantined.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The port says of which stage; what reads a queue of ours has its name there instead.
    fn ended(&self, ended: &Ended) -> StreamEnded {
        let short: String = self.name.chars().take(64).collect();
        let stage = StageName::new(&short).expect("names of queues are checked like a stage's");
        StreamEnded {
            stage,
            reason: ended.reason,
            why: ended.why.clone(),
        }
    }

    fn unavailable(&self, why: &str) -> StoreError {
        let place = self.config.place();
        StoreError::Unavailable(format!(
            "what was read of queue {} at {place} could not be acked, and comes again: {why}",
            self.name
        ))
    }
}

fn somebody_else(queue: &str) -> Error {
    Error::Broken(format!(
        "queue {queue:?} has another reader and may have just one: perhaps the broker does not know \
         yet that the one before is gone with its host; this is tried again until it does"
    ))
}

/// How many read a queue.
async fn readers(channel: &Channel, queue: &str) -> Result<u32, Error> {
    let doing = format!("see who reads queue {queue:?}");
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let found = channel.queue_declare(queue.into(), options, FieldTable::default());
    match timeout(ANSWER_MAX, found).await {
        Ok(Ok(found)) => Ok(found.consumer_count()),
        Ok(Err(error)) => Err(Error::of_channel(&error, &doing)),
        Err(_) => Err(Error::Broken(format!(
            "the broker did not let us {doing} in time"
        ))),
    }
}

async fn subscribe(channel: &Channel, queue: &Queue) -> Result<Consumer, Error> {
    let name = queue.name.as_str();
    let doing = format!("consume from queue {name:?}");
    let asked = async {
        channel
            .basic_qos(queue.window, BasicQosOptions::default())
            .await?;
        let options = BasicConsumeOptions {
            no_ack: !queue.is_kept,
            ..Default::default()
        };
        channel
            .basic_consume(name.into(), "".into(), options, FieldTable::default())
            .await
    };
    match timeout(ANSWER_MAX, asked).await {
        Ok(Ok(consumer)) => Ok(consumer),
        Ok(Err(error)) => Err(Error::of_channel(&error, &doing)),
        Err(_) => Err(Error::Broken(format!("the broker did not {doing} in time"))),
    }
}
