//! Promises of `Desk` about orders: they work from every state or say exactly why not.

use super::Stand;
use super::stand::{failed, pending_for, rejected};
use domain::books::{Fact, Place};
use domain::outcome::{Done, Outcome, Pending};
use domain::ports::{Action, Answer, Order};
use domain::ticket::{Attempt, Generation, Hop, Payload, Ticket, TicketId};
use domain::wait::{Condition, Reason};
use std::time::Duration;

super::suite!(orders_contract orders ($)
    an_order_about_no_ticket_says_so,
    retry_makes_a_waiting_ticket_runnable_under_a_new_generation,
    retry_works_for_parked_and_pending_tickets,
    retry_is_refused_where_it_would_do_harm_or_nothing,
    retry_of_a_ticket_past_its_own_deadline_is_refused,
    cancel_ends_a_ticket_wherever_it_is,
    cancel_of_a_running_ticket_fences_it,
    cancel_of_a_ticket_in_the_queue_takes_it_out,
    drop_keeps_the_reason_and_the_name,
    nothing_is_done_to_what_has_ended,
    a_call_back_ends_a_pending_wait,
    a_start_that_is_told_gives_the_end_its_time,
    a_start_that_is_not_told_is_reported,
    a_start_that_is_heard_before_its_verdict_counts,
    a_start_that_nobody_waits_for_changes_nothing,
    a_call_back_that_failed_is_reported_and_tried_again,
    a_call_back_of_an_older_generation_is_refused,
    a_call_back_to_what_is_not_pending_is_refused,
    orders_of_a_group_are_answered_in_their_order,
);

async fn pending(stand: &Stand) -> TicketId {
    let pending = pending_for(Duration::from_secs(60));
    let id = stand.attempted(stand.ci(), pending).await;
    stand.waits_as(id, Reason::Pending).await;
    id
}

/// Not an error, an answer.
pub async fn an_order_about_no_ticket_says_so(stand: Stand) {
    let nobody = stand.ticket("build").id();
    for action in [
        Action::Retry,
        Action::Cancel,
        Action::Drop("why".into()),
        Action::Complete(Generation::FIRST, Outcome::done()),
    ] {
        assert_eq!(stand.order(nobody, action).await, Answer::NotFound);
    }
}

/// Now rather than later.
pub async fn retry_makes_a_waiting_ticket_runnable_under_a_new_generation(stand: Stand) {
    let id = stand.attempted(stand.ticket("build"), failed()).await;
    let before = stand.entry(id).await.ticket.name;
    let entry = stand.done(id, Action::Retry).await;
    assert_eq!(entry.ticket.name, before.renewed());
    stand.is_released(&entry);
    let mut consumer = stand.consume("build", 1).await;
    let delivery = stand.fresh(&mut *consumer).await;
    assert_eq!(delivery.ticket().name, before.renewed());
}

/// Whatever a person may decide about.
pub async fn retry_works_for_parked_and_pending_tickets(stand: Stand) {
    let parked = stand.attempted(stand.ticket("build"), rejected()).await;
    let pending = pending(&stand).await;
    for id in [parked, pending] {
        let entry = stand.done(id, Action::Retry).await;
        stand.is_released(&entry);
    }
}

/// Every refusal says why and what would make it possible.
pub async fn retry_is_refused_where_it_would_do_harm_or_nothing(stand: Stand) {
    let unclaimed = stand.submit(stand.ticket("nowhere")).await;
    stand.refused(unclaimed, Action::Retry).await;
    let done = stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    stand.refused(done, Action::Retry).await;
    let running = stand.started(stand.ticket("build")).await;
    let suspect = running.ticket().id();
    stand.refused(suspect, Action::Retry).await;
    drop(running);
    let mut consumer = stand.consume("build", 1).await;
    let delivery = stand.suspect(&mut *consumer).await;
    stand.settle(delivery.doubt(stand.now())).await;
    stand.refused(suspect, Action::Retry).await;
    let runnable = stand.submit(stand.ticket("build")).await;
    stand.refused(runnable, Action::Retry).await;
}

/// It would come back at once.
pub async fn retry_of_a_ticket_past_its_own_deadline_is_refused(stand: Stand) {
    let deadline = Some(stand.now().plus(Duration::from_secs(60)));
    let ticket = || Ticket {
        deadline,
        ..stand.ticket("build")
    };
    let late = stand.attempted(ticket(), rejected()).await;
    let in_time = stand.attempted(ticket(), rejected()).await;
    stand.done(in_time, Action::Retry).await;
    stand.skip(Duration::from_secs(61));
    let said = stand.refused(late, Action::Retry).await;
    assert!(said.contains("its own deadline has passed"), "{said}");
    stand.waits_as(late, Reason::Parked).await;
    stand.done(late, Action::Drop("too late".into())).await;
}

