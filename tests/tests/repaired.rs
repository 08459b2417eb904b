//! What a version breaks is held, costs next to nothing, and is released in steps by its repair.

use acceptance::audit::{assert_histories_agree, oopses};
use acceptance::field::Field;
use acceptance::line::{Line, lines};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const BAD: usize = 500;
const PROBE: Duration = Duration::from_secs(5);

const STORM: &str = r#"
[flow.ci]
stages = ["work"]
[stage.work]
run = ["./handler.sh"]
concurrency = 4
retry = { first = "10ms", max = "50ms" }
breaker = { failures = 5, probe = "5s" }
"#;

/// A version that does this with what is bad. It takes a while: ends that come faster than they can
/// be written are not heard of in their order, and would look like many failures in a row.
fn version(name: &str, fate: &str) -> String {
    format!(
        "#!/bin/sh
ulimit -c 0
read -r what
sleep 0.03
[ \"$what\" != good ] || exit 0
echo \"{name} start $GOAROUND_TICKET_ID\" >> runs
{fate}
"
    )
}

fn crashing(name: &str) -> String {
    version(
        name,
        "echo 'recipe of gcc: unknown field epoch' >&2; kill -ABRT $$",
    )
}

fn repaired(name: &str) -> String {
    version(
        name,
        &format!("echo \"{name} end $GOAROUND_TICKET_ID\" >> runs"),
    )
}

/// Four that are bad, then a good one.
fn mixed() -> Vec<(&'static str, String)> {
    let what = |n: usize| if n % 5 == 4 { "good" } else { "bad" };
    let all = BAD + BAD / 4;
    (0..all).map(|n| ("ci", what(n).to_owned())).collect()
}

fn all_bad() -> Vec<(&'static str, String)> {
    vec![("ci", "bad".to_owned()); BAD]
}

#[test]
fn what_a_version_breaks_is_held_beside_healthy_ones_and_a_repair_releases_it_in_steps() {
    is_released_in_steps(Line::of_one(STORM, &[("handler.sh", &crashing("v1"))]));
}

#[test]
fn rabbitmq_what_a_version_breaks_is_held_beside_healthy_ones_and_a_repair_releases_it_in_steps() {
    let Some(field) = Field::shared(STORM) else {
        return;
    };
    let scripts = [("handler.sh", &*crashing("v1"))];
    is_released_in_steps(Line::of_servers(field, &scripts, 2));
}

fn is_released_in_steps(line: Line) {
    let tickets = mixed();
    let ids = line.submit(&tickets);
    let good = ids.len() - BAD;
    let are_held = |books: &Value| books["waiting"]["held"] == BAD && books["done"] == good;
    line.books_until("the bad ones are held, the good ones done", are_held);
    let bad = ids.iter().zip(&tickets).rev();
    let bad = bad.filter(|(_, (_, what))| what == "bad").map(|(id, _)| id);
    let last = bad.clone().next().expect("many of them");
    assert_says_what_it_waits_for(&line, last);
    costs_one_canary(&line);
    line.books_until("they are held again", are_held);
    line.script("handler.sh", &repaired("v3"));
    let books = line.books_until("all are done", |books| books["done"] == ids.len());
    assert_eq!(books["balanced"], true, "{books}");
    assert_eq!(books["accepted"], ids.len(), "{books}");
    let runs = line.file("runs");
    // The canary, and then the ramp.
    assert_steps(&runs, "v3", &[1, 1, 10, 100]);
    let count = |what: &str| runs.lines().filter(|line| line.starts_with(what)).count();
    assert_eq!(count("v3 start"), BAD, "each lands at once");
    assert_told_once_each(&line, count("v1 start") + count("v2 start"));
    assert_tells_of_the_plan(&line, bad);
    line.stop();
}

/// Why it waits, and what will let it go.
fn assert_says_what_it_waits_for(line: &Line, id: &str) {
    let breaker = line.breaker("work");
    let signature = breaker["signature"].as_str().unwrap_or_default();
    let version = breaker["failed_versions"][0].as_str().unwrap_or_default();
    let value = breaker["value"].as_str().unwrap_or_default();
    assert!(value.contains("unknown field epoch"), "{breaker}");
    let explained = line.teller().json(&["ticket", "explain", id, "-o", "json"]);
    assert_eq!(explained["reason"], "held", "{explained}");
    let waits_for = explained["waits_for"].as_str().unwrap_or_default();
    for word in [signature, version, "unknown field epoch"] {
        assert!(waits_for.contains(word), "no {word:?} in {explained}");
    }
}

/// One plan, that nobody made by hand, has released all but the canary; and they know it.
fn assert_tells_of_the_plan<'a>(line: &Line, bad: impl Iterator<Item = &'a String>) {
    let told = line.teller().json(&["plan", "list", "-o", "json"]);
    let Some([plan]) = told.as_array().map(Vec::as_slice) else {
        panic!("one plan, got {told}");
    };
    assert_eq!(plan["by"], "breaker", "{plan}");
    assert_eq!(plan["state"], "done", "{plan}");
    assert_eq!(plan["terms"]["ramp"], "1,10,100,all", "{plan}");
    assert_eq!(plan["counts"]["landed"], BAD - 1, "{plan}");
    let id = plan["id"].as_str().unwrap_or_default();
    let by_plan = |ticket: &&String| {
        let history = line.history(ticket);
        let released = lines(&history, "released", "");
        let why = released.last().and_then(|line| line["why"].as_str());
        why.is_some_and(|why| why.contains(id))
    };
    assert_eq!(bad.filter(by_plan).count(), BAD - 1, "plan {id}");
}

