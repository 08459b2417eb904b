//! The web server of a role: API and viewer where the books are, probes everywhere.

use crate::config::Config;
use domain::ports::{Catalog, Clock, StoreError};
use futures_util::future::BoxFuture;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use telemetry::Metrics;
use tokio::task::JoinSet;
use tokio::time::timeout;
use web::{Live, Parts, ProbeServer, Probes, ServerHandle};

/// The web server at work; its task ends with it.
pub(super) enum Serving {
    /// API, viewer and probes.
    All(Server),
    /// The probes alone.
    Probes(ProbeServer),
}

/// API and viewer at work.
pub(super) struct Server {
    handle: ServerHandle,
    live: Live,
    task: JoinSet<io::Result<()>>,
}

/// How long requests that are being answered may take when the server stops.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// Makes the metrics page.
pub(super) type Page = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// Says whether the role can do its work.
pub(super) type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

impl Serving {
    /// Starts API, viewer and probes on a listener that is bound already.
    pub(super) async fn start(
        config: &Config,
        listener: TcpListener,
        parts: Parts,
    ) -> anyhow::Result<Self> {
        let live = parts.live.clone();
        let server = web::serve(listener, config.web(), parts).await?;
        let handle = server.handle();
        let mut task = JoinSet::new();
        task.spawn_local(server);
        Ok(Self::All(Server { handle, live, task }))
    }

    /// Starts the probes alone.
    pub(super) fn start_probes(
        config: &Config,
        listener: TcpListener,
        probes: Probes,
    ) -> anyhow::Result<Self> {
        let server = ProbeServer::start(listener, &config.web(), probes)?;
        Ok(Self::Probes(server))
    }

    /// Answers what is being asked, then stops.
    pub(super) async fn stop(self) {
        match self {
            Self::All(server) => server.stop().await,
            Self::Probes(server) => server.stop().await,
        }
    }
}

impl Server {
    async fn stop(mut self) {
        self.live.close();
        let stopped = timeout(LAST_REQUESTS, self.handle.stop(true)).await;
        if stopped.is_err() {
            tracing::warn!("some requests were not answered in time");
        }
        self.task.shutdown().await;
    }
}

/// The metrics page with the sums of the books.
pub(super) fn page_of_books(
    metrics: Arc<Metrics>,
    catalog: Arc<dyn Catalog>,
    clock: Arc<dyn Clock>,
) -> Page {
    Arc::new(move || {
        let parts = (
            Arc::clone(&metrics),
            Arc::clone(&catalog),
            Arc::clone(&clock),
        );
        Box::pin(page(parts.0, parts.1, parts.2))
    })
}

/// The metrics page of a role that has no books.
pub(super) fn page_without_books(metrics: Arc<Metrics>) -> Page {
    Arc::new(move || {
        let page = render(&metrics);
        Box::pin(async move { page })
    })
}

/// Ready when all of them are; says what the first one lacks.
pub(super) fn all_ready(parts: Vec<Ready>) -> Ready {
    Arc::new(move || parts.iter().try_for_each(|ready| ready()))
}

fn render(metrics: &Metrics) -> String {
    metrics
        .render()
        .unwrap_or_else(|error| format!("# the page could not be made: {error}\n"))
}

/// The metrics page, with the sums of this moment.
async fn page(metrics: Arc<Metrics>, catalog: Arc<dyn Catalog>, clock: Arc<dyn Clock>) -> String {
    if let Err(error) = take_sums(&metrics, &*catalog, &*clock).await {
        tracing::warn!("the metrics page shows older sums: {error}");
    }
    render(&metrics)
}

async fn take_sums(
    metrics: &Metrics,
    catalog: &dyn Catalog,
    clock: &dyn Clock,
) -> Result<(), StoreError> {
    let balance = catalog.balance(None).await?;
    let stages = catalog.stages().await?;
    metrics.set_books(&balance, &stages, clock.now());
    Ok(())
}
