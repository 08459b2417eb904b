//! Promises of a stage that fails as a whole: its queue waits, and one ticket at a time is tried.

use super::Stand;
use super::shop::{PROBE, Shop, good};
use super::stand::stage;
use domain::breaker::Scope;
use std::time::Duration;

super::suite!(gates_contract gates ($)
    a_stage_that_fails_as_a_whole_takes_one_ticket_an_interval,
    a_stage_that_works_again_takes_what_it_likes,
    a_stage_that_works_again_is_let_in_in_steps,
    a_held_stage_outlives_its_process,
);

/// Twenty that fail in a row, each in its own way.
async fn trip_the_stage(shop: &mut Shop) {
    let tickets = (0..20).map(|n| shop.ticket(&format!("odd {}", "x".repeat(n + 1))));
    let tickets = tickets.collect();
    shop.stand.submit_all(tickets).await;
    assert_eq!(shop.work().await, 20);
    assert_eq!(shop.state(Scope::Stage).await, Some("open"));
    let snapshot = shop.stand.world().catalog().snapshot().await;
    let snapshot = snapshot.expect("the desired state can be read");
    assert!(
        snapshot.gates.contains_key(&stage("frail")),
        "everybody is told"
    );
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
    let mut shop = Shop::open(stand).await;
    trip_the_stage(&mut shop).await;
    shop.submit("sick", 100).await;
    shop.deploy("2", good).await;
    shop.round().await;
    assert_eq!(shop.work().await, 1, "one alone comes first");
    for _ in 0..20 {
        shop.stand.skip(Duration::from_secs(20));
        shop.run().await;
    }
    assert_eq!(shop.done_count().await, 120);
    let snapshot = shop.stand.world().catalog().snapshot().await;
    let snapshot = snapshot.expect("the desired state can be read");
    assert!(snapshot.gates.is_empty());
}

/// Its queue is released like everything else, where the gate is near the books; a stage far away
/// may be opened at once.
pub async fn a_stage_that_works_again_is_let_in_in_steps(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    trip_the_stage(&mut shop).await;
    shop.submit("sick", 150).await;
    shop.deploy("2", good).await;
    shop.round().await;
    assert_eq!(shop.work().await, 1, "one alone comes first");
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
