//! Three nodes, of which one is killed.

use crate::support::{config, declare, drain, link, message, stage, stranger};
use amqp::{Config, Names, Publisher, topology};
use domain::ports::Sent;
use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions};
use lapin::types::FieldTable;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use testkit::partners::or_skip;
use testkit::partners::rabbitmq::{Options, Rabbit, Version};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_survives_the_death_of_a_node() {
    let options = Options::new(Version::V310)
        .nodes(3)
        .consumer_timeout(Duration::from_secs(3));
    let Some(mut broker) = or_skip(options.start()) else {
        return;
    };
    let config = config(&broker.url_of(0));
    let link = Arc::new(link(&config));
    topology::declare(&link, &config.names, &[stage("build")])
        .await
        .unwrap();
    let publisher = Publisher::start(Arc::clone(&link));
    let group = (0..100).map(|i| message(&config.names, "build", &i.to_string()));
    let sent = publisher.publish_group(group.collect()).await;
    assert_eq!(sent, vec![Sent::Confirmed; 100]);

    let later = Names::new("later").unwrap();
    let of_node_0 = later.stage(&stage("build"));
    declare(&broker.url_of(0), &of_node_0, &[]).await;
    broker.kill_node(0);
    let queue = config.names.stage(&stage("build"));
    takes_back_what_is_not_acked(&broker, &queue).await;
    assert_eq!(drain(&broker.url_of(1), &queue).await.len(), 100);
    same_names_elsewhere(&broker, &config).await;
    a_start_waits_for_what_is_not_there_yet(&mut broker, later).await;
}

/// As after a power failure: some nodes answer before all queues are there.
async fn a_start_waits_for_what_is_not_there_yet(broker: &mut Rabbit, names: Names) {
    let mut config = Config::new(&broker.url_of(1)).unwrap();
    config.names = names;
    let starting = async {
        let link = link(&config);
        topology::declare(&link, &config.names, &[stage("build")]).await
    };
    let mut starting = pin!(starting);
    let soon = Duration::from_secs(3);
    let waited = tokio::time::timeout(soon, &mut starting).await;
    assert!(waited.is_err(), "{waited:?}");
    tokio::task::block_in_place(|| broker.restart_node(0));
    let foreign = starting.await.unwrap();
    assert_eq!(foreign.len(), 1, "the classic one: {foreign:?}");
}

/// The partner's own promise, proven here because a start of a broker is dear.
async fn takes_back_what_is_not_acked(broker: &Rabbit, queue: &str) {
    let (_connection, channel) = stranger(&broker.url_of(1)).await;
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let mut consumer = consuming.await.unwrap();
    let held = consumer.next().await.unwrap().unwrap();
    let ended = async { while let Some(Ok(_)) = consumer.next().await {} };
    tokio::time::timeout(Duration::from_secs(20), ended)
        .await
        .expect("the time-out is short");
    assert!(!held.ack(BasicAckOptions::default()).await.unwrap_or(false));
}

async fn same_names_elsewhere(broker: &Rabbit, config: &Config) {
    let mut other = Config::new(&broker.url_of(2)).unwrap();
    other.names = config.names.clone();
    let link = link(&other);
    let foreign = topology::declare(&link, &other.names, &[stage("build")])
        .await
        .unwrap();
    assert_eq!(foreign, []);
}
