//! Plans and breakers: what is asked, what comes back, and with which exit code.

use super::fake::Fake;
use serde_json::{Value as Json, json};

const ID: &str = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";

fn plan(state: &str) -> Json {
    json!({
        "id": ID, "state": state, "why": null, "created_at": "2026-11-21T14:03:22.120Z",
        "by": "ana\u{1b}[31m", "moved_at": "2026-11-21T14:03:22.120Z",
        "selection": {
            "source": "held", "stage": "build", "signature": "v1-0f3a9c5e77b2d104",
            "filter": "is:held", "cutoff": "2026-11-21T14:03:22.120Z",
        },
        "counts": {
            "total": 500, "left": 489, "released": 11, "out": 3, "landed": 7, "failed": 1,
            "undecided": 0, "dropped": 0, "gone": 0,
        },
        "groups": [{ "name": "kind=f42", "count": 300 }], "groups_left_out": 2,
        "terms": {
            "order": "oldest", "rate": null, "ramp": "1,10,100,all",
            "stop": { "percent_max": 5, "sample_min": 20, "same": null },
        },
        "releases": [{
            "choice": "everything", "count": 500, "released": 11, "step": 2, "step_size": 10,
            "terms": {
                "order": "newest", "rate": "10/s", "ramp": "5,all",
                "stop": { "percent_max": 100, "sample_min": 20, "same": "v1-0f3a9c5e77b2d104" },
            },
        }],
        "repairs": null, "estimate": null, "trail_left_out": 0,
        "trail": [{ "at": "2026-11-21T14:03:22.120Z", "by": "ana", "what": "made it" }],
    })
}

fn breaker() -> Json {
    json!({
        "stage": "build", "scope": "signature", "signature": "v1-0f3a9c5e77b2d104",
        "state": "open", "since": "2026-11-21T14:03:22.120Z", "value": "Segfault: \u{1b}x",
        "held": 500, "failures": 5, "probes": 0, "canary": null,
        "next_probe": "2026-11-21T14:04:22.120Z", "plan": null, "failed_versions": ["1", "2"],
        "newest_version": "2", "waits_for": "…", "then": "one ticket alone is tried then",
    })
}

fn problem(status: u16, why: &str, remedy: &str) -> (u16, Json) {
    let problem = json!({ "type": "x", "status": status, "detail": why, "remedy": remedy });
    (status, problem)
}

