//! From a foreign publisher's publish to the handler's start on RabbitMQ, at a gentle rate.

use crate::afar::{Afar, CONCURRENCY, Plan};
use crate::lapin_loop::{self, Bare};
use crate::latency::{RATE, Stopwatch, at};
use crate::servers::Servers;
use crate::table::Table;
use crate::{Size, noop};
use domain::flow::Journal;
use domain::ports::Handler;
use domain::ticket::TicketId;
use futures_util::stream::StreamExt;
use lapin::options::BasicAckOptions;
use lapin::{BasicProperties, Channel};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

const COUNT: usize = 1_600;
/// The first ones find nothing warm.
const WARM: usize = 100;
/// About the size of a `started` record.
const RECORD: [u8; 128] = [b'r'; 128];

pub(crate) fn at_200_a_second(size: &Size, table: &mut Table) -> anyhow::Result<()> {
    let servers = size.servers()?;
    let mut bare = actix_rt::System::new().block_on(bare(servers))?;
    let mut ours = actix_rt::System::new().block_on(ours(servers))?;
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let (bare, ours) = (at(&mut bare, share), at(&mut ours, share));
        let what = format!("publish to start at 200/s on RabbitMQ, {name}");
        table.millis(&what, bare, ours);
    }
    Ok(())
}

/// A bare consumer that has a record confirmed before it begins.
async fn bare(servers: &Servers) -> anyhow::Result<Vec<f64>> {
    let watch = Arc::new(Stopwatch::default());
    let bare = Bare::connect(&servers.broker(), "latency").await?;
    bare.declare(2).await?;
    let mut consumer = bare.consumer(0).await?;
    let journal = (bare.publisher().await?, bare.queue(1));
    let mut publisher = JoinSet::new();
    let to = (String::new(), bare.queue(0));
    publisher.spawn_local(publish(bare.publisher().await?, to, Arc::clone(&watch)));
    let journal = Rc::new(journal);
    let mut working = JoinSet::new();
    for _ in 0..COUNT {
        let Some(delivery) = consumer.next().await else {
            anyhow::bail!("the bare consumer ended");
        };
        let (delivery, journal, watch) = (delivery?, Rc::clone(&journal), Arc::clone(&watch));
        let id = delivery
            .properties
            .message_id()
            .as_ref()
            .map(ToString::to_string);
        let id = TicketId::new(Uuid::parse_str(&id.unwrap_or_default())?);
        working.spawn_local(async move {
            let record = BasicProperties::default().with_delivery_mode(2);
            lapin_loop::publish(&journal.0, ("", &journal.1), &RECORD, record).await?;
            watch.stop(id);
            Ok::<_, anyhow::Error>(delivery.ack(BasicAckOptions::default()).await?)
        });
    }
    while let Some(worked) = working.join_next().await {
        worked??;
    }
    bare.close().await;
    Ok(watch.millis(WARM))
}

async fn ours(servers: &Servers) -> anyhow::Result<Vec<f64>> {
    let watch = Arc::new(Stopwatch::default());
    let plan = Plan {
        stages: 1,
        concurrency: CONCURRENCY,
        journal: Journal::Full,
    };
    let afar = Afar::start(servers.place(), plan, "[\"/bin/true\"]").await?;
    let handler = Arc::clone(&watch) as Arc<dyn Handler>;
    let handlers = BTreeMap::from([(noop::constant("s1"), handler)]);
    let worker = afar.worker(handlers).await?.start();
    let bare = Bare::connect(&servers.broker(), "latency").await?;
    let to = (afar.place.prefix.clone(), "s1".to_owned());
    publish(bare.publisher().await?, to, Arc::clone(&watch)).await?;
    worker.finished.wait_for(COUNT).await;
    worker.close().await;
    bare.close().await;
    Ok(watch.millis(WARM))
}

async fn publish(
    channel: Channel,
    (exchange, key): (String, String),
    watch: Arc<Stopwatch>,
) -> anyhow::Result<()> {
    let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
    for _ in 0..COUNT {
        tick.tick().await;
        let id = Uuid::now_v7();
        let properties = lapin_loop::properties().with_message_id(id.to_string().as_str().into());
        watch.begin(TicketId::new(id));
        lapin_loop::publish(&channel, (&exchange, &key), &[b'x'; 64], properties).await?;
    }
    Ok(())
}
