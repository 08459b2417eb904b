//! What a queue is really like when it is not the one we would have declared.
//!
//! The broker tells one difference a time, with its own value. So the value is taken over and the
//! declaration repeated until it is the queue's own; then all that differs is known.

use super::plan::{DELIVERY_LIMIT, text};
use crate::error::Error;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};

/// The most differences that a queue is asked for.
const LESSONS_MAX: usize = 16;
/// A limit from which on nobody reaches it by restarts and lost connections.
const LIMIT_MIN: i64 = 10_000;

const QUORUM_ONLY: [&str; 2] = ["x-delivery-limit", "x-dead-letter-strategy"];

/// A queue that was there before, with other arguments than ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreign {
    /// Which one.
    pub queue: String,
    /// Each difference: the argument, and what it is there.
    pub differs: Vec<(String, String)>,
    pub(crate) arguments: FieldTable,
    pub(crate) options: QueueDeclareOptions,
}

impl Foreign {
    /// All differences in a sentence.
    pub fn differences(&self) -> String {
        let each: Vec<String> = self
            .differs
            .iter()
            .map(|(key, value)| format!("{key} is {value}"))
            .collect();
        format!(
            "queue {:?} was declared by somebody else: {}",
            self.queue,
            each.join(", ")
        )
    }

    /// Whether it may do for us, as far as its arguments tell.
    pub(crate) fn check(&self, is_log: bool) -> Result<(), Error> {
        let Some(why) = self.obstacle(is_log) else {
            return Ok(());
        };
        Err(Error::Mismatch(format!(
            "{}. That will not do, because {why}; empty and delete the queue, it is then declared \
             anew, or choose another broker.prefix",
            self.differences()
        )))
    }

    fn obstacle(&self, is_log: bool) -> Option<&'static str> {
        let text = |key| self.text(key).unwrap_or_default();
        if !self.options.durable || self.options.auto_delete || self.options.exclusive {
            return Some("it does not outlive the broker or those who use it");
        }
        if is_log != self.is_log() {
            return Some("a log and a queue are read in different ways");
        }
        if is_log {
            return None;
        }
        if self.has("x-message-ttl") || self.has("x-expires") {
            return Some("it throws messages away after a time");
        }
        let is_bounded = self.has("x-max-length") || self.has("x-max-length-bytes");
        if is_bounded && !text("x-overflow").starts_with("reject-publish") {
            return Some("it throws its oldest messages away when it is full");
        }
        match self.number("x-delivery-limit") {
            Some(limit) if limit < LIMIT_MIN => {
                Some("it gives messages up that came back a few times")
            }
            _ => None,
        }
    }

    /// Whether it is a stream.
    pub(crate) fn is_log(&self) -> bool {
        self.text("x-queue-type").as_deref() == Some("stream")
    }

    fn has(&self, key: &str) -> bool {
        self.arguments.inner().contains_key(key)
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.arguments.inner().get(key) {
            Some(AMQPValue::LongString(text)) => Some(text.to_string()),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<i64> {
        match self.arguments.inner().get(key) {
            Some(AMQPValue::LongLongInt(number)) => Some(*number),
            Some(AMQPValue::LongInt(number)) => Some(i64::from(*number)),
            _ => None,
        }
    }
}

/// What is known so far about a queue.
pub(super) struct Drift {
    arguments: FieldTable,
    options: QueueDeclareOptions,
    differs: Vec<(String, String)>,
}

impl From<FieldTable> for Drift {
    fn from(arguments: FieldTable) -> Self {
        let options = QueueDeclareOptions {
            durable: true,
            ..Default::default()
        };
        Self {
            arguments,
            options,
            differs: Vec::new(),
        }
    }
}

impl Drift {
    pub(super) fn arguments(&self) -> FieldTable {
        self.arguments.clone()
    }

    pub(super) fn options(&self) -> QueueDeclareOptions {
        self.options
    }

    /// The queue as it is, if it is not the one that was asked for.
    pub(super) fn found(self, queue: &str) -> Option<Foreign> {
        let Self {
            mut arguments,
            options,
            differs,
        } = self;
        if differs.is_empty() {
            return None;
        }
        let of_type = arguments.inner().get("x-queue-type").cloned();
        if of_type.is_none_or(|of_type| of_type == text("classic")) {
            // The broker does not compare these, and a classic queue cannot have them.
            let mut inner = arguments.inner().clone();
            inner.retain(|key, _| !QUORUM_ONLY.contains(&key.as_str()));
            arguments = FieldTable::from(inner);
        }
        let queue = queue.to_owned();
        Some(Foreign {
            queue,
            differs,
            arguments,
            options,
        })
    }

    /// Takes over what the broker said is different; says whether there was anything to learn.
    pub(super) fn learn(&mut self, said: &str) -> bool {
        let Some(lesson) = Lesson::of(said) else {
            return false;
        };
        let is_known = self.differs.iter().any(|(key, _)| key == lesson.argument);
        if is_known || self.differs.len() >= LESSONS_MAX {
            return false;
        }
        let shown = lesson.value.unwrap_or("not set");
        self.differs
            .push((lesson.argument.to_owned(), shown.to_owned()));
        match lesson.argument {
            "durable" => self.options.durable = shown == "true",
            "auto_delete" => self.options.auto_delete = shown == "true",
            "exclusive" => self.options.exclusive = shown == "true",
            argument => {
                let key = ShortString::from(argument);
                let mut inner = self.arguments.inner().clone();
                match lesson.as_value() {
                    Some(value) => inner.insert(key, value),
                    None => inner.remove(&key),
                };
                self.arguments = FieldTable::from(inner);
            }
        }
        true
    }
}

/// One difference, as the broker tells it: `inequivalent arg 'x-message-ttl' for queue 'q' in
/// vhost '/': received none but current is the value '1000' of type 'signedint'`.
struct Lesson<'a> {
    argument: &'a str,
    value: Option<&'a str>,
    of_type: Option<&'a str>,
}

