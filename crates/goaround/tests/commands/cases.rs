//! What is asked, what comes back, and with which exit code.

use super::fake::{Fake, Ran, program};
use serde_json::{Value as Json, json};
use std::process::Stdio;

pub(super) const ID: &str = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";

pub(super) fn ticket(state: &str) -> Json {
    json!({
        "id": ID, "kind": "rust", "flow": "ci", "stage": "build", "state": state,
        "reason": "backoff", "since": "2026-11-21T14:03:22.120Z", "attempt": 2, "hop": 0,
        "generation": 1, "key": "a\u{1b}[31mb", "payload": {"n": 1}, "oopses": [],
    })
}

fn problem(status: u16, detail: &str, remedy: &str) -> (u16, Json) {
    let problem = json!({
        "type": "x", "title": "no", "status": status, "detail": detail, "remedy": remedy,
    });
    (status, problem)
}

/// The cells of a table without the space between them.
fn cells(table: &str) -> String {
    let line = |line: &str| {
        let cells = line
            .split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty());
        cells.collect::<Vec<_>>().join(" | ").replace(ID, "<id>")
    };
    table.lines().map(line).collect::<Vec<_>>().join("\n")
}

pub(super) fn alone(line: &[&str]) -> Ran {
    Ran::from(program(line).output().unwrap())
}

