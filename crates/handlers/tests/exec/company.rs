//! Who dies with whom.

use crate::ground::{Begun, Ground, begin, failure, handle_alone, is_alive, is_gone, ticket};
use domain::outcome::{Exit, Outcome};
use std::time::Duration;

const GRACE: Duration = Duration::from_secs(600);
const BYSTANDERS: usize = 19;

/// Takes along who started it, as does a command that brings memory to an end.
const KILLER: &str = "kill -9 $PPID; sleep 600";

const BYSTANDER: &str = "echo $PPID > spawner; echo $$ >> pids
    while [ ! -e go ]; do sleep 0.02; done; echo landed";

/// So many ordinary attempts that run, and what is theirs: their commands and the spawner.
async fn bystanders(ground: &Ground) -> (Vec<Begun>, Vec<u32>) {
    let exec = ground.shell(BYSTANDER);
    let all = (0..BYSTANDERS).map(|_| begin(&exec, GRACE)).collect();
    let mut pids = ground.pids("pids", BYSTANDERS).await;
    pids.extend(ground.pids("spawner", 1).await);
    (all, pids)
}

#[tokio::test]
async fn who_was_out_with_the_spawner_dies_with_it_and_each_knows_how_many_others_did() {
    let ground = Ground::new();
    let (mut all, pids) = bystanders(&ground).await;
    all.push(begin(&ground.shell(KILLER), GRACE));
    for attempt in all {
        let attempted = attempt.ended().await;
        assert!(
            matches!(&attempted.outcome, Outcome::ProcessDied { failure, beside: 19 }
                if failure.error_type == "SpawnerDied"),
            "{attempted:?}"
        );
        assert_eq!(failure(&attempted).exit, Some(Exit::Signal(9)));
    }
    for pid in pids {
        assert!(is_gone(pid), "{pid} is still there");
    }
}

#[tokio::test]
async fn alone_it_dies_by_itself_and_the_others_go_on() {
    let ground = Ground::new();
    let (all, pids) = bystanders(&ground).await;
    for _ in 0..3 {
        let attempted = handle_alone(&ground.shell(KILLER), ticket("")).await;
        assert!(
            matches!(&attempted.outcome, Outcome::ProcessDied { failure, beside: 0 }
                if failure.error_type == "ProcessDied"),
            "{attempted:?}"
        );
    }
    for pid in pids {
        assert!(is_alive(pid), "{pid} was taken along");
    }
    std::fs::write(ground.path("go"), "").unwrap();
    for attempt in all {
        let attempted = attempt.ended().await;
        assert!(
            matches!(attempted.outcome, Outcome::Done(_)),
            "{attempted:?}"
        );
    }
}

#[tokio::test]
async fn one_alone_stays_when_the_spawner_of_the_others_dies() {
    let ground = Ground::new();
    let (all, _) = bystanders(&ground).await;
    let script = "echo $$ > own; while [ ! -e go ]; do sleep 0.02; done; echo landed";
    let alone = crate::ground::begin_alone(&ground.shell(script), GRACE);
    ground.pids("own", 1).await;
    assert!(matches!(
        ground.run(KILLER).await.outcome,
        Outcome::ProcessDied { beside: 19, .. }
    ));
    drop(all);
    std::fs::write(ground.path("go"), "").unwrap();
    let attempted = alone.ended().await;
    assert!(
        matches!(attempted.outcome, Outcome::Done(_)),
        "{attempted:?}"
    );
}
