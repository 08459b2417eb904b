//! Work that takes longer than a broker lives, or than it waits for an acknowledgement: run once.
//! The full lengths are run with `GOAROUND_LONG=1`, as `make chaos` does.

use acceptance::audit::{End, oopses};
use acceptance::eventually;
use acceptance::field::{Broker, Field};
use acceptance::process::Process;
use std::time::Duration;
use testkit::partners::rabbitmq::{Options, Version};
use testkit::partners::setting;

/// Log lines of a worker that has met one broker restart: reconnecting is told, not sung.
const LOG_LINES_MAX: usize = 150;
const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// The short length, unless the long one is asked for.
fn seconds(short: u64, long: u64) -> u64 {
    match setting("GOAROUND_LONG") {
        Some(_) => long,
        None => short,
    }
}

fn config(seconds: u64) -> String {
    format!(
        "[flow.slow]\nstages = [\"work\"]\n[stage.work]\n\
         run = [EFFECT, \"--sleep\", \"{seconds}\"]\ndeadline = \"20m\"\nconcurrency = 2\n"
    )
}

/// The ticket was run once, ended well, and nobody was told of a failure.
fn assert_run_once(field: &Field, controller: &Process, id: &str) {
    let effects = field.effects();
    let runs = effects.of(id);
    assert_eq!(runs.len(), 1, "{runs:?}\n{}", field.logs());
    assert_eq!(runs[0].1, End::Done);
    let reports = oopses(&field.ask(controller));
    assert!(reports.is_empty(), "{reports:?}");
    let ticket = field
        .ask(controller)
        .json(&["ticket", "show", id, "-o", "json"]);
    assert_eq!(ticket["attempt"], 1, "{ticket}");
}

fn await_running(field: &Field, id: &str) {
    let runs = eventually(|| (!field.effects().of(id).is_empty()).then_some(()));
    assert!(runs.is_some(), "it does not begin:\n{}", field.logs());
}

/// The broker goes away and comes back while a ticket is in work.
fn a_restart_in_the_middle(length: u64, ack_timeout: &str) {
    let Some(mut field) = Field::with(Options::new(Version::V310), &config(length)) else {
        return;
    };
    field.set("broker.ack_timeout", ack_timeout);
    let controller = field.controller("controller");
    let mut worker = field.worker("worker");
    worker.await_ready();
    let ids = field.submit(&controller, "slow", 1);
    await_running(&field, &ids[0]);
    std::thread::sleep(Duration::from_secs(length / 3));
    if let Broker::Own(broker) = &mut field.broker {
        broker.stop();
        broker.restart();
    }
    std::thread::sleep(Duration::from_secs(length / 2));
    field.books_until(&controller, "the end", |books| books["done"] == 1);
    assert_run_once(&field, &controller, &ids[0]);
    let lines = worker.log().lines().count();
    assert!(lines <= LOG_LINES_MAX, "{lines} lines:\n{}", worker.log());
    assert!(worker.stop().success());
}

#[test]
fn rabbitmq_restarted_in_the_middle_of_a_long_ticket_leaves_it_running_once() {
    // Its deadline is far below half of this, so it is not claimed.
    a_restart_in_the_middle(seconds(25, 300), "2h");
}

#[test]
fn rabbitmq_restarted_in_the_middle_of_a_claimed_ticket_leaves_it_running_once() {
    a_restart_in_the_middle(25, "30m");
}

/// Twice as many as run at once: what is prefetched waits longer than the broker allows, too.
fn longer_than_the_ack_timeout(version: Version, length: u64) {
    let options = Options::new(version).consumer_timeout(ACK_TIMEOUT);
    let Some(mut field) = Field::with(options, &config(length)) else {
        return;
    };
    field.set("broker.ack_timeout", "10s");
    let controller = field.controller("controller");
    let mut worker = field.worker("worker");
    worker.await_ready();
    let ids = field.submit(&controller, "slow", 4);
    field.books_until(&controller, "the end", |books| books["done"] == 4);
    for id in &ids {
        assert_run_once(&field, &controller, id);
    }
    let lines = worker.log().lines().count();
    assert!(lines <= LOG_LINES_MAX, "{lines} lines:\n{}", worker.log());
    assert!(worker.stop().success());
}

#[test]
fn rabbitmq_that_takes_deliveries_back_after_ten_seconds_gets_longer_work_done_once() {
    longer_than_the_ack_timeout(Version::V310, seconds(30, 60));
}

#[test]
fn rabbitmq_4_trixie_that_takes_deliveries_back_gets_longer_work_done_once() {
    longer_than_the_ack_timeout(Version::V40, 15);
}

#[test]
fn rabbitmq_4_sid_that_takes_deliveries_back_gets_longer_work_done_once() {
    longer_than_the_ack_timeout(Version::V43, 15);
}
