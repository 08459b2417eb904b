//! Submitting: what travels, what comes back of each line, and waiting for the end.

use super::cases::{ID, ticket};
use super::fake::{Fake, Ran, Request, program};
use serde_json::{Value as Json, json};
use std::fs;
use std::io::Write;
use std::process::Stdio;

#[test]
fn waiting_ends_with_the_tickets_end_or_with_the_time() {
    let state = |state: &'static str| {
        Fake::new(move |request| match request.line.starts_with("GET") {
            true => (200, ticket(state)),
            false => (201, json!({ "id": ID, "accepted": "new" })),
        })
    };
    let line = [
        "submit",
        "--flow",
        "ci",
        "--payload",
        "x",
        "--wait",
        "--timeout",
        "50ms",
    ];
    for (word, code) in [("done", 0), ("dropped", 1), ("waiting", 6)] {
        let fake = state(word);
        let ran = fake.run(&line);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (code, &*format!("{ID}\n")),
            "{ran:?}"
        );
        assert_eq!(fake.requests()[0].body, r#"{"flow":"ci","payload":"x"}"#);
    }
}

/// Takes each line that is JSON.
fn take(request: &Request) -> (u16, Json) {
    let first: u64 = request
        .line
        .split("first_line=")
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let (mut ids, mut errors) = (Vec::new(), Vec::new());
    for (i, line) in request.body.lines().enumerate() {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_str::<Json>(line) {
            Ok(json) => ids.push(json["id"].clone()),
            Err(error) => {
                errors.push(json!({ "line": first + i as u64, "error": error.to_string() }))
            }
        }
    }
    (
        200,
        json!({ "accepted": ids.len(), "known": 0, "ids": ids, "errors": errors }),
    )
}

