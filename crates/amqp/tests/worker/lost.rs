//! Connections, channels, queues and brokers that are lost in the middle of the work.

use crate::life::worker_settles;
use crate::stand::{Stand, consume, end_of, fresh, next, nothing, settle, stage, until};
use domain::delivery::Incoming;
use domain::event::Ending;
use domain::outcome::{Done, Outcome};
use domain::ports::Broker;
use domain::record::Said;
use lapin::options::QueueDeleteOptions;
use std::time::{Duration, Instant};
use testkit::partners::proxy::Mode;
use testkit::partners::rabbitmq::{Options, Rabbit, Version as Rmq};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_cut_in_the_middle_of_the_work_is_adopted() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let delivery = fresh(&mut build).await;
    let started = stand.begin(&worker, delivery).await;
    stand.proxy.cut();
    let (ended, _) = end_of(&mut build).await;
    assert_eq!(ended.reason, Ending::ConnectionClosed, "{ended}");
    let mut build = consume(&worker, "build").await;
    until("it is adopted", || worker.tally().adopted == 1).await;
    nothing(&mut build).await;
    let settlement = stand.end(started, Outcome::Done(Done::default()));
    worker_settles(&worker, settlement).await;
    assert_eq!(worker.tally().unacked, 0);
    worker.close().await.unwrap();
    assert_eq!(
        stand
            .ready(&stand.config.names.stage(&stage("build")))
            .await,
        0
    );
    let said = stand.hear_all().await;
    assert!(
        !said.iter().any(|said| matches!(said, Said::Suspect(_))),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_line_that_is_dead_without_a_word_is_replaced_within_ten_seconds() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    // Once something comes, it is subscribed.
    stand.publish(&[stand.ticket()]).await;
    let delivery = fresh(&mut build).await;
    let settlement = stand.work(&worker, delivery).await;
    worker_settles(&worker, settlement).await;
    stand.proxy.half_open();
    let dead = Instant::now();
    let (ended, _) = end_of(&mut build).await;
    assert_eq!(ended.reason, Ending::HeartbeatMissed, "{ended}");
    let mut build = consume(&worker, "build").await;
    // The broker may share them out between this line and the dead one.
    let tickets: Vec<_> = (0..4).map(|_| stand.ticket()).collect();
    stand.publish(&tickets).await;
    drop(next(&mut build).await);
    let took = dead.elapsed();
    println!("a dead line is replaced after {took:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_broker_that_takes_its_leave_closes_the_connection_and_cancels_nothing() {
    let Some(rabbit) = testkit::partners::or_skip(Rabbit::start(Rmq::V310)) else {
        return;
    };
    let mut stand = Stand::at(&rabbit.url(), rabbit.port()).await;
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    stand.publish(&[stand.ticket()]).await;
    let delivery = fresh(&mut build).await;
    let settlement = stand.work(&worker, delivery).await;
    worker_settles(&worker, settlement).await;
    rabbit.ctl(&["close_all_connections", "a test"]);
    let (ended, _) = end_of(&mut build).await;
    assert_eq!(ended.reason, Ending::ConnectionClosed, "{ended}");
    // The broker says farewell and hangs up; which of the two lapin notices first is chance.
    until("each connection has ended once", || {
        let ends = worker.links().map(amqp::Link::ends);
        ends.iter()
            .all(|ends| ends.closed_by_broker + ends.broken == 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_was_only_prefetched_is_kept_over_a_cut_and_worked_on() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let tickets: Vec<_> = (0..5).map(|_| stand.ticket()).collect();
    stand.publish(&tickets).await;
    until("all are prefetched", || worker.in_hand() == 5).await;
    stand.proxy.cut();
    let (_, mut incoming) = end_of(&mut build).await;
    let mut build = consume(&worker, "build").await;
    until("all are adopted", || worker.tally().adopted == 5).await;
    while incoming.len() < 5 {
        incoming.push(next(&mut build).await);
    }
    for incoming in incoming {
        let Incoming::Fresh(delivery) = incoming else {
            panic!("{incoming:?}")
        };
        let settlement = stand.work(&worker, delivery).await;
        worker_settles(&worker, settlement).await;
    }
    worker.close().await.unwrap();
    assert_eq!(
        stand
            .ready(&stand.config.names.stage(&stage("build")))
            .await,
        0
    );
    assert_eq!(worker.tally().suspects, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_another_worker_had_is_a_question_and_is_never_started() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let lost = stand.worker().await;
    let mut build = consume(&lost, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let delivery = fresh(&mut build).await;
    let _started = stand.begin(&lost, delivery).await;
    stand.proxy.set(Mode::Refuse);
    stand.proxy.cut();

    let other = stand.other_worker().await;
    let mut build = consume(&other, "build").await;
    let Incoming::Suspect(suspect) = next(&mut build).await else {
        panic!("it is a suspect")
    };
    settle(&other, suspect.doubt(ticket.created_at)).await;
    let told = stand
        .hear(|said| match said {
            Said::Suspect(ticket) => Some(ticket.clone()),
            _ => None,
        })
        .await;
    assert_eq!(*told, ticket);
    assert_eq!((other.tally().suspects, other.in_hand()), (1, 0));
    other.close().await.unwrap();
    assert_eq!(
        stand
            .ready(&stand.config.names.stage(&stage("build")))
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_suspect_that_no_slot_is_free_for_is_told_all_the_same() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let lost = stand.worker().await;
    let mut build = consume(&lost, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let _held = fresh(&mut build).await;
    stand.proxy.set(Mode::Refuse);
    stand.proxy.cut();
    let other = stand.other_worker().await;
    let _nobody_asks = consume(&other, "build").await;
    let told = stand
        .hear(|said| matches!(said, Said::Suspect(_)).then_some(()))
        .await;
    assert_eq!(told, ());
    until("it is out of its hands", || other.in_hand() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_what_was_done_and_not_acked_comes_again_as_a_question() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let delivery = fresh(&mut build).await;
    let settlement = stand.work(&worker, delivery).await;
    stand.proxy.cut();
    end_of(&mut build).await;
    // Nobody consumes yet, so the delivery that it came in on is the only one it can ack.
    worker_settles(&worker, settlement).await;
    assert_eq!((worker.tally().unacked, worker.in_hand()), (1, 0));
    let mut build = consume(&worker, "build").await;
    let Incoming::Suspect(suspect) = next(&mut build).await else {
        panic!("it is a suspect")
    };
    assert_eq!(suspect.ticket().name, ticket.name);
    settle(&worker, suspect.doubt(ticket.created_at)).await;
    worker.close().await.unwrap();
    assert_eq!(
        stand
            .ready(&stand.config.names.stage(&stage("build")))
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_queue_that_is_deleted_ends_the_subscription_once_and_is_declared_again() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    // Once something comes, it is subscribed.
    stand.publish(&[stand.ticket()]).await;
    let delivery = fresh(&mut build).await;
    let settlement = stand.work(&worker, delivery).await;
    settle(&worker, settlement).await;
    let queue = stand.config.names.stage(&stage("build"));
    let channel = stand.channel().await;
    let options = QueueDeleteOptions::default();
    channel
        .queue_delete(queue.as_str().into(), options)
        .await
        .unwrap();
    let (ended, _) = end_of(&mut build).await;
    assert_eq!(ended.stage, stage("build"));
    assert_eq!(ended.reason, Ending::Cancelled, "{ended}");
    assert!(ended.why.contains("its queue was deleted"), "{}", ended.why);
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let delivery = fresh(&mut build).await;
    let settlement = stand.work(&worker, delivery).await;
    settle(&worker, settlement).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_delivery_that_is_not_acked_in_time_ends_the_subscription_and_is_adopted() {
    let timeout = Duration::from_secs(3);
    let options = Options::new(Rmq::V310).consumer_timeout(timeout);
    let Some(rabbit) = testkit::partners::or_skip(options.start()) else {
        return;
    };
    let mut stand = Stand::at(&rabbit.url(), rabbit.port()).await;
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let delivery = fresh(&mut build).await;
    let started = stand.begin(&worker, delivery).await;
    let (ended, _) = end_of(&mut build).await;
    assert_eq!(ended.reason, Ending::ChannelClosed, "{ended}");
    let _build = consume(&worker, "build").await;
    until("it is adopted", || worker.tally().adopted == 1).await;
    settle(&worker, stand.end(started, Outcome::Done(Done::default()))).await;
    worker.close().await.unwrap();
    assert_eq!(
        stand
            .ready(&stand.config.names.stage(&stage("build")))
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_after_a_restart_of_the_broker_work_goes_on_within_ten_seconds() {
    let Some(mut rabbit) = testkit::partners::or_skip(Rabbit::start(Rmq::V310)) else {
        return;
    };
    let mut stand = Stand::at(&rabbit.url(), rabbit.port()).await;
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let tickets = [stand.ticket(), stand.ticket()];
    stand.publish(&tickets).await;
    let delivery = fresh(&mut build).await;
    // What the broker is lost with on its way to us may have run, as far as anybody knows.
    until("both have come in", || worker.in_hand() == 2).await;
    let started = stand.begin(&worker, delivery).await;
    rabbit.kill();
    let (_, kept) = end_of(&mut build).await;
    assert!(
        worker
            .consume(&stage("build"), std::num::NonZeroUsize::MIN)
            .await
            .is_err()
    );
    rabbit.restart();
    let up = Instant::now();
    let mut build = consume(&worker, "build").await;
    let settlement = stand.end(started, Outcome::Done(Done::default()));
    worker_settles(&worker, settlement).await;
    let other = match kept.into_iter().next() {
        Some(incoming) => incoming,
        None => next(&mut build).await,
    };
    let Incoming::Fresh(other) = other else {
        panic!("{other:?}")
    };
    assert_eq!(other.ticket().name, tickets[1].name);
    let settlement = stand.work(&worker, other).await;
    worker_settles(&worker, settlement).await;
    assert!(up.elapsed() < Duration::from_secs(10), "{:?}", up.elapsed());
}
