//! Proves at the start that the broker does what the delivery of tickets relies on.
//!
//! A declaration proves nothing: brokers accept arguments that they do not know or do not keep to,
//! and policies change queues from outside. So a message of our own goes through a queue like a
//! stage's: it must come again as often as it is returned, say each time that it was delivered
//! before, also after its channel and its connection were lost, and must not be lost when the
//! broker gives it up.

use crate::config::Config;
use crate::error::Error;
use crate::link::{self, Purpose};
use crate::topology::{Foreign, stage_arguments};
use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, BasicRejectOptions,
    ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use std::time::Duration;

/// How often the message is returned: more often than the limit of 20 that RabbitMQ 4 has of
/// itself.
pub const RETURNS: u32 = 25;
/// How long a message may take to come, come again, or be moved on.
const ARRIVE_MAX: Duration = Duration::from_secs(5);
/// How long it all may take.
const PROOF_MAX: Duration = Duration::from_secs(30);
/// The broker removes what a proof that was killed has left behind.
const EXPIRES_MS: i32 = 60_000;
const PERSISTENT: u8 = 2;

/// Proves it for queues like those that we declare, and like each of these. They are private
/// queues of a few milliseconds; no stage is touched.
///
/// # Errors
/// [`Error::Behaviour`] says what the broker does not do, and what follows from that; nothing may
/// be consumed then.
pub async fn prove(config: &Config, foreign: &[Foreign]) -> Result<(), Error> {
    let ours = stage_arguments(&config.names);
    prove_in_time(config, ours, "a queue of ours").await?;
    let mut proven: Vec<&FieldTable> = Vec::new();
    for found in foreign.iter().filter(|found| !found.is_log()) {
        if !proven.contains(&&found.arguments) {
            prove_in_time(config, found.arguments.clone(), &found.differences()).await?;
            proven.push(&found.arguments);
        }
    }
    Ok(())
}

async fn prove_in_time(config: &Config, arguments: FieldTable, what: &str) -> Result<(), Error> {
    let canary = Canary::new(config, arguments, what);
    let proof = tokio::time::timeout(PROOF_MAX, canary.fly()).await;
    match proof {
        Ok(proven) => proven,
        Err(_) => Err(Error::Broken(format!(
            "{} took longer than {} s for a few messages: look at its load and its disk",
            config.place(),
            PROOF_MAX.as_secs()
        ))),
    }
}

struct Canary<'a> {
    config: &'a Config,
    what: &'a str,
    arguments: FieldTable,
    /// Named like a stage's queue, so that a policy for those is proven with it.
    queue: String,
    given_up: String,
    has_net: bool,
}

impl<'a> Canary<'a> {
    fn new(config: &'a Config, mut arguments: FieldTable, what: &'a str) -> Self {
        let id = uuid::Uuid::now_v7().simple();
        let queue = format!("{}.stage.canary-{id}", config.names.prefix());
        let given_up = format!("{queue}-given-up");
        let net = "x-dead-letter-exchange";
        let has_net = arguments.inner().contains_key(net);
        if has_net {
            let text = |text: &str| AMQPValue::LongString(text.into());
            arguments.insert(net.into(), text(config.names.exchange()));
            arguments.insert("x-dead-letter-routing-key".into(), text(&given_up));
        }
        arguments.insert("x-expires".into(), AMQPValue::LongInt(EXPIRES_MS));
        Self {
            config,
            what,
            arguments,
            queue,
            given_up,
            has_net,
        }
    }

    async fn fly(&self) -> Result<(), Error> {
        let connection = self.connect().await?;
        let proven = match self.set_out(&connection).await {
            Ok(()) => self.trials(&connection).await,
            Err(error) => Err(error),
        };
        connection.close(200, "OK".into()).await.ok();
        self.clear_up().await;
        proven
    }

    async fn trials(&self, connection: &Connection) -> Result<(), Error> {
        let channel = self.open(connection).await?;
        let consumer = self.is_returned(&channel).await?;
        // The message is in hand when the channel goes; and the consumer is dropped only after it,
        // as in `worker::feed`.
        closing(channel.close(200, "OK".into()).await)?;
        drop(consumer);
        let channel = self.open(connection).await?;
        let (_, consumer) = self
            .comes_flagged(&channel, "its channel was closed")
            .await?;
        // And again when the connection goes.
        closing(connection.close(200, "OK".into()).await)?;
        drop(consumer);
        let connection = self.connect().await?;
        let channel = self.open(&connection).await?;
        let (delivery, _consumer) = self
            .comes_flagged(&channel, "its connection was closed")
            .await?;
        let proven = self.is_caught(&channel, delivery).await;
        connection.close(200, "OK".into()).await.ok();
        proven
    }

    /// Returned again and again, it must come again and say so.
    async fn is_returned(&self, channel: &Channel) -> Result<Consumer, Error> {
        let mut consumer = self.consume(channel, &self.queue).await?;
        let mut delivery = self
            .comes(&mut consumer, "it was published and confirmed")
            .await?;
        for count in 1..=RETURNS {
            let options = BasicRejectOptions { requeue: true };
            delivery
                .reject(options)
                .await
                .map_err(|error| self.broken(&error))?;
            let after = format!("it was returned {count} times");
            delivery = self.comes(&mut consumer, &after).await?;
            self.is_flagged(&delivery, &after)?;
        }
        Ok(consumer)
    }

    /// The delivery, and the consumer that it came by.
    async fn comes_flagged(
        &self,
        channel: &Channel,
        after: &str,
    ) -> Result<(Delivery, Consumer), Error> {
        let mut consumer = self.consume(channel, &self.queue).await?;
        let delivery = self.comes(&mut consumer, after).await?;
        self.is_flagged(&delivery, after)?;
        Ok((delivery, consumer))
    }

