//! A ticket's payload as JSON: bytes that only the handler understands, shown as what they are.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::ticket::Payload;
use serde_json::value::{RawValue, to_raw_value};

/// The most bytes of a payload that a list shows; `show` has it whole.
pub const PAYLOAD_BYTES_LISTED_MAX: usize = 1_024;

/// More levels than any answer has around a payload; readers count these too.
const OUTSIDE: &str = "[[[[[[[[";
const INSIDE: &str = "]]]]]]]]";

/// How much of a payload is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// At most [`PAYLOAD_BYTES_LISTED_MAX`] of it.
    Cut,
}

/// Whether a content type promises JSON: `application/json` or anything `+json`.
pub fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.to_ascii_lowercase().ends_with("+json")
}

/// The payload as a JSON value, and whether something was cut off.
///
/// JSON stays JSON, text is a string, anything else is `{"base64": …}`, nothing is `null`. Cut
/// JSON is no longer JSON, so its beginning is shown as a string.
pub fn shown(payload: &Payload, extent: Extent) -> (Box<RawValue>, bool) {
    let bytes = &payload.bytes;
    if bytes.is_empty() {
        return (RawValue::NULL.to_owned(), false);
    }
    let is_cut = extent == Extent::Cut && bytes.len() > PAYLOAD_BYTES_LISTED_MAX;
    if is_cut {
        return (text_or_base64(head(bytes)), true);
    }
    let promised = payload.content_type.as_deref().is_some_and(is_json);
    let parsed = promised.then(|| as_json(bytes)).flatten();
    (parsed.unwrap_or_else(|| text_or_base64(bytes)), false)
}

/// The beginning, cut between characters if it is text.
fn head(bytes: &[u8]) -> &[u8] {
    match std::str::from_utf8(bytes) {
        Ok(text) => &bytes[..text.floor_char_boundary(PAYLOAD_BYTES_LISTED_MAX)],
        Err(_) => &bytes[..PAYLOAD_BYTES_LISTED_MAX],
    }
}

fn as_json(bytes: &[u8]) -> Option<Box<RawValue>> {
    let raw: &RawValue = serde_json::from_slice(bytes).ok()?;
    // What is JSON by its letters may be more than a reader can take: a number beyond all bounds,
    // half a character, a thousand lists in each other. It must not spoil the answer that it is in,
    // where it stands some levels down.
    let inside = format!("{OUTSIDE}{}{INSIDE}", raw.get());
    serde_json::from_str::<serde_json::Value>(&inside).ok()?;
    if !raw.get().contains(['\n', '\r']) {
        return Some(raw.to_owned());
    }
    RawValue::from_string(on_one_line(raw.get())).ok()
}

/// The same JSON without its line ends, so that one ticket stays one line of JSONL. They can only
/// stand between tokens: inside a string JSON does not allow them.
fn on_one_line(json: &str) -> String {
    json.split(['\n', '\r']).map(str::trim_start).collect()
}

fn text_or_base64(bytes: &[u8]) -> Box<RawValue> {
    let value = match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::Value::from(text),
        Err(_) => serde_json::json!({ "base64": STANDARD.encode(bytes) }),
    };
    to_raw_value(&value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: &Payload, expected: &str) {
        let (raw, is_cut) = shown(payload, Extent::Whole);
        assert_eq!((raw.get(), is_cut), (expected, false));
    }

    #[test]
    fn a_payload_is_shown_as_what_it_is() {
        check(&Payload::default(), "null");
        check(&Payload::untyped("hello \"you\""), r#""hello \"you\"""#);
        check(&Payload::untyped(vec![0xff, 0x00]), r#"{"base64":"/wA="}"#);
        check(
            &Payload::json(r#"{"a":12345678901234567890123}"#),
            r#"{"a":12345678901234567890123}"#,
        );
        check(&Payload::json("{\r\n  \"a\": 1\n}\n"), r#"{"a": 1}"#);
        check(&Payload::json("{not json"), r#""{not json""#);
        check(&Payload::json(r#"{"z":1.10,"z":2}"#), r#"{"z":1.10,"z":2}"#);
    }

    #[test]
    fn json_that_most_readers_refuse_is_shown_as_text() {
        check(&Payload::json("1e400"), r#""1e400""#);
        check(&Payload::json(r#"["\ud800"]"#), r#""[\"\\ud800\"]""#);
        let deep = "[".repeat(1_000) + &"]".repeat(1_000);
        check(&Payload::json(deep.clone()), &format!("{deep:?}"));
        let as_deep_as_readers_go = "[".repeat(127) + &"]".repeat(127);
        let shown = format!("{as_deep_as_readers_go:?}");
        check(&Payload::json(as_deep_as_readers_go), &shown);
    }

    #[test]
    fn a_long_payload_is_cut_between_characters_and_says_so() {
        let long = Payload::untyped("€".repeat(PAYLOAD_BYTES_LISTED_MAX));
        let (raw, is_cut) = shown(&long, Extent::Cut);
        let text: String = serde_json::from_str(raw.get()).unwrap();
        assert!(is_cut && text.len() <= PAYLOAD_BYTES_LISTED_MAX);
        assert!(text.chars().all(|c| c == '€'));
        assert!(!shown(&long, Extent::Whole).1);
    }

    #[test]
    fn json_is_recognised_by_its_content_type() {
        for yes in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/ld+json",
        ] {
            assert!(is_json(yes), "{yes}");
        }
        assert!(!is_json("text/plain"));
    }
}
