//! A ticket that is on trial goes out marked, and comes in as one that runs alone; what a process
//! that died leaves behind goes through the door under the name that was decided.

use crate::stand::{Stand, consume, fresh, next, nothing, settle, stage};
use amqp::Worker;
use domain::control::Gate;
use domain::delivery::{Decision, Delivery, Incoming, Settlement, Started};
use domain::flow::Stage;
use domain::names::Version;
use domain::outcome::{Failure, Outcome, OutcomeKind};
use domain::ports::{Clock, Due, Road, Sent};
use domain::record::{Fate, Parted, Said};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use domain::wait::Condition;

fn on_trial(ticket: &Ticket) -> Due {
    Due {
        ticket: ticket.clone(),
        barrier: None,
        avoid: Vec::new(),
        alone: true,
    }
}

fn process_died(beside: u32) -> Outcome {
    Outcome::ProcessDied {
        failure: Failure::new("ProcessDied", "the spawner died"),
        beside,
    }
}

async fn release(stand: &Stand, due: Vec<Due>) {
    let sent = stand.controller.publish(due).await;
    assert!(sent.iter().all(|sent| *sent == Sent::Confirmed), "{sent:?}");
}

/// It went wrong, and its report is durable.
async fn fail(
    stand: &Stand,
    worker: &Worker,
    started: Delivery<Started>,
    outcome: Outcome,
) -> Settlement {
    let rules = Stage::new(started.ticket().stage.clone());
    let performed = started.performed(outcome.into(), stand.clock.now());
    let reported = performed.report(worker).await.unwrap();
    reported.decide(&Decision {
        stage: &rules,
        flows: &stand.flows,
        now: stand.clock.now(),
        chance: stand.clock.chance(),
    })
}

async fn parted(stand: &mut Stand) -> Parted {
    let ended = |said: &Said| match said {
        Said::Ended(parted) => Some(Parted::clone(parted)),
        _ => None,
    };
    stand.hear(ended).await
}

