//! Bodies that are too large: for a worker, and for any record.

use crate::intake::{publish, with_id};
use crate::stand::{
    PAYLOAD_BYTES_MAX, Stand, consume, end_of, fresh, next, nothing, settle, stage, until,
};
use amqp::Worker;
use domain::delivery::{Decision, Delivery, Incoming, Unreadable};
use domain::flow::Stage;
use domain::ports::{Broker, Clock, Consumer};
use domain::record::{Arrived, Fate, Said};
use domain::ticket::TicketId;
use domain::wait::Condition;
use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ExchangeDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// One byte more than a record carries.
const CUT: usize = 15 * 1024 * 1024 + 1;

/// So large that a message of the journal has room for one of them.
const ALONE: usize = 5 * 1024 * 1024 / 2;

async fn unreadable(consumer: &mut Box<dyn Consumer>) -> Delivery<Unreadable> {
    match next(consumer).await {
        Incoming::Unreadable(delivery) => delivery,
        other => panic!("expected one that is too large, got {other:?}"),
    }
}

/// Rejects it as a stage does; returns what its report says, and what the journal.
async fn reject(
    stand: &mut Stand,
    worker: &Worker,
    delivery: Delivery<Unreadable>,
) -> (String, Arrived) {
    let performed = delivery.rejected(stand.start());
    let told = performed.to_report().unwrap().failure.message.to_string();
    let reported = performed.report(worker).await.unwrap();
    let settlement = reported.decide(&Decision {
        stage: &Stage::new(stage("build")),
        flows: &stand.flows,
        now: stand.clock.now(),
        chance: stand.clock.chance(),
    });
    settle(worker, settlement).await;
    let arrived = stand
        .hear(|said| match said {
            Said::Ended(parted) => match &parted.to {
                Fate::Waits(arrived) => Some(Arrived::clone(arrived)),
                _ => None,
            },
            _ => None,
        })
        .await;
    assert_eq!(arrived.wait.condition, Condition::Parked);
    (told, arrived)
}

