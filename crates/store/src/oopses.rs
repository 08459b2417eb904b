//! [`Oopses`]: the reports, in a file of their own with a writer of its own.

use crate::codes;
use crate::config::Config;
use crate::error::{Fault, OpenError, closed};
use crate::health;
use crate::listing::TIME_MAX;
use crate::narrowing::{Bound, Dialect, Exactly, Narrow};
use crate::oops_rows::{self, nearness};
use crate::readers::{Readers, is_broken_off};
use crate::schema::{OOPSES, Recognised};
use crate::spot::bits;
use crate::writer::{Ask, Limits, Work, Writer};
use async_trait::async_trait;
use domain::filter::Field;
use domain::oops::{OopsId, OopsPrefix, Report, Source};
use domain::ports::{
    Depth, Finding, Listing, OopsError, Oopses, Page, Reporter, Retention, Sort, StoreError,
};
use domain::ticket::TicketId;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use std::path::PathBuf;
use std::time::Instant;

/// The most reports that are looked at for one list.
const LOOKED_AT_MAX: usize = 50_000;

/// The reports, open.
pub struct OopsFile {
    writer: Writer<Recorder>,
    readers: Readers,
    folder: PathBuf,
}

impl OopsFile {
    pub(crate) fn open(config: &Config, file: Recognised) -> Result<Self, OpenError> {
        let db = file.open()?;
        let file = OOPSES.file(&config.folder);
        let bad = |fault: Fault| fault.into_open_error(&file);
        // One reader is enough: reports are read by people.
        let readers = Readers::start(&OOPSES, &config.folder, 1).map_err(bad)?;
        let limits = Limits {
            requests_max: config.requests_max.max(1),
            weight_max: config.group_tickets_max.max(1),
        };
        let slice = config.retention_slice;
        let writer = Writer::start(OOPSES.name, Recorder { slice }, db, limits);
        let writer = writer.map_err(|error| bad(Fault::row("no thread for the writer", error)))?;
        let folder = config.folder.clone();
        Ok(Self {
            writer,
            readers,
            folder,
        })
    }

    pub(crate) fn alive(&self) -> Result<(), String> {
        self.writer.alive(OOPSES.name)
    }

    pub(crate) fn close(&self) {
        self.readers.close();
        self.writer.close();
    }

    pub(crate) async fn check(&self, depth: Depth) -> Result<Vec<Finding>, StoreError> {
        let folder = self.folder.clone();
        let answer = self
            .readers
            .look(depth, move |db| health::file(db, (&OOPSES, &folder), depth));
        answer.await
    }

    async fn ask<I, A>(
        &self,
        wrap: impl FnOnce(Ask<I, A>) -> Request,
        input: I,
    ) -> Result<A, StoreError> {
        let (ask, reply) = Ask::new(input);
        self.writer.ask(wrap(ask)).await.map_err(|_| closed())?;
        reply.await.map_err(|_| closed())?
    }
}

#[async_trait]
impl Reporter for OopsFile {
    async fn record(&self, report: Report) -> Result<OopsId, OopsError> {
        let id = self.ask(Request::Record, Box::new(report)).await;
        id.map_err(OopsError)
    }
}

#[async_trait]
impl Oopses for OopsFile {
    async fn find(&self, prefix: OopsPrefix) -> Result<Vec<Report>, StoreError> {
        let answer = self.readers.ask(move |db| {
            let mut query = db.prepare_cached(
                "SELECT body FROM oopses WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT 2",
            )?;
            let mut rows = query.query(params![bits(prefix.low), bits(prefix.high)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(oops_rows::read(&row.get::<_, String>(0)?)?);
            }
            Ok(found)
        });
        answer.await
    }

    async fn list(&self, listing: Listing) -> Result<Page<Report>, StoreError> {
        self.readers.ask(move |db| list(db, &listing)).await
    }

    async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        self.ask(Request::Retain, retention).await
    }
}

enum Request {
    Record(Ask<Box<Report>, OopsId>),
    Retain(Ask<Retention, u64>),
}

struct Recorder {
    slice: usize,
}

impl Work for Recorder {
    type Request = Request;

    fn weight(request: &Request) -> usize {
        match request {
            Request::Record(_) => 1,
            Request::Retain(_) => 512,
        }
    }

    fn apply(&mut self, db: &Connection, request: &mut Request) -> Result<(), Fault> {
        match request {
            Request::Record(ask) => {
                record(db, &ask.input)?;
                ask.answer = Some(ask.input.id);
            }
            Request::Retain(ask) => ask.answer = Some(forget(db, ask.input, self.slice)?),
        }
        Ok(())
    }

    fn finish(&mut self, _db: &Connection) -> Result<(), Fault> {
        Ok(())
    }

    fn committed(&mut self, group: Vec<Request>) {
        for request in group {
            match request {
                Request::Record(ask) => ask.answer(),
                Request::Retain(ask) => ask.answer(),
            }
        }
    }

    fn undone(&mut self) {}

