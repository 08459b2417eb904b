//! The desired state: holds, fences, and what the heartbeat says of it.

use crate::stand::{
    LULL, SOON, Stand, consume, fresh, max, nothing, settle, stage, until, version,
};
use domain::control::Hold;
use domain::fleet::Heartbeat;
use domain::ports::{Broker, Holds, Vitals};
use domain::record::{Fate, Said};
use domain::ticket::Generation;
use domain::time::Timestamp;
use std::sync::Arc;
use tokio::time::timeout;

fn hold() -> Hold {
    Hold {
        since: Timestamp::EPOCH,
        reason: "it cannot be started".into(),
        by: "somebody".into(),
        version: None,
        oops: None,
    }
}

fn beat(said: &Said) -> Option<Heartbeat> {
    match said {
        Said::Beat(beat) => Some((**beat).clone()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_worker_without_a_desired_state_takes_nothing() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.closed_worker().await;
    let mut build = consume(&worker, "build").await;
    stand.publish(&[stand.ticket()]).await;
    nothing(&mut build).await;
    assert_eq!(worker.in_hand(), 0);
    stand.spread(|_| {}).await;
    drop(fresh(&mut build).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_held_stage_hands_back_what_was_prefetched_and_takes_nothing() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let tickets: Vec<_> = (0..6).map(|_| stand.ticket()).collect();
    stand.publish(&tickets).await;
    let at_work = fresh(&mut build).await;
    until("all are prefetched", || worker.in_hand() == 6).await;
    stand
        .spread(|snapshot| {
            snapshot.holds.insert(stage("build"), hold());
        })
        .await;
    for _ in 0..5 {
        let name = stand
            .hear(|said| match said {
                Said::Ended(parted) if parted.ended.is_none() => Some(parted.name),
                _ => None,
            })
            .await;
        assert_ne!(name, at_work.ticket().name, "it goes on");
    }
    stand.keeps_to_revision(&worker).await;
    stand.publish(&[stand.ticket()]).await;
    nothing(&mut build).await;
    assert_eq!(
        stand
            .ready(&stand.config.names.stage(&stage("build")))
            .await,
        1
    );
    let settlement = stand.work(&worker, at_work).await;
    settle(&worker, settlement).await;
    stand.spread(|_| {}).await;
    let delivery = fresh(&mut build).await;
    let settlement = stand.work(&worker, delivery).await;
    settle(&worker, settlement).await;
    assert_eq!(worker.in_hand(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_is_below_the_fence_is_taken_off_and_never_handed_out() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let (ghost, other) = (stand.ticket(), stand.ticket());
    stand
        .spread(|snapshot| {
            snapshot.fences.insert(ghost.id(), Generation(2));
        })
        .await;
    stand.keeps_to_revision(&worker).await;
    let newer = ghost.named(ghost.name.renewed());
    stand
        .publish(&[ghost.clone(), newer.clone(), other.clone()])
        .await;
    let mut names = [fresh(&mut build).await, fresh(&mut build).await].map(|d| d.ticket().name);
    names.sort_unstable_by_key(|name| name.ticket != ghost.id());
    assert_eq!(names, [newer.name, other.name]);
    let fenced = stand
        .hear(|said| match said {
            Said::Fenced { name, stage } => Some((*name, stage.clone())),
            _ => None,
        })
        .await;
    assert_eq!(fenced, (ghost.name, stage("build")));
    assert_eq!(worker.tally().fenced, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_an_attempt_that_was_fenced_off_hands_nothing_on() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ghost = stand.ticket();
    stand.publish(std::slice::from_ref(&ghost)).await;
    let delivery = fresh(&mut build).await;
    let settlement = stand.work(&worker, delivery).await;
    stand
        .spread(|snapshot| {
            snapshot.fences.insert(ghost.id(), Generation(2));
        })
        .await;
    stand.keeps_to_revision(&worker).await;
    assert_eq!(
        settle(&worker, settlement).await,
        domain::ports::Settled::Stale
    );
    let parted = stand
        .hear(|said| match said {
            Said::Ended(parted) => Some(parted.clone()),
            _ => None,
        })
        .await;
    assert!(
        parted.ended.is_some() && matches!(parted.to, Fate::Waits(_)),
        "{parted:?}"
    );
    assert_eq!(
        stand.ready(&stand.config.names.stage(&stage("test"))).await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_new_revision_is_answered_at_once_and_only_when_everybody_keeps_to_it() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let mut vitals = stand.controller.listen().await.unwrap();
    let worker = stand.worker().await;
    let mut follower = worker.follow().await.unwrap();
    follower.next().await.unwrap();
    // Whoever follows has the first one and has not asked past it.
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let held = fresh(&mut build).await;
    stand.spread(|_| {}).await;
    tokio::time::sleep(LULL).await;
    assert!(worker.revision() < 2);
    let asked = std::time::Instant::now();
    assert_eq!(follower.next().await.unwrap().revision, 2);
    assert!(
        timeout(LULL, follower.next()).await.is_err(),
        "there is no third"
    );
    let said = stand
        .hear(|said| beat(said).filter(|beat| beat.revision == 2))
        .await;
    assert!(
        asked.elapsed() < domain::fleet::BEAT_EVERY,
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(said.in_hand, [held.ticket().name]);
    assert_eq!(said.stages.len(), 1);
    let heard = timeout(SOON, async {
        loop {
            let beats = vitals.next(max(10)).await.unwrap();
            if beats.iter().any(|beat| beat.revision == 2) {
                return;
            }
        }
    });
    heard.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_version_is_announced_when_two_looks_agree_on_it() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let _worker = stand.worker().await;
    let serves = Arc::clone(&stand.serves);
    // Another one each time that somebody looks, as while its file is being written.
    for part in ["half", "more", "most"] {
        *serves.lock().unwrap() = version(part);
        assert_eq!(stand.hear(beat).await.stages, version("1"));
    }
    *serves.lock().unwrap() = version("whole");
    let is_whole = |said: &Said| beat(said).filter(|beat| beat.stages == version("whole"));
    stand.hear(is_whole).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_hold_and_its_end_are_told_in_the_journal() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    worker.hold(&stage("build"), hold()).await.unwrap();
    worker
        .unhold(&stage("build"), Timestamp::EPOCH)
        .await
        .unwrap();
    let said = stand.hear_all().await;
    assert_eq!(
        said,
        [
            Said::Hold(stage("build"), Box::new(hold())),
            Said::Unhold(stage("build"))
        ]
    );
}