const OLD: &str = r#"
[flow.ci]
stages = ["work"]
[stage.work]
run = ["./old.sh"]
version = "1"
concurrency = 2
retry = { first = "10ms", max = "50ms" }
breaker = { failures = 5, probe = "5s" }
"#;

/// One worker has the new version, the other one stays with the old one.
#[test]
fn rabbitmq_half_of_a_rolling_upgrade_lets_through_what_the_old_version_breaks() {
    let Some(field) = Field::shared(OLD) else {
        return;
    };
    let (old, new) = (crashing("v1"), repaired("v2"));
    let scripts = [("old.sh", &*old), ("new.sh", &*new)];
    let mut line = Line::of_servers(field, &scripts, 2);
    let tickets = mixed();
    let ids = line.submit(&tickets);
    line.books_until("the bad ones are held", |books| {
        books["waiting"]["held"] == BAD && books["done"] == ids.len() - BAD
    });
    let newer = OLD.replace("old.sh", "new.sh").replace("\"1\"", "\"2\"");
    line.upgrade_worker(0, &newer);
    let upgraded = Instant::now();
    let books = line.books_until("all are done", |books| books["done"] == ids.len());
    println!("all are done {:?} after the upgrade", upgraded.elapsed());
    assert_eq!(books["balanced"], true, "{books}");
    let runs = line.file("runs");
    let after = runs.lines().skip_while(|run| !run.starts_with("v2"));
    let by_old: Vec<&str> = after.filter(|run| run.starts_with("v1")).collect();
    assert!(
        by_old.is_empty(),
        "what it breaks goes to it again: {by_old:?}"
    );
    assert_steps(&runs, "v2", &[1, 1, 10, 100]);
    let crashes = runs.lines().filter(|run| run.starts_with("v1")).count();
    assert_told_once_each(&line, crashes);
    line.stop();
}

#[test]
fn a_stage_that_a_version_breaks_as_a_whole_stands_still_and_goes_on_after_its_repair() {
    let scripts = [("handler.sh", &*slowly_crashing())];
    stands_still(Line::of_one(STORM, &scripts), CRASHES_MAX);
}

