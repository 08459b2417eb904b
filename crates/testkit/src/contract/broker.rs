//! Promises of `Broker`, `Consumer` and `Follower`.

use super::Stand;
use super::stand::{crashed, failed, holder, rejected, stage};
use domain::books::Place;
use domain::control::{Change, Hold};
use domain::outcome::{Done, Emit, Outcome};
use domain::ports::{Action, Settled};
use domain::ticket::{Attempt, Generation, Hop, Payload};
use domain::wait::{Condition, Reason};
use std::time::Duration;
use tokio::time::timeout;

super::suite!(broker_contract broker ($)
    a_ticket_is_delivered_to_its_stage_and_to_no_other,
    tickets_come_in_the_order_in_which_they_were_accepted,
    a_consumer_that_waits_is_woken_by_a_ticket,
    no_more_deliveries_are_out_than_were_prefetched,
    a_delivery_that_is_dropped_unstarted_comes_again_as_fresh,
    a_delivery_that_is_dropped_after_its_start_comes_again_as_a_suspect,
    a_suspect_that_is_dropped_comes_again_as_a_suspect,
    a_suspect_in_doubt_waits_for_the_controller,
    a_started_ticket_is_running_at_its_holder,
    done_hands_the_ticket_on_under_the_next_hop,
    done_at_the_last_stage_is_the_end,
    a_handler_may_change_the_payload_and_choose_the_next_stage,
    what_a_handler_emits_is_accepted_with_it,
    a_hand_off_to_a_stage_that_nobody_declared_waits_unclaimed,
    a_failure_waits_under_the_next_attempt_with_its_oops,
    a_rejected_ticket_is_parked,
    a_failure_does_not_stop_the_tickets_behind_it,
    a_group_is_settled_as_one_and_answered_in_its_order,
    a_result_for_a_cancelled_ticket_changes_nothing,
    a_ticket_that_was_cancelled_in_hand_is_not_started,
    a_settled_ticket_is_not_delivered_again,
    a_stage_on_hold_delivers_nothing_until_it_is_opened,
    a_follower_hears_the_state_at_once_and_then_each_change,
);

/// A ticket reaches the consumers of its stage only.
pub async fn a_ticket_is_delivered_to_its_stage_and_to_no_other(stand: Stand) {
    let id = stand.submit(stand.ticket("build")).await;
    let mut other = stand.consume("test", 1).await;
    stand.nothing(&mut *other).await;
    let mut consumer = stand.consume("build", 1).await;
    let delivery = stand.fresh(&mut *consumer).await;
    assert_eq!(delivery.ticket().id(), id);
    assert_eq!(&*delivery.ticket().payload.bytes, b"work");
}

/// First accepted, first delivered.
pub async fn tickets_come_in_the_order_in_which_they_were_accepted(stand: Stand) {
    let tickets: Vec<_> = (0..20).map(|_| stand.ticket("build")).collect();
    let ids: Vec<_> = tickets.iter().map(|ticket| ticket.id()).collect();
    stand.submit_all(tickets).await;
    let mut consumer = stand.consume("build", 20).await;
    let fresh = stand.fresh_ones(&mut *consumer, 20).await;
    let delivered: Vec<_> = fresh
        .iter()
        .map(|delivery| delivery.ticket().id())
        .collect();
    assert_eq!(delivered, ids);
}

/// Nobody has to ask twice.
pub async fn a_consumer_that_waits_is_woken_by_a_ticket(stand: Stand) {
    let mut consumer = stand.consume("build", 1).await;
    let ticket = stand.ticket("build");
    let submit = async {
        tokio::task::yield_now().await;
        stand.submit(ticket).await
    };
    let (delivery, id) = tokio::join!(stand.fresh(&mut *consumer), submit);
    assert_eq!(delivery.ticket().id(), id);
}

