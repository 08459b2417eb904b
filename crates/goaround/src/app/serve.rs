//! The web server over a running line.

use super::stages::Stages;
use crate::config::Config;
use crate::line::{Line, RunningLine};
use domain::ports::{Catalog, Clock, StoreError};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Metrics;
use tokio::task::JoinSet;
use tokio::time::timeout;
use web::{Live, ServerHandle};

/// The web server at work; its task ends with it.
pub(super) struct Serving {
    handle: ServerHandle,
    live: Live,
    task: JoinSet<io::Result<()>>,
}

/// How long requests that are being answered may take when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

impl Serving {
    /// Starts the server on a listener that is bound already.
    pub(super) async fn start(
        config: &Config,
        listener: TcpListener,
        line: &Line,
        running: &RunningLine,
        (stages, live): (&Stages, Live),
    ) -> anyhow::Result<Self> {
        let parts = web::Parts {
            desk: line.desk(),
            catalog: line.catalog(),
            oopses: line.oopses(),
            flows: line.flows(),
            clock: line.clock(),
            handlers: stages.inspections(),
            metrics: Arc::new({
                let (metrics, catalog, clock) = (line.metrics(), line.catalog(), line.clock());
                move || {
                    Box::pin(page(
                        Arc::clone(&metrics),
                        Arc::clone(&catalog),
                        Arc::clone(&clock),
                    ))
                }
            }),
            ready: Arc::new({
                let (stages, writable) = (running.stages().readiness(), line.writable());
                move || stages().and_then(|()| writable())
            }),
            live: live.clone(),
        };
        let server = web::serve(listener, config.web(), parts).await?;
        let handle = server.handle();
        let mut task = JoinSet::new();
        task.spawn_local(server);
        Ok(Self { handle, live, task })
    }

    /// Answers what is being asked, then stops.
    pub(super) async fn stop(mut self) {
        self.live.close();
        let stopped = timeout(LAST_REQUESTS, self.handle.stop(true)).await;
        if stopped.is_err() {
            tracing::warn!("some requests were not answered in time");
        }
        self.task.shutdown().await;
    }
}

/// The metrics page, with the sums of this moment.
async fn page(metrics: Arc<Metrics>, catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) -> String {
    if let Err(error) = take_sums(&metrics, &*catalog, &*clock).await {
        tracing::warn!("the metrics page shows older sums: {error}");
    }
    metrics
        .render()
        .unwrap_or_else(|error| format!("# the page could not be made: {error}\n"))
}

async fn take_sums(
    metrics: &Metrics,
    catalog: &dyn Catalog,
    clock: &dyn Clock,
) -> Result<(), StoreError> {
    let balance = catalog.balance().await?;
    let stages = catalog.stages().await?;
    metrics.set_books(&balance, &stages, clock.now());
    Ok(())
}