    fn is_flagged(&self, delivery: &Delivery, after: &str) -> Result<(), Error> {
        if delivery.redelivered {
            return Ok(());
        }
        Err(self.misbehaves(&format!(
            "a message that was delivered before came without the redelivered flag after {after}, \
             so a ticket could run twice at once"
        )))
    }

    /// Given up, it must go on to where we look for it.
    async fn is_caught(&self, channel: &Channel, delivery: Delivery) -> Result<(), Error> {
        let options = BasicRejectOptions { requeue: false };
        if !self.has_net {
            return delivery
                .reject(options)
                .await
                .map(drop)
                .map_err(|error| self.broken(&error));
        }
        let mut consumer = self.consume(channel, &self.given_up).await?;
        delivery
            .reject(options)
            .await
            .map_err(|error| self.broken(&error))?;
        self.comes(&mut consumer, "the broker gave it up").await?;
        Ok(())
    }

    async fn comes(&self, consumer: &mut Consumer, after: &str) -> Result<Delivery, Error> {
        match tokio::time::timeout(ARRIVE_MAX, consumer.next()).await {
            Ok(Some(Ok(delivery))) => Ok(delivery),
            Ok(Some(Err(error))) => Err(self.broken(&error)),
            Ok(None) => Err(Error::Broken("the canary's channel ended".to_owned())),
            Err(_) => Err(self.misbehaves(&format!(
                "a message did not come within {} s after {after}, so a ticket could get lost",
                ARRIVE_MAX.as_secs()
            ))),
        }
    }

    fn misbehaves(&self, seen: &str) -> Error {
        Error::Behaviour(format!(
            "{} does not keep tickets safe: {seen}. Tried on a private queue like {}. Look for a \
             policy on queues of that name (`rabbitmqctl list_policies -p {}`), for arguments of \
             queues that others have declared (`goaround doctor`), and whether this is RabbitMQ \
             3.10 to 4.3",
            self.config.place(),
            self.what,
            self.config.vhost()
        ))
    }

    fn broken(&self, error: &lapin::Error) -> Error {
        Error::of_channel(error, "carry a canary message")
    }

    async fn connect(&self) -> Result<Connection, Error> {
        link::connect(self.config, Purpose::Control).await
    }

    async fn open(&self, connection: &Connection) -> Result<Channel, Error> {
        connection
            .create_channel()
            .await
            .map_err(|error| self.broken(&error))
    }

    async fn consume(&self, channel: &Channel, queue: &str) -> Result<Consumer, Error> {
        let consuming = async {
            channel.basic_qos(1, BasicQosOptions::default()).await?;
            let options = BasicConsumeOptions::default();
            channel
                .basic_consume(queue.into(), "".into(), options, FieldTable::default())
                .await
        };
        let doing = format!("consume from queue {queue:?}");
        consuming
            .await
            .map_err(|error| Error::of_channel(&error, &doing))
    }

    /// Declares both queues and publishes the message.
    async fn set_out(&self, connection: &Connection) -> Result<(), Error> {
        let channel = self.open(connection).await?;
        let mut target = FieldTable::default();
        target.insert("x-expires".into(), AMQPValue::LongInt(EXPIRES_MS));
        self.declare(&channel, &self.given_up, target).await?;
        self.declare(&channel, &self.queue, self.arguments.clone())
            .await?;
        let exchange = self.config.names.exchange();
        let publishing = async {
            channel
                .confirm_select(ConfirmSelectOptions::default())
                .await?;
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
            let (exchange, key) = (exchange.into(), self.queue.as_str().into());
            channel
                .basic_publish(exchange, key, options, b"canary", properties)
                .await?
                .await
        };
        let doing = format!("publish to exchange {exchange:?}");
        let confirm = publishing
            .await
            .map_err(|error| Error::of_channel(&error, &doing))?;
        if confirm.is_ack() {
            return Ok(());
        }
        Err(self.misbehaves("it did not confirm a message"))
    }

    async fn declare(
        &self,
        channel: &Channel,
        queue: &str,
        arguments: FieldTable,
    ) -> Result<(), Error> {
        let exchange = self.config.names.exchange();
        let declaring = async {
            let options = QueueDeclareOptions {
                durable: true,
                ..Default::default()
            };
            channel
                .queue_declare(queue.into(), options, arguments)
                .await?;
            let options = QueueBindOptions::default();
            let (queue, exchange, key) = (queue.into(), exchange.into(), queue.into());
            channel
                .queue_bind(queue, exchange, key, options, FieldTable::default())
                .await
        };
        let doing = format!("declare queue {queue:?} and bind it to exchange {exchange:?}");
        declaring
            .await
            .map_err(|error| Error::of_channel(&error, &doing))
    }

    /// What cannot be removed now, the broker removes in a minute.
    async fn clear_up(&self) {
        let clearing = async {
            let connection = self.connect().await?;
            for queue in [&self.queue, &self.given_up] {
                let channel = self.open(&connection).await?;
                let options = QueueDeleteOptions::default();
                channel
                    .queue_delete(queue.as_str().into(), options)
                    .await
                    .ok();
            }
            connection.close(200, "OK".into()).await.ok();
            Ok::<(), Error>(())
        };
        clearing.await.ok();
    }
}

fn closing(closed: lapin::Result<()>) -> Result<(), Error> {
    closed.map_err(|error| Error::of_channel(&error, "close the canary's channel"))
}