/// The prefetch bounds what is out; a settlement makes room.
pub async fn no_more_deliveries_are_out_than_were_prefetched(stand: Stand) {
    stand
        .submit_all((0..3).map(|_| stand.ticket("build")).collect())
        .await;
    let mut consumer = stand.consume("build", 2).await;
    let mut out = stand.fresh_ones(&mut *consumer, 2).await;
    stand.nothing(&mut *consumer).await;
    let started = stand.start(out.remove(0)).await;
    stand.end(started, Outcome::done()).await;
    let last = stand.fresh(&mut *consumer).await;
    drop((out, last));
}

/// What was only in hand is not charged.
pub async fn a_delivery_that_is_dropped_unstarted_comes_again_as_fresh(stand: Stand) {
    stand.submit(stand.ticket("build")).await;
    let mut consumer = stand.consume("build", 1).await;
    let delivery = stand.fresh(&mut *consumer).await;
    let name = delivery.ticket().name;
    drop(delivery);
    let again = stand.fresh(&mut *consumer).await;
    let expected = match stand.has_journal() {
        true => name.renewed(),
        false => name,
    };
    assert_eq!(again.ticket().name, expected);
}

/// What was started may have done something: it is a question, not work.
pub async fn a_delivery_that_is_dropped_after_its_start_comes_again_as_a_suspect(stand: Stand) {
    let started = stand.started(stand.ticket("build")).await;
    let (id, at) = (started.ticket().id(), started.start().at);
    drop(started);
    let mut consumer = stand.consume("build", 1).await;
    let suspect = stand.suspect(&mut *consumer).await;
    let settlement = suspect.doubt(stand.now());
    assert_eq!(stand.settle(settlement).await, Settled::Applied);
    let told = Condition::Suspect {
        holder: holder(),
        started_at: Some(at),
    };
    assert_eq!(stand.condition(id).await, told);
}

/// A question stays a question.
pub async fn a_suspect_that_is_dropped_comes_again_as_a_suspect(stand: Stand) {
    drop(stand.started(stand.ticket("build")).await);
    let mut consumer = stand.consume("build", 1).await;
    drop(stand.suspect(&mut *consumer).await);
    drop(stand.suspect(&mut *consumer).await);
}

/// The one door: the name stays until the controller has decided.
pub async fn a_suspect_in_doubt_waits_for_the_controller(stand: Stand) {
    let started = stand.started(stand.ticket("build")).await;
    let name = started.ticket().name;
    drop(started);
    let mut consumer = stand.consume("build", 1).await;
    let suspect = stand.suspect(&mut *consumer).await;
    stand.settle(suspect.doubt(stand.now())).await;
    stand.waits_as(name.ticket, Reason::Suspect).await;
    assert_eq!(stand.entry(name.ticket).await.ticket.name, name);
    stand.nothing(&mut *consumer).await;
    assert_eq!(stand.balance().await.waiting[&Reason::Suspect], 1);
}

/// Everybody can see who has it.
pub async fn a_started_ticket_is_running_at_its_holder(stand: Stand) {
    let started = stand.started(stand.ticket("build")).await;
    let running = Place::Running {
        since: started.start().at,
        holder: holder(),
    };
    assert_eq!(stand.place(started.ticket().id()).await, running);
    assert_eq!(stand.balance().await.running, 1);
}

/// Success goes straight on.
pub async fn done_hands_the_ticket_on_under_the_next_hop(stand: Stand) {
    let id = stand.attempted(stand.ci(), Outcome::done()).await;
    let mut consumer = stand.consume("test", 1).await;
    let delivery = stand.fresh(&mut *consumer).await;
    let name = delivery.ticket().name;
    assert_eq!(
        (name.ticket, name.hop, name.attempt),
        (id, Hop(1), Attempt(1))
    );
    assert_eq!(name.generation, Generation::FIRST);
    assert_eq!(stand.entry(id).await.ticket.stage, stage("test"));
}