/// No attempt of it has ended, so whatever mark the books have stays.
fn assert_never_ran(parted: &Parted, ticket: &Ticket) {
    assert_eq!((parted.name, &parted.ended), (ticket.name, &None));
    let Fate::Waits(arrived) = &parted.to else {
        panic!("{:?}", parted.to);
    };
    assert_eq!(arrived.name, ticket.name.renewed());
    let condition = &arrived.wait.condition;
    assert!(
        matches!(condition, Condition::NotNow { .. }),
        "{condition:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_ticket_on_trial_comes_in_alone_and_the_next_one_does_not() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let (tried, other) = (stand.ticket(), stand.ticket());
    release(&stand, vec![on_trial(&tried)]).await;
    stand.publish(std::slice::from_ref(&other)).await;
    for (ticket, is_alone) in [(tried, true), (other, false)] {
        let delivery = fresh(&mut build).await;
        assert_eq!(**delivery.ticket(), ticket);
        let started = stand.begin(&worker, delivery).await;
        assert_eq!(started.is_alone(), is_alone);
        settle(&worker, stand.end(started, Outcome::done())).await;
    }
    // What it becomes at the next stage has nobody on its conscience.
    let mut test = consume(&worker, "test").await;
    let delivery = fresh(&mut test).await;
    assert!(!stand.begin(&worker, delivery).await.is_alone());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_nobody_of_many_is_charged_for_a_process_and_each_goes_to_trial() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let tickets: Vec<_> = (0..3).map(|_| stand.ticket()).collect();
    stand.publish(&tickets).await;
    for ticket in &tickets {
        let delivery = fresh(&mut build).await;
        let started = stand.begin(&worker, delivery).await;
        let settlement = fail(&stand, &worker, started, process_died(2)).await;
        settle(&worker, settlement).await;
        let parted = parted(&mut stand).await;
        assert_eq!(parted.name, ticket.name);
        let ended = parted.ended.unwrap();
        assert_eq!(ended.outcome, OutcomeKind::Crashed);
        assert!(ended.oops.is_some(), "it is told");
        assert_eq!(ended.signature, None, "and laid to nobody");
        let Fate::Waits(arrived) = parted.to else {
            panic!("{:?}", parted.to);
        };
        assert_eq!(arrived.name, ticket.name.renewed(), "no attempt is spent");
        match arrived.wait.condition {
            Condition::Trial { until } => assert!(until <= stand.clock.now(), "at once"),
            other => panic!("expected a trial, got {other:?}"),
        }
        assert_eq!(arrived.wait.oops, ended.oops);
        assert_eq!(arrived.ticket, *ticket);
    }
    nothing(&mut build).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_who_takes_its_process_along_on_trial_is_charged_and_tried_again() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let crash = Outcome::Crashed(Failure::new("Signal", "its process died of signal 9"));
    for outcome in [crash, process_died(5)] {
        let ticket = stand.ticket();
        release(&stand, vec![on_trial(&ticket)]).await;
        let delivery = fresh(&mut build).await;
        let started = stand.begin(&worker, delivery).await;
        let settlement = fail(&stand, &worker, started, outcome).await;
        settle(&worker, settlement).await;
        let parted = parted(&mut stand).await;
        let ended = parted.ended.unwrap();
        assert_eq!(ended.outcome, OutcomeKind::Crashed);
        assert!(ended.signature.is_some(), "{ended:?}");
        let Fate::Waits(arrived) = parted.to else {
            panic!("{:?}", parted.to);
        };
        assert_eq!(arrived.name, ticket.name.charged());
        match arrived.wait.condition {
            Condition::Trial { until } => assert!(until > stand.clock.now(), "it backs off"),
            other => panic!("expected a trial, got {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_ticket_on_trial_that_is_handed_back_unstarted_keeps_its_mark() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;

    let dropped = stand.ticket();
    release(&stand, vec![on_trial(&dropped)]).await;
    drop(fresh(&mut build).await);
    assert_never_ran(&parted(&mut stand).await, &dropped);

    let mut shunned = on_trial(&stand.ticket());
    shunned.avoid = vec![Version::new("1").unwrap()];
    release(&stand, vec![shunned.clone()]).await;
    assert_never_ran(&parted(&mut stand).await, &shunned.ticket);

    // One lies there when the gate of its stage shuts.
    let gated = stand.ticket();
    release(&stand, vec![on_trial(&gated)]).await;
    crate::stand::until("it is fetched", || worker.in_hand() == 1).await;
    let shut = Gate {
        since: Timestamp::EPOCH,
        reason: "20 tickets in a row failed".into(),
        permit: None,
    };
    let shut = |snapshot: &mut domain::control::Snapshot| {
        snapshot.gates.insert(stage("build"), shut);
    };
    stand.spread(shut).await;
    assert_never_ran(&parted(&mut stand).await, &gated);
}

/// Nobody's fault, and nothing shown: the books keep the mark of what was abandoned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_ticket_on_trial_that_a_stop_interrupts_ends_as_abandoned() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    release(&stand, vec![on_trial(&ticket)]).await;
    let delivery = fresh(&mut build).await;
    let started = stand.begin(&worker, delivery).await;
    settle(&worker, stand.end(started, Outcome::Abandoned)).await;
    let parted = parted(&mut stand).await;
    let ended = parted.ended.unwrap();
    assert_eq!((ended.outcome, ended.oops), (OutcomeKind::Abandoned, None));
    let Fate::Waits(arrived) = parted.to else {
        panic!("{:?}", parted.to);
    };
    assert_eq!(arrived.name, ticket.name.renewed());
    let condition = &arrived.wait.condition;
    assert!(
        matches!(condition, Condition::NotNow { .. }),
        "{condition:?}"
    );
}

/// What somebody had before is a question, on trial or not: the books know that it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_ticket_on_trial_that_comes_again_is_a_suspect() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let first = stand.worker().await;
    let mut build = consume(&first, "build").await;
    let ticket = stand.ticket();
    release(&stand, vec![on_trial(&ticket)]).await;
    let delivery = fresh(&mut build).await;
    let _started = stand.begin(&first, delivery).await;
    let other = stand.other_worker().await;
    let mut build = consume(&other, "build").await;
    stand.proxy.cut();
    let Incoming::Suspect(delivery) = next(&mut build).await else {
        panic!("somebody had it");
    };
    settle(&other, delivery.doubt(stand.clock.now())).await;
    let suspect = |said: &Said| match said {
        Said::Suspect(ticket) => Some(Ticket::clone(ticket)),
        _ => None,
    };
    assert_eq!(stand.hear(suspect).await, ticket);
}
