//! From being published to being finished.

use crate::stand::{Stand, consume, fresh, nothing, settle, stage, until};
use amqp::Config;
use domain::delivery::Incoming;
use domain::outcome::{Done, Emit, Outcome};
use domain::ports::Settled;
use domain::record::{Fate, Said};
use domain::ticket::Payload;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_is_dropped_unstarted_is_handed_back_through_the_door() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    drop(fresh(&mut build).await);
    let parted = stand
        .hear(|said| match said {
            Said::Ended(parted) => Some(parted.clone()),
            _ => None,
        })
        .await;
    assert_eq!((parted.name, &parted.ended), (ticket.name, &None));
    let Fate::Waits(arrived) = &parted.to else {
        panic!("{:?}", parted.to)
    };
    assert_eq!(arrived.name, ticket.name.renewed());
    assert_eq!(arrived.ticket.payload, ticket.payload);
    until("it is out of our hands", || worker.in_hand() == 0).await;
    nothing(&mut build).await;
    assert_eq!(worker.tally().handed_back, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_is_dropped_after_its_start_comes_in_as_a_suspect() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let delivery = fresh(&mut build).await;
    drop(stand.begin(&worker, delivery).await);
    let suspect = stand
        .hear(|said| match said {
            Said::Suspect(ticket) => Some(ticket.clone()),
            _ => None,
        })
        .await;
    assert_eq!(*suspect, ticket);
    until("it is out of our hands", || worker.in_hand() == 0).await;
    nothing(&mut build).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_ticket_goes_through_two_stages_and_leaves_nothing_behind() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let mut test = consume(&worker, "test").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;

    let delivery = fresh(&mut build).await;
    assert_eq!(**delivery.ticket(), ticket);
    let settlement = stand.work(&worker, delivery).await;
    assert_eq!(settle(&worker, settlement).await, Settled::Applied);

    let delivery = fresh(&mut test).await;
    assert_eq!(delivery.ticket().name, ticket.name.handed_on());
    assert_eq!(delivery.ticket().payload, ticket.payload);
    let settlement = stand.work(&worker, delivery).await;
    settle(&worker, settlement).await;

    let said = stand.hear_all().await;
    let told: Vec<String> = said.iter().map(told).collect();
    assert_eq!(
        told,
        [
            "build: started",
            "build: to test",
            "test: started",
            "test: finished"
        ]
    );
    assert_eq!(worker.in_hand(), 0);
    worker.close().await.unwrap();
    for name in ["build", "test"] {
        assert_eq!(
            stand.ready(&stand.config.names.stage(&stage(name))).await,
            0,
            "{name}"
        );
    }
}

