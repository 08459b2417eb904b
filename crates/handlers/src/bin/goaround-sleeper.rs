//! A worker for the tests of this crate: it starts a spawner and a handler that runs until it is
//! killed. Called with the spawner's program, the handler's folder, the handler's script, and
//! `alone` or `among` others.

use async_trait::async_trait;
use domain::names::{Kind, StageName};
use domain::ports::{Context, Handler, StopReason, StopSignal};
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use handlers::{Exec, ExecConfig, Limits, Spawner, SpawnerCommand};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

struct Never;

#[async_trait]
impl StopSignal for Never {
    async fn stopped(&self) -> StopReason {
        std::future::pending().await
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [program, folder, script, company] = &args[..] else {
        return Err("expected a spawner, a folder, a script and a company".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let spawner = Spawner::start(SpawnerCommand {
            program: program.into(),
            args: Vec::new(),
        })?;
        let exec = Exec::new(config(folder, script), spawner)?;
        let context = Context {
            alone: company == "alone",
            deadline: Timestamp::EPOCH,
            grace: Duration::ZERO,
            stop: Arc::new(Never),
        };
        let attempted = exec.handle(Arc::new(ticket()?), context).await;
        Err(format!("the handler ended: {attempted:?}").into())
    })
}

fn config(folder: &str, script: &str) -> ExecConfig {
    ExecConfig {
        command: ["sh", "-c", script].map(str::to_owned).into(),
        folder: folder.into(),
        env: BTreeMap::new(),
        version: None,
        limits: Limits::default(),
        callback_url: None,
        work_folder: folder.into(),
    }
}

fn ticket() -> Result<Ticket, Box<dyn Error>> {
    let id = TicketId::from_bytes([7; 16]);
    Ok(Ticket {
        name: Name::first(id),
        kind: Kind::unnamed(),
        flow: None,
        stage: StageName::new("sleep")?,
        key: None,
        payload: Payload::default(),
        deadline: None,
        created_at: Timestamp::EPOCH,
        lineage: Lineage::root(id),
        trace: None,
    })
}
