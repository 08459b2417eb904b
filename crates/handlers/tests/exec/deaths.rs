//! Whoever dies first, no command outlives it.

use crate::ground::{
    Ground, PATIENCE, Sleeper, begin, failure, is_alive, is_gone, parent_of, signal,
    spawner_command, until,
};
use domain::outcome::{Outcome, OutcomeKind};
use handlers::{Spawner, SpawnerCommand};
use rustix::process::Signal;
use std::process::{Command, Stdio};
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(600);

/// A command, a child in its group, and one in a session of its own.
const FAMILY: &str = "sleep 600 & echo $! >> pids
    setsid sh -c 'echo $$ >> pids; sleep 600; :' &
    echo $PPID > spawner; echo $$ >> pids; wait";

#[tokio::test]
async fn when_the_spawner_is_killed_attempts_have_crashed_and_the_next_ones_work() {
    let ground = Ground::new();
    for _ in 0..3 {
        let begun = begin(&ground.shell(FAMILY), GRACE);
        let pids = ground.pids("pids", 3).await;
        let spawner = ground.pids("spawner", 1).await[0];
        signal(spawner, Signal::KILL);
        let attempted = begun.ended().await;
        assert_eq!(
            attempted.outcome.kind(),
            OutcomeKind::Crashed,
            "{attempted:?}"
        );
        let failure = failure(&attempted);
        assert_eq!(failure.error_type, "SpawnerDied");
        assert!(
            failure
                .message
                .ends_with("it ended with signal 9 (SIGKILL)"),
            "{}",
            failure.message
        );
        for pid in pids.into_iter().chain([spawner]) {
            assert!(is_gone(pid), "{pid} is still there");
        }
        std::fs::remove_file(ground.path("pids")).unwrap();
        std::fs::remove_file(ground.path("spawner")).unwrap();
        assert_eq!(ground.run("exit 0").await.outcome, Outcome::done());
    }
}

#[tokio::test]
async fn when_the_worker_is_killed_its_spawner_and_commands_die_with_it() {
    for (company, count) in [("among", 4), ("alone", 5)] {
        let mut worker = Sleeper::start(FAMILY, company);
        let spawner = worker.pids("spawner", 1).await[0];
        let mut pids = worker.pids("pids", 3).await;
        pids.push(spawner);
        let above = parent_of(spawner);
        pids.extend(Some(above).filter(|above| *above != worker.id()));
        assert_eq!(pids.len(), count, "{company}");
        assert!(pids.iter().all(|pid| is_alive(*pid)));
        worker.kill();
        until("the end of all commands", || {
            pids.iter().all(|pid| !is_alive(*pid)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_closed_spawner_is_gone_and_what_ran_is_abandoned() {
    let ground = Ground::new();
    let begun = begin(&ground.shell(FAMILY), GRACE);
    let mut pids = ground.pids("pids", 3).await;
    pids.extend(ground.pids("spawner", 1).await);
    tokio::time::timeout(PATIENCE, ground.spawner.close())
        .await
        .unwrap();
    assert_eq!(begun.ended().await.outcome, Outcome::Abandoned);
    assert!(pids.iter().all(|pid| is_gone(*pid)));
    assert_eq!(ground.run("exit 0").await.outcome, Outcome::Abandoned);
    ground.spawner.close().await;
}

#[tokio::test]
async fn a_spawner_that_cannot_be_started_is_an_error_at_once() {
    let missing = Spawner::start(SpawnerCommand {
        program: "/nowhere/goaround".into(),
        args: Vec::new(),
    });
    assert!(missing.is_err());
}

#[tokio::test]
async fn a_program_that_is_not_a_spawner_is_found_out() {
    let mut ground = Ground::new();
    ground.spawner = Spawner::start(SpawnerCommand {
        program: "/bin/true".into(),
        args: Vec::new(),
    })
    .unwrap();
    let attempted = ground.run("exit 0").await;
    let message = &failure(&attempted).message;
    assert!(
        message.contains("before it said hello: is it the right program?"),
        "{message}"
    );
}

#[tokio::test]
async fn a_signal_that_is_meant_for_the_worker_does_not_end_the_spawner() {
    let ground = Ground::new();
    let attempted = ground
        .run("kill -TERM $PPID; kill -INT $PPID; kill -HUP $PPID")
        .await;
    assert_eq!(attempted.outcome, Outcome::done());
    assert_eq!(ground.run("exit 0").await.outcome, Outcome::done());
}

#[tokio::test]
async fn a_spawner_without_a_socket_says_what_it_expected() {
    let output = Command::new(spawner_command().program)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("expected a worker's socket"), "{said}");
}
