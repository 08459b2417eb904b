//! Against real brokers, of each version that is there.

#![expect(clippy::unwrap_used, reason = "what a test did not expect ends it")]

mod rabbitmq_cluster;
mod rabbitmq_links;
mod rabbitmq_tls;
#[path = "../support/mod.rs"]
mod support;

use amqp::doctor::doctor;
use amqp::{Error, Publisher, canary, control, topology};
use domain::control::Snapshot;
use domain::ports::{Depth, Follower, Sent};
use lapin::types::AMQPValue;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{LONG, Place, declare, drain, link, message, stage, text};
use testkit::partners::rabbitmq::Version;

/// Each case is a test for each version.
macro_rules! on_each_version {
    ($($case:ident),* $(,)?) => {
        mod rabbitmq_3_10 { $( on_each_version!(@ $case, V310); )* }
        mod rabbitmq_4_0 { $( on_each_version!(@ $case, V40); )* }
        mod rabbitmq_4_3 { $( on_each_version!(@ $case, V43); )* }
    };
    (@ $case:ident, $version:ident) => {
        #[tokio::test(flavor = "multi_thread")]
        async fn $case() {
            if let Some(place) = super::Place::find(super::Version::$version) {
                super::$case(place).await;
            }
        }
    };
}

on_each_version!(
    a_queue_that_gives_messages_up_or_throws_them_away_is_refused,
    a_classic_queue_of_somebody_else_will_do,
    a_limit_that_only_behaviour_shows_is_found_by_the_canary,
    everything_is_declared_again_and_again_and_the_canary_flies,
    a_message_for_a_stage_that_nobody_declared_is_unclaimed,
    the_follower_waits_for_a_first_snapshot_and_then_for_newer_ones,
    a_new_follower_hears_the_newest_snapshot_at_once,
    the_doctor_finds_what_is_not_there_and_what_is_fine,
    a_user_without_permissions_is_told_which_one_is_missing,
);

async fn a_queue_that_gives_messages_up_or_throws_them_away_is_refused(place: Place) {
    let url = place.broker.url();
    let link = link(&place.config);
    let quorum = ("x-queue-type", text("quorum"));
    for (name, argument) in [
        ("limited", ("x-delivery-limit", AMQPValue::LongInt(5))),
        ("forgetful", ("x-message-ttl", AMQPValue::LongInt(60_000))),
        ("short", ("x-max-length", AMQPValue::LongInt(10))),
    ] {
        let queue = place.names().stage(&stage(name));
        declare(&url, &queue, &[quorum.clone(), argument.clone()]).await;
        let error = topology::declare(&link, place.names(), &[stage(name)])
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Mismatch(_)), "{error}");
        let told = error.to_string();
        assert!(told.contains(&queue) && told.contains(argument.0), "{told}");
    }
}

async fn a_classic_queue_of_somebody_else_will_do(place: Place) {
    let queue = place.names().stage(&stage("old"));
    declare(
        &place.broker.url(),
        &queue,
        &[("x-queue-type", text("classic"))],
    )
    .await;
    let link = link(&place.config);
    let foreign = topology::declare(&link, place.names(), &[stage("old")])
        .await
        .unwrap();
    assert_eq!(foreign.len(), 1, "{foreign:?}");
    assert!(
        foreign[0].differences().contains("x-queue-type is classic"),
        "{foreign:?}"
    );
    canary::prove(&place.config, &foreign).await.unwrap();
}

/// RabbitMQ 4 has a limit of 20 for a quorum queue that was declared without one.
async fn a_limit_that_only_behaviour_shows_is_found_by_the_canary(place: Place) {
    let queue = place.names().stage(&stage("plain"));
    declare(
        &place.broker.url(),
        &queue,
        &[("x-queue-type", text("quorum"))],
    )
    .await;
    let link = link(&place.config);
    let foreign = topology::declare(&link, place.names(), &[stage("plain")])
        .await
        .unwrap();
    let proven = canary::prove(&place.config, &foreign).await;
    let server = amqp::greeting::greet(&place.config).await.unwrap();
    if server.version.starts_with('3') {
        assert_eq!(proven, Ok(()));
    } else {
        let error = proven.unwrap_err();
        assert!(matches!(error, Error::Behaviour(_)), "{error}");
        assert!(error.to_string().contains("could get lost"), "{error}");
    }
}

