//! Promises of every list: each key of the grammar finds what it says, whatever the store. The
//! keys that SQL knows best are with the tickets and the reports they are about.

use super::Stand;
use super::plans::{make, park};
use super::shop::Shop;
use super::stand::{failed, rejected};
use domain::oops::{OopsId, Report, Span};
use domain::outcome::{Failure, OutcomeKind};
use domain::plan::Terms;
use domain::ports::Action;
use domain::ticket::{Payload, Ticket, TicketId};
use std::time::Duration;

super::suite!(filters_contract filters ($)
    tickets_are_found_by_regular_expressions,
    tickets_are_found_by_since_when_they_are_parked,
    tickets_are_found_by_who_dropped_them,
    tickets_are_found_by_what_they_carry,
    tickets_are_found_by_the_group_whose_repair_they_wait_for,
    a_plan_is_of_what_its_filter_finds,
    reports_are_found_by_regular_expressions,
    reports_are_found_by_their_frames_and_files,
    reports_are_found_by_their_group,
    reports_are_found_by_panicking_and_by_being_handled,
    names_of_old_are_read_as_well,
);

async fn tickets(stand: &Stand, query: &str) -> Vec<TicketId> {
    let page = stand.world().catalog().tickets(stand.listing(query)).await;
    let rows = page.expect("the books can be read").rows;
    rows.iter().map(|entry| entry.ticket.id()).collect()
}

async fn reports(stand: &Stand, query: &str) -> Vec<OopsId> {
    let page = stand.world().oopses().list(stand.listing(query)).await;
    let rows = page.expect("the reports can be read").rows;
    rows.iter().map(|report| report.id).collect()
}

/// Each query finds those at these places in `all`.
async fn check_tickets(stand: &Stand, all: &[TicketId], cases: &[(&str, &[usize])]) {
    for (query, expected) in cases {
        let expected: Vec<TicketId> = expected.iter().map(|at| all[*at]).collect();
        assert_eq!(tickets(stand, query).await, expected, "{query}");
    }
}

/// Each query finds those at these places in `all`.
async fn check_reports(stand: &Stand, all: &[OopsId], cases: &[(&str, &[usize])]) {
    for (query, expected) in cases {
        let expected: Vec<OopsId> = expected.iter().map(|at| all[*at]).collect();
        assert_eq!(reports(stand, query).await, expected, "{query}");
    }
}

