//! Promises of release plans: how many waiting tickets go on, and who decides it.

use super::Stand;
use super::plans::{WHO, everything, make, order, park, parked, plan, refused, terms};
use super::shop::{Shop, bad, done, good};
use super::stand::pending_for;
use domain::books::{Place, State};
use domain::names::Kind;
use domain::outcome::Outcome;
use domain::plan::{Choice, Counts, Order, PlanId, Refusal, Source, Terms};
use domain::ports::{Action, PlanError, PlanOrder};
use domain::ticket::Ticket;
use domain::wait::Reason;
use std::time::Duration;
use uuid::Uuid;

super::suite!(releases_contract releases ($)
    a_plan_freezes_what_waits_now_and_releases_nothing,
    what_is_released_by_a_plan_says_so_and_is_counted,
    a_plan_of_nothing_is_done,
    a_plan_that_names_no_reason_is_of_all_that_people_may_end,
    a_call_back_to_what_a_plan_has_released_is_stale,
    a_release_goes_in_steps,
    a_release_keeps_to_its_rate,
    a_release_goes_in_its_order,
    a_paused_plan_releases_nothing_until_it_is_resumed,
    a_stopped_plan_has_stopped,
    a_group_is_released_alone,
    a_release_that_fails_too_often_stops,
    what_is_dropped_by_a_plan_needs_a_reason,
    what_somebody_else_moved_is_not_waited_for,
    a_released_ticket_that_is_cancelled_is_not_waited_for,
    a_plan_outlives_its_process,
    a_plan_that_a_person_stopped_waits_for_a_person_or_a_new_version,
    an_order_to_no_plan_is_refused,
    the_newest_plan_comes_first,
);

/// What comes to wait later is not in it.
pub async fn a_plan_freezes_what_waits_now_and_releases_nothing(stand: Stand) {
    let (mut shop, _) = parked(stand, 3).await;
    let made = make(&shop, "is:parked stage:build", terms("all")).await;
    assert_eq!((made.state.as_str(), made.counts.total), ("ready", 3));
    assert_eq!(
        plan(&shop, made.id).await,
        made,
        "it is kept as it was told"
    );
    assert_eq!(made.trail.deeds[0].by, WHO);
    shop.stand.skip(Duration::from_secs(1));
    let late = park(&mut shop, |ticket| ticket).await;
    shop.deploy("2", good).await;
    assert_eq!(shop.run().await, []);
    order(&shop, made.id, everything()).await;
    assert_eq!(shop.run().await, [3]);
    shop.stand.waits_as(late, Reason::Parked).await;
}

/// In the ticket's history, and in the plan's sums.
pub async fn what_is_released_by_a_plan_says_so_and_is_counted(stand: Stand) {
    let (mut shop, ids) = parked(stand, 2).await;
    let made = make(&shop, "is:parked", terms("all")).await;
    let released = order(&shop, made.id, everything()).await;
    assert_eq!(released.state.as_str(), "running");
    assert_eq!(shop.run().await, [2]);
    let found = plan(&shop, made.id).await;
    let counts = Counts {
        total: 2,
        released: 2,
        landed: 2,
        ..Counts::default()
    };
    assert_eq!((found.state.as_str(), found.counts), ("done", counts));
    let why = shop.releases(ids[0]).await.concat();
    assert!(why.contains(&made.id.to_string()), "{why}");
    let entry = shop.stand.entry(ids[0]).await;
    assert_eq!(entry.place.state(), State::Done);
    assert_eq!(entry.ticket.name.attempt.0, 2, "a release charges nothing");
}

/// A retry in bulk: what is parked, put off, backing off or pending; not what nobody has claimed.
pub async fn a_plan_that_names_no_reason_is_of_all_that_people_may_end(stand: Stand) {
    let (mut shop, parked) = parked(stand, 2).await;
    shop.deploy("1", mixed).await;
    let mut others = shop.submit("sick", 1).await;
    others.extend(shop.submit("late", 1).await);
    others.extend(shop.submit("pending", 1).await);
    assert_eq!(shop.work().await, 3);
    let unclaimed = shop.stand.ticket("nowhere");
    let nobodys = unclaimed.id();
    shop.stand.submit(unclaimed).await;
    let made = make(&shop, "", terms("all")).await;
    assert_eq!(made.selection.source, Source::AnyWait);
    assert_eq!(made.counts.total, 5);
    let narrow = make(&shop, "is:parked,backoff stage:build", terms("all")).await;
    assert_eq!(narrow.counts.total, 3);
    let never = make(&shop, "is:unclaimed", terms("all")).await;
    assert_eq!((never.state.as_str(), never.counts.total), ("done", 0));
    shop.deploy("2", good).await;
    order(&shop, made.id, everything()).await;
    assert_eq!(shop.run().await, [5]);
    for id in parked.into_iter().chain(others) {
        assert_eq!(shop.stand.place(id).await.state(), State::Done);
    }
    shop.stand.waits_as(nobodys, Reason::Unclaimed).await;
    assert_eq!(plan(&shop, made.id).await.counts.landed, 5);
}

