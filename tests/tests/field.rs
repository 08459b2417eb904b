//! RabbitMQ and PostgreSQL instead of one machine: workers and controllers that die at any time.

use acceptance::audit::{Audit, assert_histories_agree, oopses};
use acceptance::field::{Broker, Field};
use serde_json::Value;
use std::collections::BTreeSet;
use testkit::partners::rabbitmq::{Options, Version};

const TICKETS: usize = 20_000;
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
    let Some(mut field) = Field::with(Options::new(Version::V310), CONFIG) else {
        return;
    };
    let mut first = field.controller("controller-1");
    let second = field.controller("controller-2");
    let mut workers = ["worker-1", "worker-2", "worker-3"].map(|name| field.worker(name));
    let begun = std::time::Instant::now();
    let ids = field.submit(&second, "ci", TICKETS);
    assert_eq!(
        ids.iter().collect::<BTreeSet<_>>().len(),
        TICKETS,
        "ids of their own"
    );
    let reach = |field: &Field, share: usize| {
        let share = (TICKETS * share / 100) as u64;
        let books = field.books_until(&second, "progress", |books| {
            books["done"].as_u64() >= Some(share)
        });
        println!("{:?}: {books}", begun.elapsed());
        assert_balanced(&books, TICKETS);
    };
    for (number, worker) in workers.iter_mut().enumerate() {
        reach(&field, 10 + 20 * number);
        worker.restart();
    }
    reach(&field, 60);
    first.kill();
    reach(&field, 70);
    if let Broker::Own(broker) = &mut field.broker {
        broker.stop();
        broker.restart();
    }
    let books = field.books_until(&second, "the end", |books| books["done"] == TICKETS);
    assert_balanced(&books, TICKETS);
    println!("{:?}: the end", begun.elapsed());
    let effects = field.effects();
    let reports = oopses(&field.ask(&second));
    let audit = Audit::new(&ids, &STAGES, &effects, &reports);
    println!(
        "{} runs, {} repeated, {} OOPSes, {} of them for runs that the far side does not call failed",
        effects.runs.len(),
        audit.repeated.len(),
        reports.len(),
        audit.posthumous.len()
    );
    audit.assert_clean();
    assert_histories_agree(&field.ask(&second), &reports);
}

fn assert_balanced(books: &Value, accepted: usize) {
    assert_eq!(books["balanced"], true, "{books}");
    assert_eq!(books["accepted"], accepted, "{books}");
}
