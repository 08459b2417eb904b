//! What the tests against a real broker share.

use amqp::publisher::Message;
use amqp::{Config, Link, Names, Purpose};
use domain::names::StageName;
use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use std::collections::BTreeSet;
use std::time::Duration;
use testkit::partners::or_skip;
use testkit::partners::rabbitmq::{Rabbit, Shared, Version};

/// Longer than anything takes here, on a machine that has other things to do too.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A queue that gives nothing for so long is empty.
const LULL: Duration = Duration::from_secs(2);

/// A broker that others use too, and names that nobody else has there.
pub(crate) struct Place {
    pub(crate) broker: Shared,
    pub(crate) config: Config,
}

impl Place {
    /// `None` when the broker is not installed here.
    pub(crate) fn find(version: Version) -> Option<Self> {
        let broker = or_skip(Rabbit::shared(version))?;
        let config = config(&broker.url());
        Some(Self { broker, config })
    }

    pub(crate) fn names(&self) -> &Names {
        &self.config.names
    }
}

/// This broker, under a prefix that nobody else has.
pub(crate) fn config(url: &str) -> Config {
    let mut config = Config::new(url).unwrap();
    config.names = Names::new(&format!("t{}", uuid::Uuid::now_v7().simple())).unwrap();
    config
}

/// The same broker by another way.
pub(crate) fn at_port(config: &Config, port: u16) -> Config {
    let mut other = Config::new(&format!("amqp://guest:guest@127.0.0.1:{port}/%2f")).unwrap();
    other.names = config.names.clone();
    other
}

pub(crate) fn link(config: &Config) -> Link {
    Link::start(config, Purpose::Control)
}

pub(crate) fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

/// A bare connection, as any other program has it.
pub(crate) async fn stranger(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Declares a queue as a stranger would.
pub(crate) async fn declare(url: &str, queue: &str, arguments: &[(&str, AMQPValue)]) {
    let (connection, channel) = stranger(url).await;
    let mut table = FieldTable::default();
    for (key, value) in arguments {
        table.insert((*key).into(), value.clone());
    }
    let options = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel
        .queue_declare(queue.into(), options, table)
        .await
        .unwrap();
    connection.close(200, "OK".into()).await.unwrap();
}

pub(crate) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// A message to a stage, named so that it is found again.
pub(crate) fn message(names: &Names, stage: &str, id: &str) -> Message {
    Message {
        exchange: names.exchange().into(),
        routing_key: stage.into(),
        body: "payload".into(),
        properties: BasicProperties::default()
            .with_delivery_mode(2)
            .with_message_id(id.into()),
    }
}

/// Takes everything that is in a queue, and tells the ids.
pub(crate) async fn drain(url: &str, queue: &str) -> BTreeSet<String> {
    let (connection, channel) = stranger(url).await;
    let mut ids = BTreeSet::new();
    let options = BasicConsumeOptions {
        no_ack: true,
        ..Default::default()
    };
    let consuming = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let mut consumer = consuming.await.unwrap();
    while let Ok(Some(got)) = tokio::time::timeout(LULL, consumer.next()).await {
        let id = got
            .unwrap()
            .properties
            .message_id()
            .as_ref()
            .map(ToString::to_string);
        ids.insert(id.unwrap_or_default());
    }
    connection.close(200, "OK".into()).await.unwrap();
    ids
}
