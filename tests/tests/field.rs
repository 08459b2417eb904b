//! RabbitMQ and PostgreSQL instead of one machine: workers and controllers that die at any time.

use acceptance::audit::{Audit, Effects, assert_histories_agree, oopses};
use acceptance::field::{Broker, Field};
use acceptance::teller::Teller;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Instant;
use testkit::partners::rabbitmq::{Options, Version};

/// How many attempts three dead workers can leave behind that were begun: six each in their slots,
/// and what was told as begun before a slot was free.
const IN_HAND_MAX: usize = 3 * 6 * 4;
const STAGES: [&str; 3] = ["build", "test", "publish"];

/// One ticket in a hundred, by the end of its payload, ends its handler at the first attempt.
const CONFIG: &str = r#"
[flow.ci]
stages = ["build", "test", "publish"]
[stage.build]
run = [EFFECT]
concurrency = 2
retry = { first = "50ms", max = "200ms" }
[stage.test]
run = [EFFECT, "--crash", "07"]
concurrency = 2
retry = { first = "50ms", max = "200ms" }
[stage.publish]
run = [EFFECT]
concurrency = 2
retry = { first = "50ms", max = "200ms" }
"#;

#[test]
fn rabbitmq_twenty_thousand_tickets_survive_kills_of_every_role_and_a_broker_restart() {
    survives(Version::V310, 20_000);
}

#[test]
fn rabbitmq_4_trixie_tickets_survive_kills_of_every_role_and_a_broker_restart() {
    survives(Version::V40, 2_000);
}

#[test]
fn rabbitmq_4_sid_tickets_survive_kills_of_every_role_and_a_broker_restart() {
    survives(Version::V43, 2_000);
}

fn survives(version: Version, tickets: usize) {
    let Some(mut field) = Field::with(Options::new(version), CONFIG) else {
        return;
    };
    let mut first = field.controller("controller-1");
    let second = field.controller("controller-2");
    let mut workers = ["worker-1", "worker-2", "worker-3"].map(|name| field.worker(name));
    let begun = Instant::now();
    let ids = field.submit(&second, "ci", tickets);
    assert_eq!(
        ids.iter().collect::<BTreeSet<_>>().len(),
        tickets,
        "ids of their own"
    );
    let reach = |field: &Field, share: usize| {
        let share = (tickets * share / 100) as u64;
        let books = field.books_until(&second, "progress", |books| {
            books["done"].as_u64() >= Some(share)
        });
        println!("{:?}: {share} done", begun.elapsed());
        assert_balanced(&books, tickets);
    };
    for (number, worker) in workers.iter_mut().enumerate() {
        reach(&field, 10 + 20 * number);
        match number {
            // Its launcher starts it again.
            0 => worker.kill_child(),
            _ => worker.restart(),
        }
    }
    reach(&field, 60);
    first.kill();
    reach(&field, 70);
    if let Broker::Own(broker) = &mut field.broker {
        broker.stop();
        broker.restart();
    }
    let books = field.books_until(&second, "the end", |books| books["done"] == tickets);
    println!("{:?}: all done", begun.elapsed());
    assert_balanced(&books, tickets);
    audit(&field.ask(&second), &ids, &field.effects());
}

fn audit(teller: &Teller, ids: &[String], effects: &Effects) {
    let reports = oopses(teller);
    let audit = Audit::new(&[(ids, &STAGES)], effects, &reports);
    println!(
        "{} runs, {} hops done again, {} OOPSes, {} of them for runs that ended before anybody \
         could hear of it",
        effects.runs.len(),
        audit.repeated.len(),
        reports.len(),
        audit.posthumous.len()
    );
    audit.assert_clean();
    // What was in hand at the deaths, and nothing else.
    assert!(audit.posthumous.len() <= IN_HAND_MAX, "{audit:#?}");
    assert_histories_agree(teller, &reports);
}

fn assert_balanced(books: &Value, accepted: usize) {
    assert_eq!(books["balanced"], true, "{books}");
    assert_eq!(books["accepted"], accepted, "{books}");
}
