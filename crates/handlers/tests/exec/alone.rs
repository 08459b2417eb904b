//! What runs alone keeps the whole contract, whatever it does to the processes above it.

use crate::ground::{
    Begun, Ground, begin, begin_alone, failure, handle_alone, is_gone, parent_of, payload,
    spawner_command, ticket, until,
};
use domain::names::{Kind, StageName};
use domain::outcome::{Exit, Failure, Outcome, OutcomeKind};
use domain::ports::StopReason;
use domain::signature::Signature;
use domain::ticket::Payload;
use domain::trial::Unbegun;
use handlers::{Spawner, SpawnerCommand};
use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(100);
const MIB: u64 = 1024 * 1024;

/// Writes down the command, a child in its group, one in a session of its own, one in a group of
/// its own and without its mark, its parent and its grandparent; then waits to be let go.
const FAMILY: &str = r#"sleep 600 & echo $! >> pids
    setsid sh -c 'echo $$ >> pids; sleep 600; :' &
    perl -e 'setpgrp; %ENV = (); exec "/bin/sh", "-c", "echo \$\$ >> pids; sleep 600; :"' &
    read -r _ _ _ above _ < /proc/$PPID/stat
    printf '%s\n' $$ $PPID $above >> pids
    while [ ! -e go ]; do sleep 0.02; done"#;

const FAMILY_SIZE: usize = 6;

/// The family at work.
async fn family(ground: &Ground, then: &str) -> (Begun, Vec<u32>) {
    let exec = ground.shell(&format!("{FAMILY}\n{then}"));
    let begun = begin_alone(&exec, SHORT);
    let pids = ground.pids("pids", FAMILY_SIZE).await;
    let test = std::process::id();
    assert!(pids.iter().any(|pid| parent_of(*pid) == test));
    (begun, pids)
}

fn all_gone(pids: &[u32]) -> bool {
    pids.iter().all(|pid| is_gone(*pid))
}

#[tokio::test]
async fn whoever_it_kills_above_it_the_same_is_said_each_time_and_nothing_is_left() {
    for (then, who, signal) in [
        ("kill -9 $PPID; sleep 600", "parent", 9),
        ("kill -9 $above; sleep 600", "grandparent", 9),
        ("kill -USR1 $PPID; sleep 600", "parent", 10),
        ("kill -USR1 $above; sleep 600", "grandparent", 10),
    ] {
        let mut said: Vec<Failure> = Vec::new();
        for _ in 0..2 {
            let ground = Ground::new();
            let (begun, pids) = family(&ground, then).await;
            std::fs::write(ground.path("go"), "").unwrap();
            let attempted = begun.ended().await;
            assert!(
                matches!(attempted.outcome, Outcome::ProcessDied { beside: 0, .. }),
                "{then}: {attempted:?}"
            );
            assert!(all_gone(&pids), "{then}: something of {pids:?} is left");
            said.push(failure(&attempted).clone());
        }
        assert_eq!(said[0], said[1]);
        assert_eq!(said[0].error_type, "ProcessDied");
        assert_eq!(said[0].exit, Some(Exit::Signal(signal)));
        let begins = format!("the {who} process of the command died");
        assert!(said[0].message.starts_with(&begins), "{}", said[0].message);
        let signature = signature(&said[0]);
        assert!(
            signature.value.contains(&format!("signal {signal}")),
            "{signature:?}"
        );
    }
}

fn signature(failure: &Failure) -> Signature {
    let stage = StageName::new("build").unwrap();
    Signature::of(&stage, &Kind::unnamed(), OutcomeKind::Crashed, failure)
}

#[tokio::test]
async fn signals_that_are_meant_for_the_worker_end_none_of_its_processes() {
    let ground = Ground::new();
    let then = "for signal in TERM INT HUP; do kill -$signal $PPID $above; done; exit 0";
    let (begun, _) = family(&ground, then).await;
    std::fs::write(ground.path("go"), "").unwrap();
    assert_eq!(begun.ended().await.outcome, Outcome::done());
}

#[tokio::test]
async fn its_end_its_result_and_its_usage_are_told_as_ever_and_nothing_is_left() {
    let ground = Ground::new();
    let script = "echo $PPID >> spawner; cat; echo half > \"$GOAROUND_PROGRESS\"
        echo '{\"outcome\":\"done\",\"next\":\"publish\"}' > \"$GOAROUND_RESULT\"
        env | grep STAND_IN
        setsid sleep 600 & echo $! >> pids";
    let attempted = handle_alone(&ground.shell(script), ticket("said")).await;
    let Outcome::Done(done) = &attempted.outcome else {
        panic!("expected it to be done, got {attempted:?}");
    };
    assert_eq!(done.next.as_ref().unwrap().as_str(), "publish");
    assert_eq!(payload(&attempted), Some(&Payload::untyped("said")));
    let peak = attempted.usage.memory_bytes_max.unwrap();
    assert!((1..20 * MIB).contains(&peak), "{peak}");
    let pids = [
        ground.pids("pids", 1).await,
        ground.pids("spawner", 1).await,
    ]
    .concat();
    assert!(all_gone(&pids));
    assert!(ground.left_over().is_empty());
    let failed = handle_alone(&ground.shell("echo no >&2; exit 3"), ticket("")).await;
    assert_eq!(failure(&failed).message, "no");
    assert_eq!(failure(&failed).error_type, "ExitStatus");
}

