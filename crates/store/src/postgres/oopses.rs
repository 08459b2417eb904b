//! [`Oopses`]: the reports. Many who report at once share one transaction: whoever has the pen
//! writes for all that wait.

use super::Postgres;
use super::fault::Fault;
use super::listing::{self, Slices};
use super::partitions::{self, OOPSES};
use super::rows::{oops_id, oops_uuid, small};
use super::text::{is_sayable, sayable};
use crate::codes;
use crate::narrowing::{Bound, Dialect, Exactly};
use crate::oops_rows::{self, nearness};
use async_trait::async_trait;
use domain::filter::Field;
use domain::oops::{OopsId, OopsPrefix, Report, Source};
use domain::outcome::OutcomeKind;
use domain::ports::{Listing, OopsError, Oopses, Page, Reporter, Retention, StoreError};
use domain::ticket::TicketId;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Transaction};
use uuid::Uuid;

/// The most reports that one call of retention forgets.
const RETAIN_SLICE: i64 = 5_000;

/// Each id once, whatever time its reports tell.
const CLAIM: &str = "INSERT INTO oops_ids (id, time) \
     SELECT * FROM unnest($1::uuid[], $2::bigint[]) ON CONFLICT (id) DO NOTHING RETURNING id";
/// The ids that are known, locked so that of two better accounts the best one stays.
const KNOWN: &str = "SELECT i.id, o.src FROM oops_ids i JOIN oopses o ON o.id = i.id \
     AND o.time = i.time WHERE i.id = ANY($1) ORDER BY i.id FOR UPDATE OF i";
const INSERT: &str = "INSERT INTO oopses (id, ticket, time, stage, flow, kind, outcome, type, \
     value, version, host, worker, trace, src, attempt, body) \
     SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[], \
     $6::text[], $7::smallint[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], \
     $13::text[], $14::text[], $15::bigint[], $16::text[])";
/// What ended before `$1`, and what is not among the newest: those up to `($2, $3)`.
const DOOMED: &str = "DELETE FROM oops_ids WHERE id IN (SELECT id FROM oops_ids \
     WHERE time < $1 OR (time, id) <= ($2, $3) ORDER BY time, id LIMIT $4 \
     FOR UPDATE SKIP LOCKED) RETURNING id";
const DELETE: &str = "DELETE FROM oopses WHERE id = ANY($1)";
/// The newest of those that are too many.
const TOO_MANY: &str =
    "SELECT time, id FROM oops_ids ORDER BY time DESC, id DESC OFFSET $1 LIMIT 1";
const MOVE: &str = "UPDATE oops_ids i SET time = n.time \
     FROM unnest($1::uuid[], $2::bigint[]) AS n (id, time) WHERE i.id = n.id";

#[async_trait]
impl Reporter for Postgres {
    async fn record(&self, report: Report) -> Result<OopsId, OopsError> {
        let id = report.id;
        let write = |group: Vec<Arc<Report>>| self.write(group);
        let done = self.shared.pen.write(Arc::new(report), write).await;
        done.map(|()| id).map_err(OopsError)
    }
}

#[async_trait]
impl Oopses for Postgres {
    async fn find(&self, prefix: OopsPrefix) -> Result<Vec<Report>, StoreError> {
        self.call(async {
            let query = "SELECT body FROM oopses WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT 2";
            let client = self.client().await?;
            let (low, high) = (oops_uuid(prefix.low), oops_uuid(prefix.high));
            let rows = client.query(query, &[&low, &high]).await?;
            let read = |row: &Row| oops_rows::read(row.try_get(0)?).map_err(Fault::from);
            rows.iter().map(read).collect()
        })
        .await
    }

    async fn list(&self, listing: Listing) -> Result<Page<Report>, StoreError> {
        self.call(async {
            let mut client = self.client().await?;
            listing::list(&mut client, Reports, &listing).await
        })
        .await
    }

    async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        self.call_again(|| self.forget(retention)).await
    }
}

impl Postgres {
    /// Makes the group durable. One that cannot be written must not keep the others from it, so a
    /// group that fails for its own sake is written one by one.
    async fn write(&self, group: Vec<Arc<Report>>) -> Vec<Result<(), StoreError>> {
        let together = self.call_again(|| self.insert(&group)).await;
        let own = match together {
            Ok(None) => return group.iter().map(|_| Ok(())).collect(),
            Err(error) => return group.iter().map(|_| Err(error.clone())).collect(),
            Ok(Some(own)) if group.len() == 1 => return vec![Err(own)],
            Ok(Some(_)) => group,
        };
        let mut answers = Vec::with_capacity(own.len());
        for report in &own {
            let alone = std::slice::from_ref(report);
            let done = self.call_again(|| self.insert(alone)).await;
            answers.push(match done {
                Ok(None) => Ok(()),
                Ok(Some(error)) | Err(error) => Err(error),
            });
        }
        answers
    }

