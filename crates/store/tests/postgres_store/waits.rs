//! Waits that end, keys, and what is forgotten, on a real PostgreSQL.

use crate::support;

use crate::support::{bench, due, holder, publish, stage};
use domain::books::{Fact, Place, Served};
use domain::control::Hold;
use domain::fleet::Heartbeat;
use domain::names::{Kind, Version};
use domain::ports::{Action, Answer, Catalog, Desk, Election, Order, Retention, Sent};
use domain::record::{Arrived, Said};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[tokio::test]
async fn postgres_a_stage_that_opens_again_releases_what_it_held() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let (held, unclaimed) = (bench.ticket("build"), bench.ticket("test"));
    let wait = |condition| Wait {
        condition,
        since: bench.now(),
        because: "it cannot be started".into(),
        oops: None,
    };
    let arrive = |ticket: &Ticket, condition| {
        let arrived = Arrived {
            ticket: ticket.clone(),
            name: ticket.name.renewed(),
            wait: wait(condition),
        };
        bench.record("worker/1", Said::Arrived(Box::new(arrived)))
    };
    let hold = Hold {
        since: bench.now(),
        reason: "no such file".into(),
        by: "worker/1".into(),
        version: None,
        oops: None,
    };
    let hold = Said::Hold(stage("build"), Box::new(hold));
    let group = vec![
        bench.record("worker/1", hold.clone()),
        arrive(&held, Condition::Held { version: None }),
        arrive(&unclaimed, Condition::Unclaimed),
    ];
    assert!(ledger.apply(group).await.unwrap().control);
    assert!(due(&ledger, bench.now()).await.is_empty());
    let again = ledger
        .apply(vec![bench.record("worker/2", hold)])
        .await
        .unwrap();
    assert!(!again.control, "the same hold again is no change");
    let unhold = bench.record("worker/1", Said::Unhold(stage("build")));
    assert!(ledger.apply(vec![unhold]).await.unwrap().control);
    assert_eq!(due(&ledger, bench.now()).await.len(), 1);
    let beat = Heartbeat {
        holder: holder("worker/1"),
        hostname: "host".into(),
        stages: BTreeMap::from([(stage("test"), Version::new("1").unwrap())]),
        kinds: BTreeMap::new(),
        revision: 1,
        in_hand: Vec::new(),
    };
    let beat = bench.record("worker/1", Said::Beat(Box::new(beat)));
    ledger.apply(vec![beat]).await.unwrap();
    assert_eq!(due(&ledger, bench.now()).await.len(), 2);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_who_waits_for_its_kind_to_be_taken_is_released_by_who_takes_it() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let kind = |name: &str| Kind::new(name).unwrap();
    let [nut, bolt, screw] = ["nut", "bolt", "screw"].map(|name| Ticket {
        kind: kind(name),
        ..bench.ticket("build")
    });
    let arrived = [&nut, &bolt, &screw].map(|ticket| {
        let arrived = Box::new(bench.unclaimed(ticket));
        bench.record("worker/1", Said::Arrived(arrived))
    });
    ledger.apply(arrived.into()).await.unwrap();
    let serves = |kinds: BTreeMap<_, _>| {
        let beat = Heartbeat {
            holder: holder("worker/1"),
            hostname: "host".into(),
            stages: BTreeMap::from([(stage("build"), Version::new("1").unwrap())]),
            kinds,
            revision: 1,
            in_hand: Vec::new(),
        };
        bench.record("worker/1", Said::Beat(Box::new(beat)))
    };
    let beat = |kinds: &[&str]| {
        let kinds = kinds.iter().map(|name| kind(name)).collect();
        serves(BTreeMap::from([(stage("build"), kinds)]))
    };
    ledger.apply(vec![beat(&["washer"])]).await.unwrap();
    assert!(due(&ledger, bench.now()).await.is_empty());
    ledger
        .apply(vec![beat(&["washer"]), beat(&["washer", "nut"])])
        .await
        .unwrap();
    let released = due(&ledger, bench.now()).await;
    assert_eq!(released.len(), 1);
    assert_eq!(released[0].ticket.id(), nut.id());
    ledger.apply(vec![beat(&["bolt"])]).await.unwrap();
    assert_eq!(due(&ledger, bench.now()).await.len(), 2);
    ledger.apply(vec![serves(BTreeMap::new())]).await.unwrap();
    let all = due(&ledger, bench.now()).await.len();
    assert_eq!(all, 3, "who names no kinds takes them all");
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_the_books_say_who_serves_a_stage_and_which_kinds_it_takes() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let kinds = BTreeSet::from(["bolt", "nut"].map(|kind| Kind::new(kind).unwrap()));
    let version = |version: &str| Version::new(version).unwrap();
    let versions = BTreeMap::from([
        (
            version("1"),
            BTreeMap::from([(holder("a"), None), (holder("b"), None)]),
        ),
        (
            version("2"),
            BTreeMap::from([(holder("c"), Some(kinds.clone()))]),
        ),
    ]);
    let serving = BTreeMap::from([(stage("build"), versions)]);
    ledger.serving(serving, bench.now()).await.unwrap();
    let stages = store.stages().await.unwrap();
    let build = stages.iter().find(|it| it.stage == stage("build")).unwrap();
    let served = |version, workers, kinds| Served {
        version,
        kinds,
        workers,
    };
    let expected = [
        served(version("1"), 2, None),
        served(version("2"), 1, Some(kinds)),
    ];
    assert_eq!(
        build.served, expected,
        "also of one that never had a ticket"
    );
}

