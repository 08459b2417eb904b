//! Promises of the breakers: what keeps failing waits, and goes on by itself once it is repaired.

use super::Stand;
use super::shop::{PROBE, Shop, bad, good};
use super::stand::stage;
use domain::books::{Place, State};
use domain::breaker::Scope;
use domain::delivery::Incoming;
use domain::ports::Action;
use domain::ticket::Name;
use domain::wait::{Condition, Reason};

super::suite!(repair_contract repair ($)
    what_keeps_failing_alike_waits_for_its_repair,
    a_stage_without_breakers_backs_off_for_ever,
    healthy_tickets_go_on_while_others_are_held,
    each_way_to_fail_is_held_apart,
    what_fails_so_while_it_is_held_waits_as_well,
    a_changed_handler_releases_nothing_that_waits_for_a_repair,
    one_canary_goes_when_its_time_comes_and_no_other,
    a_round_knows_when_the_next_canary_goes,
    a_canary_that_fails_is_held_again_and_costs_an_interval,
    a_canary_that_is_put_off_goes_back_in_line,
    a_new_version_sends_one_canary_at_once,
    five_hundred_that_a_bad_version_held_are_released_in_steps_by_a_good_one,
    another_bad_version_costs_one_attempt,
    what_comes_back_while_it_is_released_is_held_again,
    held_tickets_outlive_their_process,
    a_canary_outlives_its_process,
    a_canary_that_is_cancelled_makes_room_for_the_next,
    a_held_ticket_can_be_retried_by_hand,
    attempts_that_died_with_their_process_count,
    a_clock_that_is_put_back_holds_nobody_for_ever,
);

/// Those that had begun to back off are held with the one that was too many.
pub async fn what_keeps_failing_alike_waits_for_its_repair(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let ids = shop.submit("sick", 4).await;
    shop.work().await;
    for id in &ids {
        shop.stand.waits_as(*id, Reason::Backoff).await;
    }
    let last = shop.submit("sick", 1).await[0];
    shop.work().await;
    let signature = shop.held(last).await;
    for id in &ids {
        assert_eq!(shop.held(*id).await, signature);
    }
    let wait = shop.stand.wait_of(ids[0]).await;
    assert!(wait.oops.is_some(), "the report that led to it is kept");
    assert!(
        wait.because.contains("it cannot do sick"),
        "{}",
        wait.because
    );
    shop.stand.skip(PROBE / 2);
    assert_eq!(shop.run().await, [], "time alone ends no such wait");
    assert_eq!(shop.held_count().await, 5);
}

/// Whoever turned them off does not want them.
pub async fn a_stage_without_breakers_backs_off_for_ever(stand: Stand) {
    let mut shop = Shop::at(stand, "build").await;
    let ids = shop.submit("sick", 8).await;
    shop.work().await;
    for id in ids {
        shop.stand.waits_as(id, Reason::Backoff).await;
    }
    assert_eq!(shop.tripped().await, []);
}

/// They have nothing to do with each other.
pub async fn healthy_tickets_go_on_while_others_are_held(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    shop.trip().await;
    shop.submit("well", 30).await;
    assert_eq!(shop.work().await, 30);
    assert_eq!(shop.done_count().await, 30);
    assert_eq!(shop.held_count().await, 5);
}

/// A second problem is not the first.
pub async fn each_way_to_fail_is_held_apart(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let sick = shop.trip().await;
    let other = shop.submit("weary", 4).await;
    shop.work().await;
    for id in &other {
        shop.stand.waits_as(*id, Reason::Backoff).await;
    }
    shop.submit("weary", 1).await;
    shop.work().await;
    assert_ne!(shop.held(other[0]).await, shop.held(sick[0]).await);
    assert_eq!(
        shop.tripped().await.len(),
        3,
        "two ways, and the stage has heard of them"
    );
}

/// Nothing is tried twice for the same reason.
pub async fn what_fails_so_while_it_is_held_waits_as_well(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let held = shop.trip().await;
    let late = shop.submit("sick", 1).await[0];
    assert_eq!(shop.work().await, 1);
    assert_eq!(shop.held(late).await, shop.held(held[0]).await);
}

/// That ends the wait for a handler that can be started, not for one that works.
pub async fn a_changed_handler_releases_nothing_that_waits_for_a_repair(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    shop.trip().await;
    let waits = shop.stand.world().waits();
    let released = waits.unhold(&stage("frail"), shop.stand.now()).await;
    released.expect("the waits can be released");
    assert_eq!(shop.held_count().await, 5);
    assert_eq!(shop.work().await, 0);
}