/// Done for good.
pub async fn done_at_the_last_stage_is_the_end(stand: Stand) {
    let before = stand.now();
    let id = stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    let place = stand.place(id).await;
    let Place::Done { at } = place else {
        panic!("expected the ticket to be done, it is {place:?}");
    };
    assert!((before..=stand.now()).contains(&at), "{at}");
    let balance = stand.balance().await;
    assert_eq!((balance.accepted, balance.done), (1, 1));
}

/// The handler knows more than the flow.
pub async fn a_handler_may_change_the_payload_and_choose_the_next_stage(stand: Stand) {
    let done = Outcome::Done(Done {
        payload: Some(Payload::json("{}")),
        next: Some(stage("solo")),
        emit: Vec::new(),
    });
    let id = stand.attempted(stand.ci(), done).await;
    let mut consumer = stand.consume("solo", 1).await;
    let delivery = stand.fresh(&mut *consumer).await;
    assert_eq!(delivery.ticket().id(), id);
    assert_eq!(delivery.ticket().payload, Payload::json("{}"));
}

/// New tickets are durable together with the attempt that sent them.
pub async fn what_a_handler_emits_is_accepted_with_it(stand: Stand) {
    let emit = Emit {
        stage: stage("test"),
        kind: None,
        key: None,
        payload: Payload::untyped("child"),
    };
    let done = Outcome::Done(Done {
        emit: vec![emit],
        ..Done::default()
    });
    let parent = stand.attempted(stand.ticket("build"), done).await;
    let mut consumer = stand.consume("test", 1).await;
    let child = stand.fresh(&mut *consumer).await;
    assert_eq!(child.ticket().lineage.parent, Some(parent));
    assert_eq!(stand.balance().await.accepted, 2);
}

/// Nobody takes it there yet: not lost, and no error.
pub async fn a_hand_off_to_a_stage_that_nobody_declared_waits_unclaimed(stand: Stand) {
    let done = Outcome::Done(Done {
        next: Some(stage("nowhere")),
        ..Done::default()
    });
    let id = stand.attempted(stand.ci(), done).await;
    stand.waits_as(id, Reason::Unclaimed).await;
    assert_eq!(stand.entry(id).await.ticket.name.hop, Hop(1));
}

/// The attempt counts and its report is named.
pub async fn a_failure_waits_under_the_next_attempt_with_its_oops(stand: Stand) {
    let before = stand.now();
    let id = stand.attempted(stand.ticket("build"), crashed()).await;
    let entry = stand.entry(id).await;
    assert_eq!(entry.ticket.name.attempt, Attempt(2));
    assert_eq!(entry.oopses.len(), 1);
    let wait = stand.wait_of(id).await;
    assert_eq!(wait.oops, Some(entry.oopses[0]));
    let until = wait.since.plus(Duration::from_secs(1));
    assert_eq!(wait.condition, Condition::Backoff { until });
    assert!((before..=stand.now()).contains(&wait.since), "{wait:?}");
}

/// Never retried by itself.
pub async fn a_rejected_ticket_is_parked(stand: Stand) {
    let id = stand.attempted(stand.ticket("build"), rejected()).await;
    stand.waits_as(id, Reason::Parked).await;
}

/// A poison ticket leaves the queue.
pub async fn a_failure_does_not_stop_the_tickets_behind_it(stand: Stand) {
    stand.attempted(stand.ticket("build"), failed()).await;
    let next = stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    assert!(stand.place(next).await.state().is_terminal());
}

