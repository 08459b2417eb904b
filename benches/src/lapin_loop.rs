//! The bare limit on RabbitMQ: what a careful user of lapin writes, and nothing else.
//!
//! Persistent messages in quorum queues; prefetch 512, 64 in flight at once; a next ticket is
//! published with `mandatory` and its confirm awaited, and only then is its delivery acked.

use futures_util::stream::{FuturesUnordered, StreamExt};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

const PREFETCH: u16 = 512;
const IN_FLIGHT: usize = 64;
/// How many messages are unconfirmed while a queue is filled.
const FILL_WINDOW: usize = 1_000;
const BODY: [u8; 64] = [b'x'; 64];

/// A connection and the channels on it.
pub(crate) struct Bare {
    connection: Connection,
    prefix: String,
}

impl Bare {
    pub(crate) async fn connect(url: &str, prefix: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        Ok(Self {
            connection,
            prefix: prefix.to_owned(),
        })
    }

    /// Declares the queues of so many stages.
    pub(crate) async fn declare(&self, stages: usize) -> anyhow::Result<()> {
        let channel = self.connection.create_channel().await?;
        for stage in 0..stages {
            let mut arguments = FieldTable::default();
            arguments.insert(
                "x-queue-type".into(),
                AMQPValue::LongString("quorum".into()),
            );
            let options = QueueDeclareOptions {
                durable: true,
                ..Default::default()
            };
            let queue = self.queue(stage);
            channel
                .queue_declare(queue.as_str().into(), options, arguments)
                .await?;
        }
        Ok(())
    }

    pub(crate) fn queue(&self, stage: usize) -> String {
        format!("{}.bare.{stage}", self.prefix)
    }

    /// A channel that has its messages confirmed.
    pub(crate) async fn publisher(&self) -> anyhow::Result<Channel> {
        let channel = self.connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        Ok(channel)
    }

    pub(crate) async fn consumer(&self, stage: usize) -> anyhow::Result<Consumer> {
        let channel = self.connection.create_channel().await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        let queue = self.queue(stage);
        let options = BasicConsumeOptions::default();
        let arguments = FieldTable::default();
        let consumer = channel.basic_consume(queue.as_str().into(), "".into(), options, arguments);
        Ok(consumer.await?)
    }

    /// Takes `count` tickets through all stages; returns how many a second got to the end.
    pub(crate) async fn drain(&self, count: usize, stages: usize) -> anyhow::Result<f64> {
        let end = End::default();
        let mut loops = FuturesUnordered::new();
        let start = std::time::Instant::now();
        for stage in 0..stages {
            let publisher = self.publisher().await?;
            let next = (stage + 1 < stages).then(|| self.queue(stage + 1));
            let consumer = self.consumer(stage).await?;
            loops.push(work(consumer, publisher, next, &end));
        }
        tokio::select! {
            Some(ended) = loops.next() => {
                ended?;
                anyhow::bail!("a bare consumer ended before its work was done")
            }
            () = end.wait_for(count) => {}
        }
        Ok(count as f64 / start.elapsed().as_secs_f64())
    }

    /// Everything that mattered was confirmed before.
    pub(crate) async fn close(self) {
        self.connection.close(200, "OK".into()).await.ok();
    }
}

/// How many got to the end.
#[derive(Default)]
struct End {
    count: AtomicUsize,
    one_more: Notify,
}

impl End {
    async fn wait_for(&self, count: usize) {
        while self.count.load(Ordering::Relaxed) < count {
            self.one_more.notified().await;
        }
    }
}

async fn work(
    consumer: Consumer,
    publisher: Channel,
    next: Option<String>,
    end: &End,
) -> anyhow::Result<()> {
    let mut handled = consumer
        .map(|delivery| handle(delivery, &publisher, next.as_deref()))
        .buffer_unordered(IN_FLIGHT);
    while let Some(handled) = handled.next().await {
        handled?;
        if next.is_none() {
            end.count.fetch_add(1, Ordering::Relaxed);
            end.one_more.notify_one();
        }
    }
    Ok(())
}

async fn handle(
    delivery: lapin::Result<Delivery>,
    publisher: &Channel,
    next: Option<&str>,
) -> anyhow::Result<()> {
    let delivery = delivery?;
    if let Some(next) = next {
        publish(
            publisher,
            ("", next),
            &delivery.data,
            delivery.properties.clone(),
        )
        .await?;
    }
    delivery.ack(BasicAckOptions::default()).await?;
    Ok(())
}

/// Publishes one message and awaits its confirm.
pub(crate) async fn publish(
    channel: &Channel,
    (exchange, key): (&str, &str),
    body: &[u8],
    properties: BasicProperties,
) -> anyhow::Result<()> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let sent = channel.basic_publish(exchange.into(), key.into(), options, body, properties);
    let confirmation = sent.await?.await?;
    let is_there = matches!(confirmation, Confirmation::Ack(None));
    anyhow::ensure!(is_there, "not confirmed: {confirmation:?}");
    Ok(())
}

/// What any publisher says of a ticket of the flow `bench`: who it is, and of which flow.
pub(crate) fn properties() -> BasicProperties {
    let mut headers = FieldTable::default();
    headers.insert(
        "goaround-flow".into(),
        AMQPValue::LongString("bench".into()),
    );
    let id = uuid::Uuid::now_v7().to_string();
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_message_id(id.as_str().into())
        .with_headers(headers)
}

/// Puts `count` tickets of 64 bytes there, each confirmed.
pub(crate) async fn fill(
    channel: &Channel,
    (exchange, key): (&str, &str),
    count: usize,
) -> anyhow::Result<()> {
    let mut sending = FuturesUnordered::new();
    for _ in 0..count {
        if sending.len() >= FILL_WINDOW
            && let Some(sent) = sending.next().await
        {
            let sent: anyhow::Result<()> = sent;
            sent?;
        }
        sending.push(publish(channel, (exchange, key), &BODY, properties()));
    }
    while let Some(sent) = sending.next().await {
        sent?;
    }
    Ok(())
}
