//! A ticket's envelope in lapin's words, and back.

use crate::journal::PERSISTENT;
use crate::publisher::Message;
use bytes::Bytes;
use domain::names::StageName;
use domain::ports::Due;
use domain::ticket::Ticket;
use domain::time::Timestamp;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use std::borrow::Cow;
use std::sync::Arc;
use wire::envelope::{Envelope, Header, Unpacked};

/// How often the broker has delivered a message before; quorum queues only.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// Where and why a queue gave a message up.
const DEATHS: &str = "x-death";

/// The message that carries a ticket which the books know, to this exchange with this routing key.
pub(crate) fn message(ticket: &Ticket, to: (Arc<str>, Arc<str>)) -> Message {
    message_of(wire::envelope::pack(ticket, true), to)
}

/// The same of one that is released, with what whoever takes it has to heed.
pub(crate) fn released(due: &Due, to: (Arc<str>, Arc<str>)) -> Message {
    let envelope = wire::envelope::pack(&due.ticket, true).avoiding(&due.avoid);
    let envelope = match due.alone {
        true => envelope.alone(),
        false => envelope,
    };
    message_of(envelope, to)
}

fn message_of(envelope: Envelope<'_>, (exchange, routing_key): (Arc<str>, Arc<str>)) -> Message {
    let Envelope {
        message_id,
        kind,
        content_type,
        timestamp,
        headers,
        body,
    } = envelope;
    let mut table = FieldTable::default();
    for (name, header) in headers {
        if let Some(value) = value(header) {
            table.insert(short(name), value);
        }
    }
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_headers(table);
    if let Some(id) = message_id {
        properties = properties.with_message_id(short(id));
    }
    if let Some(kind) = kind {
        properties = properties.with_type(short(kind));
    }
    if let Some(content_type) = content_type {
        properties = properties.with_content_type(short(content_type));
    }
    if let Some(timestamp) = timestamp {
        properties = properties.with_timestamp(timestamp);
    }
    Message {
        exchange,
        routing_key,
        body,
        properties,
    }
}

/// Nothing that [`wire::envelope::pack`] makes is too long for a short string; if it were, it
/// would be cut rather than end the process.
fn short(text: Cow<'_, str>) -> ShortString {
    let text = text.into_owned();
    let end = text.floor_char_boundary(text.len().min(255));
    ShortString::from(&text[..end])
}

fn value(header: Header<'_>) -> Option<AMQPValue> {
    Some(match header {
        Header::Int(number) => AMQPValue::LongLongInt(number),
        Header::Text(text) => AMQPValue::LongString(text.into_owned().into_bytes().into()),
        Header::Bool(flag) => AMQPValue::Boolean(flag),
        Header::Texts(texts) => {
            let texts = texts.into_iter().map(|text| value(Header::Text(text)));
            let texts: Vec<AMQPValue> = texts.flatten().collect();
            AMQPValue::FieldArray(texts.into())
        }
        Header::Other => return None,
    })
}

/// Reads a message as a ticket of this stage.
pub(crate) fn unpack(
    properties: &BasicProperties,
    body: Bytes,
    (stage, now): (&StageName, Timestamp),
) -> Unpacked {
    let headers = properties.headers().as_ref();
    let headers = headers
        .into_iter()
        .flatten()
        .map(|(name, value)| (Cow::Borrowed(name.as_str()), header(value)));
    let envelope = Envelope {
        message_id: text(properties.message_id()),
        kind: text(properties.kind()),
        content_type: text(properties.content_type()),
        timestamp: *properties.timestamp(),
        headers: headers.collect(),
        body,
    };
    wire::envelope::unpack(envelope, stage, now)
}

fn header(value: &AMQPValue) -> Header<'_> {
    match value {
        AMQPValue::Boolean(flag) => Header::Bool(*flag),
        AMQPValue::ShortShortInt(number) => Header::Int((*number).into()),
        AMQPValue::ShortShortUInt(number) => Header::Int((*number).into()),
        AMQPValue::ShortInt(number) => Header::Int((*number).into()),
        AMQPValue::ShortUInt(number) => Header::Int((*number).into()),
        AMQPValue::LongInt(number) => Header::Int((*number).into()),
        AMQPValue::LongUInt(number) => Header::Int((*number).into()),
        AMQPValue::LongLongInt(number) => Header::Int(*number),
        AMQPValue::ShortString(_) | AMQPValue::LongString(_) => {
            plain(value).map_or(Header::Other, Header::Text)
        }
        // Not what is in a list inside: anyone may send a list that is a thousand lists deep.
        AMQPValue::FieldArray(values) => {
            let texts: Option<Vec<_>> = values.as_slice().iter().map(plain).collect();
            texts.map_or(Header::Other, Header::Texts)
        }
        AMQPValue::Float(_)
        | AMQPValue::Double(_)
        | AMQPValue::DecimalValue(_)
        | AMQPValue::Timestamp(_)
        | AMQPValue::FieldTable(_)
        | AMQPValue::ByteArray(_)
        | AMQPValue::Void => Header::Other,
    }
}

fn text(text: &Option<ShortString>) -> Option<Cow<'_, str>> {
    text.as_ref().map(|text| text.as_str().into())
}

/// A text, if it is one.
fn plain(value: &AMQPValue) -> Option<Cow<'_, str>> {
    match value {
        AMQPValue::ShortString(text) => Some(text.as_str().into()),
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok().map(Cow::from),
        _ => None,
    }
}

