//! Promises of `Desk` about what comes in, and about the desired state.

use super::Stand;
use super::stand::{count, stage};
use domain::control::{Change, Hold, Snapshot};
use domain::names::Kind;
use domain::ports::Accepted;
use domain::ticket::Ticket;
use domain::wait::Reason;

super::suite!(desk_contract desk ($)
    a_group_is_accepted_in_its_order,
    the_same_ticket_is_accepted_once,
    the_same_ticket_twice_in_one_group_is_accepted_once,
    an_empty_group_is_fine,
    a_ticket_for_a_stage_that_nobody_declared_waits_unclaimed,
    a_ticket_of_a_kind_that_the_stage_does_not_take_waits_unclaimed,
    a_ticket_keeps_everything_that_it_came_with,
    a_hold_raises_the_revision_and_is_in_the_snapshot,
    opening_a_stage_that_is_open_changes_nothing,
);

async fn submit(stand: &Stand, tickets: Vec<Ticket>) -> Vec<Accepted> {
    let accepted = stand.world().desk().submit(tickets).await;
    accepted.expect("the tickets are accepted")
}

/// Answers come in the order of the group.
pub async fn a_group_is_accepted_in_its_order(stand: Stand) {
    let tickets: Vec<_> = (0..5).map(|_| stand.ticket("build")).collect();
    let expected: Vec<_> = tickets.iter().map(|t| Accepted::New(t.id())).collect();
    assert_eq!(submit(&stand, tickets).await, expected);
    let balance = stand.balance().await;
    assert_eq!((balance.accepted, balance.runnable), (5, 5));
}

/// Whoever is in doubt may submit again.
pub async fn the_same_ticket_is_accepted_once(stand: Stand) {
    let ticket = stand.ticket("build");
    let id = ticket.id();
    assert_eq!(
        submit(&stand, vec![ticket.clone()]).await,
        [Accepted::New(id)]
    );
    assert_eq!(submit(&stand, vec![ticket]).await, [Accepted::Known(id)]);
    assert_eq!(stand.balance().await.accepted, 1);
    let mut consumer = stand.consume("build", 2).await;
    let _in_hand = stand.fresh(&mut *consumer).await;
    stand.nothing(&mut *consumer).await;
}

/// Doubles inside a group are doubles too.
pub async fn the_same_ticket_twice_in_one_group_is_accepted_once(stand: Stand) {
    let ticket = stand.ticket("build");
    let id = ticket.id();
    let answers = submit(&stand, vec![ticket.clone(), ticket]).await;
    assert_eq!(answers, [Accepted::New(id), Accepted::Known(id)]);
    assert_eq!(stand.balance().await.accepted, 1);
}

/// Nothing asked, nothing done.
pub async fn an_empty_group_is_fine(stand: Stand) {
    assert_eq!(submit(&stand, Vec::new()).await, []);
    let settled = stand.world().broker().settle(Vec::new()).await;
    assert_eq!(settled.expect("an empty group is settled"), []);
    let cases = stand.world().waits().cases(stand.now(), count(1)).await;
    assert_eq!(cases.expect("the waits can be read"), []);
}

/// Not lost, and no error.
pub async fn a_ticket_for_a_stage_that_nobody_declared_waits_unclaimed(stand: Stand) {
    let id = stand.submit(stand.ticket("nowhere")).await;
    stand.waits_as(id, Reason::Unclaimed).await;
    assert_eq!(stand.balance().await.waiting[&Reason::Unclaimed], 1);
}

/// A stage says which kinds it takes.
pub async fn a_ticket_of_a_kind_that_the_stage_does_not_take_waits_unclaimed(stand: Stand) {
    let bolt = stand.submit(stand.ticket("picky")).await;
    let nut = Ticket {
        kind: Kind::new("nut").expect("it is plain"),
        ..stand.ticket("picky")
    };
    let nut = stand.submit(nut).await;
    stand.waits_as(bolt, Reason::Unclaimed).await;
    let mut consumer = stand.consume("picky", 2).await;
    let delivery = stand.fresh(&mut *consumer).await;
    assert_eq!(delivery.ticket().id(), nut);
    stand.nothing(&mut *consumer).await;
}

/// Nothing is dropped on the way in.
pub async fn a_ticket_keeps_everything_that_it_came_with(stand: Stand) {
    let ticket = Ticket {
        key: stand.keyed("build", "rust 1.95 – nightly").key,
        deadline: Some(stand.now()),
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        ..stand.ci()
    };
    let id = stand.submit(ticket.clone()).await;
    assert_eq!(stand.entry(id).await.ticket, ticket);
    let mut consumer = stand.consume("build", 1).await;
    assert_eq!(**stand.fresh(&mut *consumer).await.ticket(), ticket);
}

async fn change(stand: &Stand, change: Change) -> Snapshot {
    let snapshot = stand.world().desk().change(change).await;
    snapshot.expect("the desired state is changed")
}

/// The answer is what is in force.
pub async fn a_hold_raises_the_revision_and_is_in_the_snapshot(stand: Stand) {
    let hold = Hold {
        since: stand.now(),
        reason: "no such file".into(),
        by: "goaround".into(),
        version: None,
        oops: None,
    };
    let before = stand.world().catalog().snapshot().await;
    let held = change(&stand, Change::Hold(stage("build"), hold.clone())).await;
    assert!(held.revision > before.expect("it can be read").revision);
    assert_eq!(held.holds[&stage("build")], hold);
    let kept = stand.world().catalog().snapshot().await;
    assert_eq!(kept.expect("it can be read"), held);
    let opened = change(&stand, Change::Unhold(stage("build"))).await;
    assert!(opened.revision > held.revision && opened.holds.is_empty());
}

/// Asking again is harmless.
pub async fn opening_a_stage_that_is_open_changes_nothing(stand: Stand) {
    let snapshot = change(&stand, Change::Unhold(stage("build"))).await;
    assert!(snapshot.holds.is_empty());
}