fn told(said: &Said) -> String {
    match said {
        Said::Started(started) => {
            assert!(started.ticket.is_none(), "the books know it");
            format!("{}: started", started.stage)
        }
        Said::Ended(parted) => match &parted.to {
            Fate::Forwarded(to) => format!("{}: to {to}", parted.stage),
            Fate::Finished => format!("{}: finished", parted.stage),
            other => format!("{}: {other:?}", parted.stage),
        },
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_a_ticket_sends_is_published_before_it_is_told() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let mut test = consume(&worker, "test").await;
    let mut ticket = stand.ticket();
    ticket.flow = None;
    stand.publish(std::slice::from_ref(&ticket)).await;
    let started = {
        let delivery = fresh(&mut build).await;
        stand.begin(&worker, delivery).await
    };
    let payload = Payload::json("[]");
    let emit = Emit {
        stage: stage("test"),
        kind: None,
        key: None,
        payload: payload.clone(),
    };
    let done = Done {
        emit: vec![emit],
        ..Done::default()
    };
    settle(&worker, stand.end(started, Outcome::Done(done))).await;
    let sent = fresh(&mut test).await;
    assert_eq!(sent.ticket().payload, payload);
    assert_eq!(sent.ticket().lineage.parent, Some(ticket.id()));
    let parted = stand
        .hear(|said| match said {
            Said::Ended(parted) => Some(parted.clone()),
            _ => None,
        })
        .await;
    assert_eq!(parted.to, Fate::Finished);
    assert_eq!(parted.emits.len(), 1);
    assert_eq!(parted.emits[0].name, sent.ticket().name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_long_work_is_claimed_and_its_delivery_acked_before_it_runs() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    stand.config.ack_timeout = Duration::from_secs(100);
    stand.flows = Arc::new(crate::stand::flows(Duration::from_secs(60)));
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let delivery = fresh(&mut build).await;
    let started = stand.begin(&worker, delivery).await;
    let record = stand
        .hear(|said| match said {
            Said::Started(started) => Some(started.clone()),
            _ => None,
        })
        .await;
    assert!(record.claimed);
    assert_eq!(record.ticket.as_deref(), Some(&ticket));
    // It was handed to the connection before, so that has been written when this is answered.
    worker.links()[0].channel().await.unwrap();
    // Nothing comes again when the connection is lost, and it is still ours.
    stand.proxy.cut();
    crate::stand::end_of(&mut build).await;
    let mut build = consume(&worker, "build").await;
    nothing(&mut build).await;
    assert_eq!(worker.tally().adopted, 0);
    assert_eq!(worker.in_hand(), 1);
    let settlement = stand.end(started, Outcome::Done(Done::default()));
    let group = worker_settles(&worker, settlement).await;
    assert_eq!(group, Settled::Applied);
    assert_eq!(worker.in_hand(), 0);
}

/// Settles however often it takes.
pub(crate) async fn worker_settles(
    worker: &amqp::Worker,
    settlement: domain::delivery::Settlement,
) -> Settled {
    use domain::ports::Broker;
    let mut group = vec![settlement];
    loop {
        match worker.settle(group).await {
            Ok(settled) => return settled[0],
            Err(unsettled) => group = unsettled.settlements,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_clean_end_hands_everything_back_and_then_says_farewell() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let tickets: Vec<_> = (0..5).map(|_| stand.ticket()).collect();
    stand.publish(&tickets).await;
    drop(fresh(&mut build).await);
    drop(build);
    worker.close().await.unwrap();
    let said = stand.hear_all().await;
    let back = said
        .iter()
        .filter(|said| matches!(said, Said::Ended(parted) if parted.ended.is_none()));
    assert_eq!(back.count(), 5);
    assert!(
        matches!(said.last(), Some(Said::Gone { why, .. }) if why == "stopped"),
        "{said:?}"
    );
    assert_eq!(
        stand
            .ready(&stand.config.names.stage(&stage("build")))
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_nobody_starts_where_no_broker_is() {
    let config = Config::new("amqp://127.0.0.1:1").unwrap();
    let clock = Arc::new(testkit::clock::TestClock::new(1));
    let holder = domain::names::Holder::new("controller").unwrap();
    let Err(error) = amqp::Controller::start(config, &[], clock, holder).await else {
        panic!("there is no broker");
    };
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_groups_that_overlap_are_acked_whatever_their_order() {
    const TICKETS: usize = 2_000;
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let tickets: Vec<_> = (0..TICKETS).map(|_| stand.ticket()).collect();
    stand.publish(&tickets).await;
    let mut count = 0;
    while count < TICKETS {
        let mut groups = Vec::new();
        while groups.len() < 8 && count < TICKETS {
            let group = build.next(crate::stand::max(4)).await.unwrap();
            count += group.len();
            groups.push(settle_all(&stand, &worker, group));
        }
        futures_util::future::join_all(groups).await;
    }
    assert_eq!(
        (worker.in_hand(), worker.tally()),
        (0, amqp::Tally::default())
    );
    worker.close().await.unwrap();
    let queue = stand.config.names.stage(&stage("build"));
    assert_eq!(stand.ready(&queue).await, 0);
}

async fn settle_all(stand: &Stand, worker: &amqp::Worker, group: Vec<Incoming>) {
    for incoming in group {
        let Incoming::Fresh(delivery) = incoming else {
            panic!("{incoming:?}");
        };
        let settlement = stand.work(worker, delivery).await;
        settle(worker, settlement).await;
    }
}
