//! The result file of a command, as users write it.

use domain::names::{BadName, Key, Kind, StageName};
use domain::outcome::{Done, Emit, Outcome, Pending};
use domain::ticket::Payload;
use domain::time::parse_duration;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use std::time::Duration;

/// The most tickets that one result may send.
const EMITS_MAX: usize = 1_000;

const EITHER: &str = r#"an object like {"outcome":"done"} or {"outcome":"pending","until":"2h"}"#;
const DONE: &str =
    r#"an object like {"outcome":"done","payload":…,"next":"stage","emit":[{"stage":…}]}"#;
const EMIT: &str = r#"an object like {"stage":"stage","payload":…,"key":"key"}"#;
const PENDING: &str = r#"an object like {"outcome":"pending","until":"2h","start_within":"10m"}"#;

const ARRAY: &str = "an array";
const OBJECT: &str = "an object";
const STRING: &str = "a string";

// The values of the forms are read one by one: so what is said of a wrong one names it, and is in
// the words of JSON rather than of this program.

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    outcome: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DoneForm<'a> {
    #[serde(rename = "outcome")]
    _outcome: IgnoredAny,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    next: Option<&'a RawValue>,
    #[serde(borrow)]
    emit: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmitForm<'a> {
    #[serde(borrow)]
    stage: &'a RawValue,
    #[serde(borrow)]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    key: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingForm<'a> {
    #[serde(rename = "outcome")]
    _outcome: IgnoredAny,
    #[serde(borrow)]
    until: &'a RawValue,
    #[serde(borrow)]
    start_within: Option<&'a RawValue>,
}

/// Reads a result file; `stdout` is the payload of a result that does not name one.
///
/// # Errors
/// What was expected and what was found.
pub(crate) fn parse(content: &[u8], stdout: Option<Payload>) -> Result<Outcome, String> {
    let text = std::str::from_utf8(content)
        .map_err(|error| format!("expected JSON in UTF-8, found other bytes: {error}"))?;
    if text.trim().is_empty() {
        return Err("expected a JSON object with an \"outcome\", found an empty file".into());
    }
    serde_json::from_str::<IgnoredAny>(text)
        .map_err(|error| format!("expected {EITHER}, found no JSON: {error}"))?;
    let head: Head<'_> = object(text, EITHER)?;
    match head.outcome.get() {
        r#""done""# => done(text, stdout),
        r#""pending""# => pending(text),
        other => Err(format!(
            "outcome: expected \"done\" or \"pending\", found {}; to fail or to reject, exit \
             with another status",
            shown(other)
        )),
    }
}

/// A word as it is, of anything else what it is.
fn shown(json: &str) -> &str {
    const WORD_BYTES_MAX: usize = 64;
    match sort(json) {
        STRING if json.len() <= WORD_BYTES_MAX => json,
        other => other,
    }
}

/// What a text in JSON is, which its first character tells.
fn sort(json: &str) -> &'static str {
    match json.trim_start().as_bytes().first() {
        Some(b'{') => OBJECT,
        Some(b'[') => ARRAY,
        Some(b'"') => STRING,
        Some(b't') => "true",
        Some(b'f') => "false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn object<'a, T: Deserialize<'a>>(json: &'a str, expected: &str) -> Result<T, String> {
    match sort(json) {
        OBJECT => {
            serde_json::from_str(json).map_err(|error| format!("expected {expected}: {error}"))
        }
        other => Err(format!("expected {expected}, found {other}")),
    }
}

fn string(name: &str, raw: &RawValue) -> Result<String, String> {
    match sort(raw.get()) {
        STRING => serde_json::from_str(raw.get()).map_err(|error| format!("{name}: {error}")),
        other => Err(format!("{name}: expected a string, found {other}")),
    }
}

