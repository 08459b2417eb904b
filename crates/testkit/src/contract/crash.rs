//! Promises about the death of a process.

use super::Stand;
use super::shop::{Shop, good};
use super::stand::{failed, holder};
use domain::outcome::Outcome;
use domain::wait::{Condition, Reason};

super::suite!(crash_contract crash ($)
    what_was_accepted_survives,
    what_was_running_is_a_suspect,
    a_death_is_laid_to_the_version_that_ran,
    what_was_only_in_hand_is_delivered_again_as_fresh,
    what_was_settled_stays_settled,
    what_waits_goes_on_waiting,
    what_was_reported_stays_reported,
    the_dead_process_cannot_settle_any_more,
    what_was_unclaimed_is_released_when_its_stage_is_configured,
);

/// Accepted means durable.
pub async fn what_was_accepted_survives(mut stand: Stand) {
    let id = stand.submit(stand.ticket("build")).await;
    stand.crash().await;
    let mut consumer = stand.consume("build", 1).await;
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().id(), id);
    assert_eq!(stand.balance().await.accepted, 1);
}

/// Who had it, and since when, is known after the death.
pub async fn what_was_running_is_a_suspect(mut stand: Stand) {
    let started = stand.started(stand.ticket("build")).await;
    let (name, at) = (started.ticket().name, started.start().at);
    stand.crash().await;
    drop(started);
    let told = Condition::Suspect {
        holder: holder(),
        started_at: Some(at),
    };
    assert_eq!(stand.condition(name.ticket).await, told);
    assert_eq!(stand.entry(name.ticket).await.ticket.name, name);
    let mut consumer = stand.consume("build", 1).await;
    stand.nothing(&mut *consumer).await;
}

/// Whoever serves the stage now had nothing to do with it.
pub async fn a_death_is_laid_to_the_version_that_ran(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    shop.submit("well", 1).await;
    let taken = shop.take(1).await;
    let broker = shop.stand.world().broker();
    let started = broker.start(taken, &shop.start_now()).await;
    shop.crash().await;
    drop(started);
    shop.deploy("2", good).await;
    let scene = shop.stand.case().await.scene;
    let scene = scene.expect("the books know who ran it");
    assert_eq!(scene.version.as_str(), "1");
    assert_eq!(scene.holder, holder());
}

/// What was only in hand is never charged.
pub async fn what_was_only_in_hand_is_delivered_again_as_fresh(mut stand: Stand) {
    stand.submit(stand.ticket("build")).await;
    let mut consumer = stand.consume("build", 1).await;
    let in_hand = stand.fresh(&mut *consumer).await;
    let name = in_hand.ticket().name;
    stand.crash().await;
    drop((in_hand, consumer));
    if stand.has_journal() {
        // Somebody had it, that is all that its redelivery tells: the controller finds out.
        let condition = stand.condition(name.ticket).await;
        assert!(
            matches!(
                condition,
                Condition::Suspect {
                    started_at: None,
                    ..
                }
            ),
            "{condition:?}"
        );
        return;
    }
    let mut consumer = stand.consume("build", 1).await;
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().name, name);
}

/// Settled means durable.
pub async fn what_was_settled_stays_settled(mut stand: Stand) {
    let finished = stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    let handed_on = stand.attempted(stand.ci(), Outcome::done()).await;
    stand.crash().await;
    assert!(stand.place(finished).await.state().is_terminal());
    let mut consumer = stand.consume("test", 1).await;
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().id(), handed_on);
}

/// A wait has no owner that could die.
pub async fn what_waits_goes_on_waiting(mut stand: Stand) {
    let id = stand.attempted(stand.ticket("build"), failed()).await;
    let wait = stand.wait_of(id).await;
    stand.crash().await;
    assert_eq!(stand.wait_of(id).await, wait);
    assert_eq!(stand.balance().await.waiting[&Reason::Backoff], 1);
}

/// A report outlives who wrote it.
pub async fn what_was_reported_stays_reported(mut stand: Stand) {
    let id = stand.attempted(stand.ticket("build"), failed()).await;
    let oops = stand.entry(id).await.oopses;
    stand.crash().await;
    assert_eq!(stand.entry(id).await.oopses, oops);
    let listing = stand.listing("");
    let page = stand.world().oopses().list(listing).await;
    let reports = page.expect("the reports can be read").rows;
    assert_eq!(reports.iter().map(|r| r.id).collect::<Vec<_>>(), oops);
}

/// A settlement is bound to the process that took the delivery.
pub async fn the_dead_process_cannot_settle_any_more(mut stand: Stand) {
    let started = stand.started(stand.ticket("build")).await;
    let id = started.ticket().id();
    let settlement = stand.settlement(started, Outcome::done()).await;
    stand.crash().await;
    let late = stand.world().broker().settle(vec![settlement]).await;
    let unsettled = late.expect_err("the delivery belongs to a dead process");
    assert_eq!(unsettled.settlements.len(), 1, "the group comes back whole");
    stand.waits_as(id, Reason::Suspect).await;
}

/// Nobody resubmits anything.
pub async fn what_was_unclaimed_is_released_when_its_stage_is_configured(mut stand: Stand) {
    let id = stand.submit(stand.ticket("later")).await;
    stand.waits_as(id, Reason::Unclaimed).await;
    stand.restart_with("later").await;
    let mut consumer = stand.consume("later", 1).await;
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().id(), id);
}