    /// Writes the group in one transaction; answers with an error that is the group's own.
    async fn insert(&self, group: &[Arc<Report>]) -> Result<Option<StoreError>, Fault> {
        let mut client = self.client().await?;
        let times = group.iter().map(|report| report.time);
        let now = self.shared.clock.now();
        let days = &self.shared.days;
        days.cover(&client, OOPSES, times, now).await?;
        let change = client.transaction().await?;
        let place = self.shared.connector.place();
        match insert(&change, group).await {
            Ok(()) => {
                change.commit().await?;
                Ok(None)
            }
            Err(fault) if is_own(&fault) => Ok(Some(fault.into_store_error(place))),
            Err(fault) => Err(fault),
        }
    }

    /// Whole days go by dropping their tables; the ids of their reports follow in slices.
    async fn forget(&self, retention: Retention) -> Result<u64, Fault> {
        let mut client = self.client().await?;
        let days = &self.shared.days;
        partitions::drop_before(&client, days, OOPSES, retention.before).await?;
        let change = client.transaction().await?;
        let (time, id) = newest_to_go(&change, retention.tickets_max).await?;
        let before = retention.before.as_micros();
        let values: [&(dyn ToSql + Sync); 4] = [&before, &time, &id, &RETAIN_SLICE];
        let doomed = ids(&change.query(DOOMED, &values).await?)?;
        change.execute(DELETE, &[&doomed]).await?;
        change.commit().await?;
        Ok(doomed.len() as u64)
    }
}

/// Whether the fault lies in what was to be written, so that others may fare better without it.
fn is_own(fault: &Fault) -> bool {
    match fault {
        Fault::Row(_) => true,
        // Data that the server refuses, a constraint, a limit.
        Fault::Sql(error) => {
            let class = error.code().and_then(|code| code.code().get(..2));
            matches!(class, Some("22" | "23" | "54"))
        }
        _ => false,
    }
}

fn ids(rows: &[Row]) -> Result<Vec<Uuid>, Fault> {
    let id = |row: &Row| Ok(row.try_get("id")?);
    rows.iter().map(id).collect()
}

/// Up to where the reports go that are beyond the number that is kept.
async fn newest_to_go(change: &Transaction<'_>, max: u64) -> Result<(i64, Uuid), Fault> {
    let nothing = (i64::MIN, Uuid::nil());
    let Ok(max) = i64::try_from(max) else {
        return Ok(nothing);
    };
    let found = change.query_opt(TOO_MANY, &[&max]).await?;
    found.map_or(Ok(nothing), |row| Ok((row.try_get(0)?, row.try_get(1)?)))
}

/// Writes each report, unless the account that is there was told by somebody nearer.
async fn insert(change: &Transaction<'_>, group: &[Arc<Report>]) -> Result<(), Fault> {
    let mut best: BTreeMap<OopsId, &Report> = BTreeMap::new();
    for report in group {
        let kept = best.entry(report.id).or_insert(report);
        if nearness(report.source) > nearness(kept.source) {
            *kept = report;
        }
    }
    let all: Vec<Uuid> = best.keys().copied().map(oops_uuid).collect();
    let times: Vec<i64> = best
        .values()
        .map(|report| report.time.as_micros())
        .collect();
    let new = ids(&change.query(CLAIM, &[&all, &times]).await?)?;
    if new.len() < all.len() {
        let known: Vec<Uuid> = all.into_iter().filter(|id| !new.contains(id)).collect();
        let better = make_room(change, &best, &known).await?;
        best.retain(|id, _| new.contains(&oops_uuid(*id)) || better.contains(&oops_uuid(*id)));
    }
    let reports: Vec<&Report> = best.into_values().collect();
    write_rows(change, &reports).await
}

/// Of the reports that are known takes away those that are told better now; returns their ids.
async fn make_room(
    change: &Transaction<'_>,
    best: &BTreeMap<OopsId, &Report>,
    known: &[Uuid],
) -> Result<Vec<Uuid>, Fault> {
    let (mut better, mut times) = (Vec::new(), Vec::new());
    for row in change.query(KNOWN, &[&known]).await? {
        let id: Uuid = row.try_get(0)?;
        let source = Source::parse(row.try_get(1)?);
        let report = best.get(&oops_id(id));
        if let Some(report) = report
            && source.is_none_or(|source| nearness(report.source) > nearness(source))
        {
            better.push(id);
            times.push(report.time.as_micros());
        }
    }
    if !better.is_empty() {
        change.execute(DELETE, &[&better]).await?;
        change.execute(MOVE, &[&better, &times]).await?;
    }
    Ok(better)
}