/// Runs of spaces as one bar, so that the widths of columns are not what is tested.
fn cells(table: &str) -> String {
    let line = |line: &str| {
        let cells = line.split("  ").map(str::trim).filter(|it| !it.is_empty());
        cells.collect::<Vec<_>>().join(" | ").replace(ID, "<id>")
    };
    table.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plan_that_refuses_says_why_and_what_would_help() {
    let fake = Fake::new(|request| match request.line.contains("/pause") {
        true => problem(409, "the plan is done", "release something first"),
        false => problem(404, "no such plan", ""),
    });
    let ran = fake.run(&["plan", "pause", ID]);
    assert_eq!((ran.code, ran.stdout.as_str()), (4, ""), "{ran:?}");
    assert!(ran.stderr.contains("the plan is done") && ran.stderr.contains("release something"));
    assert_eq!(fake.run(&["plan", "show", ID]).code, 3);
    assert_eq!(fake.run(&["plan", "release", ID, "-o", "json"]).code, 3);
}

#[test]
fn only_what_is_said_is_asked_for() {
    let fake = Fake::new(|_| (200, plan("running")));
    for line in [
        &["plan", "release", ID][..],
        &[
            "plan", "release", ID, "--group", "kind=f42", "--rate", "10/s", "--ramp", "1,10",
            "--order", "newest",
        ],
        &["plan", "stop", ID],
        &["plan", "drop", ID, "--group", "key=a=b", "--reason", "old"],
        &["plan", "make", "--filter", "is:held", "--ramp", "all"],
    ] {
        let ran = fake.run(line);
        assert_eq!(ran.code, 0, "{line:?}: {ran:?}");
    }
    let asked: Vec<(String, Json)> = fake
        .requests()
        .iter()
        .map(|it| {
            let body = serde_json::from_str(&it.body).unwrap();
            (it.line.replace(ID, "<id>"), body)
        })
        .collect();
    let terms = json!({ "rate": "10/s", "ramp": "1,10,all", "order": "newest" });
    let expected = [
        ("release", json!({ "group": null, "terms": {} })),
        ("release", json!({ "group": "kind=f42", "terms": terms })),
        ("stop", json!({})),
        ("drop", json!({ "group": "key=a=b", "reason": "old" })),
    ];
    let mut expected: Vec<(String, Json)> = expected
        .into_iter()
        .map(|(verb, body)| (format!("POST /api/v1/plans/<id>/{verb}"), body))
        .collect();
    let make = json!({ "filter": "is:held", "terms": { "ramp": "all" } });
    expected.push(("POST /api/v1/plans".into(), make));
    assert_eq!(asked, expected);
}

#[test]
fn a_stop_rule_travels_as_far_as_it_is_said() {
    let fake = Fake::new(|request| match request.line.contains("/tickets?") {
        true => (200, json!({ "items": [{ "id": ID }], "more": true })),
        false => (200, plan("running")),
    });
    let asked_by = |line: &[&str]| -> (String, Json) {
        let before = fake.requests().len();
        let ran = fake.run(line);
        assert_eq!(ran.code, 0, "{line:?}: {ran:?}");
        let requests = fake.requests();
        let mut orders = requests[before..].iter().filter(|it| !it.body.is_empty());
        let order = orders.next().unwrap();
        let body: Json = serde_json::from_str(&order.body).unwrap();
        (order.line.replace(ID, "<id>"), body["terms"].clone())
    };
    let release = ["plan", "release", ID, "--stop-above", "10%"];
    let rest = ["--stop-sample", "5", "--stop-same", "none"];
    let stop = json!({ "percent_max": 10, "sample_min": 5, "same": "none" });
    assert_eq!(
        asked_by(&[&release[..], &rest].concat()),
        (
            "POST /api/v1/plans/<id>/release".into(),
            json!({ "stop": stop })
        )
    );
    let plans = || String::from("POST /api/v1/plans");
    let make = ["plan", "make", "--filter", ""];
    let same = ["--stop-same", "V1-0F3A9C5E77B2D104"];
    let stop = json!({ "same": "v1-0f3a9c5e77b2d104" });
    assert_eq!(
        asked_by(&[&make[..], &same].concat()),
        (plans(), json!({ "stop": stop }))
    );
    let retry = ["ticket", "retry", "--filter", "is:parked", "--yes"];
    let at_once = json!({ "ramp": "all", "stop": { "percent_max": 20 } });
    assert_eq!(
        asked_by(&[&retry[..], &["--stop-above", "20%"]].concat()),
        (plans(), at_once)
    );
    let never = json!({ "ramp": "all", "stop": { "percent_max": 100, "sample_min": 5 } });
    assert_eq!(
        asked_by(&[&retry[..], &["--stop-sample", "5"]].concat()),
        (plans(), never)
    );
}

#[test]
fn a_retry_in_bulk_is_a_plan_that_somebody_agrees_to() {
    let fake = Fake::new(|request| match request.line.contains("/tickets?") {
        true if request.line.contains("nobody") => (200, json!({ "items": [], "more": false })),
        true => (200, json!({ "items": [{ "id": ID }], "more": true })),
        false => (200, plan("running")),
    });
    let asked = || {
        let requests = fake.requests();
        let of_this = requests.iter().rev().take(2).rev();
        let told = |it: &super::fake::Request| {
            let body: Json = serde_json::from_str(&it.body).unwrap();
            (it.line.replace(ID, "<id>"), body)
        };
        of_this.map(told).collect::<Vec<_>>()
    };
    let line = ["ticket", "retry", "--filter", "is:parked"];
    let ran = fake.run(&line);
    assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{ran:?}");
    assert!(
        ran.stderr.contains("would retry 500 tickets") && ran.stderr.contains("--yes"),
        "{ran:?}"
    );
    let at_once = json!({ "ramp": "all", "stop": { "percent_max": 100 } });
    let make = json!({ "filter": "is:parked", "terms": at_once });
    let plans = String::from("POST /api/v1/plans");
    let order = |verb| (format!("POST /api/v1/plans/<id>/{verb}"), json!({}));
    assert_eq!(asked(), [(plans.clone(), make.clone()), order("stop")]);
    let ran = fake.run(&[&line[..], &["--yes"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("goaround plan show"), "{ran:?}");
    assert_eq!(
        ran.stdout,
        format!("{ID}  running  489 of 500 tickets left\n")
    );
    assert_eq!(asked(), [(plans.clone(), make), order("release")]);
    let terms = ["--yes", "--rate", "10/s", "--ramp", "1,10", "-o", "name"];
    let ran = fake.run(&[&line[..], &terms].concat());
    assert_eq!((ran.code, ran.stdout.trim()), (0, ID), "{ran:?}");
    let slowly = json!({ "rate": "10/s", "ramp": "1,10,all" });
    let make = json!({ "filter": "is:parked", "terms": slowly });
    assert_eq!(asked(), [(plans, make), order("release")]);
    let before = fake.requests().len();
    let ran = fake.run(&["ticket", "retry", "--filter", "key:nobody", "--yes"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    assert!(ran.stderr.contains("nothing to retry"), "{ran:?}");
    let asked: Vec<String> = fake.requests()[before..]
        .iter()
        .map(|it| it.line.clone())
        .collect();
    assert_eq!(
        asked,
        ["GET /api/v1/tickets?filter=is%3Awaiting%20key%3Anobody&limit=1&sort=oldest"]
    );
    for verb in [&["retry"][..], &["drop", "--reason", "x"], &["cancel"]] {
        let none = ["--filter", "key:nobody", "--yes", "-o", "json"];
        let ran = fake.run(&[&["ticket"][..], verb, &none].concat());
        assert_eq!((ran.code, ran.stdout.trim_end()), (0, "[]"), "{ran:?}");
    }
    let ran = fake.run(&["ticket", "retry", ID, "--rate", "10/s"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.stderr.contains("--filter"), "{ran:?}");
}

#[test]
fn plans_are_shown_for_people_and_for_programs() {
    let fake = Fake::new(|request| match request.line.contains('?') {
        true => (200, json!({ "items": [plan("running")], "more": false })),
        false => (200, plan("running")),
    });
    let list = fake.run(&["plan", "list"]);
    insta::assert_snapshot!(cells(&list.stdout), @r"
    ID | STATE | STAGE | OF | TICKETS | LEFT | OUT | LANDED | FAILED | MADE | BY | WHY
    <id> | running | build | held | 500 | 489 | 3 | 7 | 1 | 2026-11-21T14:03:22.120Z | ana\x1b[31m | -
    ");
    let show = fake.run(&["plan", "show", ID]);
    insta::assert_snapshot!(cells(&show.stdout), @r"
    id | <id>
    state | running
    of | held
    stage | build
    signature | v1-0f3a9c5e77b2d104
    filter | is:held
    waiting since before | 2026-11-21T14:03:22.120Z
    tickets | 500
    left | 489
    released | 11
    out | 3
    landed | 7
    failed | 1
    undecided | 0
    dropped | 0
    moved by others | 0
    terms | of the release under way
    ramp | 5,all
    rate | 10/s
    order | newest
    stops | when a step before the last fails and nothing of it lands; when v1-0f3a9c5e77b2d104 comes back
    last moved | 2026-11-21T14:03:22.120Z

    RELEASE | TICKETS | RELEASED | STEP | STEP SIZE | RAMP | RATE
    everything | 500 | 11 | 2 | 10 | 5,all | 10/s

    GROUP | TICKETS
    kind=f42 | 300
    and 2 more

    TIME | BY | WHAT
    2026-11-21T14:03:22.120Z | ana | made it
    ");
    let line = fake.run(&["plan", "pause", ID]);
    insta::assert_snapshot!(cells(&line.stdout), @"<id> | running | 489 of 500 tickets left");
    assert_eq!(
        fake.run(&["plan", "list", "-o", "name"]).stdout,
        format!("{ID}\n")
    );
    assert_eq!(
        fake.run(&["plan", "make", "--filter", "", "-o", "name"])
            .stdout,
        format!("{ID}\n")
    );
    let json: Json =
        serde_json::from_str(&fake.run(&["plan", "list", "-o", "json"]).stdout).unwrap();
    assert_eq!(json[0]["id"], ID);
    let other = fake.run(&["plan", "list", "--filter", "stage:test"]);
    assert_eq!(other.stderr.trim_end(), "no plans match");
}

#[test]
fn a_plan_at_rest_shows_its_own_terms_as_what_they_are() {
    let show = |terms: Json| {
        let fake = Fake::new(move |_| {
            let mut rests = plan("stopped");
            (rests["releases"], rests["terms"]) = (json!([]), terms.clone());
            (200, rests)
        });
        cells(&fake.run(&["plan", "show", ID]).stdout)
    };
    let stop = |percent| json!({ "percent_max": percent, "sample_min": 20, "same": null });
    let shown = show(json!({ "order": "oldest", "rate": null, "ramp": "1,all", "stop": stop(5) }));
    for says in [
        "terms | of a release that is given no others",
        "ramp | 1,all",
        "rate | as fast as can be",
        "stops | when a step before the last fails and nothing of it lands; above 5 % failed of the \
         last 100, once 20 have ended",
    ] {
        assert!(shown.contains(says), "{says}: {shown}");
    }
    let shown = show(json!({ "order": "oldest", "rate": null, "ramp": "all", "stop": stop(100) }));
    assert!(shown.contains("stops | never by itself"), "{shown}");
}

#[test]
fn where_plans_come_from_is_told_to_whoever_finds_none() {
    let empty = Fake::new(|_| (200, json!({ "items": [], "more": false })));
    let none = empty.run(&["plan", "list"]);
    assert_eq!(
        none.stderr.trim_end(),
        "there are no plans: one is made by itself when what was held lands again, or by goaround \
         plan make --filter 'is:parked'"
    );
}

#[test]
fn breakers_are_shown_and_probed() {
    let fake = Fake::new(|request| match request.line.starts_with("POST") {
        true => (200, breaker()),
        false => (200, json!({ "items": [breaker()], "more": false })),
    });
    let list = fake.run(&["stage", "breakers", "a b"]);
    insta::assert_snapshot!(cells(&list.stdout), @r"
    BREAKER | STAGE | STATE | HELD | FAILURES | SINCE | NEXT | FAILS ON | NEWEST | VALUE
    v1-0f3a9c5e77b2d104 | build | open | 500 | 5 | 2026-11-21T14:03:22.120Z | 2026-11-21T14:04:22.120Z | 1,2 | 2 | Segfault: \x1bx
    ");
    let held = &[
        "stage",
        "breakers",
        "--filter",
        "is:open -stage:test",
        "-o",
        "name",
    ];
    assert_eq!(fake.run(held).stdout, "v1-0f3a9c5e77b2d104\n");
    let other = fake.run(&["stage", "breakers", "--filter", "is:closed"]);
    assert_eq!(other.stderr.trim_end(), "no breakers match");
    let probe = [
        "stage",
        "probe",
        "build",
        "--signature",
        "V1-0F3A9C5E77B2D104",
    ];
    let probed = fake.run(&probe);
    insta::assert_snapshot!(cells(&probed.stdout), @"build | v1-0f3a9c5e77b2d104 | open: one ticket alone is tried then");
    let asked = fake.requests();
    assert_eq!(asked[0].line, "GET /api/v1/breakers?stage=a%20b");
    let body: Json = serde_json::from_str(&asked[3].body).unwrap();
    assert_eq!(
        body,
        json!({ "stage": "build", "signature": "v1-0f3a9c5e77b2d104" })
    );
}
