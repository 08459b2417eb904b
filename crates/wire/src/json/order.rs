//! What an operator or an outside system wants done to a ticket, as JSON.

use super::carried::Carried;
use super::text::Text;
use super::{complaint, object};
use domain::names::StageName;
use domain::outcome::{Done, Failure, Outcome};
use serde::Deserialize;
use serde_json::value::RawValue;

/// An order that cannot be read; says where, what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadOrder(pub String);

/// Why a ticket is given up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropJson {
    /// Why, for whoever reads the books later.
    pub reason: String,
}

impl DropJson {
    /// Longest reason that is kept, in bytes; longer ones are refused.
    pub const REASON_BYTES_MAX: usize = 1_024;

    /// Reads the order.
    ///
    /// # Errors
    /// [`BadOrder`] when it is not JSON, or has no reason or an overlong one.
    pub fn parse(text: &[u8]) -> Result<Self, BadOrder> {
        let order: Self = object::from_slice(text, "an object").map_err(|error| {
            let why = complaint(&error);
            BadOrder(format!(
                r#"expected {{"reason": "…"}}, because a drop is for ever; {why}"#
            ))
        })?;
        order.checked()
    }

    /// The order, if its reason says something.
    ///
    /// # Errors
    /// [`BadOrder`] when the reason is empty or overlong.
    pub fn checked(self) -> Result<Self, BadOrder> {
        let length = self.reason.trim().len();
        if (1..=Self::REASON_BYTES_MAX).contains(&length) {
            return Ok(self);
        }
        let max = Self::REASON_BYTES_MAX;
        Err(BadOrder(format!(
            "reason: expected 1 to {max} bytes, got {length}"
        )))
    }
}

/// What a call-back says of what a pending wait waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Called {
    /// It has started.
    Started,
    /// It has ended, so.
    Ended(Outcome),
}

/// A word from outside about a pending wait: `started`, or how it has ended: `done`, `failed` or
/// `rejected`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallbackJson<'a> {
    #[serde(borrow)]
    outcome: Text<'a>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    payload_base64: Option<Text<'a>>,
    #[serde(borrow)]
    content_type: Option<Text<'a>>,
    #[serde(borrow)]
    next: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    error_type: Option<Text<'a>>,
    #[serde(borrow)]
    message: Option<Text<'a>>,
}

impl<'a> CallbackJson<'a> {
    /// Reads the call-back.
    ///
    /// # Errors
    /// [`BadOrder`] when it is not JSON, or has a field that is not known or of the wrong type.
    pub fn parse(text: &'a [u8]) -> Result<Self, BadOrder> {
        let text =
            std::str::from_utf8(text).map_err(|e| BadOrder(format!("expected UTF-8: {e}")))?;
        let read = object::from_str(text, "an object with outcome");
        read.map_err(|error| BadOrder(complaint(&error)))
    }

    /// What it says.
    ///
    /// # Errors
    /// [`BadOrder`] when the outcome is none of the four, or has fields that belong to another.
    pub fn says(&self) -> Result<Called, BadOrder> {
        let outcome = match &*self.outcome {
            "started" => return self.started(),
            "done" => self.done(),
            "failed" => self.failure().map(Outcome::Failed),
            "rejected" => self.failure().map(Outcome::Rejected),
            other => {
                let got: String = other.chars().take(80).collect();
                Err(BadOrder(format!(
                    "outcome: expected started, done, failed or rejected, got {got:?}"
                )))
            }
        };
        outcome.map(Called::Ended)
    }

    fn started(&self) -> Result<Called, BadOrder> {
        let carries = !self.carried().is_nothing() || self.next.is_some();
        if carries || self.error_type.is_some() || self.message.is_some() {
            return Err(BadOrder(
                "payload, next, type, message: expected none with outcome started".into(),
            ));
        }
        Ok(Called::Started)
    }

