//! Promises about stages that work on one ticket a key at a time, and then on the newest.

use super::Stand;
use super::stand::{failed, stage};
use domain::books::{Place, State};
use domain::outcome::{Done, Outcome};
use domain::ports::Action;
use domain::wait::{Condition, Reason};

super::suite!(unique_contract unique ($)
    a_newer_ticket_supersedes_one_that_nobody_has,
    a_newer_ticket_supersedes_one_that_backs_off,
    a_newer_ticket_waits_while_another_is_at_work,
    of_several_that_wait_the_newest_is_left,
    the_waiting_one_goes_on_when_the_other_ends,
    the_waiting_one_goes_on_when_the_other_is_cancelled,
    nobody_goes_in_while_a_cancelled_ticket_is_still_in_hand,
    a_newcomer_too_waits_for_a_cancelled_ticket_in_hand,
    the_waiting_one_goes_on_when_the_cancelled_one_is_handed_back,
    the_waiting_one_goes_on_when_the_process_with_the_cancelled_one_dies,
    an_older_ticket_that_comes_later_gives_way,
    other_keys_and_other_stages_do_not_matter,
    a_ticket_without_a_key_is_nobodys_rival,
);

/// Newest wins.
pub async fn a_newer_ticket_supersedes_one_that_nobody_has(stand: Stand) {
    let old = stand.submit(stand.keyed("solo", "rust")).await;
    let new = stand.submit(stand.keyed("solo", "rust")).await;
    if stand.has_journal() {
        // Once it is published nobody knows whether somebody has it.
        assert_eq!(stand.condition(new).await, Condition::Unique { other: old });
        return;
    }
    let place = stand.place(old).await;
    let Place::Dropped { reason, .. } = &place else {
        panic!("expected the older ticket to be superseded, it is {place:?}");
    };
    assert!(reason.contains(&new.to_string()), "{reason}");
    let mut consumer = stand.consume("solo", 2).await;
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().id(), new);
    assert_eq!(stand.balance().await.dropped, 1);
}

/// Whoever backs off is not at work.
pub async fn a_newer_ticket_supersedes_one_that_backs_off(stand: Stand) {
    let old = stand.attempted(stand.keyed("solo", "rust"), failed()).await;
    let new = stand.submit(stand.keyed("solo", "rust")).await;
    assert_eq!(stand.place(old).await.state(), State::Dropped);
    assert_eq!(stand.place(new).await.state(), State::Runnable);
}

/// Nobody is pulled out of a worker's hand.
pub async fn a_newer_ticket_waits_while_another_is_at_work(stand: Stand) {
    let running = stand.started(stand.keyed("solo", "rust")).await;
    let other = running.ticket().id();
    let new = stand.submit(stand.keyed("solo", "rust")).await;
    assert_eq!(stand.condition(new).await, Condition::Unique { other });
    let mut consumer = stand.consume("solo", 1).await;
    stand.nothing(&mut *consumer).await;
    assert_eq!(stand.place(other).await.state(), State::Running);
}

/// The middle one is superseded while it waits.
pub async fn of_several_that_wait_the_newest_is_left(stand: Stand) {
    let running = stand.started(stand.keyed("solo", "rust")).await;
    let middle = stand.submit(stand.keyed("solo", "rust")).await;
    let new = stand.submit(stand.keyed("solo", "rust")).await;
    assert_eq!(stand.place(middle).await.state(), State::Dropped);
    let other = running.ticket().id();
    assert_eq!(stand.condition(new).await, Condition::Unique { other });
}

/// Released by itself.
pub async fn the_waiting_one_goes_on_when_the_other_ends(stand: Stand) {
    let running = stand.started(stand.keyed("solo", "rust")).await;
    let new = stand.submit(stand.keyed("solo", "rust")).await;
    stand.end(running, Outcome::done()).await;
    let mut consumer = stand.consume("solo", 1).await;
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().id(), new);
    let balance = stand.balance().await;
    assert_eq!((balance.done, balance.waiting_total()), (1, 0));
}

/// An end is an end.
pub async fn the_waiting_one_goes_on_when_the_other_is_cancelled(stand: Stand) {
    let running = stand.started(stand.keyed("solo", "rust")).await;
    let new = stand.submit(stand.keyed("solo", "rust")).await;
    stand.done(running.ticket().id(), Action::Cancel).await;
    let settlement = stand.settlement(running, Outcome::Abandoned).await;
    stand.settle(settlement).await;
    let mut consumer = stand.consume("solo", 1).await;
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().id(), new);
}

