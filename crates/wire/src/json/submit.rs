//! A ticket that somebody wants done, as JSON: parsed at the edge, borrowed from the request.

use super::carried::Carried;
use super::text::Text;
use super::{complaint, object};
use domain::ticket::Payload;
use serde::Deserialize;
use serde_json::value::RawValue;

/// What may be submitted; also what a misspelt field is compared with.
const FIELDS: [&str; 10] = [
    "flow",
    "stage",
    "kind",
    "key",
    "id",
    "payload",
    "payload_base64",
    "content_type",
    "deadline",
    "traceparent",
];

/// A ticket that somebody wants done. Every field but `flow` or `stage` is optional.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitJson<'a> {
    /// The flow it is to follow.
    #[serde(borrow)]
    pub flow: Option<Text<'a>>,
    /// The stage it is for; with a flow, the one it begins at.
    #[serde(borrow)]
    pub stage: Option<Text<'a>>,
    /// What sort of work.
    #[serde(borrow)]
    pub kind: Option<Text<'a>>,
    /// What it is about.
    #[serde(borrow)]
    pub key: Option<Text<'a>>,
    /// Its id, so that submitting it again adds nothing.
    #[serde(borrow)]
    pub id: Option<Text<'a>>,
    /// What it carries: a string is its bytes, anything else its JSON text.
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    payload_base64: Option<Text<'a>>,
    #[serde(borrow)]
    content_type: Option<Text<'a>>,
    /// When the work is worth nothing any more: a time, a date, or a length of time from when it is
    /// accepted.
    #[serde(borrow)]
    pub deadline: Option<Text<'a>>,
    /// The W3C `traceparent` that it belongs to.
    #[serde(borrow)]
    pub traceparent: Option<Text<'a>>,
}

/// A submission that cannot be read; says where, what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSubmit(pub String);

impl<'a> SubmitJson<'a> {
    /// Reads one submission.
    ///
    /// # Errors
    /// [`BadSubmit`] when it is not UTF-8, not JSON, has a field that is not known, or has a value
    /// of the wrong type.
    pub fn parse(text: &'a [u8]) -> Result<Self, BadSubmit> {
        let text = std::str::from_utf8(text).map_err(|error| {
            BadSubmit(format!(
                "expected UTF-8, got another byte after {} bytes",
                error.valid_up_to()
            ))
        })?;
        let read = object::from_str(text, "an object with flow or stage");
        read.map_err(|error| BadSubmit(explained(&error)))
    }

    /// What it carries.
    ///
    /// # Errors
    /// [`BadSubmit`] when there are two payloads, when the base64 cannot be read, or when the
    /// content type promises JSON and the text is not.
    pub fn payload(&self) -> Result<Payload, BadSubmit> {
        let carried = Carried {
            payload: self.payload,
            base64: self.payload_base64.as_deref(),
            content_type: self.content_type.as_deref(),
        };
        carried.payload().map_err(BadSubmit)
    }
}

/// serde names an unknown field in back-ticks; a misspelt one gets the nearest name.
fn explained(error: &serde_json::Error) -> String {
    let said = complaint(error);
    let Some((place, rest)) = said.split_once("unknown field `") else {
        return said;
    };
    let field = rest.split('`').next().unwrap_or_default();
    match nearest(field, FIELDS) {
        Some(near) => format!("{place}unknown field {field:?}; did you mean {near:?}?"),
        None => {
            format!(
                "{place}unknown field {field:?}; expected one of {}",
                FIELDS.join(", ")
            )
        }
    }
}

/// The name that a misspelt one was probably meant to be.
pub fn nearest<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // The measure costs the product of the lengths, so what is no name is not compared.
    const WORD_BYTES_MAX: usize = 128;
    const ALIKE_MIN: f64 = 0.7;
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let alike = |name| {
        (
            strsim::jaro_winkler(&word.to_lowercase(), &str::to_lowercase(name)),
            name,
        )
    };
    names
        .into_iter()
        .map(alike)
        .filter(|(score, _)| *score >= ALIKE_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(json: &str) -> Result<Payload, String> {
        let submit = SubmitJson::parse(json.as_bytes()).map_err(|e| e.to_string())?;
        submit.payload().map_err(|e| e.to_string())
    }

    #[test]
    fn what_cannot_be_read_says_where_and_what_was_expected() {
        for (json, said) in [
            (
                r#"{"flwo":"ci"}"#,
                r#"column 7: unknown field "flwo"; did you mean "flow"?"#,
            ),
            (
                r#"{"flow":1}"#,
                "column 9: invalid type: integer `1`, expected a string",
            ),
            (r#"{"flow":"ci""#, "column 12: EOF while parsing an object"),
            (
                "7",
                "column 1: invalid type: integer `7`, expected an object with flow or stage",
            ),
            (
                r#"{"payload":1,"payload_base64":"aa=="}"#,
                "payload: expected payload or payload_base64, got both",
            ),
            (
                r#"{"payload_base64":"%"}"#,
                "payload_base64: expected base64 with padding, got Invalid symbol 37, offset 0.",
            ),
            (
                r#"{"payload":"{","content_type":"application/json"}"#,
                "payload: expected JSON, as content_type says, got a text with an error \
                    at column 1: EOF while parsing an object",
            ),
        ] {
            assert_eq!(payload(json).unwrap_err(), said, "{json}");
        }
        let not_text = SubmitJson::parse(b"{\"flow\":\"\xff\"}")
            .unwrap_err()
            .to_string();
        assert_eq!(not_text, "expected UTF-8, got another byte after 9 bytes");
    }

    #[test]
    fn a_string_is_its_bytes_and_anything_else_its_json_text() {
        assert_eq!(payload("{}").unwrap(), Payload::default());
        assert_eq!(payload(r#"{"payload":null}"#).unwrap(), Payload::default());
        assert_eq!(
            payload(r#"{"payload":"a\nb"}"#).unwrap(),
            Payload::untyped("a\nb")
        );
        assert_eq!(
            payload(r#"{"payload":{"a":1e400}}"#).unwrap(),
            Payload::json(r#"{"a":1e400}"#)
        );
        assert_eq!(
            payload(r#"{"payload_base64":"/wA="}"#).unwrap(),
            Payload::untyped(vec![255, 0])
        );
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        let submit = SubmitJson::parse(br#"{"flow":"ci"}"#).unwrap();
        assert!(submit.flow.unwrap().is_borrowed());
    }

    #[test]
    fn a_misspelt_name_finds_the_nearest() {
        assert_eq!(nearest("biuld", ["build", "test"]), Some("build"));
        assert_eq!(nearest("zzz", ["build", "test"]), None);
    }
}
