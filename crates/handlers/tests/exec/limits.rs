//! What is too much, and what was used.

use crate::ground::{Ground, begin, failure, handle, spawner_command, ticket};
use domain::outcome::{Outcome, OutcomeKind};
use domain::ticket::{Payload, Ticket};
use handlers::{Limits, Spawner, SpawnerCommand};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

#[tokio::test]
async fn output_over_the_limit_is_stopped_and_has_failed() {
    let ground = Ground::new();
    for script in ["yes", "head -c 10000000 /dev/zero", "trap '' TERM; yes"] {
        let attempted = ground.run(script).await;
        let failure = failure(&attempted);
        assert_eq!(failure.error_type, "OutputTooLarge", "{script}");
        assert!(
            failure.message.contains("at most 1048576 bytes"),
            "{}",
            failure.message
        );
        assert_eq!(attempted.outcome.kind(), OutcomeKind::Failed);
    }
}

#[tokio::test]
async fn of_ten_megabytes_of_complaints_the_end_is_kept() {
    let ground = Ground::new();
    let attempted = ground
        .run("head -c 10000000 /dev/zero | tr '\\0' x >&2; printf '\\nthe end\\n' >&2; exit 1")
        .await;
    let failure = failure(&attempted);
    assert_eq!(failure.message, "the end");
    assert!(failure.log_tail.starts_with("[9934473 bytes cut…] xxx"));
    assert!(failure.log_tail.len() < 70_000);
}

#[tokio::test]
async fn a_payload_that_no_frame_holds_is_rejected() {
    let ground = Ground::new();
    let mut ticket = Ticket::clone(&ticket(""));
    ticket.payload = Payload::untyped(vec![0; 65 << 20]);
    let attempted = handle(&ground.command(&["true"]), Arc::new(ticket)).await;
    assert_eq!(failure(&attempted).error_type, "PayloadTooLarge");
    assert_eq!(attempted.outcome.kind(), OutcomeKind::Rejected);
}

#[tokio::test]
async fn the_peak_of_memory_and_the_time_are_the_commands_own() {
    let ground = Ground::new();
    let eater = r#"$x = "a" x (50 * 1024 * 1024); for (1 .. 2_000_000) { $y += $_ }"#;
    let fat = handle(&ground.command(&["perl", "-e", eater]), ticket("")).await;
    assert_eq!(fat.outcome, Outcome::done());
    let peak = fat.usage.memory_bytes_max.unwrap();
    assert!((50 * MIB..200 * MIB).contains(&peak), "{peak}");
    assert!(fat.usage.cpu_user.unwrap() > Duration::ZERO);
    let slim = handle(&ground.command(&["true"]), ticket("")).await;
    let peak = slim.usage.memory_bytes_max.unwrap();
    assert!(peak < 20 * MIB, "the spawner's own memory is in it: {peak}");
}

#[tokio::test]
async fn what_large_payloads_and_outputs_needed_is_not_in_the_peak_of_the_next_command() {
    const LARGE: u64 = 30 * MIB;
    let ground = Ground::new();
    let mut talker = ground.config(&["head", "-c", &LARGE.to_string(), "/dev/zero"]);
    talker.limits.stdout_bytes_max = LARGE;
    let slim = ground.command(&["true"]);
    for (large, payload) in [
        (ground.shell("cat > /dev/null"), vec![b'x'; 30 << 20]),
        (ground.exec(talker), Vec::new()),
    ] {
        let attempted = handle(&large, ticket(payload)).await;
        assert!(
            matches!(attempted.outcome, Outcome::Done(_)),
            "{attempted:?}"
        );
        let peak = handle(&slim, ticket("")).await.usage.memory_bytes_max;
        let peak = peak.unwrap();
        assert!(peak < 20 * MIB, "the spawner's own memory is in it: {peak}");
    }
}

#[tokio::test]
async fn a_command_that_runs_into_its_memory_limit_has_crashed_and_the_report_says_so() {
    let ground = Ground::new();
    let eater = r#"$n = 500 * 1024 * 1024; $x = "a" x $n; print length $x"#;
    let mut config = ground.config(&["perl", "-e", eater]);
    config.limits.memory_bytes_max = Some(64 * MIB);
    let attempted = handle(&ground.exec(config), ticket("")).await;
    let failure = failure(&attempted);
    assert_eq!(failure.error_type, "MemoryLimit", "{attempted:?}");
    assert!(
        failure
            .message
            .contains("at its memory limit of 64.0 MiB, peak memory"),
        "{}",
        failure.message
    );
    assert_eq!(attempted.outcome.kind(), OutcomeKind::Crashed);
}

#[tokio::test]
async fn a_failure_below_the_memory_limit_is_an_ordinary_one() {
    let ground = Ground::new();
    let mut config = ground.config(&["sh", "-c", "exit 3"]);
    config.limits = Limits {
        memory_bytes_max: Some(512 * MIB),
        ..Limits::default()
    };
    let attempted = handle(&ground.exec(config), ticket("")).await;
    assert_eq!(failure(&attempted).error_type, "ExitStatus");
}

#[tokio::test]
async fn a_low_limit_of_open_files_is_raised_rather_than_failed_at() {
    let mut ground = Ground::new();
    let real = spawner_command().program;
    ground.spawner = Spawner::start(SpawnerCommand {
        program: "/bin/sh".into(),
        args: ["-c", "ulimit -Sn 40; exec \"$0\""]
            .map(Into::into)
            .into_iter()
            .chain([real.into()])
            .collect(),
    })
    .unwrap();
    // What waits on a pipe leaves the processors to those that begin.
    let exec = ground.shell("mkfifo go 2> /dev/null; echo $$ >> pids; read on < go");
    let begun: Vec<_> = (0..30).map(|_| begin(&exec, Duration::ZERO)).collect();
    ground.pids("pids", 30).await;
    let mut go = File::options().write(true).open(ground.path("go")).unwrap();
    go.write_all(&[b'\n'; 30]).unwrap();
    for attempt in begun {
        assert_eq!(attempt.ended().await.outcome, Outcome::done());
    }
}
