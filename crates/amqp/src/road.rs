//! The controller's side of the broker: it sends tickets on their way, speaks in the journal,
//! spreads the desired state, and reads in [`inbox`]es what everybody else has to say.

mod inbox;

use crate::config::Config;
use crate::control;
use crate::envelope;
use crate::error::Error;
use crate::journal::{self, Journal};
use crate::link::{Link, Purpose, State};
use crate::publisher::{Message, Publisher};
use crate::topology;
use async_trait::async_trait;
use bytes::Bytes;
use domain::control::Snapshot;
use domain::fleet::Heartbeat;
use domain::names::{Holder, StageName};
use domain::oops::Report;
use domain::ports::{Clock, Due, Inbox, Road, Sent, StoreError, Vitals};
use domain::record::{Record, Said};
use domain::ticket::Ticket;
use inbox::{Content, Queue, QueueInbox};
use lapin::message::Delivery;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// The most heartbeats that wait for one listener; the oldest go first.
const BEATS_MAX: i32 = 10_000;

/// Messages of the journal in memory at once; one may have 4 MiB, and one of a single record with a
/// large body nearly 16.
const JOURNAL_WINDOW: u16 = 64;
/// Unclaimed messages in memory at once: strangers send them, and one may be as large as the broker
/// takes, which is 16 MiB unless it is told otherwise.
const UNCLAIMED_WINDOW: u16 = 16;
/// Reports in memory at once; one may have some hundred KiB.
const OOPS_WINDOW: u16 = 256;

/// The controller's side of the broker. It lives on the runtime that it was started on.
pub struct Controller {
    config: Config,
    /// For everything that is read.
    link: Arc<Link>,
    publisher: Arc<Publisher>,
    journal: Journal,
    clock: Arc<dyn Clock>,
    holder: Holder,
    quarantined: Arc<AtomicU64>,
    control: Link,
}

impl Controller {
    /// Declares what everybody needs, and the queues of these stages.
    ///
    /// # Errors
    /// [`Error`] says what is the matter with the broker, and what to do.
    pub async fn start(
        config: Config,
        stages: &[StageName],
        clock: Arc<dyn Clock>,
        holder: Holder,
    ) -> Result<Arc<Self>, Error> {
        let link = Arc::new(Link::start(&config, Purpose::Consume));
        topology::declare(&link, &config.names, stages).await?;
        let publish = Arc::new(Link::start(&config, Purpose::Publish));
        let publisher = Arc::new(Publisher::start(publish));
        Ok(Arc::new(Self {
            journal: Journal::new(Arc::clone(&publisher), &config.names),
            link,
            publisher,
            clock,
            holder,
            quarantined: Arc::default(),
            control: Link::start(&config, Purpose::Control),
            config,
        }))
    }

    /// How many messages could not be read and are kept in the quarantine, since the start.
    pub fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Its connections, one for each purpose.
    pub fn links(&self) -> [&Link; 3] {
        [&self.link, self.publisher.link(), &self.control]
    }

    /// How the connection for everything that is read is.
    pub fn consuming(&self) -> watch::Receiver<State> {
        self.link.state()
    }

    /// How the connection for everything that is published is.
    pub fn publishing(&self) -> watch::Receiver<State> {
        self.publisher.link().state()
    }

    fn queue(&self, name: String, window: u16) -> Queue {
        Queue {
            name,
            config: self.config.clone(),
            publisher: Arc::clone(&self.publisher),
            quarantined: Arc::clone(&self.quarantined),
            is_kept: true,
            window,
        }
    }

    /// A queue of our own that is gone with us, before the exchange of heartbeats.
    async fn listener(&self) -> Result<(lapin::Channel, String), Error> {
        let (channel, _) = self.link.channel().await?;
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..Default::default()
        };
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(BEATS_MAX));
        let failed = |error| Error::of_channel(&error, "listen to heartbeats");
        let declared = channel.queue_declare("".into(), options, arguments).await;
        let name = declared.map_err(failed)?.name().clone();
        let vitals = self.config.names.vitals();
        let options = QueueBindOptions::default();
        let bound = channel.queue_bind(
            name.clone(),
            vitals.as_str().into(),
            "".into(),
            options,
            FieldTable::default(),
        );
        bound.await.map_err(failed)?;
        Ok((channel, name.to_string()))
    }
}

#[async_trait]
impl Road for Controller {
    async fn publish(&self, tickets: Vec<Due>) -> Vec<Sent> {
        let exchange: Arc<str> = self.config.names.exchange().into();
        let messages = tickets.iter().map(|due| {
            let to = (Arc::clone(&exchange), due.ticket.stage.as_str().into());
            envelope::released(due, to)
        });
        self.publisher.publish_group(messages.collect()).await
    }