#[test]
fn one_bad_line_is_named_and_all_others_are_accepted_in_their_order() {
    let fake = Fake::new(take);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tickets.jsonl");
    let mut text = String::new();
    for n in 1..=10_000 {
        match n {
            7 => text.push_str("{bad\n"),
            _ => text.push_str(&format!("{{\"id\":\"{n}\",\"flow\":\"ci\"}}\n")),
        }
    }
    text.push('\n');
    fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    let ran = fake.run(&["submit", "--jsonl", &path, "--kind", "rust"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let expected: Vec<String> = (1..=10_000)
        .filter(|n| *n != 7)
        .map(|n| n.to_string())
        .collect();
    assert!(ran.stdout.lines().eq(expected.iter().map(String::as_str)));
    assert!(
        ran.stderr.starts_with(&format!("{path}:7: ")),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr
            .contains("9999 accepted, 0 known already, 1 not accepted"),
        "{}",
        ran.stderr
    );
    assert_eq!(fake.requests().len(), 3);
    assert!(fake.requests()[0].body.contains(r#""kind":"rust""#));
    let ran = fake.run(&["submit", "--jsonl", &path, "-o", "json"]);
    let sum: Json = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        (&sum["accepted"], &sum["errors"][0]["line"]),
        (&9_999.into(), &7.into())
    );
    let ids: Vec<Json> = (1..=10_000)
        .map(|n: u64| match n {
            7 => Json::Null,
            n => n.to_string().into(),
        })
        .collect();
    assert_eq!((&sum["ids"], &sum["ids_more"]), (&ids.into(), &0.into()));
    let ran = fake.run(&["submit", "--jsonl", &path, "-o", "jsonl"]);
    let error: Json = serde_json::from_str(&ran.stderr).unwrap();
    let error = &error["error"];
    assert_eq!((ran.code, &error["errors"][0]["line"]), (1, &7.into()));
    assert_eq!(ran.stdout.lines().next(), Some("{\"id\":\"1\"}"));
}

#[test]
fn a_program_hears_of_a_failure_in_the_middle_in_json_alone() {
    let fake = Fake::new(|request| match request.line.ends_with("first_line=1001") {
        true => (
            503,
            json!({
                "type": "x", "title": "no", "status": 503, "detail": "the disk is full",
                "accepted": 1, "known": 0, "ids": ["late"],
                "errors": [{ "line": 1_003, "last_line": 2_000, "error": "not accepted: full" }],
            }),
        ),
        false => take(request),
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tickets.jsonl");
    fs::write(
        &path,
        "{\"id\":\"x\"}\n".repeat(1_001) + "\n" + &"{}\n".repeat(998),
    )
    .unwrap();
    let path = path.display().to_string();
    let ran = fake.run(&["submit", "--jsonl", &path, "-o", "json"]);
    let sum: Json = serde_json::from_str(&ran.stdout).unwrap();
    let ids = sum["ids"].as_array().unwrap();
    assert_eq!(
        (ids.len(), &ids[1_000], &ids[1_001]),
        (1_999, &"late".into(), &Json::Null)
    );
    assert_eq!(
        (ran.code, &sum["accepted"], &sum["refused"]),
        (4, &1_001.into(), &998.into())
    );
    let error: Json = serde_json::from_str(&ran.stderr).unwrap();
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains("the disk is full")
    );
    let ran = fake.run(&["submit", "--jsonl", &path, "-o", "jsonl"]);
    let error: Json = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(
        (ran.code, &error["error"]["errors"][0]["line"]),
        (4, &1_003.into())
    );
}

#[test]
fn a_server_that_fails_in_the_middle_leaves_nothing_untold() {
    let fake = Fake::new(|request| match request.line.ends_with("first_line=4001") {
        true => (
            503,
            json!({
                "type": "x", "title": "no", "status": 503, "detail": "the disk is full",
                "accepted": 1, "known": 0, "ids": ["late"], "errors": [],
            }),
        ),
        false => take(request),
    });
    let mut command = program(&["submit", "--jsonl", "-"]);
    command.env("GOAROUND_URL", &fake.url).stdin(Stdio::piped());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all("{\"id\":\"x\"}\n".repeat(20_000).as_bytes())
        .ok();
    drop(stdin);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert!(
        ran.stderr.contains("stdin:4001..8000: the disk is full"),
        "{}",
        ran.stderr
    );
    // The third request was in flight already: its tickets are told too.
    assert_eq!(ran.stdout.lines().nth(4_000), Some("late"));
    assert_eq!(ran.stdout.lines().count(), 8_001);
}

#[test]
fn waiting_ends_where_only_a_person_can_go_on() {
    let other = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e10";
    let fake = Fake::new(move |request| {
        let mut parked = ticket("waiting");
        parked["reason"] = json!("parked");
        parked["because"] = json!("rejected: no such branch");
        match (
            request.line.starts_with("GET"),
            request.line.contains("first_line"),
        ) {
            (true, _) if request.line.ends_with(other) => (200, ticket("done")),
            (true, _) => (200, parked),
            (false, true) => take(request),
            (false, false) => (201, json!({ "id": ID, "accepted": "new" })),
        }
    });
    let wait = ["--wait", "--timeout", "60s"];
    let ran = fake.run(&[&["submit", "--flow", "ci"][..], &wait].concat());
    assert_eq!((ran.code, ran.stdout.trim_end()), (1, ID), "{ran:?}");
    for says in [
        &format!("ticket {ID} is parked"),
        "rejected: no such branch",
        &format!("goaround oops list --filter ticket:{ID}"),
        &format!("goaround ticket explain {ID}"),
    ] {
        assert!(ran.stderr.contains(says), "{says}: {ran:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tickets.jsonl");
    fs::write(
        &path,
        format!("{{\"id\":\"{ID}\"}}\n{{\"id\":\"{other}\"}}\n"),
    )
    .unwrap();
    let path = path.display().to_string();
    let ran = fake.run(&[&["submit", "--jsonl", &path][..], &wait].concat());
    assert_eq!(ran.code, 1, "{ran:?}");
    let last = fake.requests().pop().unwrap();
    assert!(
        last.line.ends_with(other),
        "it waited for the other one too"
    );
}

#[test]
fn a_ticket_that_was_known_already_is_told_so() {
    let fake = Fake::new(|request| {
        let how = if request.body.contains("again") {
            "known"
        } else {
            "new"
        };
        (201, json!({ "id": ID, "accepted": how }))
    });
    let line = ["submit", "--stage", "s", "--id", ID, "--payload"];
    let ran = fake.run(&[&line[..], &["first"]].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    let ran = fake.run(&[&line[..], &["again"]].concat());
    assert_eq!((ran.code, ran.stdout.trim_end()), (0, ID), "{ran:?}");
    assert!(ran.stderr.contains("was known already"), "{ran:?}");
    assert!(ran.stderr.contains("not taken"), "{ran:?}");
    let ran = fake.run(&[&line[..], &["again", "-o", "json"]].concat());
    let note: Json = serde_json::from_str(&ran.stderr).unwrap();
    assert!(
        note["note"].as_str().unwrap().contains("known already"),
        "{ran:?}"
    );
}

#[test]
fn a_deadline_travels_as_it_was_said_and_a_line_may_have_its_own() {
    let fake = Fake::new(|request| match request.line.contains("first_line") {
        true => take(request),
        false => (201, json!({ "id": ID, "accepted": "new" })),
    });
    let ran = fake.run(&["submit", "--stage", "s", "--deadline", "30m"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tickets.jsonl");
    fs::write(
        &path,
        "{\"id\":\"1\"}\n{\"id\":\"2\",\"deadline\":\"2h\"}\n",
    )
    .unwrap();
    let path = path.display().to_string();
    let ran = fake.run(&["submit", "--jsonl", &path, "--deadline", "2026-11-01"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let bodies: Vec<String> = fake.requests().into_iter().map(|it| it.body).collect();
    assert_eq!(bodies[0], r#"{"deadline":"30m","stage":"s"}"#);
    assert_eq!(
        bodies[1],
        "{\"deadline\":\"2026-11-01\",\"id\":\"1\"}\n{\"id\":\"2\",\"deadline\":\"2h\"}\n"
    );
}

#[test]
fn what_is_no_text_travels_as_base64() {
    let fake = Fake::new(|_| (201, json!({ "id": ID, "accepted": "new" })));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("payload");
    fs::write(&path, [0xff, 0x00]).unwrap();
    let ran = fake.run(&[
        "submit",
        "--stage",
        "s",
        "--file",
        &path.display().to_string(),
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        fake.requests()[0].body,
        r#"{"payload_base64":"/wA=","stage":"s"}"#
    );
}

#[test]
fn a_payload_past_the_limit_is_refused_with_what_to_do() {
    let fake = Fake::new(|_| {
        (
            413,
            json!({ "type": "urn:goaround:problem:payload-too-large", "detail": "too large; less",
                "why": "too large", "remedy": "less" }),
        )
    });
    let ran = fake.run(&["submit", "--stage", "s", "--payload", "x", "-o", "json"]);
    let error: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!((ran.code, &error["error"]["remedy"]), (4, &json!("less")));
}
