//! From submit to the handler's start, at a gentle rate.

use crate::{Size, bare, noop, table::Table};
use actix_rt::Arbiter;
use async_trait::async_trait;
use domain::outcome::{Attempted, Outcome};
use domain::ports::{Context, Handler, Inspection};
use domain::ticket::{Ticket, TicketId};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Tickets a second.
pub(crate) const RATE: u32 = 200;
const SECONDS: usize = 10;

/// Knows when each ticket was sent, and notes how long it took to be started.
#[derive(Default)]
pub(crate) struct Stopwatch {
    begun: Mutex<HashMap<TicketId, Instant>>,
    millis: Mutex<Vec<f64>>,
}

impl Stopwatch {
    /// The ticket is sent now.
    pub(crate) fn begin(&self, ticket: TicketId) {
        lock(&self.begun).insert(ticket, Instant::now());
    }

    /// The ticket is started now.
    pub(crate) fn stop(&self, ticket: TicketId) {
        if let Some(at) = lock(&self.begun).get(&ticket) {
            lock(&self.millis).push(at.elapsed().as_secs_f64() * 1e3);
        }
    }

    /// How long all of them took in milliseconds, without the first ones, which found nothing warm.
    pub(crate) fn millis(&self, cold: usize) -> Vec<f64> {
        lock(&self.millis).split_off(cold)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Handler for Stopwatch {
    async fn handle(&self, ticket: Arc<Ticket>, _: Context) -> Attempted {
        self.stop(ticket.id());
        Outcome::done().into()
    }

    fn inspect(&self) -> Inspection {
        Inspection {
            version: noop::constant("stopwatch-1"),
            obstacle: None,
        }
    }
}

pub(crate) fn at_200_a_second(_: &Size, table: &mut Table) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let count = RATE as usize * SECONDS;
    let mut bare = bare::commits(folder.path(), count, Duration::from_secs(1) / RATE)?;
    let mut ours = measure()?;
    for (name, share, bound) in [("p50", 0.5, 1.0), ("p99", 0.99, 5.0)] {
        let (bare, ours) = (at(&mut bare, share), at(&mut ours, share));
        let what = format!("submit to start at 200/s, {name} (a bare commit: {bare:.2} ms)");
        table.bound(
            &what,
            format!("{ours:.2} ms"),
            &format!("<= {bound} ms"),
            ours <= bound,
        );
    }
    Ok(())
}

/// The value below which this share lies.
pub(crate) fn at(sorted: &mut [f64], share: f64) -> f64 {
    sorted.sort_by(f64::total_cmp);
    let index = ((sorted.len().saturating_sub(1)) as f64 * share) as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

fn measure() -> anyhow::Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let watch = Arc::new(Stopwatch::default());
    actix_rt::System::new().block_on(async {
        let (line, finished) = noop::line(folder.path(), noop::flows(1, 4))?;
        let handler = Arc::clone(&watch) as Arc<dyn Handler>;
        let arbiter = Arbiter::new();
        let handle = arbiter.handle();
        let handlers = BTreeMap::from([(noop::constant("s1"), handler)]);
        let running = line.start(handlers, Box::new(move |_, _| handle.clone()));
        let desk = line.desk();
        let mut tick = tokio::time::interval(Duration::from_secs(1) / RATE);
        let count = RATE as usize * SECONDS;
        for ticket in noop::tickets(&line, count) {
            tick.tick().await;
            watch.begin(ticket.id());
            desk.submit(vec![ticket]).await?;
        }
        finished.wait_for(count).await;
        running.drain(Duration::from_secs(10)).await;
        arbiter.stop();
        line.close();
        anyhow::Ok(())
    })?;
    let millis = watch.millis(0);
    anyhow::ensure!(!millis.is_empty(), "nothing was measured");
    Ok(millis)
}