    fn carried(&self) -> Carried<'_> {
        Carried {
            payload: self.payload,
            base64: self.payload_base64.as_deref(),
            content_type: self.content_type.as_deref(),
        }
    }

    fn done(&self) -> Result<Outcome, BadOrder> {
        if self.error_type.is_some() || self.message.is_some() {
            return Err(BadOrder(
                "type, message: expected none with outcome done".into(),
            ));
        }
        let next = self.next.as_deref().map(StageName::new).transpose();
        let next = next.map_err(|error| BadOrder(format!("next: {error}")))?;
        let carried = self.carried();
        let payload = match carried.is_nothing() {
            true => None,
            false => Some(carried.payload().map_err(BadOrder)?),
        };
        Ok(Outcome::Done(Done {
            payload,
            next,
            emit: Vec::new(),
        }))
    }

    fn failure(&self) -> Result<Failure, BadOrder> {
        if !self.carried().is_nothing() || self.next.is_some() {
            let outcome = &*self.outcome;
            return Err(BadOrder(format!(
                "payload, next: expected none with outcome {outcome}"
            )));
        }
        let Some(message) = self.message.as_deref() else {
            return Err(BadOrder(
                "message: expected what went wrong, got nothing".into(),
            ));
        };
        Ok(Failure::new(
            self.error_type.as_deref().unwrap_or("CallbackFailed"),
            message,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ticket::Payload;

    fn says(json: &str) -> Result<Called, String> {
        let callback = CallbackJson::parse(json.as_bytes()).map_err(|e| e.to_string())?;
        callback.says().map_err(|e| e.to_string())
    }

    fn outcome(json: &str) -> Result<Outcome, String> {
        match says(json)? {
            Called::Ended(outcome) => Ok(outcome),
            Called::Started => Err("it has not ended".into()),
        }
    }

    #[test]
    fn a_call_back_that_mixes_outcomes_is_refused() {
        for (json, said) in [
            (r#"{}"#, "column 2: missing field `outcome`"),
            (
                r#"{"outcome":"ok"}"#,
                r#"outcome: expected started, done, failed or rejected, got "ok""#,
            ),
            (
                r#"{"outcome":"failed"}"#,
                "message: expected what went wrong, got nothing",
            ),
            (
                r#"{"outcome":"failed","message":"m","next":"x"}"#,
                "payload, next: expected none with outcome failed",
            ),
            (
                r#"{"outcome":"done","message":"m"}"#,
                "type, message: expected none with outcome done",
            ),
            (
                r#"{"outcome":"started","payload":1}"#,
                "payload, next, type, message: expected none with outcome started",
            ),
        ] {
            assert_eq!(outcome(json).unwrap_err(), said, "{json}");
        }
    }

    #[test]
    fn a_call_back_may_say_that_it_has_started() {
        assert_eq!(says(r#"{"outcome":"started"}"#), Ok(Called::Started));
    }

    #[test]
    fn a_call_back_says_how_the_wait_ended() {
        assert_eq!(outcome(r#"{"outcome":"done"}"#).unwrap(), Outcome::done());
        let done = outcome(r#"{"outcome":"done","payload":[1],"next":"test"}"#).unwrap();
        let expected = Done {
            payload: Some(Payload::json("[1]")),
            next: Some(StageName::new("test").unwrap()),
            emit: Vec::new(),
        };
        assert_eq!(done, Outcome::Done(expected));
        let failed = outcome(r#"{"outcome":"rejected","type":"T","message":"m"}"#).unwrap();
        assert_eq!(failed, Outcome::Rejected(Failure::new("T", "m")));
    }

    #[test]
    fn a_drop_without_a_reason_is_refused() {
        assert!(DropJson::parse(b"{}").is_err());
        assert!(DropJson::parse(br#"{"reason":"  "}"#).is_err());
        assert_eq!(
            DropJson::parse(br#"{"reason":"typo"}"#).unwrap().reason,
            "typo"
        );
    }
}