async fn quarantined(stand: &Stand) -> Option<lapin::message::Delivery> {
    let quarantine = stand.config.names.quarantine();
    let options = BasicGetOptions { no_ack: true };
    let channel = stand.channel().await;
    let kept = channel.basic_get(quarantine.as_str().into(), options).await;
    kept.unwrap().map(|kept| kept.delivery)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_body_over_the_limit_is_parked_with_it_and_runs_when_the_limit_is_raised() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let body = vec![7; 6 * 1024 * 1024];
    let id = TicketId::new(uuid::Uuid::now_v7());
    publish(&stand, &body, with_id(id)).await;
    let delivery = unreadable(&mut build).await;
    assert_eq!(delivery.ticket().id(), id);
    let (told, arrived) = reject(&mut stand, &worker, delivery).await;
    assert!(told.contains("6291456 bytes"), "{told}");
    assert!(told.contains("raise the limit and retry"), "{told}");
    assert_eq!(arrived.ticket.payload.bytes, body);
    assert!(quarantined(&stand).await.is_none());
    nothing(&mut build).await;
    worker.close().await.unwrap();

    stand.payload_bytes_max = 8 * 1024 * 1024;
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let retried = arrived.ticket.named(arrived.name.renewed());
    stand.publish(std::slice::from_ref(&retried)).await;
    let delivery = fresh(&mut build).await;
    assert_eq!(delivery.ticket().name, retried.name);
    assert_eq!(delivery.ticket().payload.bytes, body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_large_body_without_a_name_gets_one_and_one_that_is_dropped_stays_whole() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let body = vec![7; PAYLOAD_BYTES_MAX + 1];
    publish(&stand, &body, BasicProperties::default()).await;
    let arrived = stand
        .hear(|said| match said {
            Said::Arrived(arrived) => Some(arrived.clone()),
            _ => None,
        })
        .await;
    assert_eq!(arrived.ticket.payload.bytes, body);
    publish(&stand, &body, with_id(arrived.ticket.id())).await;
    drop(unreadable(&mut build).await);
    let fate = stand
        .hear(|said| match said {
            Said::Ended(parted) => Some(parted.to.clone()),
            _ => None,
        })
        .await;
    let Fate::Waits(back) = fate else {
        panic!("{fate:?}")
    };
    assert!(matches!(back.wait.condition, Condition::NotNow { .. }));
    assert_eq!(back.ticket.payload.bytes, body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_body_that_no_record_carries_is_kept_aside_and_not_shown_as_an_empty_one() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    stand.config.publish_timeout = Duration::from_secs(10);
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let body = vec![7; CUT];
    publish(&stand, &body, BasicProperties::default()).await;
    until("the one without a name is kept", || worker.tally().cut == 1).await;
    let id = TicketId::new(uuid::Uuid::now_v7());
    publish(&stand, &body, with_id(id)).await;
    let delivery = unreadable(&mut build).await;
    assert_eq!(delivery.ticket().id(), id);
    let (told, arrived) = reject(&mut stand, &worker, delivery).await;
    assert!(told.contains("15728641 bytes"), "{told}");
    assert!(wire::record::is_left_out(&arrived.ticket.payload));
    let empty = domain::ticket::Payload::default();
    assert!(!wire::record::is_left_out(&empty));
    nothing(&mut build).await;
    worker.close().await.unwrap();
    let queue = stand.config.names.stage(&stage("build"));
    assert_eq!(stand.ready(&queue).await, 0);
    for _ in 0..2 {
        let kept = quarantined(&stand).await.unwrap();
        assert!(kept.data == body);
        let headers = kept.properties.headers().clone().unwrap();
        assert!(
            headers.contains_key("goaround-quarantined-because"),
            "{headers:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_cannot_be_kept_aside_ends_the_subscription_and_comes_again() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    stand.config.publish_timeout = Duration::from_secs(10);
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    // Nothing that the worker publishes is confirmed without it.
    let channel = stand.channel().await;
    let exchange = stand.config.names.exchange().to_owned();
    let deleted =
        channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default());
    deleted.await.unwrap();
    let id = TicketId::new(uuid::Uuid::now_v7());
    let queue = stand.config.names.stage(&stage("build"));
    let options = BasicPublishOptions::default();
    let sent = channel
        .basic_publish(
            "".into(),
            queue.as_str().into(),
            options,
            &vec![7; CUT],
            with_id(id),
        )
        .await;
    sent.unwrap().await.unwrap();
    let (ended, before) = end_of(&mut build).await;
    assert!(ended.why.contains("quarantine"), "{}", ended.why);
    assert!(before.is_empty(), "{before:?}");
    assert_eq!((worker.in_hand(), worker.tally().cut), (0, 0));

    let holder = domain::names::Holder::new("another controller").unwrap();
    let stages = [stage("build"), stage("test")];
    let clock: Arc<dyn Clock> = stand.clock.clone();
    let again = amqp::Controller::start(stand.config.clone(), &stages, clock, holder);
    let _again = again.await.unwrap();
    let mut build = consume(&worker, "build").await;
    assert_eq!(unreadable(&mut build).await.ticket().id(), id);
    assert_eq!(worker.tally().cut, 1);
}

/// Headers are never divided, and lapin ends a connection that brings a frame longer than agreed:
/// one message of a stranger would take every stage of every worker along, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_long_headers_of_a_stranger_end_no_connection() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let mut headers = FieldTable::default();
    let long = AMQPValue::LongString("x".repeat(100_000).into());
    headers.insert("baggage".into(), long);
    let id = stand.ticket().id();
    publish(&stand, b"{}", with_id(id).with_headers(headers)).await;
    assert_eq!(fresh(&mut build).await.ticket().id(), id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_is_started_together_may_be_larger_than_is_written_at_once() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    stand.payload_bytes_max = ALONE;
    stand.config.publish_timeout = Duration::from_secs(30);
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ids = [(); 18].map(|()| TicketId::new(uuid::Uuid::now_v7()));
    for id in ids {
        publish(&stand, &vec![7; ALONE], with_id(id)).await;
    }
    let mut group = Vec::new();
    while group.len() < ids.len() {
        group.push(fresh(&mut build).await);
    }
    let started = worker.start(group, &stand.start()).await.unwrap();
    assert_eq!(started.len(), ids.len());
    let mut told = BTreeSet::new();
    for _ in ids {
        told.insert(stand.hear(carried).await);
    }
    assert_eq!(told, ids.map(|id| (id, ALONE)).into(), "each of them once");
}

/// Whose payload a record of a start carries, and how long that is.
fn carried(said: &Said) -> Option<(TicketId, usize)> {
    let Said::Started(started) = said else {
        return None;
    };
    let ticket = started.ticket.as_ref()?;
    Some((ticket.id(), ticket.payload.bytes.len()))
}