    fn refuse(request: Request, error: StoreError) {
        match request {
            Request::Record(ask) => ask.refuse(error),
            Request::Retain(ask) => ask.refuse(error),
        }
    }
}

/// Of several accounts of an attempt the one stays that was told by whoever was nearest; the same
/// one again changes nothing.
fn record(db: &Connection, report: &Report) -> Result<(), Fault> {
    let known: Option<String> = db
        .prepare_cached("SELECT src FROM oopses WHERE id = ?1")?
        .query_row([bits(report.id)], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        let known = Source::parse(&known).map(nearness);
        if known >= Some(nearness(report.source)) {
            return Ok(());
        }
        db.prepare_cached("DELETE FROM oopses WHERE id = ?1")?
            .execute([bits(report.id)])?;
    }
    insert(db, report)
}

fn insert(db: &Connection, report: &Report) -> Result<(), Fault> {
    let failure = &report.failure;
    db.prepare_cached(
        "INSERT INTO oopses (id, ticket, time, stage, flow, kind, outcome, type, value, version,
           host, worker, trace, src, attempt, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?
    .execute(params![
        bits(report.id),
        report.name.ticket.as_bytes(),
        report.time.as_micros(),
        report.stage.as_str(),
        report.flow.as_ref().map(|flow| flow.as_str()),
        report.kind.as_str(),
        codes::of_outcome(report.outcome),
        failure.error_type,
        failure.message.lines().next().unwrap_or_default(),
        report.version.as_str(),
        report.hostname,
        report.holder.as_str(),
        report.trace,
        report.source.as_str(),
        report.name.attempt.0,
        oops_rows::write(report)?,
    ])?;
    Ok(())
}

fn forget(db: &Connection, retention: Retention, slice: usize) -> Result<u64, Fault> {
    let kept: i64 = db
        .prepare_cached("SELECT count(*) FROM oopses")?
        .query_row([], |row| row.get(0))?;
    let too_many = u64::try_from(kept)
        .unwrap_or(0)
        .saturating_sub(retention.tickets_max);
    let mut doomed: Vec<i64> = Vec::new();
    let mut oldest = db.prepare_cached("SELECT seq, time FROM oopses ORDER BY time LIMIT ?1")?;
    let mut rows = oldest.query([slice as i64])?;
    while let Some(row) = rows.next()? {
        let time: i64 = row.get(1)?;
        if time >= retention.before.as_micros() && doomed.len() as u64 >= too_many {
            break;
        }
        doomed.push(row.get(0)?);
    }
    let mut forget = db.prepare_cached("DELETE FROM oopses WHERE seq = ?1")?;
    for seq in &doomed {
        forget.execute([seq])?;
    }
    Ok(doomed.len() as u64)
}

fn list(db: &Connection, listing: &Listing) -> Result<Page<Report>, Fault> {
    let order = match listing.sort {
        Sort::NewestFirst => "DESC",
        Sort::OldestFirst => "ASC",
    };
    let narrow = Narrow::of(&listing.query, listing.now, &Reports);
    let which = narrow.to_sql("1");
    let mut query = db.prepare(&format!(
        "SELECT body FROM oopses WHERE {which} ORDER BY time {order}, seq {order}"
    ))?;
    let mut rows = query.query(params_from_iter(&narrow.values))?;
    let limit = listing.limit.clamp(1, Listing::LIMIT_MAX);
    let mut page = Page {
        rows: Vec::new(),
        more: false,
    };
    let began = Instant::now();
    for _ in 0..LOOKED_AT_MAX {
        if began.elapsed() > TIME_MAX {
            break;
        }
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(page),
            Err(error) if is_broken_off(&error) => break,
            Err(error) => return Err(error.into()),
        };
        let report = oops_rows::read(&row.get::<_, String>(0)?)?;
        if listing.query.matches(&report, listing.now) {
            if page.rows.len() == limit {
                break;
            }
            page.rows.push(report);
        }
    }
    page.more = true;
    Ok(page)
}

/// The table of the reports, as it is asked.
struct Reports;

impl Dialect for Reports {
    fn parameter(&self, number: usize) -> String {
        format!("?{number}")
    }

    fn exactly(&self, field: Field, text: &str) -> Option<Exactly> {
        let is_text = |column| Exactly::Between(column, Bound::Text(text.into()), "");
        Some(match field {
            Field::Ticket => {
                let id: TicketId = text.parse().ok()?;
                Exactly::Between("ticket =", Bound::Id(*id.as_bytes()), "")
            }
            Field::Id => {
                let id: OopsId = text.parse().ok()?;
                Exactly::Between("id =", Bound::Id(bits(id)), "")
            }
            Field::Stage => is_text("stage ="),
            Field::Kind => is_text("kind ="),
            Field::Type => is_text("type ="),
            Field::Version => is_text("version ="),
            Field::Src => is_text("src ="),
            _ => return None,
        })
    }

    fn within(&self, field: Field, low: &str, high: &str) -> Option<String> {
        matches!(field, Field::Since | Field::Seen)
            .then(|| format!("time BETWEEN {low} AND {high}"))
    }
}
