//! Connections that are refused, cut, stalled, blocked, and there again.

use crate::support::{LONG, Place, at_port, config, drain, link, message, stage};
use amqp::link::State;
use amqp::{Config, Error, Link, Publisher, Purpose, control, topology};
use domain::control::Snapshot;
use domain::ports::{Follower, Sent};
use futures_util::FutureExt;
use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};
use testkit::partners::proxy::{Mode, Proxy};
use testkit::partners::rabbitmq::{Rabbit, Version};
use testkit::partners::{free_port, or_skip};

/// After how long what was not heard is told again.
const AGAIN: Duration = Duration::from_secs(5);

/// A place with a stage, and a proxy before its broker.
async fn behind_a_proxy() -> Option<(Place, Proxy, Config)> {
    let place = Place::find(Version::V310)?;
    topology::declare(&link(&place.config), place.names(), &[stage("build")])
        .await
        .unwrap();
    let proxy = Proxy::start(place.broker.port());
    let config = at_port(&place.config, proxy.port());
    Some((place, proxy, config))
}

async fn refusal(config: &Config) -> Error {
    let link = link(config);
    link.channel_within(LONG).await.expect_err("it is refused")
}

async fn until(link: &Link, what: impl Fn(&State) -> bool) -> State {
    let mut state = link.state();
    let seen = tokio::time::timeout(LONG, state.wait_for(|state| what(state))).await;
    seen.unwrap_or_else(|_| panic!("not in time: {:?}", link.state().borrow()))
        .unwrap()
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_at_once_and_not_shown() {
    let Some(place) = Place::find(Version::V310) else {
        return;
    };
    let url = format!("amqp://guest:geheim@127.0.0.1:{}/%2f", place.broker.port());
    let began = Instant::now();
    let error = refusal(&Config::new(&url).unwrap()).await;
    assert!(matches!(error, Error::Credentials(_)), "{error:?}");
    assert!(error.to_string().contains("user \"guest\""), "{error}");
    assert!(!error.to_string().contains("geheim"), "{error}");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_that_is_not_there_is_named() {
    let Some(place) = Place::find(Version::V310) else {
        return;
    };
    let url = format!(
        "amqp://guest:guest@127.0.0.1:{}/nowhere",
        place.broker.port()
    );
    let error = refusal(&Config::new(&url).unwrap()).await;
    assert!(matches!(error, Error::Vhost(_)), "{error:?}");
    assert!(error.to_string().contains("add_vhost nowhere"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_virtual_host_that_one_may_not_enter_is_named() {
    let Some(place) = Place::find(Version::V310) else {
        return;
    };
    let user = place.names().prefix().to_owned();
    place.broker.ctl(&["add_user", &user, "geheim"]);
    let url = format!("amqp://{user}:geheim@127.0.0.1:{}/%2f", place.broker.port());
    let error = refusal(&Config::new(&url).unwrap()).await;
    place.broker.ctl(&["delete_user", &user]);
    assert!(matches!(error, Error::Vhost(_)), "{error:?}");
    assert!(error.to_string().contains("set_permissions"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_where_nothing_listens_is_named() {
    let config = Config::new(&format!("amqp://127.0.0.1:{}", free_port())).unwrap();
    let link = link(&config);
    let error = link
        .channel_within(Duration::from_secs(1))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert!(error.to_string().contains("nothing listens"), "{error}");
    assert!(link.ends().unreachable > 0);
}

/// Hears what a client says first, in clear text or not, and never answers.
fn eavesdropper() -> (u16, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heard = vec![0; 4096];
        let length = stream.read(&mut heard).unwrap();
        heard.truncate(length);
        heard
    });
    (port, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_url_never_speaks_in_clear_text() {
    for purpose in [Purpose::Control, Purpose::Publish] {
        let (port, heard) = eavesdropper();
        let config = Config::new(&format!("amqps://u:geheim@127.0.0.1:{port}")).unwrap();
        let link = Link::start(&config, purpose);
        let heard = tokio::task::spawn_blocking(|| heard.join().unwrap())
            .await
            .unwrap();
        // 22 is a TLS handshake; "AMQP" would be the start of a plain one.
        assert_eq!(heard.first(), Some(&22), "{heard:?}");
        drop(link);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_url_at_a_plain_port_is_refused() {
    let Some(place) = Place::find(Version::V310) else {
        return;
    };
    let url = format!("amqps://guest:guest@127.0.0.1:{}/%2f", place.broker.port());
    for purpose in [Purpose::Control, Purpose::Publish] {
        let link = Link::start(&Config::new(&url).unwrap(), purpose);
        let error = link.channel_within(LONG).await.expect_err("no clear text");
        assert!(matches!(error, Error::Tls(_)), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_says_nothing_is_unreachable_in_bounded_time() {
    let Some(place) = Place::find(Version::V310) else {
        return;
    };
    let proxy = Proxy::start(place.broker.port());
    proxy.set(Mode::Stall);
    let link = link(&at_port(&place.config, proxy.port()));
    let state = until(&link, |state| match state {
        State::Down { why, .. } => why.to_string().contains("not said a word"),
        _ => false,
    });
    state.await;
    proxy.set(Mode::Pass);
    link.channel_within(LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_comes_back_with_a_higher_generation() {
    let Some(place) = Place::find(Version::V310) else {
        return;
    };
    let proxy = Proxy::start(place.broker.port());
    let link = link(&at_port(&place.config, proxy.port()));
    let (channel, first) = link.channel().await.unwrap();
    proxy.cut();
    until(&link, |state| state.generation() > Some(first)).await;
    let (_, second) = link.channel().await.unwrap();
    assert!(second > first);
    assert!(!link.is_current(first) && link.is_current(second));
    assert!(
        !channel.status().connected(),
        "a channel does not survive its connection"
    );
    assert_eq!(link.ends().broken, 1, "{:?}", link.ends());
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_noticed_after_two_heartbeats() {
    let Some(place) = Place::find(Version::V310) else {
        return;
    };
    let proxy = Proxy::start(place.broker.port());
    let mut config = at_port(&place.config, proxy.port());
    config.heartbeat = Duration::from_secs(1);
    let link = link(&config);
    link.channel().await.unwrap();
    proxy.set(Mode::Stall);
    until(&link, |state| matches!(state, State::Down { .. })).await;
    assert_eq!(link.ends().silent, 1, "{:?}", link.ends());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_link_is_gone_at_the_broker() {
    let Some(place) = Place::find(Version::V310) else {
        return;
    };
    let mut config = place.config.clone();
    config.connection_name = config.names.prefix().to_owned();
    let link = link(&config);
    let held = link.channel().await.unwrap();
    drop(link);
    let began = Instant::now();
    loop {
        let list = place
            .broker
            .ctl(&["--silent", "list_connections", "client_properties"]);
        if !list.contains(&config.connection_name) {
            break;
        }
        assert!(began.elapsed() < LONG, "still there: {list}");
    }
    drop(held);
}

/// A handler may block the thread of those who publish, for hours.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_never_fetch_their_answers_keep_nobody_else_from_publishing() {
    const MANY: usize = 200;
    let Some((_place, proxy, mut config)) = behind_a_proxy().await else {
        return;
    };
    proxy.set(Mode::Refuse);
    config.publish_timeout = LONG;
    let publisher = Publisher::start(Arc::new(Link::start(&config, Purpose::Publish)));
    let mut blocked: Vec<_> = (0..MANY)
        .map(|i| publisher.publish(message(&config.names, "build", &i.to_string())))
        .map(Box::pin)
        .collect();
    for publishing in &mut blocked {
        assert_eq!(publishing.as_mut().now_or_never(), None);
    }
    proxy.set(Mode::Pass);
    for i in 0..8 {
        let id = format!("free-{i}");
        let sent = publisher.publish(message(&config.names, "build", &id));
        assert_eq!(sent.await, Sent::Confirmed, "{id}");
    }
    for publishing in blocked {
        assert_eq!(publishing.await, Sent::Confirmed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_any_more_is_not_sent() {
    let Some((place, proxy, mut config)) = behind_a_proxy().await else {
        return;
    };
    proxy.set(Mode::Refuse);
    config.publish_timeout = LONG;
    let publisher = Publisher::start(Arc::new(Link::start(&config, Purpose::Publish)));
    let publish = |id: &str| Box::pin(publisher.publish(message(&config.names, "build", id)));
    // Each waits behind one that has its channel's attention.
    let mut first: Vec<_> = (0..8).map(|i| publish(&format!("first-{i}"))).collect();
    for publishing in &mut first {
        assert_eq!(publishing.as_mut().now_or_never(), None);
    }
    assert_eq!(publish("given up").now_or_never(), None);
    proxy.set(Mode::Pass);
    for publishing in first {
        assert_eq!(publishing.await, Sent::Confirmed);
    }
    for i in 0..8 {
        assert_eq!(publish(&format!("last-{i}")).await, Sent::Confirmed);
    }
    let there = drain(&place.broker.url(), &place.names().stage(&stage("build"))).await;
    assert!(
        there.len() == 16 && !there.contains("given up"),
        "{there:?}"
    );
}

/// What is confirmed is there, and what is said never to have left is not.
#[tokio::test(flavor = "multi_thread")]
async fn the_fate_of_each_message_is_true_when_connections_are_cut() {
    let Some((place, proxy, mut config)) = behind_a_proxy().await else {
        return;
    };
    config.publish_timeout = Duration::from_secs(5);
    let publisher = Arc::new(Publisher::start(Arc::new(Link::start(
        &config,
        Purpose::Publish,
    ))));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (publisher, names) = (Arc::clone(&publisher), config.names.clone());
        tasks.spawn(async move {
            let mut fates = Vec::new();
            for round in 0..15 {
                let ids: Vec<String> = (0..50).map(|i| format!("{task}-{round}-{i}")).collect();
                let group = ids.iter().map(|id| message(&names, "build", id)).collect();
                fates.extend(ids.into_iter().zip(publisher.publish_group(group).await));
            }
            fates
        });
    }
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(70)).await;
        proxy.cut();
    }
    let fates: Vec<(String, Sent)> = tasks.join_all().await.into_iter().flatten().collect();
    drop(publisher);
    let there = drain(&place.broker.url(), &place.names().stage(&stage("build"))).await;
    let with = |wanted: Sent| -> BTreeSet<String> {
        let found = fates.iter().filter(|(_, sent)| *sent == wanted);
        found.map(|(id, _)| id.clone()).collect()
    };
    let (confirmed, unsent) = (with(Sent::Confirmed), with(Sent::Unsent));
    println!(
        "confirmed {}, unsent {}, doubtful {}",
        confirmed.len(),
        unsent.len(),
        with(Sent::Doubtful).len()
    );
    assert!(
        confirmed.is_subset(&there),
        "lost: {:?}",
        confirmed.difference(&there)
    );
    assert!(
        unsent.is_disjoint(&there),
        "sent: {:?}",
        unsent.intersection(&there)
    );
    assert!(!confirmed.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_while_there_is_no_connection() {
    let mut config = config(&format!("amqp://127.0.0.1:{}", free_port()));
    config.publish_timeout = Duration::from_millis(500);
    let publisher = Publisher::start(Arc::new(Link::start(&config, Purpose::Publish)));
    let group = vec![message(&config.names, "build", "a"); 600];
    let began = Instant::now();
    assert_eq!(
        publisher.publish_group(group).await,
        vec![Sent::Unsent; 600]
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_broker_is_survived_by_links_publishers_and_followers() {
    let Some(broker) = or_skip(Rabbit::start(Version::V310)) else {
        return;
    };
    let mut config = config(&broker.url());
    config.publish_timeout = Duration::from_secs(2);
    let link = Arc::new(link(&config));
    topology::declare(&link, &config.names, &[stage("build")])
        .await
        .unwrap();
    let publisher = Publisher::start(Arc::clone(&link));
    let mut follower = control::Follower::new(Arc::clone(&link), &config.names);
    let first = Snapshot {
        revision: 1,
        ..Snapshot::default()
    };
    control::spread(&publisher, &config.names, &first)
        .await
        .unwrap();
    assert_eq!(follower.next().await.unwrap().revision, 1);

    let mut state = link.state();
    let broker = aside(broker, Rabbit::stop).await;
    state
        .wait_for(|state| matches!(state, State::Down { .. }))
        .await
        .unwrap();
    // The broker says farewell and hangs up; which of the two lapin notices first is chance.
    let ends = link.ends();
    assert_eq!(ends.closed_by_broker + ends.broken, 1, "{ends:?}");
    assert_eq!(
        publisher
            .publish(message(&config.names, "build", "a"))
            .await,
        Sent::Unsent
    );

    let broker = aside(broker, Rabbit::restart).await;
    until(&link, |state| state.generation() == Some(2)).await;
    assert_eq!(
        publisher
            .publish(message(&config.names, "build", "b"))
            .await,
        Sent::Confirmed
    );
    let second = Snapshot {
        revision: 2,
        ..Snapshot::default()
    };
    let told = async {
        loop {
            let told = control::spread(&publisher, &config.names, &second);
            told.await.ok(); // If not, it is told again.
            // A broker that has just started may also confirm an entry of its stream and lose it
            // (seen on 3.10), which is why the controller tells those again who stay behind.
            if let Ok(heard) = tokio::time::timeout(AGAIN, follower.next()).await {
                return heard.unwrap();
            }
        }
    };
    let heard = tokio::time::timeout(LONG, told).await.unwrap();
    assert_eq!(heard.revision, 2);

    blocked_and_free_again(&broker, &link, &publisher, &config).await;
}

/// Does something slow to the broker without holding up the tasks of the test.
async fn aside(mut broker: Rabbit, what: fn(&mut Rabbit)) -> Rabbit {
    let done = tokio::task::spawn_blocking(move || {
        what(&mut broker);
        broker
    });
    done.await.unwrap()
}

/// In the same broker, since a start takes longer than all of this.
async fn blocked_and_free_again(
    broker: &Rabbit,
    link: &Link,
    publisher: &Publisher,
    config: &Config,
) {
    broker.raise_alarm();
    // The broker tells a connection only when it publishes.
    let stuck = publisher
        .publish(message(&config.names, "build", "c"))
        .await;
    assert_ne!(stuck, Sent::Confirmed);
    until(link, |state| matches!(state, State::Blocked { .. })).await;
    // Now that it is known, nothing is handed over that would hang.
    assert_eq!(
        publisher
            .publish(message(&config.names, "build", "d"))
            .await,
        Sent::Unsent
    );
    // Nobody hears from us meanwhile, and nobody takes that for death.
    let mut state = link.state();
    let lost = state.wait_for(|state| matches!(state, State::Down { .. }));
    let lost = tokio::time::timeout(Config::HEARTBEAT * 4, lost).await;
    assert!(lost.is_err(), "{lost:?}");
    broker.clear_alarm();
    until(link, |state| matches!(state, State::Connected { .. })).await;
    assert_eq!(
        publisher
            .publish(message(&config.names, "build", "e"))
            .await,
        Sent::Confirmed
    );
}
