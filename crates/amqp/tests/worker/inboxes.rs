//! What the controller reads.

use crate::stand::{LULL, SOON, Stand, max, stage};
use domain::names::Holder;
use domain::ports::{Inbox, Road};
use domain::record::{Record, Said};
use domain::ticket::{Name, TicketId};
use domain::time::Timestamp;
use lapin::BasicProperties;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicRejectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use tokio::time::timeout;

async fn raw(stand: &Stand, key: &str, body: &[u8], properties: BasicProperties) {
    let channel = stand.channel().await;
    let exchange = stand.config.names.exchange().into();
    let options = BasicPublishOptions::default();
    let sent = channel
        .basic_publish(exchange, key.into(), options, body, properties)
        .await;
    sent.unwrap().await.unwrap();
}

fn marker(number: u64) -> Record {
    let by = Holder::new("controller").unwrap();
    Record {
        by,
        at: Timestamp::EPOCH,
        said: Said::Marker(number),
    }
}

async fn markers(inbox: &mut Box<dyn Inbox<Record>>, count: usize) -> Vec<u64> {
    let mut all = Vec::new();
    while all.len() < count {
        let group = timeout(SOON, inbox.next(max(10)))
            .await
            .expect("more comes")
            .unwrap();
        all.extend(group.into_iter().filter_map(|record| match record.said {
            Said::Marker(number) => Some(number),
            _ => None,
        }));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_records_that_were_not_done_are_read_again_in_the_same_order() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    stand.stop_listening().await;
    for group in [vec![marker(1), marker(2)], vec![marker(3)], vec![marker(4)]] {
        stand.controller.write(group).await.unwrap();
    }
    let mut inbox = stand.controller.journal().await.unwrap();
    assert_eq!(markers(&mut inbox, 4).await, [1, 2, 3, 4]);
    drop(inbox);
    let mut inbox = stand.controller.journal().await.unwrap();
    assert_eq!(markers(&mut inbox, 4).await, [1, 2, 3, 4]);
    inbox.done().await.unwrap();
    drop(inbox);
    let mut inbox = stand.controller.journal().await.unwrap();
    let rest = timeout(LULL, inbox.next(max(10))).await;
    assert!(rest.is_err(), "{rest:?}");
}

/// As when the leader's host is lost: its connection outlives it for a while, and would get its
/// share of the journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_the_journal_is_read_by_one_or_by_nobody() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    stand.stop_listening().await;
    let before = stand.controller.journal().await.unwrap();
    let refused = stand.controller.journal().await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("another reader"), "{refused}");
    for number in 1..=4 {
        stand.controller.write(vec![marker(number)]).await.unwrap();
    }
    drop(before);
    let mut inbox = stand.controller.journal().await.unwrap();
    assert_eq!(
        markers(&mut inbox, 4).await,
        [1, 2, 3, 4],
        "nothing is missing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_cannot_be_read_is_kept_with_the_reason_and_counted() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    stand.stop_listening().await;
    let names = stand.config.names.clone();
    raw(
        &stand,
        &names.journal(),
        b"\xff\xffgarbage",
        BasicProperties::default(),
    )
    .await;
    raw(
        &stand,
        &names.oops(),
        b"bson, perhaps",
        BasicProperties::default(),
    )
    .await;
    stand.controller.write(vec![marker(1)]).await.unwrap();
    let mut journal = stand.controller.journal().await.unwrap();
    assert_eq!(markers(&mut journal, 1).await, [1]);
    journal.done().await.unwrap();
    let mut reports = stand.controller.reports().await.unwrap();
    assert!(timeout(LULL, reports.next(max(10))).await.is_err());
    assert_eq!(stand.controller.quarantined(), 2);
    let channel = stand.channel().await;
    let mut bodies = Vec::new();
    for _ in 0..2 {
        let queue = names.quarantine();
        let kept = channel
            .basic_get(queue.as_str().into(), Default::default())
            .await
            .unwrap();
        let kept = kept.unwrap();
        let headers = kept.properties.headers().clone().unwrap();
        let why = headers.inner().get("goaround-quarantined-because").unwrap();
        assert!(matches!(why, AMQPValue::LongString(why) if !why.is_empty()));
        bodies.push(kept.data.clone());
    }
    bodies.sort_unstable();
    assert_eq!(bodies, [&b"bson, perhaps"[..], &b"\xff\xffgarbage"[..]]);
    drop((journal, reports));
    assert_eq!(stand.ready(&names.journal()).await, 0);
    assert_eq!(stand.ready(&names.oops()).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_ticket_for_a_stage_that_nobody_declared_is_found_by_the_controller() {
    let Some(stand) = Stand::open().await else {
        return;
    };
    let mut ticket = stand.ticket();
    ticket.stage = stage("nobodys");
    stand.publish(std::slice::from_ref(&ticket)).await;
    raw(&stand, "nobodys.too", b"x", BasicProperties::default()).await;
    let mut unclaimed = stand.controller.unclaimed().await.unwrap();
    let mut all = Vec::new();
    while all.len() < 2 {
        all.extend(
            timeout(SOON, unclaimed.next(max(10)))
                .await
                .unwrap()
                .unwrap(),
        );
    }
    unclaimed.done().await.unwrap();
    assert_eq!(all[0], ticket);
    assert_eq!(all[1].stage, stage("nobodys.too"));
    assert_ne!(
        all[1].id(),
        TicketId::from_bytes([0; 16]),
        "it has a name now"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_the_broker_gave_up_is_a_suspect_and_not_a_new_ticket() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let channel = stand.channel().await;
    let queue = stand.config.names.stage(&stage("build"));
    let options = BasicConsumeOptions::default();
    let arguments = FieldTable::default();
    let consumer = channel.basic_consume(queue.as_str().into(), "".into(), options, arguments);
    let mut consumer = consumer.await.unwrap();
    let delivery = futures_util::StreamExt::next(&mut consumer)
        .await
        .unwrap()
        .unwrap();
    delivery
        .reject(BasicRejectOptions { requeue: false })
        .await
        .unwrap();
    let mut unclaimed = stand.controller.unclaimed().await.unwrap();
    let reading = timeout(SOON, unclaimed.next(max(10)));
    let hearing = stand.hear(|said| match said {
        Said::Suspect(ticket) => Some(ticket.clone()),
        _ => None,
    });
    let told = tokio::select! {
        read = reading => panic!("it is not new: {read:?}"),
        told = hearing => told,
    };
    assert_eq!(*told, ticket);
    assert_eq!(told.name, Name::first(ticket.id()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_an_inbox_ends_with_a_reason_when_its_queue_is_gone() {
    let Some(stand) = Stand::open().await else {
        return;
    };
    let mut reports = stand.controller.reports().await.unwrap();
    let channel = stand.channel().await;
    let queue = stand.config.names.oops();
    channel
        .queue_delete(queue.as_str().into(), Default::default())
        .await
        .unwrap();
    let ended = timeout(SOON, reports.next(max(1)))
        .await
        .unwrap()
        .unwrap_err();
    assert!(ended.why.contains("deleted"), "{}", ended.why);
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    assert!(
        channel
            .queue_declare(queue.as_str().into(), options, Default::default())
            .await
            .is_err()
    );
    assert!(stand.controller.reports().await.is_err());
}
