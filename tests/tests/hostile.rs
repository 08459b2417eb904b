//! What others may do to the broker and the store: a clear error or quarantine; no crash, no loop,
//! nothing lost.

use acceptance::audit::oopses;
use acceptance::eventually;
use acceptance::field::Field;
use acceptance::foreign::Foreign;
use acceptance::process::Process;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const CONFIG: &str = "[flow.ci]\nstages = [\"build\"]\n[stage.build]\nrun = [EFFECT]\n";
const LOG_LINES_MAX: usize = 200;

/// Starts a process that cannot work like this: it ends soon, says why, and tells no secret.
fn assert_refuses(field: &Field, role: &str, differs: &[(&str, &str)], words: &[&str]) {
    let mut process = field.start(role, "refused", differs);
    let status = process.await_end();
    let log = process.log();
    let status = status.unwrap_or_else(|| panic!("{role} goes on with {differs:?}:\n{log}"));
    assert!(!status.success(), "{log}");
    for word in words {
        assert!(log.contains(word), "{word:?} is missing in\n{log}");
    }
    assert!(!log.contains("panicked"), "{log}");
    for secret in ["wrong-secret", "not-a-secret", "guest:guest"] {
        assert!(!log.contains(secret), "{secret} is told:\n{log}");
    }
    std::fs::remove_file(field.path().join("refused.log")).expect("it was written");
}

#[test]
fn rabbitmq_that_refuses_is_named_with_what_is_wrong_and_what_to_do() {
    let Some(field) = Field::shared(CONFIG) else {
        return;
    };
    let url = field.broker.url();
    let with = |from: &str, to: &str| url.replace(from, to);
    for role in ["worker", "controller", "watchdog"] {
        let wrong = with(":guest@", ":wrong-secret@");
        let words = ["guest", "password", "broker.url"];
        assert_refuses(&field, role, &[("broker.url", &wrong)], &words);
        let wrong = with("/%2f", "/nowhere");
        let words = ["nowhere", "virtual host", "add_vhost"];
        assert_refuses(&field, role, &[("broker.url", &wrong)], &words);
    }
}

#[test]
fn rabbitmq_permission_that_is_missing_is_named_with_the_command_that_gives_it() {
    let Some(field) = Field::shared(CONFIG) else {
        return;
    };
    let user = format!("reader-{}", field.prefix());
    field.broker.ctl(&["add_user", &user, "pass"]);
    let url = field
        .broker
        .url()
        .replace("guest:guest", &format!("{user}:pass"));
    let words = ["virtual host", "set_permissions", user.as_str()];
    assert_refuses(&field, "worker", &[("broker.url", &url)], &words);
    field
        .broker
        .ctl(&["set_permissions", &user, "", ".*", ".*"]);
    let words = ["permission", "set_permissions", user.as_str()];
    for role in ["worker", "controller"] {
        assert_refuses(&field, role, &[("broker.url", &url)], &words);
    }
    field
        .broker
        .ctl(&["set_permissions", &user, ".*", "", ".*"]);
    assert_refuses(&field, "worker", &[("broker.url", &url)], &words);
    field.broker.ctl(&["delete_user", &user]);
}

#[test]
fn rabbitmq_and_a_postgres_that_refuses_is_named_with_what_is_wrong_and_what_to_do() {
    let Some(field) = Field::shared(CONFIG) else {
        return;
    };
    let url = field.store_url();
    let wrong = url.replace("not-a-secret", "wrong-secret");
    let words = ["PostgreSQL at", "password", "store.url"];
    assert_refuses(&field, "controller", &[("store.url", &wrong)], &words);
    let wrong = url.replace("/goaround?", "/nowhere?");
    let words = ["PostgreSQL at", "nowhere", "create the database"];
    assert_refuses(&field, "controller", &[("store.url", &wrong)], &words);
}

/// One controller, one worker, one foreign publisher; all of them ready.
fn start(config: &str) -> Option<(Field, Process, Process, Foreign)> {
    let field = Field::shared(config)?;
    let foreign = Foreign::start(&field.broker.url())?;
    let controller = field.controller("controller");
    let mut worker = field.worker("worker");
    worker.await_ready();
    Some((field, controller, worker, foreign))
}