#[test]
fn rabbitmq_stage_that_a_version_breaks_as_a_whole_stands_still_and_goes_on_after_its_repair() {
    let Some(field) = Field::shared(STORM) else {
        return;
    };
    let scripts = [("handler.sh", &*slowly_crashing())];
    stands_still(Line::of_servers(field, &scripts, 2), CRASHES_MAX_OF_SERVERS);
}

/// Each takes a while before it crashes.
fn slowly_crashing() -> String {
    version(
        "v1",
        "sleep 0.1; echo 'recipe of gcc: unknown field epoch' >&2; kill -ABRT $$",
    )
}

/// Twenty to see that the stage fails, what was in hand meanwhile, a canary now and then.
const CRASHES_MAX: usize = 40;
/// The same, and what eight slots begin in three seconds: workers must hear of it first.
const CRASHES_MAX_OF_SERVERS: usize = CRASHES_MAX + 3 * 8 * 10;

fn stands_still(line: Line, crashes_max: usize) {
    let ids = line.submit(&all_bad());
    let count = |what: &str| {
        let runs = line.file("runs");
        runs.lines().filter(|line| line.starts_with(what)).count()
    };
    line.file_until("runs", "twenty crashes", |_| count("v1 start") >= 20);
    line.books_until("it stands still", |books| {
        books["running"] == 0 && books["waiting"]["held"].as_u64() >= Some(20)
    });
    costs_one_canary(&line);
    let crashes = count("v1 start");
    println!("it stood still after {crashes} crashes");
    assert!(crashes <= crashes_max, "{crashes}\n{}", line.logs());
    line.script("handler.sh", &repaired("v3"));
    let books = line.books_until("all are done", |books| books["done"] == BAD);
    assert_eq!(books["balanced"], true, "{books}");
    assert_eq!(books["accepted"], ids.len(), "{books}");
    assert_steps(&line.file("runs"), "v3", &[1]);
    assert_eq!(count("v3 start"), BAD, "each lands at once");
    assert_told_once_each(&line, count("v1 start") + count("v2 start"));
    line.stop();
}

/// A new version that is also bad is tried at once, and once only in a probe interval.
fn costs_one_canary(line: &Line) {
    line.script("handler.sh", &crashing("v2"));
    let deployed = line.file("runs").lines().count();
    line.file_until("runs", "a canary of the new version", |runs| {
        runs.contains("v2 start")
    });
    // Nothing is to happen for so long.
    std::thread::sleep(PROBE * 4 / 5);
    let runs = line.file("runs");
    let since: Vec<&str> = runs.lines().skip(deployed).collect();
    let canaries = since.iter().filter(|run| run.starts_with("v2")).count();
    assert_eq!(canaries, 1, "{since:?}");
}

/// Each step begins when all of the one before have ended; what comes after the last is free.
fn assert_steps(runs: &str, version: &str, steps: &[usize]) {
    let bounds = steps.iter().scan(0, |sum, step| {
        *sum += step;
        Some(*sum)
    });
    let bounds: Vec<usize> = bounds.collect();
    let (mut started, mut ended) = (0, 0);
    for (at, run) in runs.lines().enumerate() {
        match run.strip_prefix(version) {
            Some(what) if what.starts_with(" start") => {
                let due = bounds.iter().rev().find(|bound| **bound <= started);
                let due = *due.unwrap_or(&0);
                assert!(
                    ended >= due,
                    "line {at}: {ended} of {due} have ended: {runs}"
                );
                started += 1;
            }
            Some(_) => ended += 1,
            None => {}
        }
    }
}

/// Each crash has its report, and nothing else has one.
fn assert_told_once_each(line: &Line, crashes: usize) {
    let ask = line.teller();
    let reports = oopses(&ask);
    assert_eq!(reports.len(), crashes);
    let names: BTreeSet<String> = reports
        .iter()
        .map(|oops| format!("{} {}", oops["ticket"], oops["attempt"]))
        .collect();
    assert_eq!(names.len(), crashes, "each tells of another attempt");
    assert_histories_agree(&ask, &reports);
}
