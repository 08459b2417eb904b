//! Every way to die: the ticket is back, the death is reported once, and the others go on (US-07).

use acceptance::audit::{End, assert_histories_agree, oopses};
use acceptance::eventually;
use acceptance::field::Field;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How a handler dies at its first attempt, by what its ticket carries.
const HANDLER: &str = "#!/bin/sh
read -r way
echo \"$GOAROUND_TICKET_ID $GOAROUND_ATTEMPT\" >> begun.$way
case $way/$GOAROUND_ATTEMPT in
error/1) exit 1 ;;
panic/1) exit 101 ;;
abort/1) kill -ABRT $$ ;;
stack/1) ulimit -s 512; exec bash -c 'recurse() { recurse; }; recurse' ;;
memory/1) head -c 1000000000 /dev/zero | tail -n 1 ;;
killed/1) kill -KILL $$ ;;
endless/1) while :; do :; done ;;
blocked/1) trap '' TERM; while :; do sleep 600; done ;;
spawner/1 | worker/1 | host/1) exec sleep 600 ;;
esac
";

const CONFIG: &str = r#"
[flow.ci]
stages = ["work"]
[stage.work]
run = ["./handler.sh"]
concurrency = 4
deadline = "3s"
stop_grace = "500ms"
memory_bytes_max = "128MiB"
retry = { first = "50ms", max = "200ms" }
[flow.slow]
stages = ["slow"]
[stage.slow]
run = ["./handler.sh"]
concurrency = 4
retry = { first = "50ms", max = "200ms" }
"#;

/// How each is called in its report.
const WAYS: [(&str, &str); 8] = [
    ("error", "failed"),
    ("panic", "failed"),
    ("abort", "crashed"),
    ("stack", "crashed"),
    ("memory", "crashed"),
    ("killed", "crashed"),
    ("endless", "timed_out"),
    ("blocked", "timed_out"),
];

#[test]
fn rabbitmq_gives_back_a_ticket_however_its_handler_dies_and_each_death_is_told_once() {
    let Some(field) = Field::shared(CONFIG) else {
        return;
    };
    field.script("handler.sh", HANDLER);
    let controller = field.controller("controller");
    let mut worker = field.worker("worker");
    let mut lines = String::new();
    let good = ["good"; 12];
    for way in WAYS.iter().map(|(way, _)| way).chain(&good) {
        writeln!(lines, r#"{{"flow":"ci","payload":"{way}\n"}}"#).unwrap();
    }
    field.write("ways.jsonl", &lines);
    let ask = field.ask(&controller);
    let ids = ask.ok(&["submit", "--jsonl", "ways.jsonl"]);
    let ids: Vec<&str> = ids.lines().collect();
    let all = ids.len() as u64;
    field.books_until(&controller, "the good ones, first", |books| {
        books["done"].as_u64() >= Some(good.len() as u64)
    });
    let books = field.books_until(&controller, "all of them", |books| books["done"] == all);
    assert_eq!(books["balanced"], true, "{books}");
    let reports = oopses(&ask);
    let mut told: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for report in &reports {
        told.entry(report["ticket"].as_str().unwrap_or_default())
            .or_default()
            .push(report);
    }
    for ((way, outcome), id) in WAYS.iter().zip(&ids) {
        let reports = told.remove(id).unwrap_or_default();
        assert_eq!(reports.len(), 1, "{way}: {reports:?}");
        assert_eq!(reports[0]["outcome"], *outcome, "{way}: {}", reports[0]);
        assert_eq!(reports[0]["attempt"], 1, "{way}: {}", reports[0]);
        let ticket = ask.json(&["ticket", "show", id, "-o", "json"]);
        assert_eq!(ticket["attempt"], 2, "{way}: {ticket}");
    }
    assert!(told.is_empty(), "nobody else died: {told:?}");
    assert_histories_agree(&ask, &reports);
    assert!(worker.stop().success());
}

/// A leader that has just begun concludes nothing for a lapse of six seconds, since it may not have
/// heard everybody yet. What is measured here is one that has led for a while.
const HEARS_EVERYBODY: Duration = Duration::from_secs(7);

/// Two workers; the one that runs the ticket is hit, the other one stays.
fn a_death_above_the_handler(way: &str, is_told_at_once: bool) {
    let Some(field) = Field::shared(CONFIG) else {
        return;
    };
    field.script("handler.sh", HANDLER);
    let controller = field.controller("controller");
    let mut victim = field.worker("victim");
    victim.await_ready();
    let ask = field.ask(&controller);
    let submit = ["submit", "--flow", "slow", "--payload", way];
    let id = ask.ok(&submit).trim().to_owned();
    let begun = || {
        let begun = std::fs::read_to_string(field.path().join(format!("begun.{way}")));
        begun.unwrap_or_default().lines().count()
    };
    eventually(|| (begun() == 1).then_some(())).expect("it begins");
    let mut other = field.worker("other");
    other.await_ready();
    std::thread::sleep(HEARS_EVERYBODY);
    let hit = Instant::now();
    match way {
        "spawner" => victim.kill_spawner(),
        "worker" => victim.kill_child(),
        _ => victim.kill(),
    }
    let again = eventually(|| (begun() == 2).then_some(hit.elapsed()));
    let took = again.unwrap_or_else(|| panic!("it does not come back:\n{}", field.logs()));
    println!("{way}: running again after {took:?}");
    // Three heartbeats, and a round of questions; slack for a machine that builds meanwhile.
    let most = if is_told_at_once { 5 } else { 15 };
    assert!(
        took < Duration::from_secs(most),
        "{took:?}\n{}",
        field.logs()
    );
    field.books_until(&controller, "it is done", |books| books["done"] == 1);
    let reports = oopses(&ask);
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0]["ticket"], id);
    assert_eq!(reports[0]["attempt"], 1);
    assert_histories_agree(&ask, &reports);
    assert_eq!(begun(), 2);
}