/// The one that has waited longest; its history says why it went.
pub async fn one_canary_goes_when_its_time_comes_and_no_other(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let ids = shop.trip().await;
    let signature = shop.held(ids[0]).await;
    shop.stand.skip(PROBE);
    shop.round().await;
    shop.round().await;
    assert_eq!(shop.held_count().await, 4);
    let taken = shop.take(10).await;
    assert_eq!(taken.len(), 1);
    let name = taken[0].ticket().name;
    assert_eq!(
        name,
        Name::first(name.ticket).charged(),
        "no attempt is skipped"
    );
    let why = shop.releases(name.ticket).await.concat();
    assert!(
        why.contains("canary") && why.contains(&signature.to_string()),
        "{why}"
    );
    assert_eq!(
        shop.state(Scope::Signature(signature)).await,
        Some("probing")
    );
    drop(taken);
}

/// So that the controller can sleep until then.
pub async fn a_round_knows_when_the_next_canary_goes(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    shop.trip().await;
    let now = shop.stand.now();
    let next = shop.round().await.next.expect("a canary is to go");
    assert!(next > now && next <= now.plus(PROBE), "{next} {now}");
}

/// So a broken stage costs one attempt an interval, however many tickets it holds.
pub async fn a_canary_that_fails_is_held_again_and_costs_an_interval(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let ids = shop.trip().await;
    for _ in 0..3 {
        shop.stand.skip(PROBE);
        assert_eq!(shop.run().await, [1]);
        assert_eq!(shop.held_count().await, 5);
    }
    let mut attempts = Vec::new();
    for id in &ids {
        attempts.push(shop.stand.entry(*id).await.ticket.name.attempt.0);
    }
    attempts.sort_unstable();
    assert_eq!(attempts, [2, 2, 3, 3, 3], "each is tried in its turn");
}

/// It has shown nothing.
pub async fn a_canary_that_is_put_off_goes_back_in_line(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    shop.trip().await;
    shop.stand.skip(PROBE);
    shop.deploy("1", |_| bad("late")).await;
    assert_eq!(shop.run().await, [1]);
    assert_eq!(shop.held_count().await, 5);
}

/// Nobody has to wait for the next interval after a repair.
pub async fn a_new_version_sends_one_canary_at_once(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let ids = shop.trip().await;
    shop.deploy("2", good).await;
    shop.round().await;
    let taken = shop.take(10).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(shop.held_count().await, 4);
    shop.work_on(taken).await;
    shop.run().await;
    for id in ids {
        assert_eq!(shop.stand.place(id).await.state(), State::Done);
    }
    assert_eq!(shop.tripped().await, [], "there is nothing left to tell");
}

/// 500 sick ones among healthy ones. No hand is moved.
pub async fn five_hundred_that_a_bad_version_held_are_released_in_steps_by_a_good_one(
    stand: Stand,
) {
    let mut shop = Shop::open(stand).await;
    let mut tickets = Vec::new();
    for _ in 0..50 {
        tickets.extend((0..10).map(|_| shop.ticket("sick")));
        tickets.push(shop.ticket("well"));
    }
    let first = tickets[0].id();
    shop.stand.submit_all(tickets).await;
    assert_eq!(shop.run().await, [550]);
    assert_eq!(
        (shop.held_count().await, shop.done_count().await),
        (500, 50)
    );
    shop.deploy("2", good).await;
    assert_eq!(shop.run().await, [1, 1, 10, 100, 388]);
    assert_eq!((shop.held_count().await, shop.done_count().await), (0, 550));
    let plans = shop.plans().await;
    assert_eq!(plans.len(), 1);
    assert_eq!(
        (plans[0].state.as_str(), plans[0].counts.landed),
        ("done", 499)
    );
    let history = shop.releases(first).await;
    assert_eq!(history.len(), 1, "{history:?}");
    assert_eq!(shop.tripped().await, []);
    let catalog = shop.stand.world().catalog();
    let all = catalog.tickets(shop.stand.listing("stage:frail")).await;
    let all = all.expect("the books can be read").rows;
    for entry in all {
        assert!(
            entry.ticket.name.attempt.0 <= 2,
            "each was tried once more at most"
        );
    }
}

/// Its version is held against it as well.
pub async fn another_bad_version_costs_one_attempt(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let ids = shop.trip().await;
    shop.deploy("2", bad).await;
    assert_eq!(shop.run().await, [1]);
    shop.stand.skip(PROBE / 2);
    shop.deploy("2", bad).await;
    assert_eq!(shop.run().await, []);
    assert_eq!(shop.held_count().await, 5);
    let tripped = shop.tripped().await;
    let scope = Scope::Signature(shop.held(ids[0]).await);
    let found = tripped.iter().find(|it| it.breaker.scope == scope);
    let found = found.expect("its breaker is open");
    assert_eq!(found.held, 5);
    assert_eq!(found.value, "Broken: it cannot do sick");
    let failed_on: Vec<&str> = found
        .breaker
        .failed_on
        .iter()
        .map(|it| it.as_str())
        .collect();
    assert_eq!(failed_on, ["1", "2"]);
    assert_eq!(found.newest.as_ref().map(|it| it.as_str()), Some("2"));
}