fn done(text: &str, stdout: Option<Payload>) -> Result<Outcome, String> {
    let form: DoneForm<'_> = object(text, DONE)?;
    let next = form.next.map(|next| {
        let next = string("next", next)?;
        StageName::new(&next).map_err(|error| format!("next: {error}"))
    });
    Ok(Outcome::Done(Done {
        payload: form.payload.map(payload).transpose()?.or(stdout),
        next: next.transpose()?,
        emit: form.emit.map(emits).transpose()?.unwrap_or_default(),
    }))
}

fn emits(raw: &RawValue) -> Result<Vec<Emit>, String> {
    let wrong = |found: &str| format!("emit: expected an array of objects, found {found}");
    let forms: Vec<&RawValue> = match sort(raw.get()) {
        ARRAY => serde_json::from_str(raw.get()).map_err(|error| wrong(&error.to_string()))?,
        other => return Err(wrong(other)),
    };
    if forms.len() > EMITS_MAX {
        let emits = forms.len();
        return Err(format!(
            "emit: expected at most {EMITS_MAX} tickets, found {emits}"
        ));
    }
    let emits = forms.into_iter().enumerate();
    emits
        .map(|(i, raw)| emitted(raw).map_err(|error| format!("emit[{i}]: {error}")))
        .collect()
}

fn emitted(raw: &RawValue) -> Result<Emit, String> {
    let form: EmitForm<'_> = object(raw.get(), EMIT)?;
    let bad = |error: BadName| error.to_string();
    let kind = form.kind.map(|kind| string("kind", kind)).transpose()?;
    let key = form.key.map(|key| string("key", key)).transpose()?;
    Ok(Emit {
        stage: StageName::new(&string("stage", form.stage)?).map_err(bad)?,
        kind: kind.map(|kind| Kind::new(&kind)).transpose().map_err(bad)?,
        key: key.map(|key| Key::new(&key)).transpose().map_err(bad)?,
        payload: form.payload.map(payload).transpose()?.unwrap_or_default(),
    })
}

/// A string is its text; anything else is its JSON, spelt as it was found.
fn payload(raw: &RawValue) -> Result<Payload, String> {
    match sort(raw.get()) {
        STRING => string("payload", raw).map(Payload::untyped),
        _ => Ok(Payload::json(raw.get().to_owned())),
    }
}

fn pending(text: &str) -> Result<Outcome, String> {
    let form: PendingForm<'_> = object(text, PENDING)?;
    let until = length("until", form.until)?;
    let start_within = form.start_within;
    let start_within = start_within.map(|raw| length("start_within", raw));
    let start_within = start_within.transpose()?;
    if start_within.is_some_and(|start| start >= until) {
        return Err(format!(
            "start_within: expected less than until, {}, found {}",
            form.until.get(),
            form.start_within.map_or("", RawValue::get),
        ));
    }
    Ok(Outcome::Pending(Pending {
        until,
        start_within,
    }))
}

