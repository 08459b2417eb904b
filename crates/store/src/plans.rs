//! [`Plans`]: breakers and release plans, for people.

use crate::boards;
use crate::embedded::Embedded;
use crate::error::Fault;
use crate::planning::{Ordered, Wanted};
use crate::requests::Request;
use crate::rows::parsed;
use crate::selecting;
use async_trait::async_trait;
use domain::breaker::{Breaker, Scope};
use domain::filter::Query;
use domain::names::{StageName, Version};
use domain::oops::{OopsId, OopsPrefix};
use domain::plan::{Plan, PlanId, Terms};
use domain::ports::{Oopses, PlanError, PlanOrder, Plans, StoreError, Tripped};
use rusqlite::Connection;

#[async_trait]
impl Plans for Embedded {
    async fn tripped(&self, stage: Option<StageName>) -> Result<Vec<Tripped>, StoreError> {
        let readers = &self.shared.readers;
        let found = readers.ask(move |db| tripped(db, stage.as_ref())).await?;
        let mut all = Vec::with_capacity(found.len());
        for mut tripped in found {
            if let Some(failed) = tripped.breaker.last_failed {
                tripped.value = self.value_of(OopsId::of(&failed)).await?;
            }
            all.push(tripped);
        }
        Ok(all)
    }

    async fn probe(&self, stage: &StageName, scope: Scope) -> Result<bool, StoreError> {
        let wanted = (stage.clone(), scope);
        self.shared.ask(Request::Probe, wanted).await
    }

    async fn plans(&self) -> Result<Vec<Plan>, StoreError> {
        self.shared.readers.ask(boards::newest_plans).await
    }

    async fn plan(&self, id: PlanId) -> Result<Option<Plan>, StoreError> {
        self.shared
            .readers
            .ask(move |db| boards::plan(db, id))
            .await
    }

    async fn make(&self, query: Query, terms: Terms, by: &str) -> Result<Plan, StoreError> {
        let by = by.to_owned();
        let wanted = Wanted { query, terms, by };
        self.shared.ask(Request::MakePlan, wanted).await
    }

    async fn order(&self, id: PlanId, order: PlanOrder, by: &str) -> Result<Plan, PlanError> {
        let by = by.to_owned();
        let ordered = Ordered { id, order, by };
        self.shared.ask(Request::OrderPlan, ordered).await?
    }
}

impl Embedded {
    /// The first line of a report; a report that is forgotten says nothing.
    async fn value_of(&self, oops: OopsId) -> Result<String, StoreError> {
        let prefix = OopsPrefix {
            low: oops,
            high: oops,
        };
        let found = self.shared.oopses.find(prefix).await?;
        Ok(found.first().map_or_else(String::new, |report| {
            let failure = &report.failure;
            let line = failure.message.lines().next().unwrap_or_default();
            format!("{}: {line}", failure.error_type)
        }))
    }
}

/// The breakers, without what their tickets fail of: that is in another file.
fn tripped(db: &Connection, wanted: Option<&StageName>) -> Result<Vec<Tripped>, Fault> {
    let rosters = boards::rosters(db)?;
    let mut found = Vec::new();
    let mut all: Vec<(i64, Vec<Breaker>)> = boards::breakers(db)?.into_iter().collect();
    all.sort_by_key(|(stage, _)| *stage);
    for (id, breakers) in all {
        let stage = name(db, id)?;
        if wanted.is_some_and(|wanted| *wanted != stage) {
            continue;
        }
        let newest = rosters.get(&id).and_then(|roster| roster.wanted());
        let newest = newest.map(|it| it.version.clone());
        for breaker in breakers.into_iter().filter(|it| !it.is_quiet()) {
            found.push(one(db, id, (&stage, breaker, newest.clone()))?);
        }
    }
    Ok(found)
}

fn name(db: &Connection, id: i64) -> Result<StageName, Fault> {
    let name: String = db
        .prepare_cached("SELECT name FROM stages WHERE id = ?1")?
        .query_row([id], |row| row.get(0))?;
    parsed(&name, StageName::new)
}

fn one(
    db: &Connection,
    id: i64,
    (stage, breaker, newest): (&StageName, Breaker, Option<Version>),
) -> Result<Tripped, Fault> {
    let held = match breaker.scope {
        Scope::Stage if breaker.holds() => selecting::runnable(db, id)?,
        Scope::Stage => 0,
        Scope::Signature(signature) => selecting::held(db, id, signature)?,
    };
    Ok(Tripped {
        stage: stage.clone(),
        breaker,
        held,
        value: String::new(),
        newest,
    })
}
