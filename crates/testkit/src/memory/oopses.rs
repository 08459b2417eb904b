//! The reports.

use super::Memory;
use super::catalog::page;
use async_trait::async_trait;
use domain::oops::{OopsId, OopsPrefix, Report, Source};
use domain::ports::{Listing, OopsError, Oopses, Page, Reporter, Retention, StoreError};
use domain::time::Timestamp;

/// How many reports one call forgets at most.
const RETAIN_SLICE: usize = 1_000;

#[async_trait]
impl Reporter for Memory {
    async fn record(&self, report: Report) -> Result<OopsId, OopsError> {
        let record = self.write(|state, _| {
            let id = report.id;
            let known = state.oopses.get(&id);
            // Several may report the same death; the one who was nearest knows most.
            if known.is_none_or(|known| nearness(report.source) > nearness(known.source)) {
                state.oopses.insert(id, report);
            }
            id
        });
        record.map_err(OopsError)
    }
}

#[async_trait]
impl Oopses for Memory {
    async fn find(&self, prefix: OopsPrefix) -> Result<Vec<Report>, StoreError> {
        self.read(|state| {
            let found = state.oopses.range(prefix.low..=prefix.high);
            found.take(2).map(|(_, report)| report.clone()).collect()
        })
    }

    async fn list(&self, listing: Listing) -> Result<Page<Report>, StoreError> {
        self.read(|state| {
            let reports = state.oopses.values();
            let mut found: Vec<Report> = reports
                .filter(|report| listing.query.matches(*report, listing.now))
                .cloned()
                .collect();
            found.sort_by_key(|report| (report.time, report.id));
            page(found, &listing)
        })
    }

    async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        self.write(|state, _| {
            let mut reports: Vec<(Timestamp, OopsId)> =
                state.oopses.values().map(|r| (r.time, r.id)).collect();
            reports.sort_unstable();
            let keep = usize::try_from(retention.tickets_max).unwrap_or(usize::MAX);
            let excess = reports.len().saturating_sub(keep);
            let forgotten = reports
                .iter()
                .enumerate()
                .filter(|(at, (time, _))| *at < excess || *time < retention.before)
                .take(RETAIN_SLICE);
            let mut count = 0;
            for (_, (_, id)) in forgotten {
                state.oopses.remove(id);
                count += 1;
            }
            count
        })
    }
}

const fn nearness(source: Source) -> u8 {
    match source {
        Source::Worker => 3,
        Source::Supervisor => 2,
        Source::Launcher => 1,
        Source::Controller => 0,
    }
}
