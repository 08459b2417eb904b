//! A worker of the crate `celery` whose task does nothing: acks late, prefetch 64.
#![expect(non_local_definitions, reason = "the crate's macro makes them")]

#[path = "../../counts.rs"]
mod counts;

use celery::prelude::*;
use futures_util::stream::{self, StreamExt, TryStreamExt};

/// How many are being sent at once; the crate never asks for confirms.
const SENDING: usize = 256;

#[celery::task]
async fn noop(_body: String) -> TaskResult<()> {
    counts::add();
    Ok(())
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let queue = counts::setting("PEERS_QUEUE");
    let app = celery::app!(
        broker = AMQPBroker { counts::setting("PEERS_URL") },
        tasks = [noop],
        task_routes = ["*" => &queue],
        prefetch_count = 64,
        acks_late = true,
    )
    .await?;
    if let Some(count) = counts::to_fill() {
        let send = |_| async { app.send_task(noop::new(counts::body())).await.map(drop) };
        let sent = stream::iter(0..count).map(send).buffer_unordered(SENDING);
        sent.try_collect::<()>().await?;
    } else {
        counts::keep()?;
        app.consume_from(&[&queue]).await?;
    }
    app.close().await?; // Waits until the broker has read what was sent.
    Ok(())
}
