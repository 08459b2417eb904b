//! Each row of the table: how a command ends, and what that means for its ticket.

use crate::ground::{Ground, failure, handle, payload, ticket};
use domain::outcome::{Exit, Outcome, OutcomeKind};
use domain::ticket::{Payload, Ticket};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn an_exit_status_has_the_meaning_that_the_contract_gives_it() {
    let ground = Ground::new();
    for (script, kind) in [
        ("exit 1", OutcomeKind::Failed),
        ("exit 65", OutcomeKind::Rejected),
        ("exit 75", OutcomeKind::NotNow),
        ("exit 255", OutcomeKind::Failed),
        ("kill -SEGV $$", OutcomeKind::Crashed),
        ("exit 0", OutcomeKind::Done),
    ] {
        let attempted = ground.run(script).await;
        assert_eq!(attempted.outcome.kind(), kind, "{script}: {attempted:?}");
    }
}

#[tokio::test]
async fn a_failure_tells_its_status_and_its_last_words() {
    let ground = Ground::new();
    let attempted = ground
        .run("echo one >&2; echo two >&2; echo >&2; exit 3")
        .await;
    let failure = failure(&attempted);
    assert_eq!(failure.error_type, "ExitStatus");
    assert_eq!(failure.message, "two");
    assert_eq!(failure.exit, Some(Exit::Status(3)));
    assert_eq!(failure.log_tail, "one\ntwo\n\n");
}

#[tokio::test]
async fn a_silent_failure_is_described_all_the_same() {
    let ground = Ground::new();
    let failed = ground.run("exit 3").await;
    assert_eq!(failure(&failed).message, "exit status 3");
    let rejected = ground.run("exit 65").await;
    assert_eq!(
        failure(&rejected).message,
        "the handler rejected the ticket without a word"
    );
}

