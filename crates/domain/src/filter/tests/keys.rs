//! What each key of the grammar picks, and what no key can be asked of.

use super::*;
use crate::signature::SignatureId;

fn picks(text: &str, facts: &dyn Facts) -> bool {
    let query: Query = text.parse().unwrap();
    query.matches(facts, now())
}

fn placed(place: Place) -> Entry {
    Entry { place, ..waiting() }
}

fn waiting_for(condition: Condition) -> Entry {
    placed(Place::Waiting(Wait {
        condition,
        since: at("2026-11-03T11:00:00Z"),
        because: String::new(),
        oops: None,
    }))
}

#[test]
fn a_regular_expression_finds_its_match_anywhere_in_a_text() {
    for (text, expected) in [
        (r#"type:~"sqlx""#, true),
        (r#"type:~"^Error""#, false),
        (r#"type:~"::Error$""#, true),
        (r#"value:~"os error \d+""#, true),
        (r#"value:~"Refused""#, false),
        (r#"value:~"(?i)Refused""#, true),
        (r#"-value:~"refused""#, false),
        (r#"host:a,~"^node-[0-9]$""#, true),
        (r#"version:~"^1\.4""#, true),
        (r#"flow:~"^ci""#, false),
    ] {
        assert_eq!(picks(text, &report()), expected, "{text}");
    }
}

#[test]
fn an_expression_is_bounded_in_length_number_and_in_what_it_looks_at() {
    let long = format!("value:~\"{}\"", "a".repeat(Regex::BYTES_MAX + 1));
    let said = long.parse::<Query>().unwrap_err();
    assert_eq!(said.expected, "at most 256 bytes in a regular expression");
    assert_eq!((said.position, said.got.len()), (6, 80));
    assert!(said.got.starts_with("~\"aaa"), "{said}");

    let many = |count| vec!["~\"a\""; count].join(",");
    let most = format!("value:{}", many(Query::REGEXES_MAX));
    assert!(most.parse::<Query>().is_ok());
    let said = format!("{most} type:~\"b\"").parse::<Query>().unwrap_err();
    assert_eq!(said.expected, "at most 8 regular expressions");
    assert_eq!(said.got, "~\"b\"");

    let nested = format!("value:~\"{}{}\"", "(".repeat(100), ")".repeat(100));
    assert!(nested.parse::<Query>().is_err());

    let found = |text: &str| Regex::new("é$|z").unwrap().finds(text);
    let near = "a".repeat(Regex::TEXT_BYTES_MAX - 2);
    assert!(found(&format!("{near}é")));
    assert!(!found(&format!("{near}aéz")), "a character is not cut");
}

#[test]
fn the_worst_expressions_that_are_taken_are_soon_done() {
    let text = "a".repeat(Regex::TEXT_BYTES_MAX);
    for expression in [
        "(?:a?){60}a{60}b",
        "(a|aa)+$b",
        "(a*)*b",
        "(?:a?){120}(?:a){120}b",
    ] {
        let regex = Regex::new(expression).unwrap();
        let began = std::time::Instant::now();
        assert!(!regex.finds(&text), "{expression}");
        // Some milliseconds; one that backtracks would not end at all.
        assert!(began.elapsed().as_secs() < 5, "{expression}");
    }
}

#[test]
fn a_report_is_picked_by_its_trace_and_its_problem() {
    let failure = Failure {
        trace: "thread 'main' panicked at /srv/app/src/work.rs:3:5:\nboom\nstack backtrace:\n   \
                0: core::panicking::panic_fmt\n             at /rustc/abc/library/core/src/panicking.rs:80:14\n   \
                1: ledger::book::<T>::post::h0123456789abcdef\n             at /srv/app/src/book.rs:12:9\n"
            .into(),
        ..Failure::new("ExitStatus", "boom")
    };
    let report = Report {
        failure,
        outcome: OutcomeKind::Failed,
        ..report()
    };
    let group = format!("group:{}", report.signature().id);
    for (text, expected) in [
        (group.as_str(), true),
        ("group:v1-0000000000000000", false),
        ("group:v1-*", true),
        ("frame:ledger::*", true),
        ("frame:ledger::book::post", true),
        (r#"frame:~"<T>""#, true),
        ("frame:wallet::*", false),
        ("-frame:*", false),
        ("file:book.rs", true),
        ("file:/srv/app/*", true),
        (r#"file:~"src/book""#, true),
        ("file:src/book.rs", false),
        ("is:panic", true),
        ("is:handled", false),
        ("is:failed", true),
    ] {
        assert_eq!(picks(text, &report), expected, "{text}");
    }
}

#[test]
fn what_a_handler_said_itself_is_handled() {
    for (outcome, error_type, words) in [
        (OutcomeKind::Failed, "sqlx::Error", [false, true]),
        (OutcomeKind::Rejected, "BadInput", [false, true]),
        (OutcomeKind::Crashed, "Signal", [false, false]),
        (OutcomeKind::TimedOut, "DeadlineExceeded", [false, false]),
        (OutcomeKind::Unstartable, "NoSuchFile", [false, false]),
        (OutcomeKind::Crashed, "Panic", [true, false]),
    ] {
        let report = Report {
            outcome,
            failure: Failure::new(error_type, "boom"),
            ..report()
        };
        let found = ["is:panic", "is:handled"].map(|text| picks(text, &report));
        assert_eq!(found, words, "{error_type}");
    }
}

#[test]
fn a_ticket_is_picked_by_since_when_it_is_parked_and_by_who_dropped_it() {
    let parked = waiting_for(Condition::Parked);
    let dropped = placed(Place::Dropped {
        at: now(),
        reason: "a duplicate".into(),
        by: "ada".into(),
    });
    for (text, expected) in [
        ("parked:-2h", [true, false, false]),
        ("parked:<-2h", [false; 3]),
        ("parked:2026-11-03", [true, false, false]),
        ("-parked:-2h", [false, true, true]),
        ("by:ada", [false, true, false]),
        ("by:a*,bob", [false, true, false]),
        (r#"by:~"^(ada|bob)$""#, [false, true, false]),
        ("-by:ada", [true, false, true]),
    ] {
        let found = [&parked, &dropped, &waiting()].map(|entry| picks(text, entry));
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_ticket_is_of_the_group_whose_repair_it_waits_for() {
    let signature = SignatureId::new(1, 0x0f3a_9c5e_77b2_d104);
    let held = waiting_for(Condition::Repair { signature });
    assert!(picks("group:v1-0f3a9c5e77b2d104 is:held", &held));
    assert!(picks("group:V1-0F3A*", &held));
    assert!(!picks("group:v1-0f3a9c5e77b2d105", &held));
    assert!(!picks("group:*", &waiting()));
}

#[test]
fn a_ticket_is_picked_by_what_it_carries() {
    let mut entry = waiting();
    entry.ticket.payload = Payload::json(
        r#"{"arch":"s390x","size":512,"tags":["nightly","gpu"],"who":{"mail":"ada@example.org"},
            "ok":true,"none":null,"n":"7"}"#,
    );
    for (text, expected) in [
        ("data.arch:s390x", true),
        ("data.arch:s390x,x86_64", true),
        ("data.arch:S390X", false),
        ("data.arch:s3*", true),
        ("data.tags:gpu", true),
        ("data.tags.0:nightly data.tags.1:gpu", true),
        (r#"data.who.mail:~"@example\.org$""#, true),
        ("data.size:512", true),
        ("data.size:>511 data.size:<=512", true),
        ("data.size:>512", false),
        ("data.size:500..600", true),
        ("data.n:>6", true),
        ("data.arch:>6", false),
        ("data.ok:true", true),
        ("data.none:*", false),
        ("data.who:*", false),
        ("-data.nowhere:*", true),
        ("-data.arch:*", false),
    ] {
        assert_eq!(picks(text, &entry), expected, "{text}");
    }
    assert!(!picks("data.arch:*", &waiting()), "no JSON, no values");
}

fn said(text: &str, rows: Rows) -> Option<String> {
    let query: Query = text.parse().unwrap();
    query.unfit(rows).map(|unfit| unfit.to_string())
}

#[test]
fn what_tickets_never_have_is_refused_with_what_they_have() {
    let words = "runnable, running, waiting, done, dropped, live, ended, backoff, not_now, \
                 pending, parked, held, unclaimed, suspect, unique, trial";
    for (text, expected) in [
        (
            "-(stage:a OR frame:x)",
            "filter: tickets have no frame; expected one of is, id, ticket, group, stage, flow, \
             kind, key, version, worker, trace, attempts, created, since, seen, parked, by, \
             data.<path>"
                .to_owned(),
        ),
        (
            "is:waiting,panic",
            format!("filter: is: tickets are one of {words}, got \"panic\""),
        ),
    ] {
        assert_eq!(said(text, Rows::Tickets), Some(expected), "{text}");
    }
    assert_eq!(
        said("is:live,parked data.a:1 by:ada group:v1*", Rows::Tickets),
        None
    );
}

#[test]
fn what_reports_never_have_is_refused_with_what_they_have() {
    let keys = "is, id, ticket, group, stage, flow, kind, type, value, frame, file, version, host, \
                worker, trace, attempts, since, seen, src";
    for (text, expected) in [
        (
            "parked:-1h",
            format!("filter: reports have no parked; expected one of {keys}"),
        ),
        (
            "(a OR -data.x:1)",
            format!("filter: reports have no data.x; expected one of {keys}"),
        ),
        (
            "is:parked",
            "filter: is: reports are one of rejected, failed, crashed, timed_out, unstartable, \
             panic, handled, got \"parked\""
                .into(),
        ),
    ] {
        assert_eq!(said(text, Rows::Reports), Some(expected), "{text}");
    }
    assert_eq!(
        said("is:panic,crashed frame:a group:v1*", Rows::Reports),
        None
    );
}

#[test]
fn a_key_that_nothing_is_stored_for_is_refused_with_the_nearest() {
    for (text, nearest) in [
        ("pod:web-1", Some("host")),
        ("node:n7", Some("host")),
        ("revision:abc", Some("version")),
        ("first:-1h", Some("seen")),
        ("last:-1h", Some("seen")),
        ("data:x", Some("data.<path>")),
        ("ns:a", None),
        ("owner:me", None),
        ("rate:>5/m", None),
    ] {
        let error = text.parse::<Query>().unwrap_err();
        assert!(error.expected.contains("parked, by, src"), "{error}");
        match nearest {
            Some(nearest) => assert_eq!(error.nearest.as_deref(), Some(nearest), "{text}"),
            None => assert_ne!(error.nearest.as_deref(), Some("host"), "{text}"),
        }
    }
}