    async fn write(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.journal.write(&records).await
    }

    async fn spread(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        control::spread(&self.publisher, &self.config.names, snapshot).await
    }

    async fn journal(&self) -> Result<Box<dyn Inbox<Record>>, StoreError> {
        let queue = self.queue(self.config.names.journal(), JOURNAL_WINDOW);
        let read = |delivery: &Delivery| match wire::record::decode(&delivery.data) {
            Ok(records) => Content::Entries(records),
            Err(error) => Content::Unreadable(error.to_string()),
        };
        let inbox = QueueInbox::open_alone(&self.link, queue, Box::new(read)).await?;
        Ok(Box::new(inbox))
    }

    async fn unclaimed(&self) -> Result<Box<dyn Inbox<Ticket>>, StoreError> {
        let reader = Unclaimed {
            clock: Arc::clone(&self.clock),
            holder: self.holder.clone(),
            exchange: self.config.names.exchange().into(),
            journal: self.config.names.journal().into(),
        };
        let queue = self.queue(self.config.names.unclaimed(), UNCLAIMED_WINDOW);
        let read = Box::new(move |delivery: &Delivery| reader.read(delivery));
        Ok(Box::new(QueueInbox::open(&self.link, queue, read).await?))
    }

    async fn reports(&self) -> Result<Box<dyn Inbox<Report>>, StoreError> {
        let queue = self.queue(self.config.names.oops(), OOPS_WINDOW);
        let read = |delivery: &Delivery| match wire::report::decode(&delivery.data) {
            Ok(report) => Content::Entries(vec![report]),
            Err(error) => Content::Unreadable(error.to_string()),
        };
        Ok(Box::new(
            QueueInbox::open(&self.link, queue, Box::new(read)).await?,
        ))
    }

    async fn declare(&self, stages: &[StageName]) -> Result<(), StoreError> {
        topology::declare_stages(&self.link, &self.config.names, stages).await?;
        Ok(())
    }
}

#[async_trait]
impl Vitals for Controller {
    async fn listen(&self) -> Result<Box<dyn Inbox<Heartbeat>>, StoreError> {
        let (channel, name) = self.listener().await?;
        let queue = Queue {
            is_kept: false,
            ..self.queue(name, 0)
        };
        let read = |delivery: &Delivery| match wire::record::decode(&delivery.data) {
            Ok(records) => Content::Entries(records.into_iter().filter_map(beat).collect()),
            Err(error) => {
                tracing::warn!("a heartbeat cannot be read: {error}");
                Content::Entries(Vec::new())
            }
        };
        Ok(Box::new(
            QueueInbox::open_on(channel, queue, Box::new(read)).await?,
        ))
    }
}

fn beat(record: Record) -> Option<Heartbeat> {
    match record.said {
        Said::Beat(beat) => Some(*beat),
        _ => None,
    }
}

/// Reads what no stage has asked for, and what the broker gave up.
struct Unclaimed {
    clock: Arc<dyn Clock>,
    holder: Holder,
    exchange: Arc<str>,
    journal: Arc<str>,
}

impl Unclaimed {
    fn read(&self, delivery: &Delivery) -> Content<Ticket> {
        let was_given_up = envelope::was_given_up(&delivery.properties);
        let stage = match StageName::new(delivery.routing_key.as_str()) {
            Ok(stage) => stage,
            Err(error) => return Content::Unreadable(format!("its routing key is no {error}")),
        };
        let body = Bytes::copy_from_slice(&delivery.data);
        let now = self.clock.now();
        let mut unpacked = envelope::unpack(&delivery.properties, body, (&stage, now));
        if !unpacked.has_identity {
            unpacked.identify(self.clock.ticket_id());
        } else if was_given_up {
            // Somebody had it, again and again: what became of that is a question.
            return Content::Aside(Box::new(self.suspect(unpacked.ticket)));
        }
        Content::Entries(vec![unpacked.ticket])
    }

    fn suspect(&self, ticket: Ticket) -> Message {
        let said = Said::Suspect(Box::new(ticket));
        let record = Record {
            by: self.holder.clone(),
            at: self.clock.now(),
            said,
        };
        Message {
            exchange: Arc::clone(&self.exchange),
            routing_key: Arc::clone(&self.journal),
            body: wire::record::encode(&[record]),
            properties: journal::properties(),
        }
    }
}
