//! The web server over a running line.

use super::stages::Stages;
use crate::config::Config;
use crate::line::{Line, RunningLine};
use actix_web_server::Server;
use domain::ports::{Catalog, Clock};
use std::net::TcpListener;
use std::sync::Arc;
use telemetry::Metrics;
use web::Live;

/// Starts the server on a listener that is bound already.
pub(super) async fn start(
    config: &Config,
    listener: TcpListener,
    line: &Line,
    running: &RunningLine,
    (stages, live): (&Stages, Live),
) -> anyhow::Result<Server> {
    let catalog = line.catalog();
    let parts = web::Parts {
        desk: line.desk(),
        catalog: Arc::clone(&catalog),
        oopses: line.oopses(),
        flows: line.flows(),
        clock: line.clock(),
        handlers: stages.inspections(),
        metrics: page(line.metrics(), catalog, line.clock()),
        ready: running.stages().readiness(),
        live,
    };
    Ok(web::serve(listener, config.web(), parts).await?)
}