/// Else it would end a ticket that is being worked on anew.
pub async fn a_call_back_to_what_a_plan_has_released_is_stale(stand: Stand) {
    let mut shop = Shop::at(stand, "build").await;
    shop.deploy("1", mixed).await;
    let id = shop.submit("pending", 1).await[0];
    assert_eq!(shop.work().await, 1);
    shop.stand.waits_as(id, Reason::Pending).await;
    let before = shop.stand.entry(id).await.ticket.name;
    let made = make(&shop, "is:pending", terms("all")).await;
    order(&shop, made.id, everything()).await;
    shop.round().await;
    shop.round().await;
    assert_eq!(shop.work().await, 1, "it ran again, and waits again");
    let after = shop.stand.entry(id).await.ticket.name;
    assert_eq!(after, before.renewed(), "no attempt is spent");
    let late = Action::Complete(before.generation, done());
    shop.stand.refused(id, late).await;
    let call_back = Action::Complete(after.generation, done());
    shop.stand.done(id, call_back).await;
    assert_eq!(shop.stand.place(id).await.state(), State::Done);
}

/// Of everything something.
fn mixed(work: &str) -> Outcome {
    match work {
        "pending" => pending_for(Duration::from_secs(3_600)),
        work => bad(work),
    }
}

/// There is nothing to decide.
pub async fn a_plan_of_nothing_is_done(stand: Stand) {
    let shop = Shop::at(stand, "build").await;
    let made = make(&shop, "is:parked", terms("all")).await;
    assert_eq!((made.state.as_str(), made.counts.total), ("done", 0));
    assert_eq!(refused(&shop, made.id, everything()).await, Refusal::Done);
}

/// A step begins when the one before has ended.
pub async fn a_release_goes_in_steps(stand: Stand) {
    let (mut shop, ids) = parked(stand, 6).await;
    let made = make(&shop, "is:parked", terms("1,2")).await;
    order(&shop, made.id, everything()).await;
    shop.round().await;
    let first = shop.take(10).await;
    assert_eq!(first.len(), 1);
    shop.round().await;
    assert_eq!(shop.take(10).await.len(), 0, "the step has not ended");
    assert_eq!(first[0].ticket().id(), ids[0], "the oldest goes first");
    shop.work_on(first).await;
    assert_eq!(shop.run().await, [2, 3]);
}

/// So many a second, from the first one on.
pub async fn a_release_keeps_to_its_rate(stand: Stand) {
    let (mut shop, _) = parked(stand, 5).await;
    let rate = "1/s".parse().expect("a case writes valid rates");
    let terms = Terms {
        rate: Some(rate),
        ..terms("all")
    };
    let made = make(&shop, "is:parked", terms).await;
    order(&shop, made.id, everything()).await;
    for turn in 0..5 {
        let next = shop.round().await.next;
        let soon = shop.stand.now().plus(Duration::from_secs(1));
        assert!(
            turn == 4 || next.is_some_and(|next| next <= soon),
            "{next:?}"
        );
        assert_eq!(shop.work().await, 1);
        shop.stand.skip(Duration::from_secs(1));
    }
    assert_eq!(plan(&shop, made.id).await.state.as_str(), "done");
}