/// In one dialect: that of no database.
pub async fn tickets_are_found_by_regular_expressions(stand: Stand) {
    let mut all = Vec::new();
    for key in ["rust-1.95", "rust-1.96", "Rust", "köln", "it's 100%"] {
        all.push(stand.submit(stand.keyed("build", key)).await);
        stand.skip(Duration::from_millis(5));
    }
    all.push(stand.submit(stand.ticket("test")).await);
    let cases: &[(&str, &[usize])] = &[
        (r#"key:~"^rust-\d+\.\d+$""#, &[0, 1]),
        (r#"key:~"(?i)^rust""#, &[0, 1, 2]),
        (r#"key:~"95|96""#, &[0, 1]),
        (r#"key:~"^k\wln$""#, &[3]),
        (r#"key:~"'s \d{3}%""#, &[4]),
        (r#"-key:~"rust""#, &[2, 3, 4, 5]),
        (r#"key:Rust,~"1\.95""#, &[0, 2]),
        (r#"stage:~"^te""#, &[5]),
        (r#"stage:build key:~"[[:upper:]]|lex""#, &[2]),
        (r#"(stage:test OR key:~"ln$")"#, &[3, 5]),
    ];
    check_tickets(&stand, &all, cases).await;
}

/// Only those that are parked.
pub async fn tickets_are_found_by_since_when_they_are_parked(stand: Stand) {
    let early = stand.attempted(stand.ticket("build"), rejected()).await;
    stand.skip(Duration::from_secs(3_600));
    let late = stand.attempted(stand.ticket("build"), rejected()).await;
    stand.skip(Duration::from_millis(5));
    let backoff = stand.attempted(stand.ticket("build"), failed()).await;
    stand.skip(Duration::from_secs(60));
    let cases: &[(&str, &[usize])] = &[
        ("parked:-30m", &[1]),
        ("parked:<-30m", &[0]),
        ("parked:-2h", &[0, 1]),
        ("parked:-2h..-30m stage:build", &[0]),
        ("-parked:-2h", &[2]),
        ("(parked:<-30m OR is:backoff)", &[0, 2]),
    ];
    check_tickets(&stand, &[early, late, backoff], cases).await;
}

/// The name that the order had.
pub async fn tickets_are_found_by_who_dropped_them(stand: Stand) {
    let cancelled = stand.submit(stand.ticket("build")).await;
    stand.done(cancelled, Action::Cancel).await;
    stand.skip(Duration::from_millis(5));
    let live = stand.submit(stand.ticket("build")).await;
    let cases: &[(&str, &[usize])] = &[
        ("by:ada", &[0]),
        ("by:a*", &[0]),
        (r#"by:~"^ADA$""#, &[]),
        ("by:bob", &[]),
        ("-by:ada", &[1]),
    ];
    check_tickets(&stand, &[cancelled, live], cases).await;
}

/// In JSON; what carries something else has no values.
pub async fn tickets_are_found_by_what_they_carry(stand: Stand) {
    let mut all = Vec::new();
    for payload in [
        r#"{"arch":"s390x","size":512,"tags":["nightly","gpu"]}"#,
        r#"{"arch":"x86_64","size":2048,"who":{"mail":"ada@example.org"}}"#,
        "work",
    ] {
        let ticket = Ticket {
            payload: Payload::untyped(payload),
            ..stand.ticket("build")
        };
        all.push(stand.submit(ticket).await);
        stand.skip(Duration::from_millis(5));
    }
    let cases: &[(&str, &[usize])] = &[
        ("data.arch:s390x", &[0]),
        ("data.arch:*", &[0, 1]),
        ("-data.arch:s390x", &[1, 2]),
        ("data.size:>1000", &[1]),
        ("data.size:500..600 is:live", &[0]),
        ("data.tags:gpu", &[0]),
        (r#"data.who.mail:~"@example\.org$""#, &[1]),
        ("(data.arch:s390x OR work)", &[0, 2]),
    ];
    check_tickets(&stand, &all, cases).await;
}

/// As the breaker calls it.
pub async fn tickets_are_found_by_the_group_whose_repair_they_wait_for(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let ids = shop.trip().await;
    let signature = shop.held(ids[0]).await;
    let well = shop.submit("well", 1).await[0];
    let mut held = tickets(&shop.stand, "is:held").await;
    held.sort_unstable();
    let group = format!("group:{signature}");
    let mut found = tickets(&shop.stand, &group).await;
    found.sort_unstable();
    assert_eq!(found, held, "{group}");
    assert!(found.contains(&ids[0]));
    assert_eq!(tickets(&shop.stand, &format!("-{group}")).await, [well]);
    assert_eq!(tickets(&shop.stand, "group:v1-0000000000000000").await, []);
}

/// Also where only the domain can tell.
pub async fn a_plan_is_of_what_its_filter_finds(stand: Stand) {
    let mut shop = Shop::at(stand, "build").await;
    for payload in [r#"{"arch":"s390x"}"#, r#"{"arch":"x86_64"}"#, "work"] {
        park(&mut shop, |ticket| Ticket {
            payload: Payload::untyped(payload),
            ..ticket
        })
        .await;
    }
    for (query, count) in [
        ("is:parked data.arch:s390x", 1),
        (r#"data.arch:~"^(s390x|x86_64)$""#, 2),
        ("is:parked -data.arch:s390x", 2),
        (r#"is:parked kind:~"^nut""#, 0),
        ("parked:-1h", 3),
        ("by:ada", 0),
    ] {
        let plan = make(&shop, query, Terms::default()).await;
        assert_eq!(plan.counts.total, count, "{query}");
    }
}

async fn record(stand: &Stand, failure: Failure, outcome: OutcomeKind) -> Report {
    let span = Span {
        started_at: stand.now(),
        ended_at: stand.now(),
    };
    let ticket = stand.ci();
    let report = Report::new(&ticket, outcome, failure, &Stand::scene(), span);
    let recorded = stand.world().oopses().record(report.clone()).await;
    recorded.expect("the report is durable");
    stand.skip(Duration::from_millis(5));
    report
}

async fn recorded(stand: &Stand, failures: &[(Failure, OutcomeKind)]) -> Vec<OopsId> {
    let mut all = Vec::new();
    for (failure, outcome) in failures {
        all.push(record(stand, failure.clone(), *outcome).await.id);
    }
    all
}

fn traced(trace: &str) -> Failure {
    Failure {
        trace: trace.into(),
        ..Failure::new("Broken", "it broke")
    }
}

const PYTHON: &str = "Traceback (most recent call last):\n  File \"/srv/app/work.py\", line 7, in \
                      book\n    post()\nValueError: no such id: 7";
const PANIC: &str = "thread 'main' panicked at src/work.rs:3:5:\nboom\nstack backtrace:\n   0: \
                     ledger::book::post\n             at /srv/app/src/book.rs:12:9\n";

/// Over all lines of a message, and whatever it is written in.
pub async fn reports_are_found_by_regular_expressions(stand: Stand) {
    let failures = [
        Failure::new("sqlx::Error", "connection refused (os error 111)"),
        Failure::new("io::Error", "first line\nsecond line 42"),
        Failure::new("Größe", "zu groß: 'ab'"),
    ];
    let all = recorded(&stand, &failures.map(|it| (it, OutcomeKind::Failed))).await;
    let cases: &[(&str, &[usize])] = &[
        (r#"type:~"::Error$""#, &[0, 1]),
        (r#"value:~"os error \d{3}""#, &[0]),
        (r#"value:~"(?m)^second line \d+$""#, &[1]),
        (r#"value:~"^second""#, &[]),
        (r#"type:~"(?i)^GRÖSSE|größe$""#, &[2]),
        (r#"-value:~"line|'""#, &[0]),
        (r#"host:~"^sta" worker:~"-1$" version:~"^1$""#, &[0, 1, 2]),
    ];
    check_reports(&stand, &all, cases).await;
}

/// In the traces of several languages.
pub async fn reports_are_found_by_their_frames_and_files(stand: Stand) {
    let failures = [PYTHON, PANIC, "nothing of the sort"];
    let failures = failures.map(|trace| (traced(trace), OutcomeKind::Failed));
    let all = recorded(&stand, &failures).await;
    let cases: &[(&str, &[usize])] = &[
        ("frame:book", &[0]),
        ("frame:ledger::*", &[1]),
        (r#"frame:~"book""#, &[0, 1]),
        ("file:work.py", &[0]),
        ("file:/srv/app/*", &[0, 1]),
        ("-frame:*", &[2]),
        (r#"stage:build file:~"\.rs$""#, &[1]),
    ];
    check_reports(&stand, &all, cases).await;
}

/// By the signature that they are shown with.
pub async fn reports_are_found_by_their_group(stand: Stand) {
    let one = record(&stand, Failure::new("A", "no id 7"), OutcomeKind::Failed).await;
    let same = record(&stand, Failure::new("A", "no id 8"), OutcomeKind::Failed).await;
    let other = record(&stand, Failure::new("B", "no id 7"), OutcomeKind::Failed).await;
    let group = one.signature().id;
    assert_eq!(same.signature().id, group);
    let found = reports(&stand, &format!("group:{group}")).await;
    assert_eq!(found, [one.id, same.id]);
    let found = reports(&stand, &format!("-signature:{group}")).await;
    assert_eq!(found, [other.id]);
}

/// A panic is a panic also where a command only exits.
pub async fn reports_are_found_by_panicking_and_by_being_handled(stand: Stand) {
    let failures = [
        (Failure::new("Panic", "boom"), OutcomeKind::Crashed),
        (traced(PANIC), OutcomeKind::Failed),
        (Failure::new("Broken", "it broke"), OutcomeKind::Failed),
        (Failure::new("BadInput", "no nut"), OutcomeKind::Rejected),
        (Failure::new("Signal", "signal 9"), OutcomeKind::Crashed),
    ];
    let all = recorded(&stand, &failures).await;
    let cases: &[(&str, &[usize])] = &[
        ("is:panic", &[0, 1]),
        ("is:handled", &[2, 3]),
        ("-is:panic -is:handled", &[4]),
        ("is:panic,rejected", &[0, 1, 3]),
        ("is:failed -is:panic", &[2]),
    ];
    check_reports(&stand, &all, cases).await;
}

/// What other systems call a flow and a stage.
pub async fn names_of_old_are_read_as_well(stand: Stand) {
    let id = stand.submit(stand.ci()).await;
    let report = record(
        &stand,
        Failure::new("Broken", "it broke"),
        OutcomeKind::Failed,
    )
    .await;
    assert_eq!(tickets(&stand, "pipeline:ci queue:build").await, [id]);
    assert_eq!(
        reports(&stand, "pipeline:ci queue:build").await,
        [report.id]
    );
    assert_eq!(tickets(&stand, "queue:test").await, []);
}