#[tokio::test]
async fn postgres_a_key_is_let_in_once_and_the_newest_supersedes_who_waits() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let [first, second, third] = [(); 3].map(|()| bench.keyed("v1"));
    store.submit(vec![first.clone()]).await.unwrap();
    publish(&ledger, first.name).await;
    store.submit(vec![second.clone()]).await.unwrap();
    store.submit(vec![third.clone()]).await.unwrap();
    assert!(due(&ledger, bench.now()).await.is_empty());
    let entry = store.ticket(second.id()).await.unwrap().unwrap();
    let Place::Dropped { reason, .. } = entry.place else {
        panic!("{entry:?}");
    };
    assert_eq!(reason, format!("superseded by {}", third.id()));
    let group = vec![
        bench.started("worker/1", &first),
        bench.finished("worker/1", &first),
    ];
    ledger.apply(group).await.unwrap();
    assert_eq!(due(&ledger, bench.now()).await[0].ticket, third);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_whoever_waits_makes_room_for_a_newer_one_with_its_key() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let [first, second] = [(); 2].map(|()| bench.keyed("v1"));
    store.submit(vec![first.clone()]).await.unwrap();
    publish(&ledger, first.name).await;
    store.submit(vec![second.clone()]).await.unwrap();
    let group = vec![
        bench.started("worker/1", &first),
        bench.failed("worker/1", &first),
    ];
    ledger.apply(group).await.unwrap();
    assert_eq!(due(&ledger, bench.now()).await[0].ticket, second);
    let balance = store.balance(None).await.unwrap();
    assert_eq!((balance.dropped, balance.waiting_total()), (1, 1));
    bench.assert_balanced(&store).await;
}

/// Whoever ends it then would leave its key to a ticket of which nobody may ever hear again.
#[tokio::test]
async fn postgres_what_may_be_on_its_way_is_not_ended_with_its_key() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let [first, second] = [(); 2].map(|()| bench.keyed("v1"));
    store.submit(vec![first.clone()]).await.unwrap();
    ledger.sent(vec![(first.name, Sent::Begun)]).await.unwrap();
    let cancel = || Order {
        ticket: first.id(),
        action: Action::Cancel,
        by: "ann".into(),
        at: bench.now(),
    };
    let answers = store.carry_out(vec![cancel()]).await.unwrap();
    let refused = matches!(&answers[0], Answer::Refused { why, .. } if why.contains("found out"));
    assert!(refused, "{answers:?}");
    let doubtful = vec![(first.name, Sent::Doubtful)];
    ledger.sent(doubtful).await.unwrap();
    let answers = store.carry_out(vec![cancel()]).await.unwrap();
    assert!(!matches!(answers[0], Answer::Refused { .. }), "{answers:?}");
    store.submit(vec![second.clone()]).await.unwrap();
    assert_eq!(due(&ledger, bench.now()).await[0].ticket, second);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_the_next_wait_is_told_and_retries_come_when_they_are_due() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let ticket = bench.published(&store, &ledger).await;
    let group = vec![
        bench.started("worker/1", &ticket),
        bench.failed("worker/1", &ticket),
    ];
    ledger.apply(group).await.unwrap();
    let dues = ledger.due(bench.now(), support::MANY).await.unwrap();
    assert!(dues.due.is_empty());
    let next = dues.next.unwrap();
    assert_eq!(
        due(&ledger, next).await[0].ticket.name,
        ticket.name.charged()
    );
    let lines = store.history(ticket.id()).await.unwrap();
    let attempts = lines
        .iter()
        .filter(|line| matches!(line.fact, Fact::Attempted { .. }));
    assert_eq!(attempts.count(), 1);
}

#[tokio::test]
async fn postgres_what_ended_long_ago_goes_with_its_day() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let old = bench.published(&store, &ledger).await;
    let group = vec![
        bench.started("worker/1", &old),
        bench.finished("worker/1", &old),
    ];
    ledger.apply(group).await.unwrap();
    bench.clock.skip(Duration::from_secs(5 * 86_400));
    let young = bench.published(&store, &ledger).await;
    let group = vec![
        bench.started("worker/1", &young),
        bench.finished("worker/1", &young),
    ];
    ledger.apply(group).await.unwrap();
    let days = "pg_inherits WHERE inhparent = 'history'::regclass";
    let before = bench.count(days);
    let retention = Retention {
        before: bench.now().minus(Duration::from_secs(2 * 86_400)),
        tickets_max: 10,
    };
    assert_eq!(ledger.retain(retention).await.unwrap(), 1);
    assert_eq!(ledger.retain(retention).await.unwrap(), 0);
    assert!(bench.count(days) < before, "a day was dropped");
    assert!(store.ticket(old.id()).await.unwrap().is_none());
    let lines = store.history(young.id()).await.unwrap();
    assert!(
        lines
            .iter()
            .any(|line| matches!(line.fact, Fact::Attempted { .. }))
    );
    assert_eq!(bench.count("history"), 1, "the young one's attempt");
    let too_many = Retention {
        before: Timestamp::EPOCH,
        tickets_max: 0,
    };
    assert_eq!(ledger.retain(too_many).await.unwrap(), 1);
    assert_eq!(
        store.balance(None).await.unwrap().done,
        2,
        "the sums keep them"
    );
}

#[tokio::test]
async fn postgres_a_submission_elsewhere_wakes_the_leader() {
    let Some(bench) = bench() else { return };
    let (store, _ledger) = bench.leading().await;
    // What it hears of when it begins to listen.
    tokio::time::timeout(Duration::from_secs(2), store.attention())
        .await
        .ok();
    let other = bench.open("controller/2").await;
    let woken = tokio::time::timeout(Duration::from_secs(2), store.attention());
    let submitted = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        other.submit(vec![bench.ticket("build")]).await.unwrap();
    };
    let (woken, ()) = tokio::join!(woken, submitted);
    assert!(woken.is_ok());
}