/// From every state that is not an end.
pub async fn cancel_ends_a_ticket_wherever_it_is(stand: Stand) {
    let waiting = stand.attempted(stand.ticket("build"), failed()).await;
    let running = stand.started(stand.ticket("build")).await;
    let runnable = stand.submit(stand.ticket("test")).await;
    let unclaimed = stand.submit(stand.ticket("nowhere")).await;
    for id in [waiting, running.ticket().id(), runnable, unclaimed] {
        let entry = stand.done(id, Action::Cancel).await;
        let Place::Dropped { by, .. } = &entry.place else {
            panic!("expected the ticket to be dropped, it is {:?}", entry.place);
        };
        assert_eq!(by, "ada");
        assert_eq!(stand.place(id).await, entry.place);
    }
    assert_eq!(stand.balance().await.dropped, 4);
}

/// Who has it must hear of it.
pub async fn cancel_of_a_running_ticket_fences_it(stand: Stand) {
    let started = stand.started(stand.ticket("build")).await;
    let name = started.ticket().name;
    stand.done(name.ticket, Action::Cancel).await;
    let snapshot = stand.world().catalog().snapshot().await;
    let snapshot = snapshot.expect("it can be read");
    assert!(!snapshot.lets_run(name.ticket, name.generation));
    assert!(snapshot.revision > 0);
}

/// Nobody is given what was given up.
pub async fn cancel_of_a_ticket_in_the_queue_takes_it_out(stand: Stand) {
    let id = stand.submit(stand.ticket("build")).await;
    stand.done(id, Action::Cancel).await;
    let mut consumer = stand.consume("build", 1).await;
    stand.nothing(&mut *consumer).await;
}

/// A named person, and why.
pub async fn drop_keeps_the_reason_and_the_name(stand: Stand) {
    let id = stand.submit(stand.ticket("build")).await;
    stand.done(id, Action::Drop("a duplicate".into())).await;
    let place = stand.place(id).await;
    let Place::Dropped { reason, by, .. } = &place else {
        panic!("expected the ticket to be dropped, it is {place:?}");
    };
    assert_eq!((reason.as_str(), by.as_str()), ("a duplicate", "ada"));
}

/// Done and dropped are for ever.
pub async fn nothing_is_done_to_what_has_ended(stand: Stand) {
    let done = stand
        .attempted(stand.ticket("build"), Outcome::done())
        .await;
    let dropped = stand.submit(stand.ticket("build")).await;
    stand.done(dropped, Action::Cancel).await;
    for id in [done, dropped] {
        stand.refused(id, Action::Retry).await;
        stand.refused(id, Action::Cancel).await;
        stand.refused(id, Action::Drop("why".into())).await;
        let complete = Action::Complete(Generation::FIRST, Outcome::done());
        stand.refused(id, complete).await;
    }
}

/// The outside event decides as the handler would have.
pub async fn a_call_back_ends_a_pending_wait(stand: Stand) {
    let id = pending(&stand).await;
    let done = Outcome::Done(Done {
        payload: Some(Payload::untyped("answer")),
        ..Done::default()
    });
    stand
        .done(id, Action::Complete(Generation::FIRST, done))
        .await;
    let mut consumer = stand.consume("test", 1).await;
    let delivery = stand.fresh(&mut *consumer).await;
    assert_eq!(delivery.ticket().name.hop, Hop(1));
    assert_eq!(&*delivery.ticket().payload.bytes, b"answer");
}

/// A pending wait of a minute, whose start is waited for ten seconds.
async fn pending_with_start(stand: &Stand) -> TicketId {
    let pending = Outcome::Pending(Pending {
        until: Duration::from_secs(60),
        start_within: Some(Duration::from_secs(10)),
    });
    let id = stand.attempted(stand.ci(), pending).await;
    stand.waits_as(id, Reason::Pending).await;
    id
}

/// Once it has started, the whole time is its own.
pub async fn a_start_that_is_told_gives_the_end_its_time(stand: Stand) {
    let id = pending_with_start(&stand).await;
    let since = stand.wait_of(id).await.since;
    let late = Action::Start(Generation::FIRST.next());
    stand.refused(id, late).await;
    for _ in 0..2 {
        // Told twice is told once.
        stand.done(id, Action::Start(Generation::FIRST)).await;
    }
    let wait = stand.wait_of(id).await;
    let expected = Condition::Pending {
        until: since.plus(Duration::from_secs(60)),
        once_started: None,
    };
    assert_eq!((wait.condition, wait.since), (expected, since));
    let history = stand.world().catalog().history(id).await;
    let history = history.expect("it can be read").into_iter();
    let starts =
        history.filter(|line| matches!(&line.fact, Fact::Noted { what, .. } if what == "started"));
    assert_eq!(starts.count(), 1);
    stand.skip(Duration::from_secs(59));
    assert_eq!(stand.suspects(10).await, []);
    stand
        .done(id, Action::Complete(Generation::FIRST, Outcome::done()))
        .await;
    let mut consumer = stand.consume("test", 1).await;
    let delivery = stand.fresh(&mut *consumer).await;
    assert_eq!(delivery.ticket().name.hop, Hop(1));
}

