//! What a worker takes of a stage that fails as a whole, and of tickets that are to run elsewhere.

use crate::stand::{LULL, Stand, consume, fresh, max, next, nothing, settle, stage, until};
use domain::control::{Gate, Permit, Snapshot};
use domain::delivery::Incoming;
use domain::flow::{Flows, Stage};
use domain::names::{Holder, Kind, Version};
use domain::ports::{Clock, Due, Road, Sent};
use domain::record::{Fate, Said};
use domain::ticket::Name;
use domain::time::Timestamp;
use domain::wait::Condition;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The gate of the stage is shut; `permit` is its newest, and for whom.
fn shut(snapshot: &mut Snapshot, permit: Option<(u64, &str)>) {
    let permit = permit.map(|(number, holder)| Permit {
        number,
        holder: Holder::new(holder).unwrap(),
    });
    let gate = Gate {
        since: Timestamp::EPOCH,
        reason: "20 tickets in a row failed".into(),
        permit,
    };
    snapshot.gates.insert(stage("build"), gate);
}

fn handed_back(said: &Said) -> Option<(Name, Condition, String)> {
    match said {
        Said::Ended(parted) if parted.ended.is_none() => match &parted.to {
            Fate::Waits(arrived) => Some((
                parted.name,
                arrived.wait.condition.clone(),
                arrived.wait.because.clone(),
            )),
            _ => None,
        },
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_of_a_stage_that_fails_as_a_whole_one_ticket_is_taken_for_each_permit() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    stand.spread(|snapshot| shut(snapshot, None)).await;
    stand.keeps_to_revision(&worker).await;
    let mut build = consume(&worker, "build").await;
    let tickets: Vec<_> = (0..6).map(|_| stand.ticket()).collect();
    stand.publish(&tickets).await;
    nothing(&mut build).await;
    for (number, tickets) in [(1, 6), (2, 5)] {
        // Whoever else has a permit, and one that was used up: neither is for us.
        let other = Some((number, "somebody else"));
        stand.spread(|snapshot| shut(snapshot, other)).await;
        nothing(&mut build).await;
        let ours = Some((number, "worker 1"));
        stand.spread(|snapshot| shut(snapshot, ours)).await;
        let delivery = fresh(&mut build).await;
        stand.spread(|snapshot| shut(snapshot, ours)).await;
        stand.keeps_to_revision(&worker).await;
        nothing(&mut build).await;
        assert_eq!(worker.in_hand(), 1, "no more than the one is fetched");
        let queue = stand.config.names.stage(&stage("build"));
        assert_eq!(stand.ready(&queue).await, tickets - 1);
        let settlement = stand.work(&worker, delivery).await;
        settle(&worker, settlement).await;
        nothing(&mut build).await;
    }
    assert_eq!(worker.tally().handed_back, 0, "nothing went round for it");
    stand.spread(|_| {}).await;
    for _ in 0..4 {
        drop(fresh(&mut build).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_gate_that_shuts_hands_back_what_was_prefetched_and_one_that_opens_lets_all_in()
{
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let tickets: Vec<_> = (0..6).map(|_| stand.ticket()).collect();
    stand.publish(&tickets).await;
    let at_work = fresh(&mut build).await;
    until("all are prefetched", || worker.in_hand() == 6).await;
    let permit = Some((1, "worker 1"));
    stand.spread(|snapshot| shut(snapshot, None)).await;
    for _ in 0..5 {
        let (name, condition, _) = stand.hear(handed_back).await;
        assert_ne!(name, at_work.ticket().name, "it goes on");
        assert!(matches!(condition, Condition::NotNow { .. }));
    }
    let tickets: Vec<_> = (0..3).map(|_| stand.ticket()).collect();
    stand.publish(&tickets).await;
    stand.spread(|snapshot| shut(snapshot, permit)).await;
    until("one is fetched for the permit", || worker.in_hand() == 2).await;
    // It opens while that one lies there.
    stand.spread(|_| {}).await;
    stand.keeps_to_revision(&worker).await;
    let handed_back = worker.tally().handed_back;
    for _ in 0..3 {
        drop(fresh(&mut build).await);
    }
    assert_eq!(handed_back, 5, "nothing more");
    drop(at_work);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_suspect_is_asked_about_without_using_up_the_permit() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let first = stand.worker().await;
    let mut build = consume(&first, "build").await;
    let suspect = stand.ticket();
    stand.publish(std::slice::from_ref(&suspect)).await;
    let delivery = fresh(&mut build).await;
    let permit = Some((1, "worker 2"));
    let other = stand.other_worker().await;
    stand.spread(|snapshot| shut(snapshot, permit)).await;
    stand.keeps_to_revision(&other).await;
    let mut build = consume(&other, "build").await;
    stand.proxy.cut();
    match next(&mut build).await {
        Incoming::Suspect(delivery) => assert_eq!(delivery.ticket().name, suspect.name),
        incoming => panic!("expected a suspect, got {incoming:?}"),
    }
    drop(delivery);
    let tickets = [stand.ticket(), stand.ticket()];
    stand.publish(&tickets).await;
    let group = timeout(
        LULL * 10,
        domain::ports::Consumer::next(&mut *build, max(10)),
    );
    let group = group.await.expect("one comes soon").unwrap();
    assert_eq!(group.len(), 1, "one, however many were asked for");
    assert!(matches!(&group[0], Incoming::Fresh(_)), "{group:?}");
    nothing(&mut build).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_ticket_that_avoids_the_version_here_goes_back_as_never_run() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let avoiding = |versions: &[&str]| Due {
        ticket: stand.ticket(),
        barrier: None,
        alone: false,
        avoid: versions
            .iter()
            .map(|it| Version::new(it).unwrap())
            .collect(),
    };
    let (elsewhere, here) = (avoiding(&["0", "1"]), avoiding(&["0", "2"]));
    let (to_avoid, ticket) = (elsewhere.ticket.name, here.ticket.clone());
    let sent = stand.controller.publish(vec![elsewhere, here]).await;
    assert_eq!(sent, [Sent::Confirmed, Sent::Confirmed]);
    let delivery = fresh(&mut build).await;
    assert_eq!(**delivery.ticket(), ticket);
    let (name, condition, because) = stand.hear(handed_back).await;
    assert_eq!(name, to_avoid);
    let now = stand.clock.now();
    match condition {
        Condition::NotNow { until } => {
            let wait = until.since(now);
            assert!(wait <= Duration::from_secs(1), "{wait:?}");
        }
        other => panic!("expected a wait by time, got {other:?}"),
    }
    assert_eq!(because, "it is to run on a newer version than 1");
    nothing(&mut build).await;
    until("it is let go", || worker.in_hand() == 1).await;
    assert_eq!(worker.tally().avoided, 1);
    let settlement = stand.work(&worker, delivery).await;
    settle(&worker, settlement).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_ticket_of_a_kind_that_is_not_taken_here_waits_for_who_takes_it() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let mut rules = Stage::new(stage("build"));
    rules.kinds = Some(BTreeSet::from([Kind::new("nut").unwrap()]));
    stand.flows = Arc::new(Flows::new(vec![rules], BTreeMap::new()).unwrap());
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let (mut nut, mut bolt) = (stand.ticket(), stand.ticket());
    (nut.kind, bolt.kind) = (Kind::new("nut").unwrap(), Kind::new("bolt").unwrap());
    stand.publish(&[bolt.clone(), nut.clone()]).await;
    let delivery = fresh(&mut build).await;
    assert_eq!(**delivery.ticket(), nut);
    let (name, condition, because) = stand.hear(handed_back).await;
    assert_eq!((name, condition), (bolt.name, Condition::Unclaimed));
    assert_eq!(because, "stage build does not take the kind bolt");
    until("it is let go", || worker.in_hand() == 1).await;
    assert_eq!(worker.tally().unclaimed, 1);
    let kinds = stand.hear(|said| match said {
        Said::Beat(beat) if !beat.stages.is_empty() => Some(beat.kinds.clone()),
        _ => None,
    });
    let taken = BTreeSet::from([Kind::new("nut").unwrap()]);
    assert_eq!(kinds.await, BTreeMap::from([(stage("build"), taken)]));
    let settlement = stand.work(&worker, delivery).await;
    settle(&worker, settlement).await;
}
