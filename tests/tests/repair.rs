//! What keeps failing is held, is tried again when it is repaired, and follows by a release plan;
//! and what a person can do about it from the command line.

use acceptance::{Site, eventually, show, text};
use serde_json::Value;

/// Fewer than it takes to call the whole stage a failing one.
const TICKETS: u64 = 15;
/// More than that.
const MANY: usize = 40;

/// Probes come once an hour, so that whatever runs before that was called by a new version or by a
/// person.
const CONFIG: &str = r#"
[stage.work]
run = ["./work.sh"]
concurrency = 2
retry = { first = "50ms", max = "100ms" }
breaker = { failures = 3, probe = "1h" }
"#;

const BROKEN: &str = "#!/bin/sh\necho 'the index is broken' >&2\nexit 3\n";
const STILL_BROKEN: &str = "#!/bin/sh\n# version 2\necho 'the index is broken' >&2\nexit 3\n";
/// Each ticket fails in a way of its own.
const BROKEN_IN_MANY_WAYS: &str =
    "#!/bin/sh\nread -r word\necho \"the $word is broken\" >&2\nexit 3\n";
const REPAIRED: &str = "#!/bin/sh\nexit 0\n";
const REJECTS: &str = "#!/bin/sh\necho 'no such package' >&2\nexit 65\n";

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn submit(site: &Site, count: u64, kind: &str) -> Vec<String> {
    let line = format!("{{\"stage\":\"work\",\"kind\":\"{kind}\"}}\n");
    site.write(
        "tickets.jsonl",
        &line.repeat(usize::try_from(count).expect("a small number")),
    );
    let ids = site.ok(&["submit", "--jsonl", "tickets.jsonl"]);
    ids.lines().map(str::to_owned).collect()
}

fn breakers(site: &Site) -> Vec<Value> {
    let all = site.json(&["stage", "breakers", "work", "-o", "json"]);
    items(&all).to_vec()
}

/// The one breaker of a signature, once it holds so many tickets.
fn holds(site: &Site, count: u64) -> Value {
    let found = eventually(|| {
        let all = breakers(site);
        let held = all
            .into_iter()
            .find(|it| it["scope"] == "signature" && it["held"] == count);
        held.filter(|it| it["state"] == "open")
    });
    found.unwrap_or_else(|| panic!("{count} held: {:?}\n{}", breakers(site), site.log_tail()))
}

fn plan(site: &Site, id: &str) -> Value {
    site.json(&["plan", "show", id, "-o", "json"])
}

fn plan_until(site: &Site, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let found = eventually(|| Some(plan(site, id)).filter(&is_so));
    found.unwrap_or_else(|| panic!("{what}: {}\n{}", plan(site, id), site.log_tail()))
}

/// Runs a command that must be refused, and says why on stderr.
fn check_refused(site: &Site, line: &str, code: i32, says: &str) {
    let ran = site.cli(&words(line));
    assert_eq!(ran.status.code(), Some(code), "{line:?}: {}", show(&ran));
    assert!(text(&ran.stderr).contains(says), "{line:?}: {}", show(&ran));
}

/// Waits until the breakers are so.
fn breakers_until<T>(site: &Site, what: &str, look: impl FnMut() -> Option<T>) -> T {
    let found = eventually(look);
    found.unwrap_or_else(|| panic!("{what}: {:?}\n{}", breakers(site), site.log_tail()))
}

/// Tickets that carry a word of their own each; returns the id of the last one.
fn submit_words(site: &Site, count: usize) -> String {
    let letters: Vec<char> = ('a'..='z').collect();
    let word = |n: usize| format!("{}{}ox", letters[n / 26], letters[n % 26]);
    let line = |n: usize| format!("{{\"stage\":\"work\",\"payload\":\"{}\"}}\n", word(n));
    site.write("words.jsonl", &(0..count).map(line).collect::<String>());
    let ids = site.ok(&words("submit --jsonl words.jsonl"));
    ids.lines().last().unwrap_or_default().to_owned()
}

fn check_says(text: &Value, says: &str) {
    let is_said = text.as_str().is_some_and(|it| it.contains(says));
    assert!(is_said, "{says:?} is missing in {text}");
}

fn attempts(site: &Site) -> usize {
    let oopses = site.json(&["oops", "list", "--limit", "10000", "-o", "json"]);
    items(&oopses).len()
}