#[test]
fn the_help_of_a_list_has_every_key() {
    for noun in ["ticket", "oops"] {
        let ran = alone(&[noun, "list", "--help"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        for field in domain::filter::Field::ALL {
            let key = field.key();
            assert!(ran.stdout.contains(key), "{key}: {ran:?}");
        }
        assert!(ran.stdout.contains("data.<path>"), "{ran:?}");
    }
}

#[test]
fn nobody_there_is_five_and_says_where_and_what_to_do() {
    let ran = alone(&["books", "--url", "http://127.0.0.1:1"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (5, ""));
    assert!(ran.stderr.contains("http://127.0.0.1:1"), "{ran:?}");
    assert!(ran.stderr.contains("goaround up"), "{ran:?}");
}

#[test]
fn a_wrong_line_is_two_without_a_server() {
    for line in [
        &["ticket", "show", "42"][..],
        &["oops", "show", "42"],
        &["ticket", "list", "--filter", "stge:build"],
        &["ticket", "list", "--filter", "key:~\"(\""],
        &["plan", "list", "--filter", "data.arch:s390x"],
        &["ticket", "list", "--limit", "0"],
        &["stage", "list", "--limit", "0"],
        &["plan", "list", "--limit", "0"],
        &["plan", "list", "--filter", "is:parked"],
        &["plan", "list", "--filter", "kind:f42"],
        &["stage", "list", "--filter", "is:parked"],
        &["stage", "breakers", "--filter", "is:parked"],
        &["stage", "breakers", "build", "--limit", "0"],
        &["stage", "breakers", "--sort", "kind"],
        &["ticket", "list", "--filter", "host:vm"],
        &["ticket", "history", ID, "--filter", "key:x"],
        &["ticket", "history", ID, "--sort", "kind"],
        &["ticket", "retry", "--filter", "type:Signal"],
        &["oops", "list", "--filter", "key:rust"],
        &["api", "BOGUS", "books"],
        &["books", "--since", "2h"],
        &["books", "--since", "yesterday"],
        &["ticket", "drop", ID],
        &["ticket", "drop", ID, "--reason", " "],
        &["submit"],
        &["submit", "--flow", "a b"],
        &["submit", "--flow", "ci", "--deadline", "soon"],
        &["submit", "--flow", "ci", "--deadline=-1h"],
        &["submit", "--flow", "ci", "--payload", "x", "--file", "y"],
        &["ticket", "retry"],
        &["books", "--url", "https://127.0.0.1"],
        &["plan", "show", "42"],
        &["plan", "make"],
        &["plan", "make", "--filter", "stge:build"],
        &["plan", "release", ID, "--rate", "fast"],
        &["plan", "release", ID, "--ramp", "1,ten"],
        &["plan", "release", ID, "--stop-above", "101%"],
        &["plan", "release", ID, "--stop-sample", "0"],
        &["plan", "make", "--filter", "", "--stop-same", "x"],
        &["ticket", "retry", ID, "--stop-above", "5%"],
        &["plan", "release", ID, "--group", "f42"],
        &["plan", "drop", ID, "--reason", "x"],
        &["plan", "drop", ID, "--group", "kind=f42", "--reason", " "],
        &["stage", "probe", "build", "--signature", "x"],
        &["up", "--config", "/not/there.toml"],
        &["config", "check", "--config", "/not/there.toml"],
    ] {
        let ran = alone(line);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (2, ""),
            "{line:?}: {ran:?}"
        );
        assert!(!ran.stderr.is_empty(), "{line:?}");
    }
}

#[test]
fn errors_in_json_mode_are_one_json_object() {
    for line in [
        &["books", "-o", "json", "--url", "http://127.0.0.1:1"][..],
        &["books", "-ojson", "--nonsense"],
        &[
            "config",
            "check",
            "-o",
            "json",
            "--config",
            "/not/there.toml",
        ],
    ] {
        let ran = alone(line);
        let error: Json = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!(error["error"]["exit"], ran.code, "{ran:?}");
        assert!(
            error["error"]["message"]
                .as_str()
                .is_some_and(|said| !said.is_empty())
        );
    }
}

#[test]
fn notes_in_json_mode_are_json_objects_too() {
    let fake = Fake::new(|request| {
        let path = request.line.split([' ', '?']).nth(1).unwrap();
        let answer = match path {
            "/api/v1/plans" if request.line.starts_with("POST") => {
                json!({ "id": ID, "counts": { "total": 0 } })
            }
            "/api/v1/plans" | "/api/v1/breakers" => {
                let rows = [json!({ "id": 1 }), json!({ "id": 2 })];
                json!({ "items": rows, "more": true })
            }
            "/api/v1/doctor" => json!({ "findings": [{ "about": "x", "fine": false }] }),
            path if path.ends_with("/history") => json!({ "items": [{ "at": 1 }, { "at": 2 }] }),
            "/api/v1/tickets" | "/api/v1/oopses" | "/api/v1/stages" => {
                json!({ "items": [ticket("waiting")], "more": true })
            }
            _ => ticket("dropped"),
        };
        (200, answer)
    });
    let filter = ["--filter", "is:parked"];
    for line in [
        &["ticket", "list"][..],
        &["ticket", "history", ID, "--limit", "1"],
        &["oops", "list"],
        &["stage", "list"],
        &["stage", "breakers", "--limit", "1"],
        &["plan", "list", "--limit", "1"],
        &["plan", "make", "--filter", "is:parked"],
        &[&["ticket", "cancel", "--yes"][..], &filter].concat(),
        &[&["ticket", "drop", "--yes", "--reason", "x"][..], &filter].concat(),
        &[&["ticket", "retry", "--yes"][..], &filter].concat(),
        &[&["ticket", "cancel"][..], &filter].concat(),
        &["doctor"],
    ] {
        let ran = fake.run(&[line, &["-o", "json"]].concat());
        assert!(!ran.stderr.is_empty(), "{line:?}");
        for said in ran.stderr.lines() {
            let said: Json = serde_json::from_str(said).unwrap();
            let is_known = said["note"].is_string() || said["error"].is_object();
            assert!(is_known, "{line:?}: {ran:?}");
        }
        let data = ran.stdout.trim_end();
        let is_json = serde_json::from_str::<Json>(data).is_ok();
        assert!(is_json || (data.is_empty() && ran.code == 2), "{ran:?}");
    }
}

#[test]
fn every_list_takes_every_flag_of_a_list() {
    let row = || ticket("waiting");
    let fake = Fake::new(move |_| (200, json!({ "items": [row(), row()], "more": false })));
    for (line, sort) in [
        (&["ticket", "list"][..], "oldest"),
        (&["ticket", "history", ID], "newest"),
        (&["oops", "list"], "oldest"),
        (&["stage", "list"], "ready"),
        (&["stage", "breakers"], "held"),
        (&["plan", "list"], "oldest"),
    ] {
        for form in ["table", "json", "jsonl", "csv", "name"] {
            let flags = [
                "-o",
                form,
                "--filter",
                "stage:nowhere",
                "--limit",
                "1",
                "--sort",
                sort,
            ];
            let ran = fake.run(&[line, &flags].concat());
            assert_eq!(ran.code, 0, "{line:?} {form}: {ran:?}");
        }
    }
    let ran = fake.run(&["ticket", "history", ID, "-o", "jsonl"]);
    assert_eq!(ran.stdout.lines().count(), 2, "{ran:?}");
    let ran = fake.run(&["ticket", "history", ID, "-o", "jsonl", "--limit", "1"]);
    assert_eq!(ran.stdout.lines().count(), 1, "{ran:?}");
}

#[test]
fn a_key_that_makes_no_sense_for_a_list_is_told_with_those_that_do() {
    for (line, says) in [
        (
            &["ticket", "list", "--filter", "host:vm"][..],
            "tickets have no host; expected one of is",
        ),
        (
            &["oops", "list", "--filter", "key:x"],
            "reports have no key; expected one of is, id",
        ),
        (
            &["ticket", "history", ID, "--filter", "key:x"],
            "events have no key; expected one of is, id, stage",
        ),
        (
            &["stage", "breakers", "--filter", "kind:x"],
            "breakers have no kind; expected one of is, stage",
        ),
        (
            &["stage", "list", "--filter", "bogus:x"],
            "stages have no bogus; expected one of is, stage, flow",
        ),
        (
            &["plan", "list", "--filter", "bogus:x"],
            "plans have no bogus; expected one of is, id, stage",
        ),
        (
            &["ticket", "history", ID, "--filter", "what:x"],
            "events have no what; expected one of is, id, stage",
        ),
    ] {
        let ran = alone(line);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(says), "{ran:?}");
    }
}

#[test]
fn not_found_is_three_and_refused_is_four_with_the_reason_and_the_remedy() {
    let fake = Fake::new(|request| match request.line.contains("/retry") {
        true => problem(409, "it is done", "submit it again"),
        false => problem(404, "no such ticket", ""),
    });
    let ran = fake.run(&["ticket", "show", ID]);
    assert_eq!(ran.code, 3, "{ran:?}");
    let ran = fake.run(&["ticket", "retry", ID]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("it is done") && ran.stderr.contains("submit it again"));
    let by = fake
        .requests()
        .iter()
        .all(|it| it.headers.contains(&"goaround-by: ana".into()));
    assert!(by, "{:?}", fake.requests());
}

#[test]
fn a_ticket_that_refuses_does_not_keep_the_others_from_their_turn() {
    let other = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e10";
    let fake = Fake::new(move |request| match request.line.contains(other) {
        true => problem(409, "it is done", "submit it again"),
        false => (200, ticket("runnable")),
    });
    let ran = fake.run(&["ticket", "cancel", other, ID]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (4, &*format!("{ID}  runnable\n")),
        "{ran:?}"
    );
}

#[test]
fn a_list_is_a_plain_table_in_which_nothing_from_outside_has_power() {
    let fake = Fake::new(|_| (200, json!({ "items": [ticket("waiting")], "more": true })));
    let ran = fake.run(&["ticket", "list", "--filter", "is:waiting key:a&b"]);
    insta::assert_snapshot!(cells(&ran.stdout), @r"
    ID | KIND | STAGE | STATE | ATTEMPT | SINCE | KEY
    <id> | rust | build | waiting (backoff) | 2 | 2026-11-21T14:03:22.120Z | a\x1b[31mb
    ");
    let said = ran.stderr.trim_end();
    let expected = "these are 1 of more; --limit shows up to 10000, --filter fewer";
    assert_eq!(said, expected);
    let line = &fake.requests()[0].line;
    assert_eq!(
        line,
        "GET /api/v1/tickets?filter=is%3Awaiting%20key%3Aa%26b&limit=100&sort=newest"
    );
    let ran = fake.run(&["ticket", "list", "-o", "csv"]);
    assert!(
        ran.stdout
            .starts_with("ID,KIND,STAGE,STATE,ATTEMPT,SINCE,KEY\n"),
        "{ran:?}"
    );
    let ran = fake.run(&["ticket", "list", "-o", "name"]);
    assert_eq!(ran.stdout, format!("{ID}\n"));
    let ran = fake.run(&["ticket", "list", "-o", "json"]);
    let list: Json = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(list[0]["id"], ID);
    let note: Json = serde_json::from_str(&ran.stderr).unwrap();
    assert_eq!(note, json!({ "note": expected }));
}

#[test]
fn stages_oopses_books_and_findings_are_shown_for_people() {
    let fake = Fake::new(|request| {
        let path = request.line.split(['?', ' ']).nth(1).unwrap();
        (
            200,
            match path {
                "/api/v1/stages" => json!({ "items": [
                { "stage": "build", "flows": ["ci"], "configured": true, "concurrency": 4,
                  "ready": 12, "running": 3, "waiting": { "backoff": 2, "parked": 1 },
                  "done": 100, "failed": 7, "oldest_ready": "2026-11-21T14:03:22.120Z",
                  "hold": null, "version": "1.4.2", "obstacle": null },
                { "stage": "old", "flows": [], "configured": false, "concurrency": null,
                  "ready": 0, "running": 0, "waiting": {}, "done": 0, "failed": 0,
                  "oldest_ready": null, "hold": null, "version": null, "obstacle": null },
            ] }),
                "/api/v1/oopses" => json!({ "items": [
                { "id": "OOPS-01J9CC2Q8", "time": "2026-11-21T14:03:22.120Z",
                  "stage": "build", "ticket": ID, "attempt": 1, "type": "Panic",
                  "value": "died\nof a signal", "version": "1.4.2" },
            ], "more": false }),
                "/api/v1/books" => json!({ "accepted": 10, "runnable": 1, "running": 2,
                "waiting": { "backoff": 3, "held": 0 }, "done": 4, "dropped": 0,
                "balanced": true }),
                _ => json!({ "findings": [
                { "about": "store", "fine": true, "seen": "sound", "remedy": null },
                { "about": "handler of stage build", "fine": false,
                  "seen": "cannot be started: no such file", "remedy": "repair it" },
            ] }),
            },
        )
    });
    insta::assert_snapshot!(cells(&fake.run(&["stage", "list"]).stdout), @r"
    STAGE | STATE | READY | RUNNING | WAITING | DONE | FAILED | OLDEST | WORKERS | VERSION
    build | running | 12 | 3 | 3 | 100 | 7 | 2026-11-21T14:03:22.120Z | 3/4 | 1.4.2
    old | unclaimed | 0 | 0 | 0 | 0 | 0 | - | - | -
    ");
    insta::assert_snapshot!(cells(&fake.run(&["oops", "list"]).stdout), @r"
    ID | TIME | STAGE | TICKET | ATTEMPT | TYPE | VALUE | VERSION
    OOPS-01J9CC2Q8 | 2026-11-21T14:03:22.120Z | build | <id> | 1 | Panic | died\nof a signal | 1.4.2
    ");
    insta::assert_snapshot!(fake.run(&["books"]).stdout, @r"
    accepted   10
    runnable   1
    running    2
    waiting    3
      backoff  3
    done       4
    dropped    0
    balanced   yes
    ");
    let ran = fake.run(&["doctor"]);
    insta::assert_snapshot!(cells(&ran.stdout), @r"
    ok | store: sound
    BAD | handler of stage build: cannot be started: no such file
    repair it
    ");
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn the_doctor_looks_deep_only_when_told_to() {
    let fake = Fake::new(|_| (200, json!({ "healthy": true, "findings": [] })));
    for line in [&["doctor"][..], &["doctor", "--deep"]] {
        let ran = fake.run(line);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let lines: Vec<String> = fake.requests().into_iter().map(|it| it.line).collect();
    assert_eq!(
        lines,
        ["GET /api/v1/doctor", "GET /api/v1/doctor?deep=true"]
    );
}

#[test]
fn books_are_asked_since_a_time_which_the_server_reads_by_its_own_clock() {
    let fake = Fake::new(|_| {
        (
            200,
            json!({ "since": "2026-11-21T12:03:22.120Z", "accepted": 3, "runnable": 0,
                "running": 0, "waiting": { "backoff": 1 }, "done": 2, "dropped": 0,
                "balanced": true }),
        )
    });
    insta::assert_snapshot!(fake.run(&["books", "--since", "-2h"]).stdout, @r"
    since      2026-11-21T12:03:22.120Z
    accepted   3
    runnable   0
    running    0
    waiting    1
      backoff  1
    done       2
    dropped    0
    balanced   yes
    ");
    fake.run(&["books", "--since=2026-11-21T14:00:00+02:00"]);
    let lines: Vec<String> = fake.requests().into_iter().map(|it| it.line).collect();
    assert_eq!(
        lines,
        [
            "GET /api/v1/books?since=-2h",
            "GET /api/v1/books?since=2026-11-21T14%3A00%3A00%2B02%3A00"
        ]
    );
}

#[test]
fn a_server_that_does_not_know_since_is_told_from_one_that_does() {
    let all = json!({ "accepted": 3, "runnable": 3, "running": 0, "waiting": {}, "done": 0,
        "dropped": 0, "balanced": true });
    let fake = Fake::new(move |_| (200, all.clone()));
    let ran = fake.run(&["books", "--since", "-2h"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("the server does not know it"),
        "{ran:?}"
    );
    assert_eq!(fake.run(&["books"]).code, 0);
}

#[test]
fn books_that_do_not_balance_are_a_failure() {
    let fake = Fake::new(|_| {
        (
            200,
            json!({ "accepted": 2, "waiting": {}, "balanced": false }),
        )
    });
    assert_eq!(fake.run(&["books"]).code, 1);
}

#[test]
fn many_are_only_acted_on_when_somebody_says_yes() {
    let fake = Fake::new(|request| match request.line.starts_with("GET") {
        true => (200, json!({ "items": [ticket("waiting")], "more": false })),
        false => (200, ticket("dropped")),
    });
    let line = ["ticket", "drop", "--reason", "old", "--filter", "is:parked"];
    let ran = fake.run(&line);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.stderr.contains("drop 1 tickets that have not ended") && ran.stderr.contains("--yes"),
        "{ran:?}"
    );
    assert_eq!(fake.requests().len(), 1);
    assert_eq!(
        fake.requests()[0].line,
        "GET /api/v1/tickets?filter=is%3Alive%20is%3Aparked&limit=10000&sort=oldest"
    );
    let ran = fake.run(&[&line[..], &["--yes"]].concat());
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, &*format!("{ID}  dropped\n")),
        "{ran:?}"
    );
    assert_eq!(fake.requests()[2].body, r#"{"reason":"old"}"#);
}

#[test]
fn a_token_is_sent_and_never_shown() {
    let fake = Fake::new(|_| problem(401, "expected a token", ""));
    let mut command = program(&["books"]);
    command
        .env("GOAROUND_URL", &fake.url)
        .env("GOAROUND_TOKEN", "s3cret");
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(!ran.stderr.contains("s3cret"), "{ran:?}");
    assert!(
        fake.requests()[0]
            .headers
            .contains(&"authorization: bearer s3cret".into())
    );
}

#[test]
fn a_server_that_does_not_say_its_version_is_told_from_none() {
    let locked = Fake::new(|_| problem(401, "expected a token", ""));
    let foreign = Fake::new(|_| (500, json!("oh no")));
    for (fake, says) in [
        (
            &locked,
            "it wants a token, or another one; set GOAROUND_TOKEN",
        ),
        (&foreign, "is it the right address?"),
    ] {
        let ran = fake.run(&["version"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.stdout.contains(says), "{ran:?}");
        assert!(!ran.stdout.contains("none answers"), "{ran:?}");
        let ran = fake.run(&["version", "-o", "json"]);
        let version: Json = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(version["server"]["url"], fake.url, "{ran:?}");
        assert_eq!(version["server"]["version"], Json::Null, "{ran:?}");
        assert!(
            version["server"]["why"].as_str().unwrap().contains(says),
            "{ran:?}"
        );
    }
    let ran = alone(&["version", "--url", "http://127.0.0.1:1"]);
    assert!(ran.stdout.contains("none answers"), "{ran:?}");
}

#[test]
fn any_call_can_be_made_and_its_answer_comes_as_it_is() {
    let fake = Fake::new(|request| match request.line.as_str() {
        "POST /api/v1/tickets" => (201, json!({ "got": request.body })),
        _ => problem(404, "nothing there", ""),
    });
    let ran = fake.run(&["api", "post", "/api/v1/tickets", "--data", "{}"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "{\"got\":\"{}\"}\n"),
        "{ran:?}"
    );
    assert_eq!(fake.run(&["api", "GET", "nowhere"]).code, 3);
    assert_eq!(fake.run(&["api", "GET", "books", "--data", "{}"]).code, 2);
    let before = fake.requests().len();
    for path in ["/books", "/openapi.json", "/metrics", "/readyz"] {
        fake.run(&["api", "GET", path]);
    }
    let asked: Vec<String> = fake.requests()[before..]
        .iter()
        .map(|it| it.line.clone())
        .collect();
    let expected = ["/api/v1/books", "/openapi.json", "/metrics", "/readyz"];
    assert_eq!(asked, expected.map(|path| format!("GET {path}")));
}

#[test]
fn whoever_stops_reading_is_not_scolded() {
    let fake = Fake::new(|_| {
        (
            200,
            json!({ "items": vec![ticket("done"); 5_000], "more": false }),
        )
    });
    let mut command = program(&["ticket", "list"]);
    command
        .env("GOAROUND_URL", &fake.url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
}

#[test]
fn an_answer_that_is_not_ours_is_no_success() {
    let fake = Fake::new(|_| (500, json!("oh no")));
    let ran = fake.run(&["books"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("is it the right address?"), "{ran:?}");
}

#[test]
fn explain_shows_state_and_reason_together_and_its_json_keeps_them_apart() {
    let fake = Fake::new(|_| {
        (
            200,
            json!({ "state": "waiting", "reason": "held", "since": "2026-11-21T14:03:22.120Z",
                "waits_for": "a repair", "until": null, "then": "it goes on", "last_events": [],
                "who_may_change": "you" }),
        )
    });
    let table = fake.run(&["ticket", "explain", ID]).stdout;
    assert!(table.contains("waiting (held)"), "{table}");
    let text = fake.run(&["ticket", "explain", ID, "-o", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&json["state"], &json["reason"]),
        (&json!("waiting"), &json!("held"))
    );
}

#[test]
fn a_history_says_how_each_attempt_ended() {
    let fake = Fake::new(|_| {
        let at = "2026-11-21T14:03:22.120Z";
        let failed = json!({ "at": at, "stage": "build", "hop": 0, "attempt": 1,
            "what": "attempted", "outcome": "failed", "version": "1", "why": null,
            "oops": "OOPS-1" });
        let held = json!({ "at": at, "stage": "build", "hop": 0, "attempt": 2, "what": "held",
            "outcome": null, "version": null, "why": "its breaker is open", "oops": null });
        (200, json!({ "items": [failed, held] }))
    });
    let table = fake.run(&["ticket", "history", ID]).stdout;
    let told: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().skip(3).collect())
        .collect();
    assert_eq!(told[1], ["1", "failed", "1", "OOPS-1"], "{table}");
    assert_eq!(told[2][..2], ["2", "held"], "{table}");
}

#[test]
fn a_ticket_shows_why_it_is_there_and_its_own_deadline() {
    let fake = Fake::new(|_| {
        let mut dropped = ticket("dropped");
        dropped["reason"] = json!("sent twice");
        (200, dropped)
    });
    let shown = fake.run(&["ticket", "show", ID]).stdout;
    assert!(cells(&shown).contains("reason | sent twice"), "{shown}");
    for row in ["because", "deadline"] {
        assert!(!shown.contains(row), "{shown}");
    }
    let fake = Fake::new(|_| {
        let mut parked = ticket("waiting");
        parked["reason"] = json!("parked");
        parked["because"] = json!("not run: it was too late");
        parked["deadline"] = json!("2026-11-21T14:03:22.120Z");
        (200, parked)
    });
    let shown = cells(&fake.run(&["ticket", "show", ID]).stdout);
    for row in [
        "state | waiting (parked)",
        "because | not run: it was too late",
        "deadline | 2026-11-21",
    ] {
        assert!(shown.contains(row), "{row}: {shown}");
    }
    assert!(!shown.contains("reason |"), "{shown}");
}

#[test]
fn a_method_that_does_not_exist_is_named_before_anything_is_sent() {
    let fake = Fake::new(|_| (200, json!({})));
    let ran = fake.run(&["api", "BOGUS", "books"]);
    assert_eq!((ran.code, fake.requests().len()), (2, 0), "{ran:?}");
    assert!(
        ran.stderr.contains("BOGUS") && ran.stderr.contains("expected one of GET, HEAD, POST"),
        "{ran:?}"
    );
}
