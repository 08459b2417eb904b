//! What people are told of breakers beside what those keep.

use crate::oops_rows;
use crate::postgres::fault::Fault;
use crate::postgres::{repairs, rows};
use deadpool_postgres::Transaction;
use domain::breaker::{Breaker, Roster, Scope};
use domain::names::StageName;
use domain::oops::{OopsId, Report};
use domain::ports::Tripped;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokio_postgres::types::ToSql;

const ROSTERS: &str = "SELECT stage, roster FROM boards WHERE stage = ANY($1)";
/// How many each signature holds.
const HELD: &str = "SELECT stage, detail, count(*) FROM places
 WHERE state = 2 AND reason = 5 AND mark = 1 AND stage = ANY($1) GROUP BY 1, 2";
const QUEUED: &str = "SELECT stage, sum(n)::bigint FROM counts
 WHERE what = 10 AND stage = ANY($1) GROUP BY stage";
const REPORTS: &str = "SELECT body FROM oopses WHERE id = ANY($1)";
/// The longest value that is shown, in characters.
const VALUE_CHARS_MAX: usize = 200;

/// What is told of breakers beside what they keep.
pub(super) struct Told {
    rosters: BTreeMap<String, Roster>,
    held: HashMap<(String, String), u64>,
    queued: HashMap<String, u64>,
    reports: HashMap<OopsId, Report>,
}

impl Told {
    pub(super) async fn read(
        tx: &Transaction<'_>,
        breakers: &[(StageName, Breaker)],
    ) -> Result<Self, Fault> {
        let stages: BTreeSet<&str> = breakers.iter().map(|(stage, _)| stage.as_str()).collect();
        let stages: Vec<&str> = stages.into_iter().collect();
        let values: &[&(dyn ToSql + Sync)] = &[&stages];
        let mut rosters = BTreeMap::new();
        for row in tx.query(ROSTERS, values).await? {
            let stage = rows::parsed(row.try_get(0)?, StageName::new)?;
            let roster = repairs::roster(&stage, row.try_get(1)?);
            rosters.insert(stage.to_string(), roster);
        }
        let mut held = HashMap::new();
        for row in tx.query(HELD, values).await? {
            let count: i64 = row.try_get(2)?;
            held.insert((row.try_get(0)?, row.try_get(1)?), count.cast_unsigned());
        }
        let mut queued = HashMap::new();
        for row in tx.query(QUEUED, values).await? {
            let count: i64 = row.try_get(1)?;
            queued.insert(row.try_get(0)?, u64::try_from(count).unwrap_or(0));
        }
        let mut told = Self {
            rosters,
            held,
            queued,
            reports: HashMap::new(),
        };
        told.read_reports(tx, breakers).await?;
        Ok(told)
    }

    async fn read_reports(
        &mut self,
        tx: &Transaction<'_>,
        breakers: &[(StageName, Breaker)],
    ) -> Result<(), Fault> {
        let ids = breakers.iter().filter_map(|(_, breaker)| newest(breaker));
        let ids: Vec<uuid::Uuid> = ids.map(rows::oops_uuid).collect();
        for row in tx.query(REPORTS, &[&ids]).await? {
            let report = oops_rows::read(row.try_get(0)?)?;
            self.reports.insert(report.id, report);
        }
        Ok(())
    }

    pub(super) fn tripped(&self, (stage, breaker): (StageName, Breaker)) -> Tripped {
        let report = newest(&breaker).and_then(|id| self.reports.get(&id));
        let value = report.map(|report| {
            let failure = &report.failure;
            let line = failure.message.lines().next().unwrap_or_default();
            let value = format!("{}: {line}", failure.error_type);
            value.chars().take(VALUE_CHARS_MAX).collect()
        });
        let held = match breaker.scope {
            Scope::Stage if breaker.holds() => self.queued.get(stage.as_str()),
            // What is in the queue of a stage that takes deliveries is not held.
            Scope::Stage => None,
            Scope::Signature(signature) => {
                self.held.get(&(stage.to_string(), signature.to_string()))
            }
        };
        let held = held.copied().unwrap_or(0);
        let newest = self.rosters.get(stage.as_str()).and_then(Roster::wanted);
        Tripped {
            held,
            value: value.unwrap_or_default(),
            newest: newest.map(|it| it.version.clone()),
            stage,
            breaker,
        }
    }
}

/// The report of its newest failure.
fn newest(breaker: &Breaker) -> Option<OopsId> {
    breaker.last_failed.map(|name| OopsId::of(&name))
}
