//! Publishes of which nobody knows whether they landed.

use crate::life::worker_settles;
use crate::stand::{LULL, Stand, consume, end_of, fresh, next, stage};
use domain::delivery::Incoming;
use domain::outcome::{Done, Outcome};
use domain::ports::Broker;
use domain::record::{Fate, Said};
use testkit::partners::proxy::Mode;
use tokio::time::{sleep, timeout};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_next_ticket_in_doubt_is_told_and_never_published_again() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let delivery = fresh(&mut build).await;
    let settlement = stand.work(&worker, delivery).await;
    // It is written, and nobody says whether it arrived.
    stand.proxy.set(Mode::Stall);
    let unsettled = worker.settle(vec![settlement]).await.unwrap_err();
    assert_eq!(unsettled.settlements.len(), 1);
    // Now all of it lands.
    stand.proxy.set(Mode::Pass);
    for settlement in unsettled.settlements {
        worker_settles(&worker, settlement).await;
    }
    let parted = stand
        .hear(|said| match said {
            Said::Ended(parted) => Some(parted.clone()),
            _ => None,
        })
        .await;
    let Fate::Doubted(doubted) = &parted.to else {
        panic!("{:?}", parted.to)
    };
    assert_eq!(doubted[0].name, ticket.name.handed_on());
    sleep(LULL).await;
    let copies = stand.ready(&stand.config.names.stage(&stage("test"))).await;
    assert!(copies <= 1, "{copies} copies of one name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_connection_that_breaks_under_a_settle_publishes_no_name_twice() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let tickets: Vec<_> = (0..50).map(|_| stand.ticket()).collect();
    stand.publish(&tickets).await;
    let mut settlements = Vec::new();
    for _ in &tickets {
        let delivery = fresh(&mut build).await;
        settlements.push(stand.work(&worker, delivery).await);
    }
    let settling = async {
        let mut group = settlements;
        while let Err(unsettled) = worker.settle(group).await {
            group = unsettled.settlements;
        }
    };
    let cutting = async {
        sleep(std::time::Duration::from_millis(2)).await;
        stand.proxy.cut();
    };
    timeout(
        crate::stand::SOON,
        futures_util::future::join(settling, cutting),
    )
    .await
    .unwrap();
    end_of(&mut build).await;
    sleep(LULL).await;

    let mut test = consume(&worker, "test").await;
    let mut seen = std::collections::BTreeSet::new();
    while let Ok(group) = timeout(LULL, test.next(crate::stand::max(100))).await {
        for incoming in group.unwrap() {
            let Incoming::Fresh(delivery) = incoming else {
                continue;
            };
            let name = delivery.ticket().name;
            assert!(seen.insert(name), "{name} was published twice");
        }
    }
    assert_eq!(worker.tally().again, 0);
    // Whatever is not in the queue was told to be in doubt.
    let said = stand.hear_all().await;
    let doubted = said.iter().filter(
        |said| matches!(said, Said::Ended(parted) if matches!(parted.to, Fate::Doubted(_))),
    );
    assert!(seen.len() + doubted.count() >= tickets.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_nothing_is_started_whose_record_is_not_confirmed() {
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let delivery = fresh(&mut build).await;
    stand.proxy.set(Mode::Stall);
    let not = Broker::start(&*worker, vec![delivery], &stand.start())
        .await
        .unwrap_err();
    assert_eq!(not.deliveries.len(), 1);
    stand.proxy.set(Mode::Pass);
    // Tried again it is started, and its record told once more, which changes nothing.
    let started = Broker::start(&*worker, not.deliveries, &stand.start())
        .await
        .unwrap();
    let started = started.into_iter().next().unwrap();
    worker_settles(&worker, stand.end(started, Outcome::Done(Done::default()))).await;
    let said = stand.hear_all().await;
    assert!(said.iter().any(|said| matches!(said, Said::Started(_))));
    let Said::Ended(parted) = said.last().unwrap() else {
        panic!("{said:?}")
    };
    assert_eq!(parted.to, Fate::Forwarded(stage("test")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_a_report_that_is_not_confirmed_is_not_durable() {
    use domain::ports::Reporter;
    let Some(mut stand) = Stand::open().await else {
        return;
    };
    let worker = stand.worker().await;
    let mut build = consume(&worker, "build").await;
    let ticket = stand.ticket();
    stand.publish(std::slice::from_ref(&ticket)).await;
    let delivery = match next(&mut build).await {
        Incoming::Fresh(delivery) => delivery,
        other => panic!("{other:?}"),
    };
    let started = stand.begin(&worker, delivery).await;
    let failure = domain::outcome::Failure::new("Bad", "it is bad");
    let performed = started.performed(Outcome::Failed(failure).into(), ticket.created_at);
    stand.proxy.set(Mode::Stall);
    let unreported = performed.report(&*worker).await.unwrap_err();
    stand.proxy.set(Mode::Pass);
    let report = unreported.delivery.to_report().unwrap();
    let id = loop {
        if let Ok(id) = worker.record(report.clone()).await {
            break id;
        }
    };
    assert_eq!(id, report.id);
    let mut reports = domain::ports::Road::reports(&*stand.controller)
        .await
        .unwrap();
    let group = timeout(crate::stand::SOON, reports.next(crate::stand::max(10))).await;
    assert!(group.unwrap().unwrap().contains(&report));
    reports.done().await.unwrap();
}
