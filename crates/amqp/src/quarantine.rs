//! What cannot be read, or is too long for any record, is set aside as it came, with the reason.

use crate::names::Names;
use crate::publisher::Message;
use bytes::Bytes;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};

/// The header that says why a message is in the quarantine.
pub(crate) const WHY: &str = "goaround-quarantined-because";
/// The most characters of that.
const WHY_MAX: usize = 1_000;
/// The longest headers of somebody else's that are kept. All properties of a message go in one
/// frame, and a broker ends the connection of whoever sends a longer one.
const HEADERS_BYTES_MAX: usize = 4 * 1024;

/// The message for the quarantine.
pub(crate) fn message(names: &Names, delivery: &Delivery, why: &str) -> Message {
    Message {
        exchange: names.exchange().into(),
        routing_key: names.quarantine().into(),
        body: Bytes::copy_from_slice(&delivery.data),
        properties: properties(&delivery.properties, why),
    }
}

fn properties(came: &BasicProperties, why: &str) -> BasicProperties {
    let mut why: String = why.chars().take(WHY_MAX).collect();
    let mut headers = came.headers().clone().unwrap_or_default();
    if bytes_at_most(&headers) > HEADERS_BYTES_MAX {
        headers = FieldTable::default();
        why.push_str("; its headers are too long, and are not kept");
    }
    headers.insert(WHY.into(), AMQPValue::LongString(why.into()));
    let mut kept = BasicProperties::default()
        .with_headers(headers)
        .with_delivery_mode(2);
    // Without the user: a broker takes nobody's name but that of who publishes.
    macro_rules! keep {
        ($($what:ident by $with:ident),*) => {
            $(if let Some(value) = came.$what() {
                kept = kept.$with(value.clone());
            })*
        };
    }
    keep!(
        content_type by with_content_type,
        content_encoding by with_content_encoding,
        correlation_id by with_correlation_id,
        reply_to by with_reply_to,
        message_id by with_message_id,
        timestamp by with_timestamp,
        kind by with_type,
        app_id by with_app_id
    );
    kept
}

/// At least as many as are sent of them.
fn bytes_at_most(headers: &FieldTable) -> usize {
    let headers = headers.inner().iter();
    let bytes = headers.map(|(name, value)| name.as_str().len() + 1 + value_bytes(value));
    4 + bytes.sum::<usize>()
}

fn value_bytes(value: &AMQPValue) -> usize {
    const KIND_AND_LENGTH: usize = 5;
    KIND_AND_LENGTH
        + match value {
            AMQPValue::LongString(text) => text.as_bytes().len(),
            AMQPValue::ShortString(text) => text.as_str().len(),
            AMQPValue::ByteArray(bytes) => bytes.len(),
            AMQPValue::FieldArray(values) => values.as_slice().iter().map(value_bytes).sum(),
            AMQPValue::FieldTable(headers) => bytes_at_most(headers),
            // Numbers and times.
            _ => 8,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: usize) -> AMQPValue {
        AMQPValue::LongString("x".repeat(bytes).into())
    }

    fn came(value: AMQPValue) -> BasicProperties {
        let mut headers = FieldTable::default();
        headers.insert("theirs".into(), value);
        BasicProperties::default()
            .with_headers(headers)
            .with_message_id("7".into())
            .with_user_id("alice".into())
    }

    fn why(kept: &BasicProperties) -> String {
        let headers = kept.headers().clone().unwrap();
        match &headers.inner()[WHY] {
            AMQPValue::LongString(why) => why.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_is_kept_as_it_came_but_for_the_name_of_who_sent_it() {
        let kept = properties(&came(text(100)), "it is no JSON");
        let headers = kept.headers().clone().unwrap();
        assert_eq!(headers.inner()["theirs"], text(100));
        assert!(why(&kept).contains("it is no JSON"));
        assert_eq!(kept.message_id().as_ref().unwrap().as_str(), "7");
        assert!(kept.user_id().is_none());
        assert_eq!(*kept.delivery_mode(), Some(2));
    }

    #[test]
    fn headers_that_no_frame_of_ours_holds_are_left_out_and_that_is_said() {
        let kept = properties(&came(text(5_000)), &"y".repeat(5_000));
        let headers = kept.headers().clone().unwrap();
        assert!(!headers.contains_key("theirs"));
        assert!(why(&kept).contains("its headers are too long"));
        assert!(bytes_at_most(&headers) < HEADERS_BYTES_MAX);
    }
}
