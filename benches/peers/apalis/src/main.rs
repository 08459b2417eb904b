//! A worker of `apalis` whose handler does nothing, on RabbitMQ: prefetch and concurrency 64.

#[path = "../../counts.rs"]
mod counts;

use apalis::prelude::*;
use apalis_amqp::{AmqpBackend, Config};
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::metadata::MetadataStore;
use futures_util::stream;
use std::pin::Pin;

const AT_ONCE: usize = 64;

async fn noop(_body: String) {
    counts::add();
}

/// Declares the queue. A worker that finds no channel asks for its consumer too early and panics;
/// and the answer comes after everything that was sent before.
async fn declare(queue: &mut AmqpBackend<String>) -> anyhow::Result<()> {
    Ok(std::future::poll_fn(|cx| TaskSink::poll_ready(Pin::new(&mut *queue), cx)).await?)
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let config = Config::default()
        .queue(counts::setting("PEERS_QUEUE"))
        .prefetch_count(AT_ONCE as u16);
    let mut queue = AmqpBackend::new_from_addr(counts::setting("PEERS_URL"))?.with_config(config);
    declare(&mut queue).await?;
    if let Some(count) = counts::to_fill() {
        let persistent = [("delivery_mode".to_owned(), "2".to_owned())];
        let ticket = |_| {
            let metadata = MetadataStore::from_map(persistent.clone().into());
            TaskBuilder::new(counts::body())
                .with_metadata(metadata)
                .build()
        };
        let tickets = (0..count).map(ticket);
        queue.push_all(stream::iter(tickets)).await?;
        declare(&mut queue.clone()).await?;
    } else {
        counts::keep()?;
        let worker = WorkerBuilder::new("noop").backend(queue);
        worker.concurrency(AT_ONCE).build(noop).run().await?;
    }
    Ok(())
}