#[tokio::test]
async fn a_memory_limit_is_the_commands_own_there_too() {
    let ground = Ground::new();
    let eater = r#"$n = 500 * 1024 * 1024; $x = "a" x $n; print length $x"#;
    let mut config = ground.config(&["perl", "-e", eater]);
    config.limits.memory_bytes_max = Some(64 * MIB);
    let attempted = handle_alone(&ground.exec(config), ticket("")).await;
    assert_eq!(failure(&attempted).error_type, "MemoryLimit");
    assert!(
        matches!(attempted.outcome, Outcome::Crashed(_)),
        "{attempted:?}"
    );
}

#[tokio::test]
async fn at_the_deadline_and_at_a_drain_everything_of_it_is_gone() {
    for (reason, kind) in [
        (StopReason::Deadline, OutcomeKind::TimedOut),
        (StopReason::Drain, OutcomeKind::Abandoned),
    ] {
        let ground = Ground::new();
        // It does not listen, and has to be killed when its grace is over.
        let exec = ground.shell(&format!("trap '' TERM; {FAMILY}"));
        let begun = begin_alone(&exec, SHORT);
        let pids = ground.pids("pids", FAMILY_SIZE).await;
        begun.stop(reason);
        let attempted = begun.ended().await;
        assert_eq!(attempted.outcome.kind(), kind, "{attempted:?}");
        assert!(all_gone(&pids), "something of {pids:?} is left");
    }
}

/// Stops its parent, and ends once that stands still: on another core it may go on for a moment.
const STOPS_ITS_PARENT: &str = "kill -STOP $PPID
    until grep -q '^State:[[:space:]]*T' /proc/$PPID/status; do sleep 0.01; done
    exit 0";

/// Whoever is stopped says nothing any more, and does not end by itself. One after the other: all
/// of these are the same ticket's, and a burial takes whatever is marked as its.
async fn stopped_above(then: &str, reason: Option<StopReason>, kind: OutcomeKind) {
    let ground = Ground::new();
    let (begun, pids) = stopping(&ground, then).await;
    if let Some(reason) = reason {
        begun.stop(reason);
    }
    let attempted = begun.ended().await;
    assert_eq!(attempted.outcome.kind(), kind, "{then}: {attempted:?}");
    assert!(all_gone(&pids), "{then}: something of {pids:?} is left");
    let next = handle_alone(&ground.shell("exit 0"), ticket("")).await;
    assert_eq!(next.outcome, Outcome::done(), "{then}");
    ground.close().await;
}

#[tokio::test]
async fn whose_grandparent_it_stopped_ends_as_what_it_is_and_the_next_one_runs() {
    let deadline = Some(StopReason::Deadline);
    stopped_above("kill -STOP $above; exit 0", None, OutcomeKind::Done).await;
    let then = "kill -STOP $above; sleep 600";
    stopped_above(then, deadline, OutcomeKind::TimedOut).await;
}

#[tokio::test]
async fn whose_parent_it_stopped_has_died_at_its_deadline_and_the_next_one_runs() {
    let deadline = Some(StopReason::Deadline);
    for then in [STOPS_ITS_PARENT, "kill -STOP $PPID $above; sleep 600"] {
        stopped_above(then, deadline, OutcomeKind::Crashed).await;
    }
}

#[tokio::test]
async fn whose_parent_it_stopped_is_abandoned_by_who_goes_down() {
    let drain = Some(StopReason::Drain);
    stopped_above(STOPS_ITS_PARENT, drain, OutcomeKind::Abandoned).await;
}

/// The family, at the point where it does that.
async fn stopping(ground: &Ground, then: &str) -> (Begun, Vec<u32>) {
    let (begun, pids) = family(ground, &format!("echo 1 >> at\n{then}")).await;
    std::fs::write(ground.path("go"), "").unwrap();
    ground.pids("at", 1).await;
    (begun, pids)
}

#[tokio::test]
async fn a_spawner_closes_whoever_was_stopped_above_one_alone() {
    for then in [
        "kill -STOP $PPID; sleep 600",
        "kill -STOP $above; sleep 600",
    ] {
        let ground = Ground::new();
        let (begun, pids) = stopping(&ground, then).await;
        ground.close().await;
        assert!(all_gone(&pids), "{then}: something of {pids:?} is left");
        assert_eq!(begun.ended().await.outcome, Outcome::Abandoned);
    }
}

