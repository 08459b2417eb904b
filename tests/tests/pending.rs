//! A handler that waits for an outside event: what it is told counts, and what it is not told.

use acceptance::field::Field;
use acceptance::line::Line;
use acceptance::{eventually, show, text};
use serde_json::Value;

/// What does not start within fifteen seconds is given up; what starts has an hour.
const CONFIG: &str = r#"
[flow.ci]
stages = ["work"]
[stage.work]
run = ["./handler.sh"]
retry = { first = "50ms", max = "100ms" }
"#;

/// The second attempt is done without asking anybody.
const HANDLER: &str = r#"#!/bin/sh
[ "$GOAROUND_ATTEMPT" -eq 1 ] || exit 0
echo '{"outcome":"pending","until":"1h","start_within":"15s"}' > "$GOAROUND_RESULT"
"#;

#[test]
fn what_says_that_it_has_started_has_its_time_and_what_is_silent_is_tried_again() {
    is_heard(Line::of_one(CONFIG, &[("handler.sh", HANDLER)]));
}

#[test]
fn rabbitmq_what_says_that_it_has_started_has_its_time_and_what_is_silent_is_tried_again() {
    let Some(field) = Field::shared(CONFIG) else {
        return;
    };
    is_heard(Line::of_servers(field, &[("handler.sh", HANDLER)], 1));
}

fn ticket(line: &Line, verb: &str, id: &str) -> Value {
    line.teller().json(&["ticket", verb, id, "-o", "json"])
}

fn call_back(line: &Line, id: &str, says: &str) -> Value {
    let path = format!("callbacks/{id}/{}", ticket(line, "show", id)["generation"]);
    line.teller().json(&["api", "POST", &path, "--data", says])
}

fn is_heard(line: Line) {
    let two = ["lively", "silent"].map(|what| ("ci", what.to_owned()));
    let ids = line.submit(&two);
    let (lively, silent) = (&*ids[0], &*ids[1]);
    line.books_until("both wait", |books| books["waiting"]["pending"] == 2);
    let waits_for = &ticket(&line, "explain", lively)["waits_for"];
    let says_so = waits_for.as_str().is_some_and(|it| it.contains("started"));
    assert!(says_so, "{waits_for}");
    call_back(&line, lively, r#"{"outcome":"started"}"#);

    line.books_until("the silent one is tried again", |books| books["done"] == 1);
    assert_eq!(ticket(&line, "show", silent)["state"], "done");
    let oopses = oopses(&line);
    assert_eq!(oopses.len(), 1, "{oopses:?}");
    assert_eq!(oopses[0]["type"], "StartOverdue", "{oopses:?}");
    assert_eq!(oopses[0]["ticket"], silent, "{oopses:?}");

    let still = ticket(&line, "show", lively);
    assert_eq!(
        (&still["reason"], &still["attempt"]),
        (&"pending".into(), &1.into())
    );
    let path = format!("callbacks/{lively}/{}", still["generation"]);
    let unheard = ["api", "POST", &path, "--data", r#"{"outcome":"begun"}"#];
    let refused = line.teller().run(&unheard, "");
    assert!(!refused.status.success(), "{}", show(&refused));
    let says_so = text(&refused.stderr).contains("expected started, done, failed or rejected");
    assert!(says_so, "{}", show(&refused));
    call_back(&line, lively, r#"{"outcome":"done"}"#);
    let books = line.books_until("both are done", |books| books["done"] == 2);
    assert_eq!(books["balanced"], true);
    line.stop();
}

fn oopses(line: &Line) -> Vec<Value> {
    let told = eventually(|| {
        let told = line.teller().json(&["oops", "list", "-o", "json"]);
        told.as_array().filter(|all| !all.is_empty()).cloned()
    });
    told.unwrap_or_default()
}