impl<'a> Lesson<'a> {
    fn of(said: &'a str) -> Option<Self> {
        let (_, said) = said.split_once("inequivalent arg '")?;
        let (argument, said) = said.split_once('\'')?;
        let (_, current) = said.rsplit_once("but current is ")?;
        if argument.len() > 255 {
            return None;
        }
        let mut quoted = current.split('\'').skip(1).step_by(2);
        Some(Self {
            argument,
            value: quoted.next(),
            of_type: quoted.next(),
        })
    }

    fn as_value(&self) -> Option<AMQPValue> {
        let value = self.value?;
        match self.of_type {
            Some("bool") => Some(AMQPValue::Boolean(value == "true")),
            Some("longstr") => Some(text(value)),
            // Older brokers do not tell the type.
            Some(_) | None => match value.parse() {
                Ok(number) => Some(AMQPValue::LongLongInt(number)),
                Err(_) => Some(text(value)),
            },
        }
    }
}

const _: () = assert!(DELIVERY_LIMIT as i64 > LIMIT_MIN);

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "the broker refused to declare queue \"q\": PRECONDITION_FAILED - ";

    fn learned(lessons: &[&str]) -> Foreign {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        let mut drift = Drift::from(arguments);
        for lesson in lessons {
            assert!(drift.learn(&format!("{PREFIX}{lesson}")), "{lesson}");
        }
        drift.found("q").expect("it differs")
    }

    #[test]
    fn what_the_broker_does_not_explain_is_not_guessed() {
        let mut drift = Drift::from(FieldTable::default());
        for said in [
            "",
            "PRECONDITION_FAILED - something new",
            "inequivalent arg 'x",
        ] {
            assert!(!drift.learn(said), "{said}");
        }
    }

    #[test]
    fn the_same_difference_twice_ends_the_questions() {
        let mut drift = Drift::from(FieldTable::default());
        let said = "inequivalent arg 'x-a' for queue 'q' in vhost '/': received none but current \
                    is the value '1' of type 'signedint'";
        assert!(drift.learn(said));
        assert!(!drift.learn(said));
    }

    #[test]
    fn a_queue_that_throws_messages_away_will_not_do() {
        for lesson in [
            "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but \
             current is the value '1000' of type 'signedint'",
            "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': received none but \
             current is the value '10' of type 'long'",
            "inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received the value \
             '2000000000' of type 'signedint' but current is the value '20' of type 'signedint'",
            "inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received \
             '2000000000' but current is '3'",
            "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current \
             is 'false'",
            "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value \
             'quorum' of type 'longstr' but current is the value 'stream' of type 'longstr'",
        ] {
            let error = learned(&[lesson]).check(false).unwrap_err().to_string();
            assert!(error.contains("will not do, because"), "{error}");
        }
    }

    #[test]
    fn a_classic_queue_that_keeps_what_it_has_may_do() {
        let foreign = learned(&[
            "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value \
             'quorum' of type 'longstr' but current is none",
        ]);
        assert_eq!(foreign.check(false), Ok(()));
        assert_eq!(
            foreign.differs,
            [("x-queue-type".to_owned(), "not set".to_owned())]
        );
        assert!(!foreign.has("x-queue-type"));
    }
}