async fn write_rows(change: &Transaction<'_>, reports: &[&Report]) -> Result<(), Fault> {
    if reports.is_empty() {
        return Ok(());
    }
    let bodies: Vec<String> = reports
        .iter()
        .map(|report| oops_rows::write(report))
        .collect::<Result<_, _>>()?;
    fn all<'a, T>(reports: &[&'a Report], of: impl Fn(&'a Report) -> T) -> Vec<T> {
        reports.iter().map(|report| of(report)).collect()
    }
    // The bodies, which are JSON, have a zero escaped.
    let values: [&(dyn ToSql + Sync); 16] = [
        &all(reports, |report| oops_uuid(report.id)),
        &all(reports, |report| report.name.ticket.uuid()),
        &all(reports, |report| report.time.as_micros()),
        &all(reports, |report| report.stage.as_str()),
        &all(reports, |report| {
            report.flow.as_ref().map(|flow| flow.as_str())
        }),
        &all(reports, |report| report.kind.as_str()),
        &all(reports, |report| small(codes::of_outcome(report.outcome))),
        &all(reports, |report| sayable(&report.failure.error_type)),
        &all(reports, |report| sayable(first_line(report))),
        &all(reports, |report| report.version.as_str()),
        &all(reports, |report| sayable(&report.hostname)),
        &all(reports, |report| report.holder.as_str()),
        &all(reports, |report| report.trace.as_deref().map(sayable)),
        &all(reports, |report| report.source.as_str()),
        &all(reports, |report| i64::from(report.name.attempt.0)),
        &bodies,
    ];
    change.execute(INSERT, &values).await?;
    Ok(())
}

fn first_line(report: &Report) -> &str {
    report.failure.message.lines().next().unwrap_or_default()
}

/// The reports, slice by slice.
struct Reports;

impl Slices for Reports {
    type Fact = Report;
    const SELECT: &'static str = "SELECT body, time, seq FROM oopses o";
    const ORDER: &'static [&'static str] = &["o.time", "o.seq"];
    const DIALECT: &'static dyn Dialect = &Table;

    fn read(&mut self, row: &Row) -> Result<(Report, Vec<i64>), Fault> {
        let report = oops_rows::read(row.try_get(0)?)?;
        Ok((report, vec![row.try_get(1)?, row.try_get(2)?]))
    }
}

/// `None` for what follows from the trace, which no column has.
fn is_word(word: &str) -> Option<String> {
    let code = codes::of_outcome;
    let said = (code(OutcomeKind::Failed), code(OutcomeKind::Rejected));
    match (word, OutcomeKind::parse(word)) {
        ("panic", _) => None,
        ("handled", _) => Some(format!("outcome IN ({}, {})", said.0, said.1)),
        (_, Some(outcome)) => Some(format!("outcome = {}", code(outcome))),
        (_, None) => Some("FALSE".into()),
    }
}

/// The table of the reports, as it is asked.
struct Table;

impl Dialect for Table {
    fn parameter(&self, number: usize) -> String {
        format!("${number}")
    }

    fn exactly(&self, field: Field, text: &str) -> Option<Exactly> {
        if !is_sayable(text) {
            return None;
        }
        if field == Field::Is {
            return is_word(text).map(Exactly::Plain);
        }
        let (column, bound) = match field {
            Field::Ticket => {
                let id: TicketId = text.parse().ok()?;
                ("o.ticket =", Bound::Id(*id.as_bytes()))
            }
            Field::Id => {
                let id: OopsId = text.parse().ok()?;
                ("o.id =", Bound::Id(id.as_u128().to_be_bytes()))
            }
            Field::Stage => ("o.stage =", Bound::Text(text.into())),
            Field::Flow => ("o.flow =", Bound::Text(text.into())),
            Field::Kind => ("o.kind =", Bound::Text(text.into())),
            Field::Type => ("o.type =", Bound::Text(text.into())),
            Field::Version => ("o.version =", Bound::Text(text.into())),
            Field::Host => ("o.host =", Bound::Text(text.into())),
            Field::Worker => ("o.worker =", Bound::Text(text.into())),
            Field::Src => ("o.src =", Bound::Text(text.into())),
            _ => return None,
        };
        Some(Exactly::Between(column, bound, ""))
    }

    fn within(&self, field: Field, low: &str, high: &str) -> Option<String> {
        matches!(field, Field::Since | Field::Seen)
            .then(|| format!("o.time BETWEEN {low} AND {high}"))
    }
}