async fn everything_is_declared_again_and_again_and_the_canary_flies(place: Place) {
    let link = link(&place.config);
    let stages = [stage("build"), stage("test")];
    for _ in 0..2 {
        let foreign = topology::declare(&link, place.names(), &stages)
            .await
            .unwrap();
        assert_eq!(foreign, []);
    }
    let began = Instant::now();
    canary::prove(&place.config, &[]).await.unwrap();
    println!("the canary flew for {:?}", began.elapsed());
    let queues = place.broker.ctl(&["--silent", "list_queues", "name"]);
    let canaries = format!("{}.stage.canary", place.names().prefix());
    assert!(!queues.contains(&canaries), "left behind: {queues}");
}

async fn a_message_for_a_stage_that_nobody_declared_is_unclaimed(place: Place) {
    let link = Arc::new(link(&place.config));
    topology::declare(&link, place.names(), &[stage("build")])
        .await
        .unwrap();
    let publisher = Publisher::start(Arc::clone(&link));
    let names = place.names();
    let group = vec![message(names, "nowhere", "a"), message(names, "build", "b")];
    let sent = publisher.publish_group(group).await;
    assert_eq!(sent, [Sent::Confirmed, Sent::Confirmed]);
    let url = place.broker.url();
    assert!(drain(&url, &names.unclaimed()).await.contains("a"));
    assert!(
        drain(&url, &names.stage(&stage("build")))
            .await
            .contains("b")
    );
}

fn revision(revision: u64) -> Snapshot {
    Snapshot {
        revision,
        ..Snapshot::default()
    }
}

async fn the_follower_waits_for_a_first_snapshot_and_then_for_newer_ones(place: Place) {
    let link = Arc::new(link(&place.config));
    topology::declare(&link, place.names(), &[]).await.unwrap();
    let publisher = Publisher::start(Arc::clone(&link));
    let mut follower = control::Follower::new(Arc::clone(&link), place.names());
    let waited = tokio::time::timeout(Duration::from_millis(500), follower.next()).await;
    assert!(waited.is_err(), "there is nothing yet");
    for sent in [7, 6, 9] {
        control::spread(&publisher, place.names(), &revision(sent))
            .await
            .unwrap();
        // The one that is older is never heard.
        if sent != 6 {
            let heard = tokio::time::timeout(LONG, follower.next())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(heard.revision, sent);
        }
    }
}

async fn a_new_follower_hears_the_newest_snapshot_at_once(place: Place) {
    let link = Arc::new(link(&place.config));
    topology::declare(&link, place.names(), &[]).await.unwrap();
    let publisher = Publisher::start(Arc::clone(&link));
    for sent in 1..=20 {
        control::spread(&publisher, place.names(), &revision(sent))
            .await
            .unwrap();
    }
    let mut follower = control::Follower::new(Arc::clone(&link), place.names());
    let heard = tokio::time::timeout(LONG, follower.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(heard.revision, 20);
}

async fn the_doctor_finds_what_is_not_there_and_what_is_fine(place: Place) {
    let stages = [stage("build")];
    let absent = doctor(&place.config, &stages, Depth::Usual).await;
    let of = |findings: &[domain::ports::Finding], about: &str| {
        let found = findings.iter().find(|finding| finding.about == about);
        found
            .cloned()
            .unwrap_or_else(|| panic!("nothing about {about}: {findings:?}"))
    };
    assert!(of(&absent, "broker").is_fine);
    assert!(!of(&absent, &place.names().journal()).is_fine);

    let link = link(&place.config);
    topology::declare(&link, place.names(), &stages)
        .await
        .unwrap();
    let found = doctor(&place.config, &stages, Depth::Deep).await;
    assert!(of(&found, &place.names().stage(&stages[0])).is_fine);
    assert!(of(&found, "behaviour").is_fine, "{found:?}");
    let journal = of(&found, &place.names().journal());
    assert!(!journal.is_fine && journal.remedy.unwrap().contains("start a controller"));
}

async fn a_user_without_permissions_is_told_which_one_is_missing(place: Place) {
    let user = place.names().prefix().to_owned();
    place.broker.ctl(&["add_user", &user, "geheim"]);
    place
        .broker
        .ctl(&["set_permissions", &user, "^nothing$", ".*", ".*"]);
    let url = format!("amqp://{user}:geheim@127.0.0.1:{}/%2f", place.broker.port());
    let mut config = amqp::Config::new(&url).unwrap();
    config.names = place.names().clone();
    let link = link(&config);
    let error = topology::declare(&link, place.names(), &[])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Permission(_)), "{error}");
    let told = error.to_string();
    assert!(
        told.contains("configure") && told.contains("set_permissions"),
        "{told}"
    );
    assert!(!told.contains("geheim"), "{told}");
    place.broker.ctl(&["delete_user", &user]);
}
