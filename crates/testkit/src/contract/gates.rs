//! Promises of a stage that fails as a whole: its queue waits, and one ticket at a time is tried.

use super::shop::{PROBE, Shop, good};
use super::stand::stage;
use super::{Stand, plans};
use domain::breaker::Scope;
use domain::plan::Plan;
use domain::ports::PlanOrder;
use std::time::Duration;

super::suite!(gates_contract gates ($)
    a_stage_that_fails_as_a_whole_takes_one_ticket_an_interval,
    a_stage_that_works_again_takes_what_it_likes,
    a_stage_that_works_again_is_let_in_in_steps,
    a_held_stage_outlives_its_process,
    a_gate_opens_when_the_breakers_are_turned_off,
    a_release_of_a_queue_that_is_paused_lets_nothing_in,
    a_stage_that_was_open_is_shut_while_its_release_is_paused,
);

/// Twenty that fail in a row, each in its own way.
async fn trip_the_stage(shop: &mut Shop) {
    let tickets = (0..20).map(|n| shop.ticket(&format!("odd {}", "x".repeat(n + 1))));
    let tickets = tickets.collect();
    shop.stand.submit_all(tickets).await;
    assert_eq!(shop.work().await, 20);
    assert_eq!(shop.state(Scope::Stage).await, Some("open"));
    assert!(is_shut(shop).await, "everybody is told");
}

async fn is_shut(shop: &Shop) -> bool {
    let snapshot = shop.stand.world().catalog().snapshot().await;
    let snapshot = snapshot.expect("the desired state can be read");
    snapshot.gates.contains_key(&stage("frail"))
}

/// The stage fails, then its canary lands; so many are in its queue.
async fn repaired(stand: Stand, count: usize) -> Shop {
    let mut shop = Shop::open(stand).await;
    trip_the_stage(&mut shop).await;
    shop.submit("sick", count).await;
    shop.deploy("2", good).await;
    shop.round().await;
    assert_eq!(shop.work().await, 1, "one alone comes first");
    shop
}

/// What is wanted of the newest plan.
async fn order(shop: &Shop, order: PlanOrder) -> Plan {
    let id = shop.plans().await[0].id;
    plans::order(shop, id, order).await
}

/// Whatever waits in its queue.
pub async fn a_stage_that_fails_as_a_whole_takes_one_ticket_an_interval(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    trip_the_stage(&mut shop).await;
    shop.submit("sick", 10).await;
    assert_eq!(shop.work().await, 0);
    for _ in 0..3 {
        shop.stand.skip(PROBE);
        shop.round().await;
        assert_eq!(shop.work().await, 1);
        shop.round().await;
        assert_eq!(shop.work().await, 0);
    }
}

/// Once one of its tickets has landed.
pub async fn a_stage_that_works_again_takes_what_it_likes(stand: Stand) {
    let mut shop = repaired(stand, 100).await;
    for _ in 0..20 {
        shop.stand.skip(Duration::from_secs(20));
        shop.run().await;
    }
    assert_eq!(shop.done_count().await, 120);
    assert!(!is_shut(&shop).await);
}

/// Its queue is released like everything else, where the gate is near the books; a stage far away
/// may be opened at once.
pub async fn a_stage_that_works_again_is_let_in_in_steps(stand: Stand) {
    let mut shop = repaired(stand, 150).await;
    let turns = shop.run().await;
    if !shop.stand.has_journal() {
        assert_eq!(turns[..2], [10, 100], "{turns:?}");
    }
    assert!(turns.iter().sum::<usize>() >= 149, "{turns:?}");
}

/// A start is no repair.
pub async fn a_held_stage_outlives_its_process(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    trip_the_stage(&mut shop).await;
    shop.submit("sick", 10).await;
    shop.crash().await;
    assert_eq!(shop.work().await, 0);
    shop.stand.skip(PROBE);
    shop.round().await;
    assert_eq!(shop.work().await, 1);
    shop.round().await;
    assert_eq!(shop.work().await, 0);
}

/// Nobody would be left to open it.
pub async fn a_gate_opens_when_the_breakers_are_turned_off(stand: Stand) {
    let mut shop = repaired(stand, 50).await;
    shop.round().await;
    shop.crash_without_breakers().await;
    assert!(!is_shut(&shop).await);
    let turns = shop.run().await;
    assert!(turns.iter().sum::<usize>() >= 49, "{turns:?}");
    let made = shop.plans().await;
    assert_ne!(made[0].state.as_str(), "running", "{made:?}");
}

/// What is at work goes on and counts. Where the gate is far away the queue is released at once,
/// and nothing is left to pause.
pub async fn a_release_of_a_queue_that_is_paused_lets_nothing_in(stand: Stand) {
    if stand.has_journal() {
        return;
    }
    let mut shop = repaired(stand, 50).await;
    shop.round().await;
    let taken = shop.take(4).await;
    assert_eq!(taken.len(), 4);
    let paused = order(&shop, PlanOrder::Pause).await;
    assert_eq!((paused.state.as_str(), paused.counts.out()), ("paused", 10));
    shop.work_on(taken).await;
    assert_eq!(shop.plans().await[0].counts.landed, 4);
    shop.stand.skip(PROBE * 2);
    assert_eq!(shop.run().await, []);
    shop.crash().await;
    assert_eq!(shop.run().await, [], "a start is no resumption");
    order(&shop, PlanOrder::Resume).await;
    assert_eq!(shop.run().await[..2], [6, 39]);
    assert!(!is_shut(&shop).await);
}

/// Its last step lets everybody in. Where the gate is far away that is the first one, and nothing
/// is left to pause.
pub async fn a_stage_that_was_open_is_shut_while_its_release_is_paused(stand: Stand) {
    if stand.has_journal() {
        return;
    }
    let mut shop = repaired(stand, 150).await;
    for step in [10, 100] {
        shop.round().await;
        assert_eq!(shop.work().await, step);
    }
    shop.round().await;
    assert!(!is_shut(&shop).await);
    let taken = shop.take(4).await;
    let paused = order(&shop, PlanOrder::Pause).await;
    let snapshot = shop.stand.world().catalog().snapshot().await;
    let snapshot = snapshot.expect("the desired state can be read");
    let gate = snapshot.gates.get(&stage("frail"));
    let reason = gate.map(|gate| gate.reason.clone()).unwrap_or_default();
    assert!(reason.contains(&paused.id.to_string()), "{reason:?}");
    shop.work_on(taken).await;
    assert_eq!(shop.run().await, []);
    shop.crash().await;
    assert!(is_shut(&shop).await);
    assert_eq!(shop.run().await, [], "a start is no resumption");
    order(&shop, PlanOrder::Resume).await;
    assert!(!is_shut(&shop).await);
    assert!(shop.run().await.iter().sum::<usize>() >= 35);
    assert_eq!(shop.state(Scope::Stage).await, None, "it is closed");
}
