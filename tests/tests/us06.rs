//! A broken upgrade, then escape: what a version breaks circles without stopping the line, each
//! attempt is reported, and the next version lets it through by itself (US-06).

use acceptance::audit::{assert_histories_agree, oopses};
use acceptance::field::Field;
use acceptance::line::{Line, lines};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::partners::rabbitmq::{Options, Version};

/// How often the first version crashes before somebody has repaired it.
const CRASHES: usize = 30;
const GOOD: usize = 49;
/// After how many failures the stages here hold what fails.
const FAILURES: usize = 5;

const LOOP: &str = r#"
[flow.ci]
stages = ["work"]
[stage.work]
run = ["./handler.sh"]
concurrency = 2
retry = { first = "10ms", max = "50ms" }
breaker = { failures = 5, probe = "100ms" }
"#;

/// Whoever repairs it does so at the thirtieth crash exactly: in the middle of it.
const V1: &str = "#!/bin/sh
ulimit -c 0
read -r what
[ \"$what\" = poison ] || exit 0
echo \"$GOAROUND_ATTEMPT\" >> crashed
if [ \"$GOAROUND_ATTEMPT\" -ge 30 ]; then
  while [ ! -e go ]; do sleep 0.05; done
  [ ! -e v2.sh ] || mv v2.sh handler.sh
fi
echo 'recipe of gcc: unknown field epoch' >&2
kill -ABRT $$
";
const V2: &str = "#!/bin/sh\nread -r what\n";

#[test]
fn a_ticket_that_a_version_crashes_on_circles_alone_and_escapes_by_the_next_one() {
    escapes(Line::of_one(LOOP, &[("handler.sh", V1), ("v2.sh", V2)]));
}

#[test]
fn rabbitmq_ticket_that_a_version_crashes_on_circles_alone_and_escapes_by_the_next_one() {
    escapes_on(Version::V310);
}

#[test]
fn rabbitmq_4_trixie_ticket_that_a_version_crashes_on_circles_alone_and_escapes_by_the_next_one() {
    escapes_on(Version::V40);
}

fn escapes_on(version: Version) {
    // Of its own, since it is restarted.
    let Some(field) = Field::with(Options::new(version), LOOP) else {
        return;
    };
    let scripts = [("handler.sh", V1), ("v2.sh", V2)];
    escapes(Line::of_servers(field, &scripts, 2));
}

fn escapes(mut line: Line) {
    let ask = line.teller();
    let mut tickets = vec![("ci", "good".to_owned()); GOOD];
    tickets.insert(7, ("ci", "poison".to_owned()));
    let ids = line.submit(&tickets);
    let poison = &ids[7];
    let crashed = |text: &str| text.lines().collect::<BTreeSet<_>>().len();
    line.file_until("crashed", "ten crashes", |text| crashed(text) >= 10);
    line.restart_broker();
    let books = line.books_until("the others are done", |books| books["done"] == GOOD);
    assert_eq!(books["balanced"], true, "{books}");
    let show = || ask.json(&["ticket", "show", poison, "-o", "json"]);
    assert_ne!(show()["state"], "done", "it still circles");
    let breaker = line.breaker("work");
    assert!(
        ["open", "probing"].contains(&breaker["state"].as_str().unwrap_or_default()),
        "{breaker}"
    );
    line.file_until("crashed", "thirty crashes", |text| crashed(text) == CRASHES);
    std::fs::write(line.path().join("go"), "").expect("ours");
    let books = line.books_until("it is done, too", |books| books["done"] == ids.len());
    assert_eq!(books["balanced"], true, "{books}");
    assert_eq!(books["accepted"], ids.len(), "nobody resubmitted: {books}");

    let reports = oopses(&ask);
    assert_eq!(reports.len(), CRASHES, "{reports:?}");
    let attempts: BTreeSet<u64> = reports
        .iter()
        .filter_map(|it| it["attempt"].as_u64())
        .collect();
    assert_eq!(attempts, (1..=CRASHES as u64).collect::<BTreeSet<_>>());
    let v1 = &reports[0]["version"];
    for oops in &reports {
        assert_eq!(oops["ticket"], **poison, "{oops}");
        assert_eq!(oops["outcome"], "crashed", "{oops}");
        assert_eq!(oops["version"], *v1, "{oops}");
        let said = oops["value"].as_str().unwrap_or_default();
        assert!(said.contains("unknown field epoch"), "{oops}");
    }
    assert_histories_agree(&ask, &reports);
    let ticket = show();
    assert_eq!(ticket["id"], **poison);
    assert_eq!(ticket["attempt"], CRASHES + 1, "{ticket}");
    assert_eq!(breaker["failed_versions"], json!([v1]), "{breaker}");
    assert_tells_of_the_escape(&line.history(poison), v1);
    line.stop();
}

/// Thirty times with one version, and once with another; by itself, and by itself alone from the
/// fifth on.
fn assert_tells_of_the_escape(history: &[Value], v1: &Value) {
    let attempts = lines(history, "attempted", "");
    let Some((last, crashes)) = attempts.split_last() else {
        panic!("no attempts");
    };
    assert_eq!(crashes.len(), CRASHES, "{attempts:?}");
    let canaries = lines(history, "released", "canary for ");
    assert_eq!(canaries.len(), CRASHES + 1 - FAILURES, "{history:?}");
    let by_hand = ["retried", "cancelled", "dropped", "resubmitted"];
    let by_hand = by_hand.map(|what| lines(history, what, ""));
    assert!(by_hand.concat().is_empty(), "{by_hand:?}");
    for crash in crashes {
        assert_eq!(crash["outcome"], "crashed", "{crash}");
        assert_eq!(crash["version"], *v1, "{crash}");
    }
    assert_eq!(last["outcome"], "done", "{last}");
    assert_ne!(last["version"], *v1, "{last}");
}