/// The handler of a cancelled ticket runs until it has let go: two at once on one key are never.
pub async fn nobody_goes_in_while_a_cancelled_ticket_is_still_in_hand(stand: Stand) {
    let running = stand.started(stand.keyed("solo", "rust")).await;
    let new = stand.submit(stand.keyed("solo", "rust")).await;
    stand.done(running.ticket().id(), Action::Cancel).await;
    let mut consumer = stand.consume("solo", 1).await;
    stand.nothing(&mut *consumer).await;
    let settlement = stand.settlement(running, Outcome::Abandoned).await;
    assert_eq!(stand.settle(settlement).await, stand.stale());
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().id(), new);
}

/// It does not matter whether the newer ticket came before or after the cancellation.
pub async fn a_newcomer_too_waits_for_a_cancelled_ticket_in_hand(stand: Stand) {
    let running = stand.started(stand.keyed("solo", "rust")).await;
    let other = running.ticket().id();
    stand.done(other, Action::Cancel).await;
    let new = stand.submit(stand.keyed("solo", "rust")).await;
    assert_eq!(stand.condition(new).await, Condition::Unique { other });
    let settlement = stand.settlement(running, Outcome::Abandoned).await;
    stand.settle(settlement).await;
    let mut consumer = stand.consume("solo", 1).await;
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().id(), new);
}

/// A delivery that is dropped is let go as well.
pub async fn the_waiting_one_goes_on_when_the_cancelled_one_is_handed_back(stand: Stand) {
    stand.submit(stand.keyed("solo", "rust")).await;
    let mut consumer = stand.consume("solo", 2).await;
    let in_hand = stand.fresh(&mut *consumer).await;
    let new = stand.submit(stand.keyed("solo", "rust")).await;
    stand.done(in_hand.ticket().id(), Action::Cancel).await;
    stand.nothing(&mut *consumer).await;
    drop(in_hand);
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().id(), new);
}

/// A handler does not outlive its process.
pub async fn the_waiting_one_goes_on_when_the_process_with_the_cancelled_one_dies(
    mut stand: Stand,
) {
    let running = stand.started(stand.keyed("solo", "rust")).await;
    let new = stand.submit(stand.keyed("solo", "rust")).await;
    stand.done(running.ticket().id(), Action::Cancel).await;
    stand.crash().await;
    drop(running);
    let mut consumer = stand.consume("solo", 1).await;
    assert_eq!(stand.fresh(&mut *consumer).await.ticket().id(), new);
}

/// Newest is who was accepted last, not who comes to the stage last.
pub async fn an_older_ticket_that_comes_later_gives_way(stand: Stand) {
    let old = stand.submit(stand.keyed("build", "rust")).await;
    let new = stand.submit(stand.keyed("solo", "rust")).await;
    let mut consumer = stand.consume("build", 1).await;
    let fresh = stand.fresh(&mut *consumer).await;
    let started = stand.start(fresh).await;
    let done = Done {
        next: Some(stage("solo")),
        ..Done::default()
    };
    stand.end(started, Outcome::Done(done)).await;
    if stand.has_journal() {
        // A worker hands on by the broker alone: it is never asked, so nothing is lost.
        assert_eq!(stand.balance().await.dropped, 0);
        return;
    }
    let place = stand.place(old).await;
    let Place::Dropped { reason, .. } = &place else {
        panic!("expected the older ticket to give way, it is {place:?}");
    };
    assert!(reason.contains(&new.to_string()), "{reason}");
    assert_eq!(stand.place(new).await.state(), State::Runnable);
    assert_eq!(stand.balance().await.dropped, 1);
}

/// A key means something at its stage.
pub async fn other_keys_and_other_stages_do_not_matter(stand: Stand) {
    let rust = stand.submit(stand.keyed("solo", "rust")).await;
    let gcc = stand.submit(stand.keyed("solo", "gcc")).await;
    let first = stand.submit(stand.keyed("build", "rust")).await;
    let second = stand.submit(stand.keyed("build", "rust")).await;
    for id in [rust, gcc, first, second] {
        assert_eq!(stand.place(id).await.state(), State::Runnable);
    }
}

/// Without a key there is nothing to be unique about.
pub async fn a_ticket_without_a_key_is_nobodys_rival(stand: Stand) {
    stand.submit(stand.ticket("solo")).await;
    stand.submit(stand.ticket("solo")).await;
    let balance = stand.balance().await;
    assert_eq!(balance.runnable, 2);
    assert_eq!(balance.waiting.get(&Reason::Unique), None);
}