#[test]
fn what_is_held_for_a_repair_goes_on_by_itself_when_the_handler_is_replaced() {
    let site = Site::new(CONFIG);
    site.script("work.sh", BROKEN);
    let up = site.up();
    let ids = submit(&site, TICKETS, "build");
    let breaker = holds(&site, TICKETS);
    let signature = breaker["signature"].as_str().unwrap().to_owned();
    assert!(signature.starts_with("v1-"), "{breaker}");
    check_says(&breaker["value"], "the index is broken");
    assert!(!breaker["next_probe"].is_null(), "{breaker}");
    let told = site.json(&["ticket", "explain", &ids[0], "-o", "json"]);
    assert_eq!(told["reason"], "held", "{told}");
    check_says(&told["waits_for"], &signature);
    check_says(&told["then"], "release plan");

    // A version that is as bad costs one attempt.
    let before = attempts(&site);
    site.script("work.sh", STILL_BROKEN);
    let versions = |it: &Value| items(&it["failed_versions"]).len();
    let tried = || Some(holds(&site, TICKETS)).filter(|it| versions(it) == 2);
    breakers_until(&site, "it is held against both", tried);
    assert_eq!(attempts(&site), before + 1);

    site.script("work.sh", REPAIRED);
    site.books_until("the end", |books| books["done"] == TICKETS);
    let plans = site.json(&["plan", "list", "-o", "json"]);
    assert_eq!(items(&plans).len(), 1, "{plans}");
    let id = plans[0]["id"].as_str().unwrap();
    let done = plan_until(&site, id, "its end", |plan| plan["state"] == "done");
    assert_eq!(done["selection"]["signature"], signature.as_str(), "{done}");
    assert_eq!(
        done["counts"]["landed"],
        TICKETS - 1,
        "all but the canary: {done}"
    );
    assert_eq!(done["counts"]["failed"], 0, "{done}");

    check_histories(&site, &ids, id);
    let is_over = || breakers(&site).is_empty().then_some(());
    breakers_until(&site, "nothing fails any more", is_over);
    assert!(up.stop().success());
}

/// Each history tells who released its ticket: one canary landed, the plan released the others.
fn check_histories(site: &Site, ids: &[String], plan: &str) {
    let history = |id: &String| site.ok(&["ticket", "history", id]);
    let histories: Vec<String> = ids.iter().map(history).collect();
    let by_plan = histories.iter().filter(|it| it.contains(plan)).count();
    assert_eq!(by_plan as u64, TICKETS - 1, "{histories:#?}");
    let canaries = histories.iter().filter(|it| it.contains("canary")).count();
    assert!((1..=2).contains(&canaries), "{histories:#?}");
}

#[test]
fn a_person_can_have_one_tried_without_waiting_for_its_time() {
    let site = Site::new(CONFIG);
    site.script("work.sh", BROKEN);
    let _up = site.up();
    submit(&site, 5, "build");
    let breaker = holds(&site, 5);
    let signature = breaker["signature"].as_str().unwrap().to_owned();
    check_refused(&site, "stage probe wrok", 3, "did you mean \"work\"?");
    let unknown = "stage probe work --signature v1-0000000000000000";
    check_refused(&site, unknown, 3, &signature);
    let before = attempts(&site);
    let said = site.ok(&["stage", "probe", "work", "--signature", &signature]);
    assert!(said.contains(&signature), "{said}");
    let tried = || (attempts(&site) == before + 1).then_some(());
    breakers_until(&site, "one is tried", tried);
    holds(&site, 5);
    assert_eq!(attempts(&site), before + 1, "and no other");
}

