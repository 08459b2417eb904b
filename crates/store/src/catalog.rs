//! [`Catalog`]: the books, for reading. Each answer is of one moment.

use crate::counts::{self, Counted};
use crate::embedded::Embedded;
use crate::error::Fault;
use crate::listing;
use crate::rows::{self, ENTRIES, Shared};
use async_trait::async_trait;
use domain::books::{Balance, Entry, Fact, Line, StageCounts};
use domain::control::Snapshot;
use domain::names::StageName;
use domain::ports::{Catalog, Depth, Finding, Listing, Page, StoreError};
use domain::ticket::{Name, TicketId};
use domain::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

type Running = HashMap<i64, HashSet<i64>>;

#[async_trait]
impl Catalog for Embedded {
    async fn ticket(&self, id: TicketId) -> Result<Option<Entry>, StoreError> {
        let queues = Arc::clone(&self.shared.queues);
        let answer = self.shared.readers.ask(move |db| {
            let Some((seq, mut entry)) = entry(db, id)? else {
                return Ok(None);
            };
            queues.mark_running(seq, &mut entry);
            Ok(Some(entry))
        });
        answer.await
    }

    async fn tickets(&self, listing: Listing) -> Result<Page<Entry>, StoreError> {
        let queues = Arc::clone(&self.shared.queues);
        let answer = self.shared.readers.ask(move |db| {
            let running = queues.running();
            let mut page = listing::tickets(db, &listing, &running)?;
            for (seq, entry) in &mut page.rows {
                queues.mark_running(*seq, entry);
            }
            Ok(Page {
                rows: page.rows.into_iter().map(|(_, entry)| entry).collect(),
                more: page.more,
            })
        });
        answer.await
    }

    async fn history(&self, id: TicketId) -> Result<Vec<Line>, StoreError> {
        self.shared.readers.ask(move |db| history(db, id)).await
    }

    async fn balance(&self, since: Option<Timestamp>) -> Result<Balance, StoreError> {
        let Some(since) = since else {
            let kept = self.counted(|_, counted, running| Ok(counted.balance(running)));
            return kept.await;
        };
        let queues = Arc::clone(&self.shared.queues);
        let answer = self.shared.readers.ask_patiently(move |db| {
            let running = counts::running(db, &queues.running())?;
            counts::count_since(db, since, &running)
        });
        answer.await
    }

    async fn stages(&self) -> Result<Vec<StageCounts>, StoreError> {
        self.counted(|db, counted, running| counted.stages(db, running))
            .await
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.shared.control.borrow().clone())
    }

    async fn check(&self, depth: Depth) -> Result<Vec<Finding>, StoreError> {
        crate::health::check(&self.shared, depth).await
    }
}

impl Embedded {
    /// Counts in one read transaction, unless nothing was committed since the last count.
    async fn counted<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&Connection, &Counted, &Running) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut last = self.shared.counted.lock().await;
        let known = last.take();
        let queues = Arc::clone(&self.shared.queues);
        let commits = Arc::clone(&self.shared.commits);
        let question = self.shared.readers.ask(move |db| {
            let counted = counts::count(db, &commits, known)?;
            let running = counts::running(db, &queues.running())?;
            Ok((answer(db, &counted, &running)?, counted))
        });
        let (answer, counted) = question.await?;
        *last = Some(counted);
        Ok(answer)
    }
}

fn entry(db: &Connection, id: TicketId) -> Result<Option<(i64, Entry)>, Fault> {
    let mut query = db.prepare_cached(&format!("{ENTRIES}WHERE t.id = ?1"))?;
    let mut rows = query.query([id.as_bytes()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let (seq, mut entry) = rows::entry(row, &mut Shared::default())?;
    entry.oopses = rows::oopses(db, seq)?;
    Ok(Some((seq, entry)))
}

fn history(db: &Connection, id: TicketId) -> Result<Vec<Line>, Fault> {
    let accepted: Option<(i64, i64, String)> = db
        .prepare_cached(
            "SELECT t.seq, t.created_at, s.name FROM tickets t JOIN stages s ON s.id = t.stage
             WHERE t.id = ?1",
        )?
        .query_row([id.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((seq, created_at, stage)) = accepted else {
        return Ok(Vec::new());
    };
    let mut lines = vec![Line {
        at: Timestamp::from_micros(created_at),
        name: Name::first(id),
        stage: rows::parsed(&stage, StageName::new)?,
        fact: Fact::Noted {
            what: "accepted".into(),
            why: "it was submitted".into(),
            oops: None,
        },
    }];
    let mut rest = rows::attempts(db, seq, id)?;
    rest.extend(rows::notes(db, seq, id)?);
    rest.sort_by_key(|line| line.at);
    lines.extend(rest);
    Ok(lines)
}
