//! How attempts end that are on trial, or that bring their tickets there.

use crate::contract::Stand;
use crate::contract::deaths::died_beside;
use crate::contract::shop::Shop;
use crate::contract::stand::{crashed, failed};
use domain::outcome::{Failure, Outcome};
use domain::trial::Unbegun;
use domain::wait::Reason;
use std::time::Duration;

/// Nor does its breaker hear of it.
pub async fn a_process_that_dies_with_others_in_it_charges_nobody(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    shop.deploy("1", |_| died_beside(5)).await;
    let ids = shop.submit("well", 6).await;
    let taken = shop.take(6).await;
    shop.work_on(taken).await;
    for id in &ids {
        shop.stand.is_to_be_tried(*id).await;
        let entry = shop.stand.entry(*id).await;
        assert_eq!(entry.ticket.name.attempt.0, 1);
        assert_eq!(entry.oopses.len(), 1, "every attempt that died is told of");
    }
    assert_eq!(shop.tripped().await, []);
    let on_trial = shop.stand.tried("frail").await;
    shop.stand.end(on_trial, died_beside(0)).await;
    let mut attempts = Vec::new();
    for id in ids {
        attempts.push(shop.stand.attempt_of(id).await);
    }
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 1, 1, 1, 1, 2]);
}

/// Nobody else can have done it.
pub async fn a_process_that_dies_with_one_in_it_charges_that_one(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    shop.deploy("1", |_| died_beside(0)).await;
    let ids = shop.submit("well", 4).await;
    let taken = shop.take(4).await;
    shop.work_on(taken).await;
    for id in &ids {
        assert!(shop.stand.trial_at(*id).await > shop.stand.now());
        assert_eq!(shop.stand.attempt_of(*id).await, 2);
    }
    let last = shop.submit("well", 1).await[0];
    let taken = shop.take(1).await;
    shop.work_on(taken).await;
    let signature = shop.held(last).await;
    for id in ids {
        assert_eq!(
            shop.held(id).await,
            signature,
            "a trial is held like a back-off"
        );
    }
}

/// It has shown that it does not take its process along.
pub async fn an_orderly_end_ends_the_trial(mut stand: Stand) {
    let not_now = Outcome::NotNow { after: None };
    let late = Outcome::TimedOut(Failure::new("Deadline", "it took too long"));
    for outcome in [failed(), not_now, late] {
        stand.bereaved("build", 1).await;
        stand.skip(Duration::from_secs(1));
        let on_trial = stand.tried("build").await;
        let id = on_trial.ticket().id();
        stand.end(on_trial, outcome).await;
        let until = stand.condition(id).await.until();
        stand.skip(until.expect("it waits for time").since(stand.now()));
        let next = stand.next_one("build").await;
        assert!(!next.is_alone(), "it is like any other");
        stand.end(next, Outcome::done()).await;
    }
}

/// The machine had no process for it, or its deadline passed in the queue for one: whether it takes
/// its process along is as open as before.
pub async fn an_attempt_that_never_began_ends_no_trial(mut stand: Stand) {
    for why in [Unbegun::CannotSpawn, Unbegun::NoPlaceInTime] {
        let id = stand.bereaved("build", 1).await[0].ticket;
        stand.skip(Duration::from_secs(1));
        let on_trial = stand.tried("build").await;
        let failure = why.failure("no more processes");
        let outcome = match why {
            Unbegun::CannotSpawn => Outcome::Failed(failure),
            Unbegun::NoPlaceInTime => Outcome::TimedOut(failure),
        };
        stand.end(on_trial, outcome).await;
        stand.is_to_be_tried(id).await;
        let until = stand.trial_at(id).await;
        stand.skip(until.since(stand.now()));
        let next = stand.tried("build").await;
        assert_eq!(next.ticket().id(), id);
        stand.end(next, Outcome::done()).await;
    }
}

/// A panic in it, or a signal that hit it alone.
pub async fn a_crash_on_trial_is_charged_and_tried_again(mut stand: Stand) {
    let id = stand.bereaved("build", 1).await[0].ticket;
    for attempt in 2..4 {
        stand.skip_to_trial(id).await;
        let on_trial = stand.tried("build").await;
        assert_eq!(on_trial.ticket().name.attempt.0, attempt);
        stand.end(on_trial, crashed()).await;
        stand.waits_as(id, Reason::Trial).await;
        assert_eq!(stand.attempt_of(id).await, attempt + 1);
    }
    let unmarked = stand.attempted(stand.ticket("test"), crashed()).await;
    stand.waits_as(unmarked, Reason::Backoff).await;
}

/// Somebody stopped the worker: that shows nothing.
pub async fn a_trial_that_was_broken_off_is_made_again(mut stand: Stand) {
    let id = stand.bereaved("build", 1).await[0].ticket;
    stand.skip_to_trial(id).await;
    let on_trial = stand.tried("build").await;
    stand.end(on_trial, Outcome::Abandoned).await;
    let again = stand.tried("build").await;
    assert_eq!(again.ticket().name.attempt.0, 2, "no attempt was spent");
}

/// It never ran. It goes before those that wait for their turn.
pub async fn what_is_handed_back_unstarted_is_still_on_trial(mut stand: Stand) {
    stand.bereaved("build", 2).await;
    stand.round().await;
    let mut consumer = stand.consume("build", 10).await;
    let delivery = stand.fresh(&mut *consumer).await;
    let id = delivery.ticket().id();
    drop((delivery, consumer));
    let on_trial = stand.tried("build").await;
    assert_eq!(on_trial.ticket().id(), id);
}
