use super::*;
use crate::names::{Holder, Kind, StageName, Version};
use crate::oops::{OopsId, Scene, Span};
use crate::outcome::{Failure, OutcomeKind};
use crate::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use std::time::Duration;

const BEGAN: Timestamp = Timestamp::from_micros(1_795_269_802_120_000);

fn obituary() -> Obituary {
    Obituary {
        exit: Exit::Signal(9),
        began_at: BEGAN,
        died_at: BEGAN.plus(Duration::from_secs(90)),
        memory_bytes_max: Some(83 * 1024 * 1024),
        oom_kills: 0,
        last_words: "taking ticket 7\nall is well\n".into(),
    }
}

fn report() -> Report {
    let id = TicketId::from_bytes([7; 16]);
    let stage: StageName = "build".parse().unwrap();
    let ticket = Ticket {
        name: Name::first(id),
        kind: Kind::unnamed(),
        flow: None,
        stage,
        key: None,
        payload: Payload::default(),
        deadline: None,
        created_at: BEGAN,
        lineage: Lineage::root(id),
        trace: None,
    };
    let scene = Scene {
        holder: Holder::new("worker/1").unwrap(),
        hostname: "host".into(),
        version: Version::new("1.2").unwrap(),
    };
    // It was noticed half a minute later.
    let span = Span {
        started_at: BEGAN.plus(Duration::from_secs(60)),
        ended_at: BEGAN.plus(Duration::from_secs(120)),
    };
    let failure = Failure::new("ProcessDied", "the process died while it was at it");
    let mut report = Report::new(&ticket, OutcomeKind::Crashed, failure, &scene, span);
    report.source = Source::Controller;
    report
}

#[test]
fn a_kill_is_out_of_memory_only_if_the_kernel_says_that_memory_had_run_out() {
    let killed = obituary();
    assert_eq!(killed.cause(), "signal 9 (SIGKILL)");
    let starved = Obituary {
        oom_kills: 2,
        ..obituary()
    };
    assert_eq!(starved.cause(), "signal 9 (SIGKILL), out of memory");
    assert!(starved.facts().contains("2 killed by the kernel"));
    let aborted = Obituary {
        exit: Exit::Signal(6),
        ..starved
    };
    assert_eq!(aborted.cause(), "signal 6 (SIGABRT)");
}

#[test]
fn an_exit_that_looks_well_is_told_as_what_it_is() {
    let left = Obituary {
        exit: Exit::Status(0),
        ..obituary()
    };
    assert_eq!(left.cause(), "exit status 0, which nobody had asked for");
    let told = left.told_in(report()).failure;
    assert_eq!(told.exit, Some(Exit::Status(0)));
    assert!(told.message.ends_with(&left.cause()), "{}", told.message);
    let failed = Obituary {
        exit: Exit::Status(1),
        ..left
    };
    assert_eq!(failed.cause(), "exit status 1");
}

#[test]
fn a_report_tells_what_the_launcher_knows_and_stays_the_same_oops() {
    let before = report();
    let after = obituary().told_in(before.clone());
    assert_eq!((after.id, after.name), (before.id, before.name));
    assert_eq!(after.id, OopsId::of(&after.name));
    assert_eq!(
        after.failure.message,
        "the process died while it was at it: signal 9 (SIGKILL)"
    );
    assert_eq!(after.failure.exit, Some(Exit::Signal(9)));
    assert_eq!(after.failure.log_tail, "taking ticket 7\nall is well\n");
    assert_eq!(after.usage.memory_bytes_max, Some(83 * 1024 * 1024));
    assert_eq!(after.source, Source::Launcher);
    assert_eq!(after.time, BEGAN.plus(Duration::from_secs(90)));
    assert_eq!(after.duration, Some(Duration::from_secs(30)));
    for fact in ["signal 9", "1m 30s", "83 MiB"] {
        assert!(
            after.failure.trace.contains(fact),
            "{}",
            after.failure.trace
        );
    }
}

#[test]
fn a_clock_that_was_set_back_makes_no_negative_time() {
    let odd = Obituary {
        died_at: BEGAN.minus(Duration::from_secs(1)),
        ..obituary()
    };
    assert_eq!(odd.told_in(report()).duration, Some(Duration::ZERO));
}

#[test]
fn last_words_are_bounded_and_the_last_of_them_stay() {
    let long = Obituary {
        last_words: format!("{}the end", "ä".repeat(10_000)),
        ..obituary()
    };
    let bounded = long.bounded();
    assert!(bounded.last_words.len() <= Obituary::LAST_WORDS_BYTES_MAX);
    assert!(bounded.last_words.contains("bytes cut"));
    assert!(bounded.last_words.ends_with("the end"));
    assert_eq!(obituary().bounded(), obituary());
}
