//! Promises of what people are told of breakers: how many wait behind one, and what they fail of.

use super::Stand;
use super::shop::{PROBE, Shop, good};
use domain::breaker::Scope;
use domain::deadline::expired;
use domain::ports::Tripped;
use domain::wait::Reason;

super::suite!(breakers_contract breakers ($)
    a_breaker_says_what_its_ticket_fails_of_while_that_is_out,
    a_breaker_says_what_its_tickets_failed_of_while_they_are_released,
    behind_the_gate_of_a_stage_waits_its_queue,
    a_ticket_that_is_too_late_shows_nothing_of_its_stage,
);

async fn told(shop: &Shop, scope: Scope) -> Tripped {
    let tripped = shop.tripped().await;
    let found = tripped.into_iter().find(|it| it.breaker.scope == scope);
    found.expect("there is something to tell of the breaker")
}

/// Works on so many of those that are handed out.
async fn some(shop: &mut Shop, count: usize) -> usize {
    let taken = shop.take(count).await;
    let count = taken.len();
    shop.work_on(taken).await;
    count
}

/// A single ticket that keeps failing is a single page, which must say what it is about.
pub async fn a_breaker_says_what_its_ticket_fails_of_while_that_is_out(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let id = shop.submit("sick", 1).await[0];
    for _ in 0..5 {
        assert_eq!(shop.work().await, 1);
        shop.stand.skip(PROBE / 2);
        shop.round().await;
    }
    let scope = Scope::Signature(shop.held(id).await);
    let held = told(&shop, scope).await;
    assert_eq!(
        (held.held, held.value.as_str()),
        (1, "Broken: it cannot do sick")
    );
    shop.stand.skip(PROBE);
    shop.round().await;
    let out = told(&shop, scope).await;
    assert_eq!(out.breaker.state.as_str(), "probing");
    assert_eq!((out.held, out.value), (0, held.value));
}

/// Nobody is held any more, and the page is still open.
pub async fn a_breaker_says_what_its_tickets_failed_of_while_they_are_released(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let ids = shop.submit("sick", 6).await;
    assert_eq!(shop.work().await, 6);
    let scope = Scope::Signature(shop.held(ids[0]).await);
    shop.deploy("2", good).await;
    let mut seen = Vec::new();
    loop {
        shop.round().await;
        let tripped = shop.tripped().await;
        let Some(it) = tripped.into_iter().find(|it| it.breaker.scope == scope) else {
            break;
        };
        assert_eq!(it.value, "Broken: it cannot do sick", "{it:?}");
        seen.push((it.breaker.state.as_str(), it.held));
        if shop.work().await == 0 {
            break;
        }
    }
    assert!(seen.contains(&("releasing", 0)), "{seen:?}");
    assert_eq!(shop.done_count().await, 6);
}

/// What its signatures hold is counted with them.
pub async fn behind_the_gate_of_a_stage_waits_its_queue(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let odd = (0..20).map(|n| shop.ticket(&format!("odd {}", "x".repeat(n + 1))));
    let odd = odd.collect();
    shop.stand.submit_all(odd).await;
    assert_eq!(some(&mut shop, 19).await, 19);
    assert_eq!(told(&shop, Scope::Stage).await.held, 0, "it is not shut");
    assert_eq!(shop.work().await, 1);
    let shut = told(&shop, Scope::Stage).await;
    assert_eq!((shut.breaker.state.as_str(), shut.held), ("open", 0));
    assert!(
        shut.value.starts_with("Broken: it cannot do odd"),
        "{shut:?}"
    );
    shop.submit("sick", 10).await;
    assert_eq!(told(&shop, Scope::Stage).await.held, 10);
}

/// It was not run: neither a failure of its stage nor a proof that what failed is repaired.
pub async fn a_ticket_that_is_too_late_shows_nothing_of_its_stage(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let sick = shop.trip().await;
    let scope = Scope::Signature(shop.held(sick[0]).await);
    let late = shop.submit("expired", 25).await;
    assert_eq!(shop.work().await, 25);
    for id in &late {
        shop.stand.waits_as(*id, Reason::Parked).await;
    }
    assert_eq!(shop.stand.entry(late[0]).await.oopses.len(), 1);
    assert_ne!(shop.state(Scope::Stage).await, Some("open"));
    assert_eq!(shop.state(scope).await, Some("open"));
    assert_eq!(shop.held_count().await, 5);
    shop.deploy("2", |_| expired()).await;
    shop.round().await;
    assert_eq!(shop.work().await, 1, "the canary");
    assert_eq!(shop.held_count().await, 3, "it is parked, the next is out");
    assert_eq!(shop.state(scope).await, Some("probing"));
    shop.deploy("3", good).await;
    shop.run().await;
    assert_eq!(shop.done_count().await, 4);
}
