//! [`Waits`]: the waiting tickets, for the controller.

use crate::codes;
use crate::deaths;
use crate::embedded::Embedded;
use crate::error::Fault;
use crate::requests::Request;
use crate::rows::{self, ENTRIES, Shared, ticket_columns};
use async_trait::async_trait;
use domain::books::Place;
use domain::names::{Holder, StageName, Version};
use domain::oops::Scene;
use domain::ports::{Retention, Round, Serving, StoreError, Waits};
use domain::time::Timestamp;
use domain::verdict::{Case, Verdict};
use domain::wait::{Condition, Reason, Wait};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::num::NonZeroUsize;

/// The most tickets that one transaction releases: some ten milliseconds, so that whoever settles
/// or submits meanwhile does not wait longer.
const SLICE: usize = 1_024;

/// The host of a process that is only known by its name.
pub(crate) const UNKNOWN_HOST: &str = "";
/// The suspects, whoever came first.
pub(crate) const SUSPECTS: &str = "WHERE p.state = 2 AND p.reason = ?1 LIMIT ?2";
/// The pending ones that are overdue, the most overdue first.
pub(crate) const OVERDUE: &str = "WHERE p.reason = ?1 AND p.until <= ?2 ORDER BY p.until LIMIT ?3";

#[async_trait]
impl Waits for Embedded {
    async fn release(&self, now: Timestamp, max: NonZeroUsize) -> Result<Round, StoreError> {
        let mut left = max.get();
        let mut released = 0;
        loop {
            let slice = left.min(SLICE);
            let round = self.shared.ask(Request::Release, (now, slice)).await?;
            released += round.released;
            left = left.saturating_sub(usize::try_from(round.released).unwrap_or(slice));
            let is_done = round.next.is_none_or(|next| next > now) || round.released == 0;
            if left == 0 || is_done {
                let next = round.next;
                return Ok(Round { released, next });
            }
        }
    }

    async fn unhold(&self, stage: &StageName, now: Timestamp) -> Result<u64, StoreError> {
        let mut released = 0;
        loop {
            let slice = (stage.clone(), now, SLICE);
            let count = self.shared.ask(Request::Unhold, slice).await?;
            released += count;
            if count < SLICE as u64 {
                return Ok(released);
            }
        }
    }

    async fn cases(&self, now: Timestamp, max: NonZeroUsize) -> Result<Vec<Case>, StoreError> {
        let readers = &self.shared.readers;
        readers.ask(move |db| cases(db, now, max.get())).await
    }

    async fn judge(&self, verdicts: Vec<Verdict>) -> Result<u64, StoreError> {
        if verdicts.is_empty() {
            return Ok(0);
        }
        self.shared.ask(Request::Judge, verdicts).await
    }

    async fn serving(&self, serving: Serving, now: Timestamp) -> Result<(), StoreError> {
        self.shared.ask(Request::Serving, (serving, now)).await
    }

    /// # Cancel safety
    /// Safe: a call that was not heard is heard by the next one. For one controller: of two that
    /// wait only one is woken.
    async fn attention(&self) {
        self.shared.attention.notified().await;
    }

    async fn retain(&self, retention: Retention) -> Result<u64, StoreError> {
        let forgotten = self.shared.ask(Request::Retain, retention).await?;
        self.sweep().await?;
        Ok(forgotten)
    }
}

fn cases(db: &Connection, now: Timestamp, max: usize) -> Result<Vec<Case>, Fault> {
    let mut cases = Vec::new();
    let suspect = params![codes::of_reason(Reason::Suspect), max as i64];
    read(db, SUSPECTS, suspect, &mut cases)?;
    orphans(db, max.saturating_sub(cases.len()), &mut cases)?;
    let left = max.saturating_sub(cases.len()) as i64;
    let overdue = params![codes::of_reason(Reason::Pending), now.as_micros(), left];
    read(db, OVERDUE, overdue, &mut cases)?;
    Ok(cases)
}

fn read(
    db: &Connection,
    which: &str,
    values: &[&dyn rusqlite::ToSql],
    cases: &mut Vec<Case>,
) -> Result<(), Fault> {
    let mut query = db.prepare_cached(&format!("{ENTRIES}{which}"))?;
    let mut rows = query.query(values)?;
    let mut shared = Shared::default();
    while let Some(row) = rows.next()? {
        let entry = match rows::entry(row, &mut shared) {
            Ok((_, entry)) => entry,
            // The others must not wait for it.
            Err(fault) => {
                pass_over(row, &fault);
                continue;
            }
        };
        if let Place::Waiting(wait) = entry.place {
            let ticket = entry.ticket;
            let seq = row.get(0)?;
            cases.push(Case {
                ticket,
                scene: scene_of(db, seq, &wait)?,
                wait,
                version: entry.version,
                company: deaths::company(db, seq)?,
            });
        }
    }
    Ok(())
}

/// Who ran the attempt of a suspect, where that was written down when the folder was opened.
fn scene_of(db: &Connection, seq: i64, wait: &Wait) -> Result<Option<Scene>, Fault> {
    let Condition::Suspect { holder, .. } = &wait.condition else {
        return Ok(None);
    };
    let version: Option<String> = db
        .prepare_cached(
            "SELECT c.version FROM places p JOIN scenes c ON c.id = p.scene
             WHERE p.seq = ?1 AND c.holder = ?2 AND c.hostname = ?3",
        )?
        .query_row(params![seq, holder.as_str(), UNKNOWN_HOST], |row| {
            row.get(0)
        })
        .optional()?;
    let scene = |version| Scene {
        holder: holder.clone(),
        hostname: UNKNOWN_HOST.into(),
        version,
    };
    let version = version.map(|text| rows::parsed(&text, Version::new));
    Ok(version.transpose()?.map(scene))
}

fn pass_over(row: &Row, fault: &Fault) {
    let seq: Option<i64> = row.get(0).ok();
    tracing::error!(
        seq,
        "a ticket that waits for a verdict cannot be read and is passed over: {fault}; \
         look at its row in the tables tickets and places of books.db"
    );
}

/// Attempts that died after their tickets were given up. The tickets stay where they are.
fn orphans(db: &Connection, max: usize, cases: &mut Vec<Case>) -> Result<(), Fault> {
    let mut query = db.prepare_cached(concat!(
        "SELECT ",
        ticket_columns!(),
        ", o.generation, o.hop, o.attempt, o.holder, o.started_at, o.since FROM orphans o \
         JOIN places p ON p.seq = o.ticket JOIN tickets t ON t.seq = o.ticket \
         JOIN stages s ON s.id = p.stage LIMIT ?1"
    ))?;
    let mut rows = query.query([max as i64])?;
    let mut shared = Shared::default();
    while let Some(row) = rows.next()? {
        let read = rows::ticket(row, &mut shared).and_then(|(_, ticket)| {
            let holder = rows::parsed(&row.get::<_, String>(20)?, Holder::new)?;
            Ok((ticket, holder))
        });
        let (ticket, holder) = match read {
            Ok(read) => read,
            Err(fault) => {
                pass_over(row, &fault);
                continue;
            }
        };
        let condition = Condition::Suspect {
            started_at: Some(Timestamp::from_micros(row.get(21)?)),
            holder: holder.clone(),
        };
        cases.push(Case {
            ticket: ticket.named(rows::name(row, ticket.id(), 17)?),
            wait: Wait {
                condition,
                since: Timestamp::from_micros(row.get(22)?),
                because: format!("{holder} died before its attempt had ended"),
                oops: None,
            },
            scene: None,
            version: None,
            company: deaths::company(db, row.get(0)?)?,
        });
    }
    Ok(())
}
