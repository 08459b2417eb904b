//! When an attempt has ended, nothing of it runs any more.

use crate::ground::{
    Ground, begin, begin_at_last, failure, handle, is_gone, payload, ticket, until,
};
use domain::outcome::{Outcome, OutcomeKind};
use domain::ports::StopReason;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(600);
const SHORT: Duration = Duration::from_millis(100);

/// Each way in which a command leaves processes about, and how many numbers it writes to `pids`.
const FAMILIES: [(&str, usize); 4] = [
    ("echo $$ >> pids; sleep 600 & echo $! >> pids; wait", 2),
    (
        "echo $$ >> pids; sh -c 'sh -c \"echo \\$\\$ >> pids; sleep 600; :\"; :'",
        2,
    ),
    (
        "echo $$ >> pids; setsid sh -c 'echo $$ >> pids; sleep 600; :' & wait",
        2,
    ),
    (
        "trap '' TERM; echo $$ >> pids; while :; do sleep 600; done",
        1,
    ),
];

#[tokio::test]
async fn at_the_deadline_everything_that_a_command_started_is_gone() {
    for (script, count) in FAMILIES {
        let ground = Ground::new();
        let begun = begin(&ground.shell(script), SHORT);
        let pids = ground.pids("pids", count).await;
        begun.stop(StopReason::Deadline);
        let attempted = begun.ended().await;
        assert_eq!(attempted.outcome.kind(), OutcomeKind::TimedOut, "{script}");
        for pid in pids {
            assert!(is_gone(pid), "{pid} of {script} is still there");
        }
    }
}

