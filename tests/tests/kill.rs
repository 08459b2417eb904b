//! SIGKILL in the middle: every ticket is accounted for.

use acceptance::{Site, eventually};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const TICKETS: usize = 20_000;
const KILLS: u64 = 5;

/// One ticket in a hundred (by the end of its payload) kills its handler at the first attempt.
const CRASHER: &str = "#!/bin/sh
read -r n
case $n/$GOAROUND_ATTEMPT in *07/1) kill -ABRT $$ ;; esac
echo \"$n\"
";

const CONFIG: &str = r#"
[flow.ci]
stages = ["build", "test", "publish"]
[stage.build]
run = ["/bin/cat"]
concurrency = 4
[stage.test]
run = ["./crasher.sh"]
concurrency = 4
retry = { first = "50ms", max = "200ms" }
[stage.publish]
run = ["/bin/true"]
concurrency = 4
retry = { first = "50ms", max = "200ms" }
"#;

#[test]
fn twenty_thousand_tickets_survive_five_sigkills_and_one_in_a_hundred_crashing() {
    let site = Site::new(&CONFIG.replace(
        "[stage.build]",
        "[stage.build]\nretry = { first = \"50ms\", max = \"200ms\" }",
    ));
    site.script("crasher.sh", CRASHER);
    let mut lines = String::new();
    for n in 0..TICKETS {
        writeln!(lines, r#"{{"flow":"ci","payload":"{n:06}\n"}}"#).unwrap();
    }
    site.write("tickets.jsonl", &lines);
    let mut up = site.up();
    let ids = site.ok(&["submit", "--jsonl", "tickets.jsonl"]);
    assert_eq!(
        ids.lines().collect::<BTreeSet<_>>().len(),
        TICKETS,
        "each has an id of its own"
    );
    for kill in 1..=KILLS {
        // At a moment of its own: after a share of the work that no round hits twice.
        let share = kill * (TICKETS as u64) / (KILLS + 2) - 137 * kill;
        site.books_until("progress", |books| books["done"].as_u64() >= Some(share));
        up.kill();
        up = site.up();
        assert_balanced(&site.books());
    }
    let books = site.books_until("the end", |books| books["done"] == TICKETS);
    assert_balanced(&books);
    audit(&site);
    assert!(up.stop().success());
}

fn assert_balanced(books: &Value) {
    assert_eq!(books["balanced"], true, "{books}");
    assert_eq!(books["accepted"], TICKETS, "{books}");
}

/// Each attempt that went wrong has exactly one OOPS, and each OOPS is about one such attempt.
fn audit(site: &Site) {
    let oopses = site.json(&["oops", "list", "--limit", "10000", "-o", "json"]);
    let oopses = oopses
        .as_array()
        .unwrap_or_else(|| panic!("a list, got {oopses}"))
        .clone();
    let ids: BTreeSet<&str> = oopses
        .iter()
        .filter_map(|oops| oops["id"].as_str())
        .collect();
    assert_eq!(ids.len(), oopses.len(), "no OOPS is listed twice");
    let of_crashes = oopses
        .iter()
        .filter(|oops| oops["outcome"] == "crashed")
        .count();
    assert!(
        of_crashes >= TICKETS / 100,
        "{of_crashes} crashes were reported"
    );
    let mut by_ticket: BTreeMap<&str, usize> = BTreeMap::new();
    for oops in &oopses {
        for field in ["ticket", "stage", "version", "attempt"] {
            assert!(!oops[field].is_null(), "{field} is missing in {oops}");
        }
        *by_ticket
            .entry(oops["ticket"].as_str().unwrap_or_default())
            .or_default() += 1;
    }
    for (ticket, reported) in by_ticket {
        let history = site.json(&["ticket", "history", ticket, "-o", "json"]);
        let lines = history
            .as_array()
            .unwrap_or_else(|| panic!("a list, got {history}"));
        let with_oops: BTreeSet<&str> = lines
            .iter()
            .filter_map(|line| line["oops"].as_str())
            .collect();
        assert_eq!(with_oops.len(), reported, "history of {ticket}: {history}");
    }
}

#[test]
fn a_ticket_that_was_running_when_the_process_was_killed_is_reported_and_goes_around() {
    let site = Site::new(
        "[stage.work]\nrun = [\"./once.sh\"]\nretry = { first = \"50ms\", max = \"100ms\" }\n",
    );
    let script =
        "#!/bin/sh\nif [ \"$GOAROUND_ATTEMPT\" = 1 ]; then echo $$ > running; exec sleep 600; fi\n";
    site.script("once.sh", script);
    let up = site.up();
    let id = site.ok(&["submit", "--stage", "work"]).trim().to_owned();
    let pid = site.path().join("running");
    let pid = eventually(|| {
        std::fs::read_to_string(&pid)
            .ok()
            .filter(|text| text.ends_with('\n'))
    })
    .expect("the handler runs");
    let books = site.books();
    assert_eq!(books["running"], 1, "{books}");
    let mut processes = up.children();
    assert_eq!(processes.len(), 1, "the spawner: {processes:?}");
    processes.push(pid.trim().parse().expect("a process id"));
    up.kill();
    for pid in processes {
        let process = format!("/proc/{pid}");
        let is_gone = eventually(|| (!std::path::Path::new(&process).exists()).then_some(()));
        assert!(
            is_gone.is_some(),
            "spawner and handler die with the server, {pid} has not"
        );
    }
    let up = site.up();
    site.books_until("the second attempt", |books| books["done"] == 1);
    let ticket = site.json(&["ticket", "show", &id, "-o", "json"]);
    assert_eq!(ticket["attempt"], 2, "{ticket}");
    let oopses = site.json(&["oops", "list", "-o", "json"]);
    assert_eq!(oopses.as_array().map(Vec::len), Some(1), "{oopses}");
    let said = oopses[0]["value"].as_str().unwrap_or_default();
    assert!(said.contains("the process died while"), "{said}");
    assert_eq!(oopses[0]["ticket"], id);
    assert!(up.stop().success());
}

#[test]
fn a_graceful_stop_finishes_what_is_in_hand_and_charges_nothing() {
    let site = Site::new("[stage.work]\nrun = [\"./slow.sh\"]\nconcurrency = 2\n");
    site.script(
        "slow.sh",
        "#!/bin/sh\ntouch started.$GOAROUND_TICKET_ID\nsleep 1\n",
    );
    let up = site.up();
    for _ in 0..6 {
        site.ok(&["submit", "--stage", "work"]);
    }
    site.books_until("two are running", |books| books["running"] == 2);
    assert!(up.stop().success());
    let up = site.up();
    let books = site.books_until("all six", |books| books["done"] == 6);
    assert_eq!(books["balanced"], true, "{books}");
    let oopses = site.json(&["oops", "list", "-o", "json"]);
    assert_eq!(oopses.as_array().map(Vec::len), Some(0), "{oopses}");
    assert!(up.stop().success());
}

#[test]
fn a_handler_that_outlives_the_drain_is_handed_back_uncharged() {
    let config = "[shutdown]\ndrain = \"200ms\"\n[stage.work]\nrun = [\"./stuck.sh\"]\nstop_grace = \"200ms\"\n";
    let site = Site::new(config);
    site.script("stuck.sh", "#!/bin/sh\n[ -e open ] || exec sleep 600\n");
    let up = site.up();
    let id = site.ok(&["submit", "--stage", "work"]).trim().to_owned();
    site.books_until("it is running", |books| books["running"] == 1);
    up.stop();
    site.write("open", "");
    let up = site.up();
    site.books_until("it is done", |books| books["done"] == 1);
    let ticket = site.json(&["ticket", "show", &id, "-o", "json"]);
    assert_eq!(ticket["attempt"], 1, "nothing is charged: {ticket}");
    let oopses = site.json(&["oops", "list", "-o", "json"]);
    assert_eq!(oopses.as_array().map(Vec::len), Some(0), "{oopses}");
    assert!(up.stop().success());
}

#[test]
fn a_second_signal_ends_what_is_in_hand_and_charges_nothing() {
    let site = Site::new("[stage.work]\nrun = [\"./stuck.sh\"]\nstop_grace = \"60s\"\n");
    site.script("stuck.sh", "#!/bin/sh\n[ -e open ] || exec sleep 600\n");
    let up = site.up();
    let id = site.ok(&["submit", "--stage", "work"]).trim().to_owned();
    site.books_until("it is running", |books| books["running"] == 1);
    up.signal();
    let is_stopping = eventually(|| site.log().contains("stopping").then_some(()));
    assert!(is_stopping.is_some(), "{}", site.log());
    assert!(up.stop().success());
    site.write("open", "");
    let up = site.up();
    site.books_until("it is done", |books| books["done"] == 1);
    let ticket = site.json(&["ticket", "show", &id, "-o", "json"]);
    assert_eq!(ticket["attempt"], 1, "nothing is charged: {ticket}");
    let oopses = site.json(&["oops", "list", "-o", "json"]);
    assert_eq!(oopses.as_array().map(Vec::len), Some(0), "{oopses}");
    assert!(up.stop().success());
}

#[test]
fn a_ticket_whose_flow_is_gone_is_parked_rather_than_passed_for_done() {
    let config = |flow: &str| {
        format!(
            "[flow.{flow}]\nstages = [\"a\", \"b\"]\n[stage.a]\nrun = [\"./a.sh\"]\n[stage.b]\nrun = [\"/bin/true\"]\n"
        )
    };
    let site = Site::new(&config("old"));
    site.script("a.sh", "#!/bin/sh\n[ -e open ] || exit 75\n");
    let up = site.up();
    let id = site.ok(&["submit", "--flow", "old"]).trim().to_owned();
    site.books_until("it is put off", |books| books["waiting"]["not_now"] == 1);
    assert!(up.stop().success());
    site.write("goaround.toml", &config("new"));
    site.write("open", "");
    let up = site.up();
    site.books_until("it is parked", |books| books["waiting"]["parked"] == 1);
    let told = site.json(&["ticket", "explain", &id, "-o", "json"]);
    assert!(
        told["waits_for"]
            .as_str()
            .is_some_and(|text| text.contains("flow old")),
        "{told}"
    );
    assert!(up.stop().success());
    site.write("goaround.toml", &config("old"));
    let up = site.up();
    site.ok(&["ticket", "retry", &id]);
    site.books_until("it is done", |books| books["done"] == 1);
    let ticket = site.json(&["ticket", "show", &id, "-o", "json"]);
    assert_eq!(
        ticket["stage"], "b",
        "it went to the end of its flow: {ticket}"
    );
    assert!(up.stop().success());
}
