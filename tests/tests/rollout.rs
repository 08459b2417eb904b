//! Upgrades and absences: what goes on while a part of the fleet is another version, or away.

use acceptance::audit::{Audit, oopses};
use acceptance::eventually;
use acceptance::field::Field;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const TICKETS: usize = 1_000;
const STAGES: [&str; 2] = ["build", "test"];
const DRAIN: Duration = Duration::from_secs(20);

fn config(version: &str) -> String {
    let stage = |name: &str| {
        format!(
            "[stage.{name}]\nrun = [EFFECT, \"--sleep\", \"0.02\"]\nconcurrency = 2\n\
             version = \"{version}\"\n"
        )
    };
    format!(
        "[flow.ci]\nstages = [\"build\", \"test\"]\n{}{}",
        stage("build"),
        stage("test")
    )
}

#[test]
fn rabbitmq_rolling_upgrade_and_rollback_charge_nothing_and_repeat_nothing() {
    let Some(field) = Field::shared(&config("1")) else {
        return;
    };
    let controller = field.controller("controller");
    let mut workers = ["worker-1", "worker-2"].map(|name| field.worker(name));
    let ids = field.submit(&controller, "ci", TICKETS);
    let reach = |share: usize| {
        let share = (TICKETS * share / 100) as u64;
        field.books_until(&controller, "progress", |books| {
            books["done"].as_u64() >= Some(share)
        });
    };
    for (share, version) in [(20, "2"), (50, "1")] {
        reach(share);
        field.reconfigure(&config(version));
        for worker in &mut workers {
            let begun = Instant::now();
            assert!(worker.stop().success(), "{}", worker.log_tail());
            assert!(begun.elapsed() < DRAIN, "{:?}", begun.elapsed());
            worker.restart();
            worker.await_ready();
        }
    }
    let books = field.books_until(&controller, "all", |books| books["done"] == TICKETS);
    assert_eq!(books["balanced"], true, "{books}");
    let reports = oopses(&field.ask(&controller));
    assert!(reports.is_empty(), "{reports:?}");
    let audit = Audit::new(&[(&ids, &STAGES)], &field.effects(), &reports);
    audit.assert_clean();
    assert!(audit.repeated.is_empty(), "{audit:#?}");
}

const AWAY: &str = r#"
[flow.happy]
stages = ["build", "test"]
[flow.unhappy]
stages = ["build", "fails"]
[stage.build]
run = [EFFECT]
[stage.test]
run = [EFFECT]
[stage.fails]
run = [EFFECT, "--crash", ""]
retry = { first = "50ms", max = "100ms" }
breaker = false
"#;

/// What a hand-off needs is on the broker, whoever keeps the books.
#[test]
fn rabbitmq_workers_go_on_without_a_controller_and_a_restarted_one_catches_up() {
    let Some(field) = Field::shared(AWAY) else {
        return;
    };
    let mut controller = field.controller("controller");
    let mut worker = field.worker("worker");
    worker.await_ready();
    // Submitted, published, and then nobody leads any more.
    worker.stop();
    let happy = field.submit(&controller, "happy", 200);
    let unhappy = field.submit(&controller, "unhappy", 10);
    let published = "SELECT count(*) FROM places WHERE state = 0";
    let are_published = || (field.sql(published).trim() == "210").then_some(());
    acceptance::eventually(are_published).expect("all are published");
    controller.kill();
    worker.restart();
    let begun = acceptance::eventually(|| {
        let effects = field.effects();
        let count = |stage: &str| {
            let of = effects.runs.iter().filter(|(run, _)| run.stage == stage);
            of.count()
        };
        (count("test") == 200 && count("fails") == 10).then_some(effects)
    });
    let effects = begun.unwrap_or_else(|| panic!("they stop:\n{}", field.logs()));
    let failed = effects
        .runs
        .iter()
        .filter(|(run, _)| run.stage == "fails")
        .count();
    assert_eq!(failed, 10, "the unhappy ones wait");
    // Nobody tries again what failed, as long as nobody may.
    std::thread::sleep(Duration::from_secs(2));
    let of_failed = |run: &acceptance::audit::Run| run.stage == "fails";
    let again = field
        .effects()
        .runs
        .iter()
        .filter(|(run, _)| of_failed(run))
        .count();
    assert_eq!(again, 10, "{}", field.logs());
    controller.restart();
    controller.await_ready();
    let books = field.books_until(&controller, "all are done", |books| books["done"] == 210);
    assert_eq!(books["balanced"], true, "{books}");
    let reports = oopses(&field.ask(&controller));
    let effects = field.effects();
    let promises: [(&[String], &[&str]); 2] = [
        (&happy, &["build", "test"]),
        (&unhappy, &["build", "fails"]),
    ];
    let audit = Audit::new(&promises, &effects, &reports);
    audit.assert_clean();
    assert!(audit.repeated.is_empty(), "{audit:#?}");
    assert_eq!(reports.len(), 10, "{reports:?}");
}

/// Takes these kinds only.
fn picky(kinds: &str) -> String {
    format!("[stage.work]\nrun = [EFFECT]\nkinds = [{kinds}]\n")
}

#[test]
fn rabbitmq_a_kind_that_nobody_takes_waits_until_a_worker_announces_it() {
    let Some(field) = Field::shared(&picky(r#""nut""#)) else {
        return;
    };
    let controller = field.controller("controller");
    let mut old = field.worker("old");
    old.await_ready();
    let ask = field.ask(&controller);
    for kind in ["nut", "bolt"] {
        ask.ok(&["submit", "--stage", "work", "--kind", kind]);
    }
    let waits = |books: &Value| books["done"] == 1 && books["waiting"]["unclaimed"] == 1;
    field.books_until(&controller, "nobody takes the bolt", waits);
    let served = || ask.json(&["stage", "show", "work", "-o", "json"])["served"].clone();
    let known = eventually(|| Some(served()).filter(|it| it[0]["kinds"] == json!(["nut"])));
    assert!(known.is_some(), "{}", served());

    field.reconfigure(&picky(r#""nut", "bolt""#));
    let _new = field.worker("new");
    let done = |books: &Value| books["done"] == 2 && books["balanced"] == true;
    field.books_until(&controller, "it is taken now", done);
    let both = eventually(|| Some(served()).filter(|it| it.as_array().map(Vec::len) == Some(2)));
    let both = both.unwrap_or_else(|| panic!("{}\n{}", served(), field.logs()));
    assert_eq!(both[0]["version"], both[1]["version"], "{both}");
    let kinds: BTreeSet<String> = [0, 1].map(|at| both[at]["kinds"].to_string()).into();
    let expected = [json!(["nut"]), json!(["bolt", "nut"])].map(|kinds| kinds.to_string());
    assert_eq!(kinds, expected.into(), "{both}");
    let applied = || ask.json(&["stage", "show", "work", "-o", "json"])["applied"].clone();
    let by_all = |count| move |it: &Value| it["by"] == count && it["of"] == count;
    let all = eventually(|| Some(applied()).filter(by_all(2)));
    assert!(all.is_some(), "{}\n{}", applied(), field.logs());
    old.stop();
    let rest = eventually(|| Some(applied()).filter(by_all(1)));
    assert!(rest.is_some(), "{}\n{}", applied(), field.logs());
    assert_eq!(oopses(&ask).len(), 0);
    let listed = ask.json(&["ticket", "list", "--filter", "kind:bolt", "-o", "json"]);
    assert_eq!(listed[0]["attempt"], 1, "nothing is charged: {listed}");
}