#[test]
fn a_stage_that_fails_in_many_ways_is_held_as_a_whole_and_tries_one_at_a_time() {
    let site = Site::new(CONFIG);
    site.script("work.sh", BROKEN_IN_MANY_WAYS);
    let _up = site.up();
    let last = submit_words(&site, MANY);
    let open = || {
        let mut all = breakers(&site).into_iter();
        all.find(|it| it["scope"] == "stage" && it["state"] == "open")
    };
    breakers_until(&site, "the stage is held", open);
    let stage = site.json(&words("stage show work -o json"));
    check_says(&stage["gate"]["reason"], "in a row");
    let applied = &stage["applied"];
    assert_eq!((&applied["by"], &applied["of"]), (&1.into(), &1.into()));
    assert!(applied["revision"].as_u64() >= Some(1), "{applied}");
    let told = site.json(&["ticket", "explain", &last, "-o", "json"]);
    assert_eq!(told["state"], "runnable", "{told}");
    check_says(&told["waits_for"], "fails as a whole");
    // What was in hand when it opened may still end; then all is quiet.
    site.books_until("nothing runs", |books| books["running"] == 0);
    let before = attempts(&site);
    assert!(before < MANY, "{before} attempts");
    site.ok(&words("stage probe work"));
    let tried = || (attempts(&site) > before).then_some(());
    breakers_until(&site, "one is tried", tried);
    breakers_until(&site, "it is held again", open);
    assert_eq!(attempts(&site), before + 1, "one, and no other");

    site.script("work.sh", REPAIRED);
    let books = site.books_until("the end", |books| books["done"] == MANY);
    assert_eq!(books["balanced"], true, "{books}");
    let is_over = || breakers(&site).is_empty().then_some(());
    breakers_until(&site, "nothing fails any more", is_over);
}

#[test]
fn parked_tickets_are_released_and_dropped_by_groups_of_a_plan() {
    let site = Site::new(CONFIG);
    site.script("work.sh", REJECTS);
    let _up = site.up();
    submit(&site, 12, "rust");
    submit(&site, 8, "go");
    let all_parked = |books: &Value| books["waiting"]["parked"] == 20;
    site.books_until("all are parked", all_parked);
    site.script("work.sh", REPAIRED);
    let made = site.json(&words("plan make --filter is:parked -o json"));
    let id = made["id"].as_str().unwrap();
    assert_eq!(made["state"], "ready", "{made}");
    assert_eq!(made["counts"]["total"], 20, "{made}");
    let groups: Vec<(&str, u64)> = items(&made["groups"])
        .iter()
        .filter_map(|it| Some((it["name"].as_str()?, it["count"].as_u64()?)))
        .filter(|(name, _)| name.starts_with("kind="))
        .collect();
    assert_eq!(groups, [("kind=rust", 12), ("kind=go", 8)], "{made}");
    let other = format!("plan release {id} --group kind=c");
    check_refused(&site, &other, 4, "no ticket of kind=c");
    site.books_until("nothing has moved", all_parked);

    let release = format!("plan release {id} --group kind=rust --ramp 1,3");
    site.ok(&words(&release));
    site.books_until("the group is done", |books| books["done"] == 12);
    let shown = plan_until(&site, id, "ready again", |plan| plan["state"] == "ready");
    assert_eq!(shown["counts"]["landed"], 12, "{shown}");
    assert_eq!(shown["counts"]["left"], 8, "{shown}");
    site.ok(&words(&format!(
        "plan drop {id} --group kind=go --reason unwanted"
    )));
    let books = site.books_until("the others are dropped", |books| books["dropped"] == 8);
    assert_eq!(books["balanced"], true, "{books}");
    let shown = plan_until(&site, id, "its end", |plan| plan["state"] == "done");
    assert_eq!(shown["counts"]["dropped"], 8, "{shown}");
    let dropped = site.json(&words("ticket list --filter is:dropped -o json"));
    assert_eq!(dropped[0]["reason"], "unwanted", "{dropped}");
}

