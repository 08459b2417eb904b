//! The result file of a command, as users write it.

use domain::names::{Key, Kind, StageName};
use domain::outcome::{Done, Emit, Outcome, Pending};
use domain::ticket::Payload;
use domain::time::parse_duration;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

/// The most tickets that one result may send.
const EMITS_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Head {
    outcome: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DoneForm<'a> {
    #[serde(rename = "outcome")]
    _outcome: IgnoredAny,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    next: Option<String>,
    #[serde(borrow, default)]
    emit: Vec<EmitForm<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EmitForm<'a> {
    stage: String,
    kind: Option<String>,
    key: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PendingForm {
    #[serde(rename = "outcome")]
    _outcome: IgnoredAny,
    until: String,
    start_within: Option<IgnoredAny>,
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
    let head: Head = read(
        text,
        r#"{"outcome":"done"} or {"outcome":"pending","until":"2h"}"#,
    )?;
    match head.outcome.as_str() {
        "done" => done(text, stdout),
        "pending" => pending(text),
        other => Err(format!(
            "outcome: expected \"done\" or \"pending\", found {other:?}; to fail or to reject, \
             exit with another status"
        )),
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str, expected: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("expected {expected}, found {error}"))
}

fn done(text: &str, stdout: Option<Payload>) -> Result<Outcome, String> {
    let form: DoneForm<'_> = read(
        text,
        r#"{"outcome":"done","payload":…,"next":"stage","emit":[{"stage":…,"payload":…}]}"#,
    )?;
    if form.emit.len() > EMITS_MAX {
        let emits = form.emit.len();
        return Err(format!(
            "emit: expected at most {EMITS_MAX} tickets, found {emits}"
        ));
    }
    let next = form.next.map(|next| StageName::new(&next));
    let emit = form.emit.into_iter().enumerate();
    Ok(Outcome::Done(Done {
        payload: form.payload.map(payload).transpose()?.or(stdout),
        next: next.transpose().map_err(|error| format!("next: {error}"))?,
        emit: emit
            .map(|(i, form)| emitted(i, form))
            .collect::<Result<_, _>>()?,
    }))
}

fn emitted(i: usize, form: EmitForm<'_>) -> Result<Emit, String> {
    let bad = |error: domain::names::BadName| format!("emit[{i}]: {error}");
    Ok(Emit {
        stage: StageName::new(&form.stage).map_err(bad)?,
        kind: form
            .kind
            .map(|kind| Kind::new(&kind))
            .transpose()
            .map_err(bad)?,
        key: form
            .key
            .map(|key| Key::new(&key))
            .transpose()
            .map_err(bad)?,
        payload: form.payload.map(payload).transpose()?.unwrap_or_default(),
    })
}

/// A string is its text; anything else is its JSON, spelt as it was found.
fn payload(raw: &RawValue) -> Result<Payload, String> {
    if !raw.get().starts_with('"') {
        return Ok(Payload::json(raw.get().to_owned()));
    }
    let text: String = read(raw.get(), "a payload")?;
    Ok(Payload::untyped(text))
}

fn pending(text: &str) -> Result<Outcome, String> {
    let form: PendingForm = read(text, r#"{"outcome":"pending","until":"2h"}"#)?;
    if form.start_within.is_some() {
        return Err("start_within: not available in this version; use until".into());
    }
    Ok(Outcome::Pending(Pending {
        until: parse_duration(&form.until).map_err(|error| format!("until: {error}"))?,
        start_within: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bad_result_says_what_was_expected_and_what_was_found() {
        for (content, said) in [
            (&b""[..], "found an empty file"),
            (b"\xff{}", "expected JSON in UTF-8"),
            (b"{", "found EOF while parsing an object"),
            (b"[]", "expected {\"outcome\":\"done\"}"),
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
                br#"{"outcome":"pending","until":"2h","start_within":"10m"}"#,
                "start_within: not available in this version; use until",
            ),
        ] {
            let error = parse(content, None).unwrap_err();
            assert!(error.contains(said), "{error:?} should contain {said:?}");
        }
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
        let content = br#"{"outcome":"pending","until":"2h"}"#;
        let expected = Pending {
            until: Duration::from_secs(7_200),
            start_within: None,
        };
        assert_eq!(parse(content, None), Ok(Outcome::Pending(expected)));
    }
}