/// What never starts is not waited for to its end.
pub async fn a_start_that_is_not_told_is_reported(stand: Stand) {
    let id = pending_with_start(&stand).await;
    stand.skip(Duration::from_secs(9));
    assert_eq!(stand.suspects(10).await, []);
    stand.skip(Duration::from_secs(1));
    // It may be judged at this moment.
    stand.refused(id, Action::Start(Generation::FIRST)).await;
    stand.pass_judgement(&stand.case().await).await;
    stand.waits_as(id, Reason::Backoff).await;
    let overdue = stand.listing("type:StartOverdue");
    let page = stand.world().oopses().list(overdue).await;
    assert_eq!(page.expect("they can be read").rows.len(), 1);
}

/// It was said in time, and is heard late: what was judged by then no longer is so.
pub async fn a_start_that_is_heard_before_its_verdict_counts(stand: Stand) {
    let id = pending_with_start(&stand).await;
    let said_at = stand.now();
    stand.skip(Duration::from_secs(10));
    let case = stand.case().await;
    let order = Order {
        ticket: id,
        action: Action::Start(Generation::FIRST),
        by: "ada".into(),
        at: said_at,
    };
    let answers = stand.world().desk().carry_out(vec![order]).await;
    let answers = answers.expect("the order is taken");
    assert!(matches!(answers[0], Answer::Done(_)), "{answers:?}");
    stand.pass_judgement(&case).await;
    stand.waits_as(id, Reason::Pending).await;
}

/// Whoever tells it anyway has not done any harm.
pub async fn a_start_that_nobody_waits_for_changes_nothing(stand: Stand) {
    let id = pending(&stand).await;
    let before = stand.place(id).await;
    stand.done(id, Action::Start(Generation::FIRST)).await;
    assert_eq!(stand.place(id).await, before);
}

/// A failure is reported, whoever tells of it.
pub async fn a_call_back_that_failed_is_reported_and_tried_again(stand: Stand) {
    let id = pending(&stand).await;
    let entry = stand
        .done(id, Action::Complete(Generation::FIRST, failed()))
        .await;
    assert_eq!(entry.ticket.name.attempt, Attempt(2));
    stand.waits_as(id, Reason::Backoff).await;
    assert_eq!(entry.oopses.len(), 1);
    let page = stand.world().oopses().list(stand.listing("")).await;
    assert_eq!(page.expect("they can be read").rows.len(), 1);
}

/// The latest address counts.
pub async fn a_call_back_of_an_older_generation_is_refused(stand: Stand) {
    let id = pending(&stand).await;
    let other = Generation::FIRST.next();
    stand
        .refused(id, Action::Complete(other, Outcome::done()))
        .await;
    stand.waits_as(id, Reason::Pending).await;
}

/// A late call-back is shown, not applied.
pub async fn a_call_back_to_what_is_not_pending_is_refused(stand: Stand) {
    let runnable = stand.submit(stand.ticket("test")).await;
    let waiting = stand.attempted(stand.ticket("build"), failed()).await;
    for id in [runnable, waiting] {
        let complete = Action::Complete(Generation::FIRST, Outcome::done());
        stand.refused(id, complete).await;
    }
}

/// One answer an order, in their order.
pub async fn orders_of_a_group_are_answered_in_their_order(stand: Stand) {
    let id = stand.submit(stand.ticket("build")).await;
    let order = |ticket, action| domain::ports::Order {
        ticket,
        action,
        by: "ada".into(),
        at: stand.now(),
    };
    let nobody = stand.ticket("build").id();
    let orders = vec![
        order(nobody, Action::Cancel),
        order(id, Action::Cancel),
        order(id, Action::Cancel),
    ];
    let answers = stand.world().desk().carry_out(orders).await;
    let answers = answers.expect("the orders are taken");
    assert_eq!(answers[0], Answer::NotFound);
    assert!(matches!(answers[1], Answer::Done(_)), "{:?}", answers[1]);
    assert!(
        matches!(answers[2], Answer::Refused { .. }),
        "{:?}",
        answers[2]
    );
}