/// Whether the broker has delivered this message before, as far as its headers tell.
pub(crate) fn was_delivered(properties: &BasicProperties) -> bool {
    let count = own_header(properties, DELIVERY_COUNT).map(header);
    matches!(count, Some(Header::Int(count)) if count > 0)
}

/// Whether a queue of the broker gave this message up.
pub(crate) fn was_given_up(properties: &BasicProperties) -> bool {
    own_header(properties, DEATHS).is_some()
}

fn own_header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref()?.inner().get(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::names::{Key, Kind, Version};
    use domain::ticket::{Lineage, Name, Payload, TicketId};

    fn stage() -> StageName {
        StageName::new("build").unwrap()
    }

    fn properties(headers: &[(&str, AMQPValue)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (name, value) in headers {
            table.insert((*name).into(), value.clone());
        }
        BasicProperties::default().with_headers(table)
    }

    #[test]
    fn headers_of_every_type_are_read_without_harm() {
        let strange = [
            ("goaround-generation", AMQPValue::LongString("two".into())),
            ("goaround-hop", AMQPValue::Void),
            ("goaround-key", AMQPValue::LongInt(7)),
            (
                "goaround-flow",
                AMQPValue::LongString(vec![0xff, 0xfe].into()),
            ),
            ("goaround-booked", AMQPValue::FieldArray(Vec::new().into())),
            ("traceparent", AMQPValue::FieldTable(FieldTable::default())),
        ];
        let id = TicketId::from_bytes([7; 16]);
        let properties = properties(&strange).with_message_id(id.to_string().as_str().into());
        let unpacked = unpack(&properties, Bytes::new(), (&stage(), Timestamp::EPOCH));
        assert!(unpacked.has_identity);
        assert!(!unpacked.booked);
        assert_eq!(unpacked.ticket.name, Name::first(id));
        assert_eq!(unpacked.ticket.key, None);
        assert!(!unpacked.oddities.is_empty());
    }

    #[test]
    fn a_message_without_anything_is_a_ticket_without_identity() {
        let unpacked = unpack(
            &BasicProperties::default(),
            Bytes::new(),
            (&stage(), Timestamp::EPOCH),
        );
        assert!(!unpacked.has_identity);
    }

    #[test]
    fn every_integer_counts_as_a_delivery_before() {
        for count in [
            AMQPValue::LongLongInt(1),
            AMQPValue::LongUInt(3),
            AMQPValue::ShortInt(2),
        ] {
            assert!(was_delivered(&properties(&[("x-delivery-count", count)])));
        }
        for count in [AMQPValue::LongLongInt(0), AMQPValue::Void] {
            assert!(!was_delivered(&properties(&[("x-delivery-count", count)])));
        }
        assert!(!was_delivered(&BasicProperties::default()));
    }

    #[test]
    fn a_ticket_survives_the_way_there_and_back() {
        let id = TicketId::from_bytes([9; 16]);
        let ticket = Ticket {
            name: Name::first(id).renewed().handed_on().charged(),
            kind: Kind::new("package").unwrap(),
            flow: None,
            stage: stage(),
            key: Some(Key::new("rust ü").unwrap()),
            payload: Payload::json("{}"),
            deadline: Some(Timestamp::from_micros(5_000)),
            created_at: Timestamp::from_micros(1_795_269_802_120_000),
            lineage: Lineage::root(id),
            trace: Some("00-1-2-01".into()),
        };
        let sent = message(&ticket, ("goaround".into(), "build".into()));
        let unpacked = unpack(&sent.properties, sent.body, (&stage(), Timestamp::EPOCH));
        assert!(unpacked.booked);
        assert_eq!(unpacked.oddities, Vec::<String>::new());
        assert_eq!(unpacked.ticket, ticket);
        assert_eq!((unpacked.avoid, unpacked.alone), (Vec::new(), false));
        let avoid = ["1", "2"].map(|version| Version::new(version).unwrap());
        for (avoid, alone) in [(Vec::from(avoid), false), (Vec::new(), true)] {
            let due = Due {
                ticket: ticket.clone(),
                barrier: None,
                avoid: avoid.clone(),
                alone,
            };
            let sent = released(&due, ("goaround".into(), "build".into()));
            let unpacked = unpack(&sent.properties, sent.body, (&stage(), Timestamp::EPOCH));
            assert_eq!((unpacked.avoid, unpacked.alone), (avoid, alone));
            assert_eq!(unpacked.ticket, ticket);
        }
    }

    #[test]
    fn a_list_that_is_not_of_texts_keeps_no_ticket_from_any_version() {
        let inside: Vec<AMQPValue> = vec![AMQPValue::LongString("1".into())];
        let lists = [
            vec![AMQPValue::LongString("1".into()), AMQPValue::Void],
            vec![AMQPValue::FieldArray(inside.into())],
            vec![AMQPValue::LongString(vec![0xff].into())],
        ];
        for list in lists {
            let list = AMQPValue::FieldArray(list.into());
            let properties = properties(&[("goaround-avoid", list)]);
            let unpacked = unpack(&properties, Bytes::new(), (&stage(), Timestamp::EPOCH));
            assert_eq!(unpacked.avoid, []);
            assert_eq!(unpacked.oddities.len(), 1, "{:?}", unpacked.oddities);
        }
    }
}
