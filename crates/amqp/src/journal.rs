//! Writes into the journal: a group of records is one message, or a few when it is large.

use crate::names::Names;
use crate::publisher::{Message, Publisher};
use domain::ports::{Sent, StoreError};
use domain::record::Record;
use lapin::BasicProperties;
use std::sync::Arc;

/// About how large a message of records may become; a record that is larger goes alone. Well
/// below the 16 MiB that newer brokers take.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many messages of one call are in memory at once. A stage starts thousands of tickets
/// together, and those that the books do not know carry their payload.
const MESSAGES_MAX: usize = 16;
/// The longest payload that a record can carry: it goes alone, with room for all the rest below the
/// 16 MiB that newer brokers take.
pub(crate) const CARRIED_BYTES_MAX: usize = 15 * 1024 * 1024;
/// The delivery mode of messages that survive a restart of the broker.
pub(crate) const PERSISTENT: u8 = 2;

/// The journal, for writing.
pub(crate) struct Journal {
    publisher: Arc<Publisher>,
    exchange: Arc<str>,
    key: Arc<str>,
    properties: BasicProperties,
}

impl Journal {
    pub(crate) fn new(publisher: Arc<Publisher>, names: &Names) -> Self {
        Self {
            publisher,
            exchange: names.exchange().into(),
            key: names.journal().into(),
            properties: properties(),
        }
    }

    /// Makes these records durable. They may be written again when it is not known whether they
    /// are: records are idempotent.
    pub(crate) async fn write(&self, records: &[Record]) -> Result<(), StoreError> {
        let groups: Vec<&[Record]> = wire::record::groups(records, BYTES_MAX).collect();
        for groups in groups.chunks(MESSAGES_MAX) {
            let messages = groups.iter().map(|group| self.message(group)).collect();
            let sent = self.publisher.publish_group(messages).await;
            let durable = sent.iter().filter(|sent| **sent == Sent::Confirmed).count();
            if durable < groups.len() {
                return Err(self.unconfirmed(groups.len() - durable, groups.len()));
            }
        }
        Ok(())
    }

    fn unconfirmed(&self, count: usize, of: usize) -> StoreError {
        let place = self.publisher.link().config().place();
        StoreError::Unavailable(format!(
            "the journal at {place} has not confirmed {count} of {of} messages; nothing counts yet, \
             they are written again"
        ))
    }

    fn message(&self, records: &[Record]) -> Message {
        Message {
            exchange: Arc::clone(&self.exchange),
            routing_key: Arc::clone(&self.key),
            body: wire::record::encode(records),
            properties: self.properties.clone(),
        }
    }
}

/// What every message of records says about itself.
pub(crate) fn properties() -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(wire::record::CONTENT_TYPE.into())
}