#[tokio::test]
async fn dropped_it_is_killed_with_its_processes() {
    let ground = Ground::new();
    let (begun, pids) = family(&ground, "").await;
    drop(begun);
    until("the end of a dropped attempt", || {
        all_gone(&pids).then_some(())
    })
    .await;
}

#[tokio::test]
async fn when_the_spawner_is_closed_it_is_abandoned_and_gone_first() {
    let ground = Ground::new();
    let (begun, pids) = family(&ground, "").await;
    ground.spawner.close().await;
    assert!(all_gone(&pids), "something of {pids:?} is left");
    assert_eq!(begun.ended().await.outcome, Outcome::Abandoned);
    let late = handle_alone(&ground.shell("exit 0"), ticket("")).await;
    assert_eq!(late.outcome, Outcome::Abandoned);
}

/// A spawner whose program can be taken away.
fn with_program(ground: &mut Ground, program: &Path) {
    std::fs::copy(spawner_command().program, program).unwrap();
    ground.spawner = Spawner::start(SpawnerCommand {
        program: program.into(),
        args: Vec::new(),
    })
    .unwrap();
}

#[tokio::test]
async fn what_cannot_be_had_alone_is_tried_some_times_and_then_somebody_is_told_why() {
    let mut ground = Ground::new();
    let program = ground.path("program");
    with_program(&mut ground, &program);
    // One that cannot be started, and one that starts and is not what it should be.
    for (other, why) in [
        (None, "cannot be started: No such file"),
        (Some("/bin/true"), "before it said hello"),
    ] {
        std::fs::remove_file(&program).unwrap_or_default();
        if let Some(other) = other {
            std::fs::copy(other, &program).unwrap();
        }
        let begun = std::time::Instant::now();
        let exec = ground.shell("touch ran");
        let attempted = handle_alone(&exec, ticket("")).await;
        assert_eq!(attempted.outcome.kind(), OutcomeKind::Failed);
        let failure = failure(&attempted);
        assert_eq!(failure.error_type, Unbegun::CannotSpawn.as_str());
        for word in [why, "ulimit -u"] {
            assert!(failure.message.contains(word), "{}", failure.message);
        }
        assert!(begun.elapsed() > Duration::from_secs(1), "a hot loop");
        assert!(!ground.path("ran").exists());
    }
}

#[tokio::test]
async fn what_can_be_had_alone_after_a_while_runs() {
    let mut ground = Ground::new();
    let program = ground.path("program");
    with_program(&mut ground, &program);
    let aside = ground.path("aside");
    std::fs::rename(&program, &aside).unwrap();
    let begun = begin_alone(&ground.shell("exit 0"), LONG);
    tokio::task::yield_now().await;
    std::fs::rename(&aside, &program).unwrap();
    assert_eq!(begun.ended().await.outcome, Outcome::done());
}

#[tokio::test]
async fn who_is_going_down_does_not_wait_for_what_cannot_be_had() {
    for (reason, kind) in [
        (Some(StopReason::Drain), OutcomeKind::Abandoned),
        (Some(StopReason::Deadline), OutcomeKind::TimedOut),
        (None, OutcomeKind::Abandoned),
    ] {
        let mut ground = Ground::new();
        let program = ground.path("program");
        with_program(&mut ground, &program);
        std::fs::remove_file(&program).unwrap();
        let tries = ground.path("tries").display().to_string();
        std::fs::write(&program, format!("#!/bin/sh\necho 1 >> {tries}\n")).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let begun = begin_alone(&ground.shell("exit 0"), LONG);
        ground.pids("tries", 1).await;
        match reason {
            Some(reason) => begun.stop(reason),
            None => ground.spawner.close().await,
        }
        let attempted = begun.ended().await;
        assert_eq!(attempted.outcome.kind(), kind);
        if kind == OutcomeKind::TimedOut {
            assert_eq!(
                failure(&attempted).error_type,
                Unbegun::NoPlaceInTime.as_str()
            );
        }
        assert!(ground.pids("tries", 1).await.len() < 4, "{reason:?}");
    }
}

#[tokio::test]
async fn many_may_run_alone_at_once_and_none_has_the_files_of_another() {
    const EACH: usize = 8;
    let ground = Ground::new();
    let exec = ground.shell(
        "echo $GOAROUND_RESULT >> files; echo $$ >> pids
        while [ ! -e go ]; do sleep 0.02; done; exit 0",
    );
    let alone = (0..EACH).map(|_| begin_alone(&exec, LONG));
    let among = (0..EACH).map(|_| begin(&exec, LONG));
    let begun: Vec<_> = alone.chain(among).collect();
    ground.pids("pids", 2 * EACH).await;
    let files = std::fs::read_to_string(ground.path("files")).unwrap();
    let files: BTreeSet<&str> = files.lines().collect();
    assert_eq!(files.len(), 2 * EACH);
    std::fs::write(ground.path("go"), "").unwrap();
    for attempt in begun {
        assert_eq!(attempt.ended().await.outcome, Outcome::done());
    }
}