/// One more failure refutes a repair.
pub async fn what_comes_back_while_it_is_released_is_held_again(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let tickets = (0..30).map(|n| shop.ticket(if n % 6 == 5 { "well" } else { "sick" }));
    let tickets = tickets.collect();
    shop.stand.submit_all(tickets).await;
    assert_eq!(shop.run().await, [30]);
    assert_eq!(shop.held_count().await, 25);
    shop.deploy("2", good).await;
    shop.round().await;
    assert_eq!(shop.work().await, 1, "the canary lands");
    shop.deploy("2", bad).await;
    assert_eq!(shop.run().await, [1], "the first step fails");
    assert_eq!(shop.held_count().await, 24);
    let plans = shop.plans().await;
    assert_eq!(plans[0].state.as_str(), "stopped");
    assert_eq!((plans[0].counts.released, plans[0].counts.failed), (1, 1));
    shop.deploy("3", good).await;
    assert_eq!(shop.run().await, [1, 1, 10, 12]);
    assert_eq!(shop.held_count().await, 0);
}

/// Repair takes longer than a process lives.
pub async fn held_tickets_outlive_their_process(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let ids = shop.trip().await;
    shop.crash().await;
    assert_eq!(shop.run().await, [], "a start alone repairs nothing");
    for id in &ids {
        shop.held(*id).await;
    }
    shop.deploy("1", bad).await;
    assert_eq!(shop.run().await, [], "nor does the same version");
    shop.deploy("2", good).await;
    assert_eq!(shop.run().await, [1, 1, 3]);
    assert_eq!(shop.done_count().await, 5);
}

/// Two would be one too many.
pub async fn a_canary_outlives_its_process(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    shop.trip().await;
    shop.deploy("2", good).await;
    shop.round().await;
    assert_eq!(shop.held_count().await, 4);
    shop.crash().await;
    shop.round().await;
    assert_eq!(shop.held_count().await, 4, "it is still on its way");
    assert_eq!(shop.run().await, [1, 1, 3]);
}

/// It is not waited for.
pub async fn a_canary_that_is_cancelled_makes_room_for_the_next(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let ids = shop.trip().await;
    shop.stand.skip(PROBE);
    shop.round().await;
    let canary = shop.runnable(&ids).await;
    assert_eq!(canary.len(), 1);
    shop.stand.done(canary[0], Action::Cancel).await;
    shop.round().await;
    assert_eq!(shop.held_count().await, 4, "not before its time");
    shop.stand.skip(PROBE);
    shop.round().await;
    assert_eq!(shop.held_count().await, 3);
}

/// Whoever knows more may try.
pub async fn a_held_ticket_can_be_retried_by_hand(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let ids = shop.trip().await;
    let entry = shop.stand.done(ids[3], Action::Retry).await;
    shop.stand.is_released(&entry);
    assert_eq!(shop.run().await, [1]);
    shop.held(ids[3]).await;
    assert_eq!(shop.held_count().await, 5);
}

/// A verdict is the end of an attempt like any other.
pub async fn attempts_that_died_with_their_process_count(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    let ids = shop.submit("sick", 5).await;
    for id in &ids {
        die(&mut shop).await;
        assert!(matches!(shop.stand.place(*id).await, Place::Waiting(_)));
    }
    let mut held = Vec::new();
    for id in &ids {
        if let Condition::Repair { signature } = shop.stand.condition(*id).await {
            held.push(signature);
        }
    }
    assert_eq!(held.len(), 5);
    held.dedup();
    assert_eq!(held.len(), 1, "it is one problem");
}

/// The next ticket is started and its attempt dies.
async fn die(shop: &mut Shop) {
    let taken = shop.take(1).await;
    let broker = shop.stand.world().broker();
    let started = broker.start(taken, &shop.stand.start_now()).await;
    drop(started.expect("the started record is durable"));
    let mut consumer = shop.stand.consume("frail", 1).await;
    let doubted = match shop.stand.some(&mut *consumer, 1).await.remove(0) {
        Incoming::Suspect(delivery) => delivery.doubt(shop.stand.now()),
        other => panic!("expected a suspect, got {other:?}"),
    };
    shop.stand.settle(doubted).await;
    let case = shop.stand.case().await;
    shop.stand.pass_judgement(&case).await;
}

/// Plans of what began to wait later than now would be made, and done with, without end.
pub async fn a_clock_that_is_put_back_holds_nobody_for_ever(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    shop.stand.skip(PROBE * 60);
    let ids = shop.trip().await;
    shop.stand.put_back(PROBE * 30);
    shop.deploy("2", good).await;
    assert_eq!(shop.run().await, [1, 1, 3]);
    for id in ids {
        assert_eq!(shop.stand.place(id).await.state(), State::Done);
    }
    assert_eq!(shop.plans().await.len(), 1);
}
