//! A line whose handlers do nothing, and a way to wait for its tickets.

use async_trait::async_trait;
use domain::event::{Event, SettledAs};
use domain::flow::{Flows, Journal, Stage};
use domain::names::{FlowName, Kind, StageName};
use domain::outcome::{Attempted, Outcome};
use domain::ports::{Context, Handler, Inspection, Observer};
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use goaround::line::{Line, LineConfig};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Does nothing.
pub(crate) struct Noop;

#[async_trait]
impl Handler for Noop {
    async fn handle(&self, _: Arc<Ticket>, _: Context) -> Attempted {
        Outcome::done().into()
    }

    fn inspect(&self) -> Inspection {
        Inspection {
            version: constant("noop-1"),
            obstacle: None,
        }
    }
}

/// A name that is valid by its looks.
pub(crate) fn constant<T: std::str::FromStr<Err = domain::names::BadName>>(text: &str) -> T {
    text.parse().unwrap_or_else(|error| unreachable!("{error}"))
}

/// Counts finished tickets and wakes whoever waits for a number of them.
#[derive(Default)]
pub(crate) struct Finished {
    count: AtomicUsize,
    target: AtomicUsize,
    reached: Notify,
}

impl Finished {
    /// Waits until so many have finished since it was made.
    pub(crate) async fn wait_for(&self, count: usize) {
        self.target.store(count, Ordering::Release);
        loop {
            let reached = self.reached.notified();
            if self.count.load(Ordering::Acquire) >= count {
                return;
            }
            reached.await;
        }
    }
}

impl Observer for Finished {
    fn observe(&self, _: Timestamp, event: &Event) {
        if let Event::TicketSettled {
            settled: SettledAs::Finished,
            ..
        } = event
        {
            let count = self.count.fetch_add(1, Ordering::AcqRel) + 1;
            if count == self.target.load(Ordering::Acquire) {
                self.reached.notify_waiters();
            }
        }
    }
}

/// The flow `bench` of these many stages named `s1`, `s2` …
pub(crate) fn flows(stages: usize, concurrency: usize) -> Flows {
    flows_with(stages, concurrency, Journal::Full)
}

/// The same with another journal.
pub(crate) fn flows_with(stages: usize, concurrency: usize, journal: Journal) -> Flows {
    let names: Vec<StageName> = (1..=stages).map(|n| constant(&format!("s{n}"))).collect();
    let rules = names.iter().map(|name| Stage {
        concurrency: NonZeroUsize::new(concurrency).unwrap_or(NonZeroUsize::MIN),
        journal,
        ..Stage::new(name.clone())
    });
    let flow: FlowName = constant("bench");
    Flows::new(rules.collect(), BTreeMap::from([(flow, names.clone())]))
        .unwrap_or_else(|bad| unreachable!("{bad:?}"))
}

/// An opened line in this folder, and its counter.
pub(crate) fn line(folder: &Path, flows: Flows) -> anyhow::Result<(Line, Arc<Finished>)> {
    let finished = Arc::new(Finished::default());
    let mut config = LineConfig::new(folder.to_owned(), flows);
    config
        .observers
        .push(Arc::clone(&finished) as Arc<dyn Observer>);
    Ok((Line::open(config)?, finished))
}

/// Fresh tickets for the first stage of the flow.
pub(crate) fn tickets(line: &Line, count: usize) -> Vec<Ticket> {
    let clock = line.clock();
    let kind = Kind::unnamed();
    let make = |id: TicketId| Ticket {
        name: Name::first(id),
        kind: kind.clone(),
        flow: Some(constant("bench")),
        stage: constant("s1"),
        key: None,
        payload: Payload::untyped(&[b'x'; 64][..]),
        deadline: None,
        created_at: clock.now(),
        lineage: Lineage::root(id),
        trace: None,
    };
    (0..count).map(|_| make(clock.ticket_id())).collect()
}

/// Submits in groups of 512.
pub(crate) async fn submit(line: &Line, count: usize) -> anyhow::Result<()> {
    let desk = line.desk();
    let mut left = count;
    while left > 0 {
        let group = left.min(512);
        desk.submit(tickets(line, group)).await?;
        left -= group;
    }
    Ok(())
}

/// One no-op handler a stage.
pub(crate) fn handlers(line: &Line) -> BTreeMap<StageName, Arc<dyn Handler>> {
    handlers_of(&line.flows())
}

/// One no-op handler for each of these stages.
pub(crate) fn handlers_of(flows: &Flows) -> BTreeMap<StageName, Arc<dyn Handler>> {
    let handler = |stage: &&Stage| (stage.name.clone(), Arc::new(Noop) as Arc<dyn Handler>);
    flows.stages().iter().map(handler).collect()
}
