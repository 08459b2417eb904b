//! What panics in a worker, and what goes on all the same.

use crate::stand::{Stand, consume, end_of, next, stage, until, version};
use amqp::Worker;
use domain::delivery::Incoming;
use domain::names::Version;
use domain::ports::Clock;
use domain::record::Said;
use domain::retry::Chance;
use domain::ticket::TicketId;
use domain::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use testkit::clock::TestClock;
use testkit::partners::proxy::{Mode, Proxy};

fn told(said: &Said) -> Option<Version> {
    match said {
        Said::Beat(beat) => beat.stages.get(&stage("build")).cloned(),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_handler_that_panics_when_it_is_looked_at_stops_no_heart() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let _worker = stand.worker().await;
    stand.hear(told).await;
    let serves = Arc::clone(&stand.serves);
    let poisoned = std::thread::spawn(move || {
        let _held = serves.lock().unwrap();
        panic!("whoever looks panics from here on");
    });
    poisoned.join().unwrap_err();
    stand.hear_all().await;
    for _ in 0..2 {
        assert_eq!(stand.hear(told).await.to_string(), "1");
    }
    stand.serves.clear_poison();
    *stand.serves.lock().unwrap() = version("2");
    let second = |said: &Said| told(said).filter(|version| version.to_string() == "2");
    stand.hear(second).await;
}

/// A clock that panics while it is broken.
struct Fragile {
    clock: Arc<TestClock>,
    is_broken: AtomicBool,
    panics: AtomicUsize,
}

impl Clock for Fragile {
    fn now(&self) -> Timestamp {
        if self.is_broken.load(Ordering::Acquire) {
            self.panics.fetch_add(1, Ordering::AcqRel);
            panic!("the clock is broken");
        }
        self.clock.now()
    }

    fn chance(&self) -> Chance {
        self.clock.chance()
    }

    fn ticket_id(&self) -> TicketId {
        self.clock.ticket_id()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_panic_ends_a_subscription_with_a_reason_and_no_task_for_good() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let clock = Arc::new(Fragile {
        clock: stand.clock.clone(),
        is_broken: AtomicBool::new(false),
        panics: AtomicUsize::new(0),
    });
    let url = stand.url();
    let (config, mut settings) = stand.settings_at(&url);
    settings.clock = clock.clone();
    let worker = Worker::start(config, settings).await.unwrap();
    stand.spread(|_| {}).await;
    stand.keeps_to_revision(&worker).await;
    let mut build = consume(&worker, "build").await;
    clock.is_broken.store(true, Ordering::Release);
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let (ended, before) = end_of(&mut build).await;
    assert!(ended.why.contains("the clock is broken"), "{}", ended.why);
    assert!(before.is_empty(), "{before:?}");
    // The one that beats has met it too.
    until("the heart has stopped once", || {
        clock.panics.load(Ordering::Acquire) > 1
    })
    .await;
    clock.is_broken.store(false, Ordering::Release);

    let mut build = consume(&worker, "build").await;
    let Incoming::Suspect(suspect) = next(&mut build).await else {
        panic!("somebody had it before")
    };
    stand.hear_all().await;
    stand.hear(told).await;
    drop(suspect);
    let back = stand
        .hear(|said| match said {
            Said::Suspect(ticket) => Some(ticket.clone()),
            _ => None,
        })
        .await;
    assert_eq!(*back, ticket);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_nobody_starts_before_the_first_heartbeat_is_heard() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let proxy = Arc::new(Proxy::start(stand.config.address().1));
    let url = format!("amqp://guest:guest@127.0.0.1:{}", proxy.port());
    let (config, mut settings) = stand.settings_at(&url);
    // It is about to say what it serves, and from then on nobody hears it.
    let of = Arc::clone(&proxy);
    settings.versions = Arc::new(move || {
        of.set(Mode::Stall);
        version("1")
    });
    let Err(error) = Worker::start(config, settings).await else {
        panic!("nobody has heard of it")
    };
    assert!(error.to_string().contains("heartbeat"), "{error}");
    assert!(error.is_passing());
}
