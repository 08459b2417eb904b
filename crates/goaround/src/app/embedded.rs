//! All roles in one process, with broker and store in the data folder.

use super::role::Role;
use super::serve::{Serving, all_ready, page_of_books};
use super::stages::{Stages, go_down};
use super::{Launch, UpOptions, greet, wait_for_the_end};
use crate::config::Config;
use crate::line::{Line, LineConfig, RunningLine};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use tracing::info;
use web::{Live, Parts};

pub(super) async fn run(
    config: Config,
    options: UpOptions,
    listener: TcpListener,
) -> anyhow::Result<ExitCode> {
    let live = Live::new();
    let mut line_config = LineConfig::new(options.data.clone(), config.flows.clone());
    line_config.keeping = config.keeping;
    line_config.observers.push(Arc::new(live.clone()));
    if let Launch::By(_, holder) = &options.launch {
        line_config.holder = Some(holder.clone());
    }
    line_config.obituaries = handlers::launcher::obituaries::read(&options.data);
    let line = Line::open(line_config)?;
    let address = listener.local_addr()?;
    let api = config.api_url(address);
    let stages = Stages::start(&config, &options.data, Some(&api))?;
    let running = line.start(stages.handlers(), stages.arbiters());
    let parts = parts(&line, &running, &stages, live);
    let serving = Serving::start(&config, listener, parts).await?;
    greet(Role::All, &config, &options, address);
    wait_for_the_end().await?;
    let landed = go_down(running.stages(), config.drain, &stages).await;
    drop(running);
    serving.stop().await;
    stages.close().await;
    line.close();
    info!("goaround has stopped");
    Ok(if landed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn parts(line: &Line, running: &RunningLine, stages: &Stages, live: Live) -> Parts {
    Parts {
        desk: line.desk(),
        catalog: line.catalog(),
        oopses: line.oopses(),
        plans: line.plans(),
        flows: line.flows(),
        clock: line.clock(),
        handlers: stages.inspections(),
        reaches: line.reaches(),
        metrics: page_of_books(line.metrics(), line.catalog(), line.clock()),
        ready: all_ready(vec![running.stages().readiness(), line.writable()]),
        live,
    }
}
