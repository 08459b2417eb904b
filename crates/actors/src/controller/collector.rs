//! Takes in the reports that workers sent, in every controller, whether it leads or not.

use crate::kept::{Ears, keep};
use domain::oops::Report;
use domain::ports::{Clock, Observer, OopsError, Reporter, Road, StoreError};
use futures_util::future::join_all;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The most reports that are recorded at once.
const GROUP_MAX: NonZeroUsize = NonZeroUsize::new(256).unwrap();
/// Waits between tries to record what the store did not take.
const RECORD_RETRY: Duration = Duration::from_secs(1);
/// A report that the store finds damaged so often is told in the log and passed over: one report
/// must not keep all others out.
const DAMAGED_TRIES: u32 = 5;

/// The collector at work; dropped, it ends.
pub struct Collector {
    _tasks: JoinSet<()>,
}

impl Collector {
    /// Begins to collect, on the current arbiter.
    pub fn start(
        road: Arc<dyn Road>,
        reporter: Arc<dyn Reporter>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let ears = Ears { clock, observer };
        let mut tasks = JoinSet::new();
        let told = ears.clone();
        tasks.spawn_local(keep("collect", ears, async move || {
            collect(&*road, &*reporter, &told).await
        }));
        Self { _tasks: tasks }
    }
}

/// Collects for ever; returns why it could not.
async fn collect(road: &dyn Road, reporter: &dyn Reporter, ears: &Ears) -> String {
    let mut inbox = match road.reports().await {
        Ok(inbox) => inbox,
        Err(error) => return format!("the workers' reports could not be opened: {error}"),
    };
    loop {
        let reports = match inbox.next(GROUP_MAX).await {
            Ok(reports) => reports,
            Err(ended) => return format!("the workers' reports ended: {}", ended.why),
        };
        record(reporter, reports, ears).await;
        if let Err(error) = inbox.done().await {
            return format!("recorded reports could not be acknowledged: {error}");
        }
    }
}

/// Makes all of them durable, however long that takes.
async fn record(reporter: &dyn Reporter, reports: Vec<Report>, ears: &Ears) {
    let mut left: Vec<(Report, u32)> = reports.into_iter().map(|report| (report, 0)).collect();
    loop {
        left = try_record(reporter, left, ears).await;
        if left.is_empty() {
            return;
        }
        sleep(RECORD_RETRY).await;
    }
}

/// Returns what is to be tried again.
async fn try_record(
    reporter: &dyn Reporter,
    reports: Vec<(Report, u32)>,
    ears: &Ears,
) -> Vec<(Report, u32)> {
    let tries = reports.into_iter().map(async |(report, tries)| {
        let OopsError(error) = reporter.record(report.clone()).await.err()?;
        Some((report, tries + 1, error))
    });
    let mut left = Vec::new();
    for (report, tries, error) in join_all(tries).await.into_iter().flatten() {
        ears.tell_failed("collect", &error);
        let is_hopeless = matches!(error, StoreError::Damaged(_)) && tries >= DAMAGED_TRIES;
        if is_hopeless {
            let id = report.id;
            tracing::error!(
                oops = %id,
                ?report,
                "oops {id} cannot be recorded and is kept nowhere but in this line: {error}"
            );
        } else {
            left.push((report, tries));
        }
    }
    left
}