/// Here the one first that came last.
pub async fn a_release_goes_in_its_order(stand: Stand) {
    let (mut shop, ids) = parked(stand, 3).await;
    let terms = Terms {
        order: Order::NewestFirst,
        ..terms("1")
    };
    let made = make(&shop, "is:parked", terms).await;
    order(&shop, made.id, everything()).await;
    shop.round().await;
    let taken = shop.take(10).await;
    assert_eq!(taken[0].ticket().id(), ids[2]);
    shop.work_on(taken).await;
    let seeded = Terms {
        order: Order::Random { seed: 7 },
        ..made.terms
    };
    order(&shop, made.id, PlanOrder::Stop).await;
    let again = PlanOrder::Release(Choice::Everything, Some(seeded));
    order(&shop, made.id, again).await;
    assert_eq!(shop.run().await, [1, 1]);
}

/// Whoever sees something may look first.
pub async fn a_paused_plan_releases_nothing_until_it_is_resumed(stand: Stand) {
    let (mut shop, _) = parked(stand, 4).await;
    let made = make(&shop, "is:parked", terms("1")).await;
    order(&shop, made.id, everything()).await;
    shop.round().await;
    let paused = order(&shop, made.id, PlanOrder::Pause).await;
    assert_eq!(paused.state.as_str(), "paused");
    assert_eq!(shop.run().await, [1]);
    assert_eq!(refused(&shop, made.id, everything()).await, Refusal::Paused);
    order(&shop, made.id, PlanOrder::Resume).await;
    assert_eq!(shop.run().await, [3]);
}

/// What was released stays released; nothing follows it.
pub async fn a_stopped_plan_has_stopped(stand: Stand) {
    let (mut shop, ids) = parked(stand, 4).await;
    let made = make(&shop, "is:parked", terms("1")).await;
    order(&shop, made.id, everything()).await;
    shop.round().await;
    let stopped = order(&shop, made.id, PlanOrder::Stop).await;
    assert_eq!(stopped.state.as_str(), "stopped");
    assert_eq!(shop.run().await, [1]);
    shop.stand.waits_as(ids[3], Reason::Parked).await;
    let refusal = refused(&shop, made.id, PlanOrder::Stop).await;
    assert!(matches!(refusal, Refusal::Idle { .. }), "{refusal}");
    order(&shop, made.id, everything()).await;
    assert_eq!(shop.run().await, [1, 2], "and can be taken up again");
}

/// Each ticket is in its groups.
pub async fn a_group_is_released_alone(stand: Stand) {
    let (mut shop, _) = parked(stand, 2).await;
    let nut = Kind::new("nut").expect("it is plain");
    let change = |ticket| Ticket {
        kind: nut,
        ..ticket
    };
    let odd = park(&mut shop, change).await;
    shop.deploy("2", good).await;
    let made = make(&shop, "is:parked", terms("all")).await;
    let name = "kind=nut".parse().expect("a case writes valid groups");
    let group = made.groups.shown.iter().find(|group| group.name == name);
    assert_eq!(group.map(|group| group.count), Some(1), "{:?}", made.groups);
    let choice = Choice::Group(name);
    order(&shop, made.id, PlanOrder::Release(choice.clone(), None)).await;
    assert_eq!(shop.run().await, [1]);
    assert_eq!(shop.stand.place(odd).await.state(), State::Done);
    assert_eq!(plan(&shop, made.id).await.state.as_str(), "ready");
    let again = PlanOrder::Release(choice.clone(), None);
    assert_eq!(refused(&shop, made.id, again).await, Refusal::Empty(choice));
    order(&shop, made.id, everything()).await;
    assert_eq!(shop.run().await, [2]);
    assert_eq!(plan(&shop, made.id).await.state.as_str(), "done");
}

/// The others are spared.
pub async fn a_release_that_fails_too_often_stops(stand: Stand) {
    let (mut shop, ids) = parked(stand, 5).await;
    shop.deploy("2", bad).await;
    let made = make(&shop, "is:parked", terms("1,1")).await;
    order(&shop, made.id, everything()).await;
    assert_eq!(shop.run().await, [1]);
    let found = plan(&shop, made.id).await;
    assert_eq!((found.state.as_str(), found.counts.failed), ("stopped", 1));
    for id in &ids[1..] {
        shop.stand.waits_as(*id, Reason::Parked).await;
    }
}