#[test]
fn rabbitmq_gives_back_a_ticket_whose_spawner_was_killed() {
    a_death_above_the_handler("spawner", true);
}

#[test]
fn rabbitmq_gives_back_a_ticket_whose_worker_was_killed_under_its_launcher() {
    a_death_above_the_handler("worker", true);
}

#[test]
fn rabbitmq_gives_back_a_ticket_whose_whole_host_is_gone() {
    a_death_above_the_handler("host", false);
}

const FROZEN: &str = "[flow.ci]\nstages = [\"work\"]\n[stage.work]\n\
                      run = [EFFECT, \"--sleep\", \"14\"]\n";

/// The price of a wrong sentence, as documented: the work may run beside itself. What must not
/// happen is that it counts twice.
#[test]
fn rabbitmq_worker_that_was_frozen_is_taken_for_dead_and_its_late_word_changes_nothing() {
    let Some(field) = Field::shared(FROZEN) else {
        return;
    };
    let controller = field.controller("controller");
    let mut victim = field.worker("victim");
    victim.await_ready();
    let ids = field.submit(&controller, "ci", 1);
    let runs = |count: usize| {
        let begun = eventually(|| (field.effects().of(&ids[0]).len() == count).then_some(()));
        assert!(begun.is_some(), "no {count} runs:\n{}", field.logs());
    };
    runs(1);
    let mut other = field.worker("other");
    other.await_ready();
    victim.freeze_child();
    runs(2);
    victim.thaw_child();
    let books = field.books_until(&controller, "it is done", |books| books["done"] == 1);
    assert_eq!(books["accepted"], 1, "{books}");
    let ask = field.ask(&controller);
    let seen = || {
        let ticket = ask.json(&["ticket", "show", &ids[0], "-o", "json"]);
        (ask.books(), oopses(&ask), ticket)
    };
    let before = seen();
    assert_eq!(before.1.len(), 1, "{before:?}");
    assert_eq!(before.2["attempt"], 2, "{before:?}");
    // Whatever the one that is taken for dead still has to say, it says by now.
    let ended = eventually(|| {
        let effects = field.effects();
        let mut runs = effects.of(&ids[0]).into_iter();
        runs.all(|(_, end)| *end != End::Silent).then_some(())
    });
    assert!(ended.is_some(), "{:?}", field.effects());
    std::thread::sleep(Duration::from_secs(3));
    let after = seen();
    assert_eq!(after.0, before.0);
    assert_eq!(after.1.len(), 1, "{after:?}");
    assert_eq!(
        field.effects().of(&ids[0]).len(),
        2,
        "it does not run again"
    );
    assert!(victim.is_running() && other.is_running());
}