#[tokio::test]
async fn a_dropped_attempt_is_killed_at_once() {
    for (script, count) in FAMILIES {
        let ground = Ground::new();
        let begun = begin(&ground.shell(script), LONG);
        let pids = ground.pids("pids", count).await;
        drop(begun);
        until("the end of a dropped attempt", || {
            pids.iter().all(|pid| is_gone(*pid)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_command_is_asked_before_it_is_killed() {
    let ground = Ground::new();
    let script = "trap 'echo tidied > tidy; echo bye >&2; exit 3' TERM; echo $$ > pids
        while :; do sleep 0.01; done";
    let begun = begin(&ground.shell(script), LONG);
    ground.pids("pids", 1).await;
    begun.stop(StopReason::Deadline);
    let attempted = begun.ended().await;
    assert_eq!(
        failure(&attempted).message,
        "the deadline passed and the command was stopped: bye"
    );
    assert!(ground.path("tidy").exists());
}

#[tokio::test]
async fn a_command_that_was_stopped_at_its_tickets_own_deadline_says_so() {
    let ground = Ground::new();
    let begun = begin_at_last(&ground.shell("echo $$ > pids; sleep 600; :"), LONG);
    ground.pids("pids", 1).await;
    begun.stop(StopReason::Deadline);
    let attempted = begun.ended().await;
    assert_eq!(attempted.outcome.kind(), OutcomeKind::TimedOut);
    assert_eq!(
        failure(&attempted).message,
        "the ticket's own deadline passed and the command was stopped"
    );
}

#[tokio::test]
async fn an_attempt_that_is_stopped_for_us_is_abandoned_and_not_charged() {
    let ground = Ground::new();
    for reason in [StopReason::Drain, StopReason::Cancelled] {
        let begun = begin(&ground.shell("echo $$ > pids; sleep 600; :"), LONG);
        let pids = ground.pids("pids", 1).await;
        begun.stop(reason);
        assert_eq!(begun.ended().await.outcome, Outcome::Abandoned);
        assert!(is_gone(pids[0]));
        std::fs::remove_file(ground.path("pids")).unwrap();
    }
}

#[tokio::test]
async fn a_command_that_closes_its_pipes_is_still_waited_for() {
    let ground = Ground::new();
    let script = "exec >&- 2>&-; echo $$ > pids; while [ ! -e go ]; do sleep 0.01; done; exit 7";
    let begun = begin(&ground.shell(script), LONG);
    ground.pids("pids", 1).await;
    std::fs::write(ground.path("go"), "").unwrap();
    assert_eq!(failure(&begun.ended().await).message, "exit status 7");
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_listened_to_for_a_moment_and_killed() {
    let ground = Ground::new();
    for script in [
        "echo said; sleep 600 & echo $! > pids; exit 0",
        "echo said; setsid sleep 600 & echo $! > pids; exit 0",
        "echo said; setsid yes >&2 & echo $! > pids; exit 0",
    ] {
        let begun = Instant::now();
        let attempted = ground.run(script).await;
        assert_eq!(&payload(&attempted).unwrap().bytes[..], b"said\n");
        assert!(begun.elapsed() < Duration::from_secs(5), "{script}");
        let pids = ground.pids("pids", 1).await;
        assert!(is_gone(pids[0]), "{script}");
    }
}

#[tokio::test]
async fn what_is_left_behind_without_a_mark_is_killed_too_when_it_can_be_nobody_elses() {
    let ground = Ground::new();
    let script = "env -i setsid sh -c 'echo $$ > pids; exec sleep 600 >/dev/null 2>&1' &
        while [ ! -s pids ]; do sleep 0.01; done";
    let attempted = ground.run(script).await;
    assert_eq!(attempted.outcome, Outcome::done());
    let pids = ground.pids("pids", 1).await;
    assert!(is_gone(pids[0]));
}

#[tokio::test]
async fn the_end_of_one_attempt_leaves_another_alone() {
    let ground = Ground::new();
    // It leads a life of its own, as an orphan beside the one that ends.
    let script = "(setsid sh -c 'echo $$ > pids; while [ ! -e go ]; do sleep 0.01; done; echo x' &)
        while [ ! -e go ]; do sleep 0.01; done";
    let exec = ground.shell(script);
    let mut other = domain::ticket::Ticket::clone(&crate::ground::ticket(""));
    other.name = other.name.charged();
    let context = crate::ground::Switch::new().context(LONG);
    let mut task = tokio::task::JoinSet::new();
    task.spawn(async move {
        domain::ports::Handler::handle(&*exec, std::sync::Arc::new(other), context).await
    });
    let pids = ground.pids("pids", 1).await;
    let ended = ground.run("setsid sleep 600 & exit 0").await;
    assert_eq!(ended.outcome, Outcome::done());
    assert!(
        crate::ground::is_alive(pids[0]),
        "it was killed for another's sake"
    );
    std::fs::write(ground.path("go"), "").unwrap();
    let attempted = task.join_next().await.unwrap().unwrap();
    assert_eq!(attempted.outcome.kind(), OutcomeKind::Done);
}

#[tokio::test]
async fn hundreds_of_attempts_run_at_once_and_each_gets_its_own_answer() {
    let ground = Ground::new();
    let exec = ground.command(&["cat"]);
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..300 {
        let exec = std::sync::Arc::clone(&exec);
        tasks.spawn(async move {
            let text = format!("ticket {i}").repeat(1 + i);
            let attempted = handle(&exec, ticket(text.clone())).await;
            assert_eq!(&payload(&attempted).unwrap().bytes[..], text.as_bytes());
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn attempts_may_run_on_other_threads_than_their_spawner() {
    let ground = Ground::new();
    let exec = ground.shell("echo there");
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let exec = std::sync::Arc::clone(&exec);
            std::thread::spawn(move || {
                let mut runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = runtime.enable_all().build().unwrap();
                runtime.block_on(handle(&exec, ticket("")))
            })
        })
        .collect();
    until("the threads to end", || {
        threads
            .iter()
            .all(|thread| thread.is_finished())
            .then_some(())
    })
    .await;
    for thread in threads {
        let attempted = thread.join().unwrap();
        assert_eq!(&payload(&attempted).unwrap().bytes[..], b"there\n");
    }
}

/// Runs a line of shell on a runtime of its own, as each stage has one.
fn run_elsewhere(exec: &std::sync::Arc<handlers::Exec>) -> Outcome {
    let exec = std::sync::Arc::clone(exec);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(handle(&exec, ticket(""))).outcome
    });
    thread.join().unwrap()
}

#[tokio::test]
async fn what_one_runtime_has_left_serves_the_next_one() {
    let ground = Ground::new();
    let exec = ground.shell("exit 0");
    for _ in 0..3 {
        let exec = std::sync::Arc::clone(&exec);
        let outcome = tokio::task::spawn_blocking(move || run_elsewhere(&exec)).await;
        assert_eq!(outcome.unwrap(), Outcome::done());
    }
}

#[tokio::test]
async fn more_at_once_than_are_kept_idle_all_end_and_the_threads_do_too() {
    const AT_ONCE: usize = 200;
    const KEPT_MAX: usize = 128;
    let ground = Ground::new();
    let exec = ground.shell("echo $PPID > spawner; echo $$ >> pids; read -r line < gate");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        ground.path("gate"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let all: Vec<_> = (0..AT_ONCE).map(|_| begin(&exec, LONG)).collect();
    ground.pids("pids", AT_ONCE).await;
    let spawner = ground.pids("spawner", 1).await[0];
    for begun in all {
        begun.stop(StopReason::Drain);
        assert_eq!(begun.ended().await.outcome, Outcome::Abandoned);
    }
    until("the end of the threads that are not kept", || {
        let threads = std::fs::read_dir(format!("/proc/{spawner}/task")).unwrap();
        // One of them is the spawner's first.
        (threads.count() <= KEPT_MAX + 1).then_some(())
    })
    .await;
}