fn length(field: &str, raw: &RawValue) -> Result<Duration, String> {
    let text = string(field, raw)?;
    parse_duration(&text).map_err(|error| format!("{field}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of each of them; in the words of its author, not of this program.
    fn check(cases: &[(&[u8], &str)]) {
        for (content, said) in cases {
            let error = parse(content, None).unwrap_err();
            assert!(error.contains(said), "{error:?} should contain {said:?}");
            for inside in ["struct", "Form", "Head", "element", "a sequence", "map"] {
                assert!(!error.contains(inside), "{error:?} says {inside:?}");
            }
        }
    }

    #[test]
    fn a_bad_result_says_what_was_expected_and_what_was_found() {
        check(&[
            (&b""[..], "found an empty file"),
            (b"\xff{}", "expected JSON in UTF-8"),
            (b"{", "found no JSON: EOF while parsing an object"),
            (b"[]", "expected an object like {\"outcome\":\"done\"}"),
            (b"[]", "found an array"),
            (b"[\"done\"]", "found an array"),
            (b"done", "found no JSON"),
            (b" 5", "found a number"),
            (b"\"done\"", "found a string"),
            (b"true", "found true"),
            (b"null", "found null"),
            (b"{}", "missing field `outcome`"),
            (br#"{"outcome":"failed"}"#, "found \"failed\""),
            (
                br#"{"outcome":"done","paylod":1}"#,
                "unknown field `paylod`",
            ),
            (
                br#"{"outcome":"done","next":"a b"}"#,
                "next: stage: expected 1 to 64",
            ),
            (
                br#"{"outcome":"done","emit":[{"stage":"s"},{"stage":""}]}"#,
                "emit[1]: stage:",
            ),
            (br#"{"outcome":"pending"}"#, "missing field `until`"),
            (
                br#"{"outcome":"pending","until":"soon"}"#,
                "until: expected a length of time",
            ),
            (
                br#"{"outcome":"pending","until":"2h","start_within":"2h"}"#,
                r#"start_within: expected less than until, "2h", found "2h""#,
            ),
            (
                br#"{"outcome":"pending","until":"2h","start_within":"soon"}"#,
                "start_within: expected a length of time",
            ),
        ]);
    }

    #[test]
    fn of_a_wrong_value_its_place_is_said_and_what_was_expected_there() {
        check(&[
            (
                &br#"{"outcome":5}"#[..],
                "outcome: expected \"done\" or \"pending\", found a number",
            ),
            (
                br#"{"outcome":"done","next":{}}"#,
                "next: expected a string, found an object",
            ),
            (
                br#"{"outcome":"done","emit":{"stage":"s"}}"#,
                "emit: expected an array of objects, found an object",
            ),
            (
                br#"{"outcome":"done","emit":[["s"]]}"#,
                "emit[0]: expected an object like {\"stage\":",
            ),
            (
                br#"{"outcome":"done","emit":[{"stage":"s"},{"stage":"s","kid":1}]}"#,
                "emit[1]: expected an object like",
            ),
            (
                br#"{"outcome":"done","emit":[{"stage":7}]}"#,
                "emit[0]: stage: expected a string, found a number",
            ),
            (
                br#"{"outcome":"pending","until":5}"#,
                "until: expected a string, found a number",
            ),
        ]);
    }

    #[test]
    fn a_string_is_its_text_and_anything_else_its_json() {
        let content = br#"{"outcome":"done","payload":{"b": 1.50,"a":[]},"next":"test",
            "emit":[{"stage":"status","payload":"p\u00e9","key":"k"}]}"#;
        let Ok(Outcome::Done(done)) = parse(content, None) else {
            panic!("it is a good result");
        };
        assert_eq!(done.payload, Some(Payload::json(r#"{"b": 1.50,"a":[]}"#)));
        assert_eq!(done.next, StageName::new("test").ok());
        assert_eq!(done.emit[0].payload, Payload::untyped("pé"));
        assert_eq!(done.emit[0].key, Key::new("k").ok());
    }

    #[test]
    fn a_result_without_payload_hands_on_what_was_said() {
        let said = Payload::untyped("said");
        for content in [
            &br#"{"outcome":"done"}"#[..],
            br#"{"outcome":"done","payload":null}"#,
        ] {
            let outcome = parse(content, Some(said.clone()));
            let expected = Done {
                payload: Some(said.clone()),
                ..Done::default()
            };
            assert_eq!(outcome, Ok(Outcome::Done(expected)));
        }
    }

    #[test]
    fn a_pending_result_waits() {
        let start = Duration::from_secs(600);
        for (content, start_within) in [
            (&br#"{"outcome":"pending","until":"2h"}"#[..], None),
            (
                br#"{"outcome":"pending","until":"2h","start_within":null}"#,
                None,
            ),
            (
                br#"{"outcome":"pending","until":"2h","start_within":"10m"}"#,
                Some(start),
            ),
        ] {
            let expected = Pending {
                until: Duration::from_secs(7_200),
                start_within,
            };
            assert_eq!(parse(content, None), Ok(Outcome::Pending(expected)));
        }
    }
}