/// It is shown for ever.
pub async fn what_is_dropped_by_a_plan_needs_a_reason(stand: Stand) {
    let (shop, ids) = parked(stand, 2).await;
    let made = make(&shop, "is:parked", terms("all")).await;
    let drop = |reason: &str| PlanOrder::Drop(Choice::Everything, reason.into());
    assert_eq!(refused(&shop, made.id, drop(" ")).await, Refusal::NoReason);
    let dropped = order(&shop, made.id, drop("they are too old")).await;
    assert_eq!(
        (dropped.state.as_str(), dropped.counts.dropped),
        ("done", 2)
    );
    for id in ids {
        match shop.stand.place(id).await {
            Place::Dropped { reason, by, .. } => {
                assert_eq!((reason.as_str(), by.as_str()), ("they are too old", WHO));
            }
            other => panic!("expected a dropped ticket, it is {other:?}"),
        }
    }
    assert_eq!(shop.stand.balance().await.dropped, 2);
}

/// Whoever is faster.
pub async fn what_somebody_else_moved_is_not_waited_for(stand: Stand) {
    let (mut shop, ids) = parked(stand, 3).await;
    let made = make(&shop, "is:parked", terms("all")).await;
    shop.stand.done(ids[0], Action::Cancel).await;
    shop.stand.done(ids[1], Action::Retry).await;
    order(&shop, made.id, everything()).await;
    shop.run().await;
    let found = plan(&shop, made.id).await;
    assert_eq!(found.state.as_str(), "done");
    assert_eq!((found.counts.landed, found.counts.gone), (1, 2));
}

/// It has ended for the plan.
pub async fn a_released_ticket_that_is_cancelled_is_not_waited_for(stand: Stand) {
    let (mut shop, ids) = parked(stand, 2).await;
    let made = make(&shop, "is:parked", terms("1")).await;
    order(&shop, made.id, everything()).await;
    shop.round().await;
    shop.stand.done(ids[0], Action::Cancel).await;
    assert_eq!(shop.run().await, [1]);
    let found = plan(&shop, made.id).await;
    assert_eq!(found.state.as_str(), "done");
    assert_eq!((found.counts.landed, found.counts.undecided), (1, 1));
}

/// It goes on where it was.
pub async fn a_plan_outlives_its_process(stand: Stand) {
    let (mut shop, _) = parked(stand, 4).await;
    let made = make(&shop, "is:parked", terms("1,1")).await;
    order(&shop, made.id, everything()).await;
    shop.round().await;
    let before = plan(&shop, made.id).await;
    shop.crash().await;
    assert_eq!(plan(&shop, made.id).await, before);
    assert_eq!(shop.run().await, [1, 1, 2]);
    assert_eq!(plan(&shop, made.id).await.counts.landed, 4);
}

/// Whoever stopped a breaker's release does not want it to begin again by itself.
pub async fn a_plan_that_a_person_stopped_waits_for_a_person_or_a_new_version(stand: Stand) {
    let mut shop = Shop::open(stand).await;
    shop.trip().await;
    shop.deploy("2", good).await;
    shop.round().await;
    assert_eq!(shop.work().await, 1);
    let id = shop.plans().await[0].id;
    order(&shop, id, PlanOrder::Stop).await;
    for _ in 0..5 {
        shop.stand.skip(Duration::from_secs(60));
        assert_eq!(shop.run().await, []);
    }
    assert_eq!(shop.held_count().await, 4);
    let scope = shop.tripped().await[0].breaker.scope;
    let plans = shop.stand.world().plans();
    let probed = plans.probe(&super::stand::stage("frail"), scope).await;
    assert!(probed.expect("the canary is sent"));
    assert_eq!(shop.run().await, [1, 1, 2]);
    assert_eq!(shop.held_count().await, 0);
}

/// Nobody else answers.
pub async fn an_order_to_no_plan_is_refused(stand: Stand) {
    let plans = stand.world().plans();
    let id = PlanId::new(Uuid::from_u128(7));
    let refused = plans.order(id, PlanOrder::Pause, WHO).await;
    assert!(matches!(refused, Err(PlanError::Unknown(it)) if it == id));
    assert_eq!(plans.plan(id).await.expect("the plans can be read"), None);
}

/// As in every list.
pub async fn the_newest_plan_comes_first(stand: Stand) {
    let (shop, _) = parked(stand, 1).await;
    let first = make(&shop, "is:parked", terms("all")).await;
    shop.stand.skip(Duration::from_secs(1));
    let second = make(&shop, "is:parked", terms("all")).await;
    let ids: Vec<PlanId> = shop.plans().await.iter().map(|plan| plan.id).collect();
    assert_eq!(ids, [second.id, first.id]);
}