#[tokio::test]
async fn a_crash_names_its_signal_and_its_memory() {
    let ground = Ground::new();
    let attempted = ground.run("echo help >&2; kill -ABRT $$").await;
    let failure = failure(&attempted);
    assert_eq!(failure.error_type, "Signal");
    assert_eq!(failure.exit, Some(Exit::Signal(6)));
    assert!(
        failure
            .message
            .starts_with("signal 6 (SIGABRT), peak memory "),
        "{}",
        failure.message
    );
    assert!(
        failure.message.ends_with("MiB: help"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn what_a_command_says_is_the_next_payload() {
    let ground = Ground::new();
    let exec = ground.shell("cat; printf ' and more\\n'");
    let attempted = handle(&exec, ticket("some")).await;
    assert_eq!(
        payload(&attempted),
        Some(&Payload::untyped("some and more\n"))
    );
    let silent = ground.run("true").await;
    assert_eq!(payload(&silent), None);
}

#[tokio::test]
async fn any_payload_reaches_a_command_whole_and_comes_back_so() {
    let ground = Ground::new();
    let exec = ground.command(&["cat"]);
    for size in [1, 4_095, 65_536, 65_537, 1_048_576] {
        let bytes: Vec<u8> = (0..size)
            .map(|i: u32| i.to_le_bytes()[i as usize % 2])
            .collect();
        let attempted = handle(&exec, ticket(bytes.clone())).await;
        assert_eq!(
            payload(&attempted),
            Some(&Payload::untyped(bytes)),
            "{size}"
        );
    }
}

#[tokio::test]
async fn a_command_that_does_not_read_a_big_payload_is_not_waited_for() {
    let ground = Ground::new();
    let exec = ground.shell("exec <&-; exit 0");
    let attempted = handle(&exec, ticket(vec![b'x'; 4 << 20])).await;
    assert_eq!(attempted.outcome, Outcome::done());
}

#[tokio::test]
async fn output_is_called_json_only_where_the_ticket_was() {
    let ground = Ground::new();
    let exec = ground.command(&["cat"]);
    for (text, own, is_json) in [
        (r#"{"a":1}"#, Some("application/json"), true),
        ("not json", Some("application/json"), false),
        (r#"{"a":1}"#, Some("text/plain"), false),
        (r#"{"a":1}"#, None, false),
    ] {
        let mut ticket = Ticket::clone(&ticket(text));
        ticket.payload.content_type = own.map(str::to_owned);
        let attempted = handle(&exec, Arc::new(ticket)).await;
        let content_type = payload(&attempted).unwrap().content_type.as_deref();
        assert_eq!(
            content_type,
            is_json.then_some("application/json"),
            "{text} {own:?}"
        );
    }
}

#[tokio::test]
async fn a_result_file_decides_and_leaves_nothing_behind() {
    let ground = Ground::new();
    let attempted = ground
        .run(
            r#"echo said
            echo '{"outcome":"done","payload":{"a":1},"next":"publish"}' > "$GOAROUND_RESULT""#,
        )
        .await;
    let Outcome::Done(done) = &attempted.outcome else {
        panic!("expected it to be done, got {attempted:?}");
    };
    assert_eq!(done.payload, Some(Payload::json(r#"{"a":1}"#)));
    assert_eq!(done.next.as_ref().unwrap().as_str(), "publish");
    let pending = ground
        .run(r#"echo '{"outcome":"pending","until":"2h"}' > "$GOAROUND_RESULT""#)
        .await;
    let Outcome::Pending(pending) = pending.outcome else {
        panic!("expected it to be pending, got {pending:?}");
    };
    assert_eq!(pending.until, Duration::from_secs(7_200));
    assert!(ground.left_over().is_empty());
}

#[tokio::test]
async fn a_bad_result_is_a_failure_that_says_what_was_expected() {
    let ground = Ground::new();
    for (script, said) in [
        (
            r#"echo '{"outcome":"dnoe"}' > "$GOAROUND_RESULT""#,
            "found \"dnoe\"",
        ),
        (r#": > "$GOAROUND_RESULT""#, "found an empty file"),
        (r#"mkfifo "$GOAROUND_RESULT""#, "not a regular file"),
        (
            r#"head -c 2000000 /dev/zero > "$GOAROUND_RESULT""#,
            "expected at most 1048576 bytes, found 2000000",
        ),
    ] {
        let attempted = ground.run(script).await;
        let failure = failure(&attempted);
        assert_eq!(failure.error_type, "BadResult", "{script}");
        assert!(
            failure.message.contains(said),
            "{} should contain {said}",
            failure.message
        );
        assert_eq!(attempted.outcome.kind(), OutcomeKind::Failed);
    }
}

#[tokio::test]
async fn a_result_of_a_command_that_failed_does_not_count() {
    let ground = Ground::new();
    let attempted = ground
        .run(r#"echo '{"outcome":"done"}' > "$GOAROUND_RESULT"; exit 4"#)
        .await;
    assert_eq!(attempted.outcome.kind(), OutcomeKind::Failed);
    assert!(ground.left_over().is_empty());
}

#[tokio::test]
async fn the_last_progress_is_in_the_report_of_a_failure() {
    let ground = Ground::new();
    let attempted = ground
        .run(
            r#"for i in 1 2 3; do echo "part $i of 9" >> "$GOAROUND_PROGRESS"; done
            printf no >&2; exit 1"#,
        )
        .await;
    let failure = failure(&attempted);
    assert_eq!(failure.log_tail, "no\n[last progress] part 3 of 9\n");
    assert_eq!(failure.message, "no");
    assert!(ground.left_over().is_empty());
}

#[tokio::test]
async fn bytes_that_are_not_text_are_kept_in_a_payload_and_shown_in_a_report() {
    let ground = Ground::new();
    let attempted = ground.run(r"printf '\377\376'").await;
    assert_eq!(
        payload(&attempted),
        Some(&Payload::untyped(vec![0xff, 0xfe]))
    );
    let failed = ground.run(r"printf 'bad \377 byte\n' >&2; exit 1").await;
    assert_eq!(failure(&failed).message, "bad \u{fffd} byte");
}

#[tokio::test]
async fn files_of_a_killed_process_are_cleared_away_and_others_are_not() {
    let ground = Ground::new();
    let work = ground.path("work");
    std::fs::create_dir(&work).unwrap();
    for name in [
        "0000000000000001-7.result",
        "0000000000000001-7.progress",
        "notes.result",
    ] {
        std::fs::write(work.join(name), "old").unwrap();
    }
    let attempted = ground.run("exit 0").await;
    assert_eq!(attempted.outcome, Outcome::done());
    assert_eq!(ground.left_over(), [work.join("notes.result")]);
}

#[tokio::test]
async fn what_one_command_did_to_its_output_is_not_felt_by_the_next() {
    let ground = Ground::new();
    let next = "head -c 500000 /dev/zero; head -c 500000 /dev/zero >&2";
    for before in [
        "printf one; printf two >&2",
        // Its pipes do not block any more.
        "dd if=/dev/null oflag=nonblock status=none; dd if=/dev/null oflag=nonblock status=none >&2",
        "sleep 0.01 & printf late; printf late >&2",
        "printf dying; printf dying >&2; kill -KILL $$",
        "head -c 2000000 /dev/zero",
    ] {
        ground.run(before).await;
        let attempted = ground.run(next).await;
        let said = payload(&attempted).map(|payload| payload.bytes.to_vec());
        assert!(
            said == Some(vec![0; 500_000]),
            "after {before}: {attempted:?}"
        );
    }
}
