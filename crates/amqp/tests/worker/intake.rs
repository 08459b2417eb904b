//! What comes in from others, in every state.

use crate::stand::{Stand, consume, fresh, nothing, settle, stage};
use domain::names::Kind;
use domain::record::Said;
use domain::ticket::{Name, TicketId};
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};

pub(crate) async fn publish(stand: &Stand, body: &[u8], properties: BasicProperties) {
    let channel = stand.channel().await;
    let exchange = stand.config.names.exchange().into();
    let options = BasicPublishOptions::default();
    let sent = channel
        .basic_publish(exchange, "build".into(), options, body, properties)
        .await;
    sent.unwrap().await.unwrap();
}

pub(crate) fn with_id(id: TicketId) -> BasicProperties {
    BasicProperties::default().with_message_id(id.to_string().as_str().into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_message_without_any_properties_gets_a_name_and_goes_through_the_door() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    publish(&stand, b"hello", BasicProperties::default()).await;
    publish(
        &stand,
        b"",
        BasicProperties::default().with_message_id("not a UUID".into()),
    )
    .await;
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let arrived = stand
            .hear(|said| match said {
                Said::Arrived(arrived) => Some(arrived.clone()),
                _ => None,
            })
            .await;
        assert_eq!(arrived.name, Name::first(arrived.ticket.id()));
        bodies.push(arrived.ticket.payload.bytes.len());
    }
    bodies.sort_unstable();
    assert_eq!(bodies, [0, 5]);
    nothing(&mut build).await;
    assert_eq!((worker.tally().nameless, worker.in_hand()), (2, 0));
    worker.close().await.unwrap();
    assert_eq!(
        stand
            .ready(&stand.config.names.stage(&stage("build")))
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_headers_of_wrong_types_are_left_out_and_the_ticket_runs() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let id = TicketId::new(uuid::Uuid::now_v7());
    let mut headers = FieldTable::default();
    headers.insert(
        "goaround-generation".into(),
        AMQPValue::LongString("one".into()),
    );
    headers.insert("goaround-booked".into(), AMQPValue::LongInt(1));
    headers.insert("goaround-flow".into(), AMQPValue::Boolean(true));
    headers.insert(
        "x-delivery-count".into(),
        AMQPValue::LongString("many".into()),
    );
    publish(
        &stand,
        b"{}",
        with_id(id).with_headers(headers).with_type("x".into()),
    )
    .await;
    let delivery = fresh(&mut build).await;
    let ticket = delivery.ticket().clone();
    assert_eq!(
        (ticket.name, &ticket.kind),
        (Name::first(id), &Kind::new("x").unwrap())
    );
    let settlement = stand.work(&worker, delivery).await;
    settle(&worker, settlement).await;
    let started = stand
        .hear(|said| match said {
            Said::Started(started) => Some(started.clone()),
            _ => None,
        })
        .await;
    assert_eq!(
        started.ticket.as_deref(),
        Some(&*ticket),
        "the books do not know it"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_is_published_twice_while_it_is_in_hand_runs_once() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let id = TicketId::new(uuid::Uuid::now_v7());
    publish(&stand, b"{}", with_id(id)).await;
    let delivery = fresh(&mut build).await;
    publish(&stand, b"{}", with_id(id)).await;
    nothing(&mut build).await;
    assert_eq!(worker.tally().again, 1);
    let settlement = stand.work(&worker, delivery).await;
    settle(&worker, settlement).await;
    worker.close().await.unwrap();
    assert_eq!(
        stand
            .ready(&stand.config.names.stage(&stage("build")))
            .await,
        0
    );
}