/// One durable step for all of them.
pub async fn a_group_is_settled_as_one_and_answered_in_its_order(stand: Stand) {
    stand
        .submit_all((0..3).map(|_| stand.ticket("build")).collect())
        .await;
    let mut consumer = stand.consume("build", 3).await;
    let fresh = stand.fresh_ones(&mut *consumer, 3).await;
    let ids: Vec<_> = fresh
        .iter()
        .map(|delivery| delivery.ticket().id())
        .collect();
    let start = stand.start_now();
    let started = stand.world().broker().start(fresh, &start).await;
    let mut group = Vec::new();
    for (delivery, outcome) in started
        .expect("the started records are durable")
        .into_iter()
        .zip([Outcome::done(), failed(), Outcome::done()])
    {
        group.push(stand.settlement(delivery, outcome).await);
    }
    stand.done(ids[0], Action::Cancel).await;
    let settled = stand.world().broker().settle(group).await;
    let expected = vec![stand.stale(), Settled::Applied, Settled::Applied];
    assert_eq!(settled.expect("the group is durable"), expected);
    let balance = stand.balance().await;
    assert_eq!((balance.dropped, balance.done), (1, 1));
    assert_eq!(balance.waiting[&Reason::Backoff], 1);
}

/// The end is for ever.
pub async fn a_result_for_a_cancelled_ticket_changes_nothing(stand: Stand) {
    let started = stand.started(stand.ci()).await;
    let id = started.ticket().id();
    let cancelled = stand.done(id, Action::Cancel).await;
    let settlement = stand.settlement(started, Outcome::done()).await;
    assert_eq!(stand.settle(settlement).await, stand.stale());
    assert_eq!(stand.place(id).await, cancelled.place);
    assert_eq!(stand.balance().await.dropped, 1);
}

/// Nothing starts that somebody gave up in time.
pub async fn a_ticket_that_was_cancelled_in_hand_is_not_started(stand: Stand) {
    let id = stand.submit(stand.ticket("build")).await;
    let mut consumer = stand.consume("build", 1).await;
    let delivery = stand.fresh(&mut *consumer).await;
    stand.done(id, Action::Cancel).await;
    let start = stand.start_now();
    let started = stand.world().broker().start(vec![delivery], &start).await;
    assert_eq!(started.expect("the call itself is fine").len(), 0);
    stand.nothing(&mut *consumer).await;
    assert_eq!(stand.balance().await.dropped, 1);
}

/// Nothing runs twice once it is settled.
pub async fn a_settled_ticket_is_not_delivered_again(stand: Stand) {
    stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    stand.attempted(stand.ticket("build"), failed()).await;
    let mut consumer = stand.consume("build", 1).await;
    stand.nothing(&mut *consumer).await;
}

/// Holds gate every way in.
pub async fn a_stage_on_hold_delivers_nothing_until_it_is_opened(stand: Stand) {
    let mut consumer = stand.consume("build", 1).await;
    let hold = Change::Hold(stage("build"), a_hold(&stand));
    change(&stand, hold).await;
    let id = stand.submit(stand.ticket("build")).await;
    stand.nothing(&mut *consumer).await;
    let mut another = stand.consume("build", 1).await;
    stand.nothing(&mut *another).await;
    drop(another);
    change(&stand, Change::Unhold(stage("build"))).await;
    let delivery = stand.fresh(&mut *consumer).await;
    assert_eq!(delivery.ticket().id(), id);
}

/// Desired state is followed, not asked for.
pub async fn a_follower_hears_the_state_at_once_and_then_each_change(stand: Stand) {
    let follower = stand.world().broker().follow().await;
    let mut follower = follower.expect("the state can be followed");
    let first = follower.next().await.expect("it answers at once");
    assert!(first.holds.is_empty());
    let quiet = timeout(stand.world().patience(), follower.next()).await;
    assert!(quiet.is_err(), "nothing has changed");
    change(&stand, Change::Hold(stage("build"), a_hold(&stand))).await;
    let second = follower.next().await.expect("it hears the change");
    assert!(second.revision > first.revision);
    assert!(second.holds.contains_key(&stage("build")));
}

fn a_hold(stand: &Stand) -> Hold {
    Hold {
        since: stand.now(),
        reason: "it cannot be started".into(),
        by: "goaround".into(),
        version: None,
        oops: None,
    }
}

async fn change(stand: &Stand, change: Change) {
    let changed = stand.world().desk().change(change).await;
    changed.expect("the desired state is changed");
}