/// Parked ones and ones that back off alike; who ends nothing but these is not asked for a reason.
#[test]
fn a_retry_in_bulk_is_a_plan_with_a_rate_and_a_stop() {
    let site = Site::new(&CONFIG.replace("50ms", "1h").replace("100ms", "2h"));
    site.script("work.sh", REJECTS);
    let _up = site.up();
    submit(&site, 20, "rust");
    site.books_until("all are parked", |books| books["waiting"]["parked"] == 20);
    site.script("work.sh", BROKEN);
    submit(&site, 2, "rust");
    site.books_until("two back off", |books| books["waiting"]["backoff"] == 2);
    site.script("work.sh", REPAIRED);
    let line = "ticket retry --filter is:parked,backoff";
    check_refused(&site, line, 2, "would retry 22 tickets");
    let unasked = site.json(&words("plan list -o json"));
    assert_eq!(unasked[0]["state"], "stopped", "{unasked}");
    let moved = |books: &Value| books["waiting"]["parked"] != 20 || books["done"] != 0;
    assert!(!moved(&site.books()), "nothing was done");

    let id = site.ok(&words(&format!("{line} --rate 2/s --yes -o name")));
    let id = id.trim();
    site.books_until("some are done", |books| books["done"].as_u64() >= Some(1));
    site.ok(&words(&format!("plan stop {id}")));
    let stopped = plan(&site, id);
    assert_eq!(stopped["counts"]["total"], 22, "{stopped}");
    assert!(stopped["counts"]["left"].as_u64() > Some(0), "{stopped}");

    site.ok(&words(&format!("{line} --yes")));
    let books = site.books_until("all are done", |books| books["done"] == 22);
    assert_eq!(books["balanced"], true, "{books}");
    let history = site.json(&words(&format!(
        "ticket history {} -o json",
        site.ok(&words("ticket list --limit 1 -o name")).trim()
    )));
    assert!(history.to_string().contains("release plan"), "{history}");
}

#[test]
fn what_a_plan_cannot_do_is_refused_with_its_own_code() {
    let site = Site::new(CONFIG);
    site.script("work.sh", REJECTS);
    let _up = site.up();
    submit(&site, 1, "rust");
    site.books_until("it is parked", |books| books["waiting"]["parked"] == 1);
    let none = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";
    check_refused(&site, &format!("plan show {none}"), 3, "no such plan");
    check_refused(&site, &format!("plan release {none}"), 3, "no such plan");
    let made = site.ok(&words("plan make --filter is:parked -o name"));
    let id = made.trim();
    check_refused(&site, &format!("plan pause {id}"), 4, "nothing to pause");
    check_refused(&site, &format!("plan resume {id}"), 4, "nothing to resume");
    site.ok(&words(&format!(
        "plan drop {id} --group everything --reason x"
    )));
    check_refused(&site, &format!("plan release {id}"), 4, "make a new plan");
    check_refused(&site, &format!("plan stop {id}"), 4, "nothing to stop");
}

#[test]
fn a_release_rests_stops_and_goes_on_as_it_is_told() {
    let site = Site::new(CONFIG);
    site.script("work.sh", REJECTS);
    let up = site.up();
    submit(&site, 40, "rust");
    site.books_until("all are parked", |books| books["waiting"]["parked"] == 40);
    site.script("work.sh", REPAIRED);
    let made = site.ok(&words("plan make --filter is:parked --ramp all -o name"));
    let id = made.trim();
    let order = |line: &str| site.ok(&words(&line.replace("ID", id)));
    order("plan release ID --rate 2/s");
    check_refused(
        &site,
        &format!("plan release {id}"),
        4,
        "is being released already",
    );
    site.books_until("some are done", |books| books["done"].as_u64() >= Some(2));
    let paused = order("plan pause ID");
    assert!(paused.contains("paused"), "{paused}");
    let released = |site: &Site| plan(site, id)["counts"]["released"].as_u64();
    let before = released(&site);
    assert!(before < Some(40), "{before:?}");

    // It rests over a restart, too, which takes longer than the next ticket would.
    assert!(up.stop().success());
    let _up = site.up();
    assert_eq!(plan(&site, id)["state"], "paused");
    assert_eq!(released(&site), before, "nothing goes while it rests");
    order("plan resume ID");
    site.books_until("more are done", |books| books["done"].as_u64() > before);
    order("plan stop ID");
    let stopped = plan(&site, id);
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    let why = stopped["why"].as_str().unwrap();
    assert!(why.ends_with("stopped it"), "{stopped}");
    order("plan release ID --rate none");
    let books = site.books_until("all are done", |books| books["done"] == 40);
    assert_eq!(books["balanced"], true, "{books}");
    let done = plan_until(&site, id, "its end", |plan| plan["state"] == "done");
    check_trail(&done);
}

fn check_trail(plan: &Value) {
    let deeds = items(&plan["trail"]).iter();
    let said: Vec<&str> = deeds.filter_map(|it| it["what"].as_str()).collect();
    for word in [
        "made it",
        "released everything",
        "paused",
        "resumed",
        "stopped",
    ] {
        let is_told = said.iter().any(|it| it.contains(word));
        assert!(is_told, "{word} is missing in {said:?}");
    }
}