/// Everybody is still there, has not said too much, and works.
fn assert_unharmed(field: &Field, controller: &mut Process, worker: &mut Process, done: u64) {
    let more = field.submit(controller, "ci", 3);
    let books = field.books_until(controller, "work goes on", |books| {
        books["done"].as_u64() >= Some(done + 3)
    });
    assert_eq!(books["balanced"], true, "{books}");
    for id in more {
        assert_eq!(field.effects().of(&id).len(), 1);
    }
    for process in [controller, worker] {
        assert!(
            process.is_running(),
            "{} ended:\n{}",
            process.name(),
            process.log_tail()
        );
        let log = process.log();
        let lines = log.lines().count();
        assert!(
            lines <= LOG_LINES_MAX,
            "{lines} lines:\n{}",
            process.log_tail()
        );
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// How many messages there are in a queue, in hands or not.
fn depth(field: &Field, queue: &str) -> u64 {
    let name = format!("{}.{queue}", field.prefix());
    let listed = field.broker.ctl(&[
        "list_queues",
        "-q",
        "--no-table-headers",
        "name",
        "messages",
    ]);
    let line = listed.lines().find_map(|line| line.strip_prefix(&name));
    line.and_then(|count| count.trim().parse().ok())
        .unwrap_or_else(|| panic!("no queue {name} in\n{listed}"))
}

fn await_depth(field: &Field, queue: &str, depth_awaited: u64) {
    let found = eventually(|| (depth(field, queue) == depth_awaited).then_some(()));
    let is = depth(field, queue);
    assert!(
        found.is_some(),
        "{queue}: {is} instead of {depth_awaited}\n{}",
        field.logs()
    );
}

#[test]
fn rabbitmq_and_pika_messages_without_any_properties_are_done() {
    let Some((field, mut controller, mut worker, mut foreign)) = start(CONFIG) else {
        return;
    };
    let prefix = field.prefix();
    let queue = format!("{prefix}.stage.build");
    foreign.must(&json!({"key": queue, "bare": true, "text": "by queue", "repeat": 5}));
    foreign.must(&json!({"exchange": prefix, "key": "build", "bare": true, "text": "by exchange"}));
    let books = field.books_until(&controller, "six foreign ones", |books| books["done"] == 6);
    assert_eq!(books["accepted"], 6, "{books}");
    assert_eq!(field.effects().runs.len(), 6);
    assert_unharmed(&field, &mut controller, &mut worker, 6);
}

const HEADERS: [&str; 11] = [
    "generation",
    "hop",
    "attempt",
    "flow",
    "key",
    "deadline",
    "created",
    "root",
    "parent",
    "depth",
    "booked",
];

/// Values that no header of ours has, or that none of them can have.
fn strange() -> [Value; 10] {
    [
        json!("two"),
        json!(-7),
        json!(true),
        json!([1, "a"]),
        json!({"a": 1}),
        json!({"!": "timestamp"}),
        json!({"!": "decimal"}),
        json!({"!": "bytes"}),
        json!({"!": "none"}),
        json!({"!": "big"}),
    ]
}

#[test]
fn rabbitmq_and_pika_headers_of_wrong_types_are_no_reason_to_lose_a_ticket() {
    let Some((field, mut controller, mut worker, mut foreign)) = start(CONFIG) else {
        return;
    };
    let mut sent = Vec::new();
    for (n, value) in strange().iter().enumerate() {
        let headers: serde_json::Map<String, Value> = HEADERS
            .iter()
            .map(|name| (format!("goaround-{name}"), value.clone()))
            .collect();
        let id = uuid::Uuid::now_v7().to_string();
        let text = format!("strange {n}");
        let message = json!({
            "exchange": field.prefix(), "key": "build", "id": id, "headers": headers, "text": text
        });
        sent.push(foreign.must(&message));
    }
    let bad_id =
        json!({"exchange": field.prefix(), "key": "build", "id": "not-a-uuid", "text": "x"});
    foreign.must(&bad_id);
    let count = sent.len() as u64 + 1;
    let books = field.books_until(&controller, "all of them are somewhere", |books| {
        let at_rest = ["done", "dropped"].map(|state| books[state].as_u64().unwrap_or_default());
        let waiting = ["parked", "unclaimed"];
        let waiting = waiting.map(|state| books["waiting"][state].as_u64().unwrap_or_default());
        at_rest.iter().chain(&waiting).sum::<u64>() == count
    });
    assert_eq!(books["accepted"], count, "{books}");
    let done = books["done"].as_u64().unwrap_or_default();
    println!("{books}");
    for id in &sent {
        let ticket = field
            .ask(&controller)
            .json(&["ticket", "show", id, "-o", "json"]);
        assert_eq!(ticket["id"], *id, "{ticket}");
    }
    assert_unharmed(&field, &mut controller, &mut worker, done);
}

fn assert_counts_quarantined(process: &Process, reason: &str, count: usize) {
    let counted = format!("goaround_broker_quarantined_total{{reason=\"{reason}\"}} {count}\n");
    let seen = eventually(|| process.metrics().contains(&counted).then_some(()));
    assert!(seen.is_some(), "{counted} is not on\n{}", process.metrics());
}

#[test]
fn rabbitmq_and_pika_body_that_is_too_large_is_kept_and_told() {
    let Some((field, mut controller, mut worker, mut foreign)) = start(CONFIG) else {
        return;
    };
    let id = uuid::Uuid::now_v7().to_string();
    let (prefix, size) = (field.prefix(), 20 * 1024 * 1024);
    foreign.must(&json!({"exchange": prefix, "key": "build", "id": id, "size": size}));
    foreign.must(&json!({"exchange": prefix, "key": "build", "bare": true, "size": size}));
    await_depth(&field, "quarantine", 2);
    await_depth(&field, "stage.build", 0);
    assert_counts_quarantined(&worker, "too_large", 2);
    let ticket = eventually(|| field.ask(&controller).get(&format!("tickets/{id}")));
    let ticket = ticket.unwrap_or_else(|| panic!("it is nowhere:\n{}", field.logs()));
    assert!(ticket.to_string().contains("bytes"), "{ticket}");
    assert!(field.effects().of(&id).is_empty(), "it was not run");
    assert_unharmed(&field, &mut controller, &mut worker, 0);
    assert!(oopses(&field.ask(&controller)).len() <= 1);
}

#[test]
fn rabbitmq_and_pika_garbage_in_every_queue_of_ours_is_put_aside() {
    let Some((field, mut controller, mut worker, mut foreign)) = start(CONFIG) else {
        return;
    };
    let prefix = field.prefix().to_owned();
    let garbage = [
        json!({"text": ""}),
        json!({"text": "{}"}),
        json!({"hex": "ff".repeat(300)}),
        json!({"hex": "0affffffff0f"}),
        json!({"size": 1_000_000}),
        json!({"bare": true, "hex": "00"}),
        json!({"text": "x", "type": "goaround.v1.Records", "headers": {"goaround-hop": "x"}}),
    ];
    let mut put = |exchange: &str, key: &str| {
        for message in &garbage {
            let mut message = message.clone();
            message["exchange"] = json!(exchange);
            message["key"] = json!(key);
            // Nothing is bound for heartbeats while nobody listens, which pika calls unroutable.
            foreign.publish(&message).ok();
        }
    };
    let named = |what: &str| format!("{prefix}.{what}");
    for what in ["journal", "oops", "control"] {
        put("", &named(what));
    }
    put(&named("vitals"), "");
    await_depth(&field, "quarantine", 2 * garbage.len() as u64);
    assert_counts_quarantined(&controller, "unreadable", 2 * garbage.len());
    for what in ["journal", "oops"] {
        await_depth(&field, what, 0);
    }
    // Without an id they get one; what nobody asks for waits.
    put("", &named("unclaimed"));
    let books = field.books_until(&controller, "they wait", |books| {
        books["waiting"]["unclaimed"] == garbage.len() as u64
    });
    assert_eq!(books["balanced"], true, "{books}");
    // Whoever starts now reads the garbage in the stream of desired states first.
    let begun = Instant::now();
    worker.restart();
    worker.await_ready();
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{}",
        worker.log()
    );
    controller.restart();
    controller.await_ready();
    let mut watchdog = field.start("watchdog", "watchdog", &[]);
    watchdog.await_ready();
    put(&named("vitals"), "");
    assert_unharmed(&field, &mut controller, &mut worker, 0);
    std::thread::sleep(Duration::from_secs(1));
    assert!(watchdog.is_running(), "{}", watchdog.log());
    let page = watchdog.metrics();
    let connected = "goaround_amqp_connected{role=\"consume\"} 1\n";
    assert!(page.contains(connected), "{page}");
}

#[test]
fn rabbitmq_and_pika_queue_that_gives_messages_up_is_refused_with_the_reason() {
    let Some(field) = Field::shared(CONFIG) else {
        return;
    };
    let Some(mut foreign) = Foreign::start(&field.broker.url()) else {
        return;
    };
    let queue = format!("{}.stage.build", field.prefix());
    let arguments = json!({"x-queue-type": "quorum", "x-delivery-limit": 3});
    foreign.must(&json!({"key": queue, "declare": arguments}));
    let words = [queue.as_str(), "x-delivery-limit", "give", "delete"];
    assert_refuses(&field, "worker", &[], &words);
}

#[test]
fn rabbitmq_and_pika_classic_queue_of_somebody_else_works() {
    let Some(field) = Field::shared(CONFIG) else {
        return;
    };
    let Some(mut foreign) = Foreign::start(&field.broker.url()) else {
        return;
    };
    let queue = format!("{}.stage.build", field.prefix());
    foreign.must(&json!({"key": queue, "declare": {}}));
    let mut controller = field.controller("controller");
    let mut worker = field.worker("worker");
    worker.await_ready();
    assert!(
        worker.log().contains("declared by somebody else"),
        "{}",
        worker.log()
    );
    assert_unharmed(&field, &mut controller, &mut worker, 0);
}
