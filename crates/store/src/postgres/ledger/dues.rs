//! What is due, and what must be judged: found by the partial indexes, whatever else there is.

use super::Books;
use super::deaths::InHand;
use super::rounds::next_repair;
use crate::postgres::fault::Fault;
use crate::postgres::rows::{
    self, PLACE_COLUMNS, Placed, TICKET_COLUMNS, place_columns, ticket_columns,
};
use crate::postgres::writing::Values;
use domain::names::{Holder, StageName, Version};
use domain::oops::Scene;
use domain::ports::{Due, Dues};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use domain::trial::Company;
use domain::verdict::Case;
use domain::wait::{Condition, Wait};
use std::collections::BTreeSet;
use tokio_postgres::Row;

macro_rules! waiters {
    () => {
        concat!(
            "SELECT ",
            ticket_columns!(),
            ", ",
            place_columns!(),
            ", a.holder, a.started_at, a.hostname, a.version FROM places p JOIN tickets t ON t.id = p.id \
             LEFT JOIN attempts a ON a.ticket = p.id AND a.generation = p.generation \
             AND a.hop = p.hop AND a.attempt = p.attempt "
        )
    };
}

/// Where the columns of the open attempt begin.
const ATTEMPT_AT: usize = TICKET_COLUMNS + PLACE_COLUMNS;

macro_rules! due_tickets {
    () => {
        concat!(
            "SELECT ",
            ticket_columns!(),
            ", p.barrier, p.avoid, p.alone, p.until FROM "
        )
    };
}

pub(crate) const DUE: &str = concat!(
    due_tickets!(),
    "(SELECT * FROM places WHERE state = 2 AND reason IN (1, 2) AND until <= $1 \
     ORDER BY until LIMIT $2) p JOIN tickets t ON t.id = p.id WHERE t.payload IS NOT NULL \
     ORDER BY p.until"
);
/// The stages where somebody waits for a trial, each found by a look at the index, however many
/// wait there.
macro_rules! trial_stages {
    () => {
        "WITH RECURSIVE s (stage) AS (
       (SELECT stage FROM places WHERE state = 2 AND reason = 9 ORDER BY stage LIMIT 1)
       UNION ALL SELECT (SELECT stage FROM places WHERE state = 2 AND reason = 9
         AND stage > s.stage ORDER BY stage LIMIT 1) FROM s WHERE s.stage IS NOT NULL) "
    };
}

/// Nobody is tried there, nor may be: see [`Placed::is_tried`].
macro_rules! is_free {
    () => {
        "NOT EXISTS (SELECT FROM places o WHERE o.stage = s.stage
       AND o.alone AND (o.state IN (0, 1, 5) OR o.state = 2 AND o.reason IN (1, 2, 7))
       AND (o.state <> 2 OR o.reason = 7 OR o.until <= $1))"
    };
}

/// Of each stage that is free the first few whose time has come: one of them goes, should the row
/// of another be damaged.
pub(crate) const TRIALS: &str = concat!(
    trial_stages!(),
    due_tickets!(),
    "s CROSS JOIN LATERAL (SELECT * FROM places WHERE state = 2 AND reason = 9
       AND stage = s.stage AND until <= $1 ORDER BY until, id LIMIT 4) p
     JOIN tickets t ON t.id = p.id WHERE t.payload IS NOT NULL AND ",
    is_free!(),
    " ORDER BY p.until, p.id"
);
pub(crate) const SUSPECTS: &str = concat!(
    waiters!(),
    "WHERE p.state = 2 AND p.reason = 7 ORDER BY p.since LIMIT $1"
);
pub(crate) const OVERDUE: &str = concat!(
    waiters!(),
    "WHERE p.state = 2 AND p.reason = 3 AND p.until <= $1 ORDER BY p.until LIMIT $2"
);
/// When the next wait ends after this time; of pending ones at any time. Of trials only where it
/// would be somebody's turn: the end of the one that is out calls for the next.
pub(crate) const NEXT: &str = concat!(
    trial_stages!(),
    "SELECT least(
   (SELECT min(until) FROM places WHERE state = 2 AND reason IN (1, 2) AND until > $1),
   (SELECT min(until) FROM places WHERE state = 2 AND reason = 3),
   (SELECT min(f.until) FROM s CROSS JOIN LATERAL (SELECT until FROM places
      WHERE state = 2 AND reason = 9 AND stage = s.stage ORDER BY until LIMIT 1) f
      WHERE f.until > $1 AND ",
    is_free!(),
    "))"
);

impl Books {
    /// What is due, after breakers and plans have released what it is time for: that much of the
    /// books is changed by asking.
    pub(super) async fn find_due(&self, now: Timestamp, max: usize) -> Result<Dues, Fault> {
        let mut client = self.client().await?;
        let mut tx = self.begin(&mut client).await?;
        let mut repair = next_repair(&tx).await?;
        let mut is_left = false;
        if self.is_time(repair, now) {
            drop(tx);
            is_left = self.repair(now, max).await?;
            tx = self.begin(&mut client).await?;
            repair = next_repair(&tx).await?;
        }
        let (at, limit) = (now.as_micros(), limit(max));
        let (due, trials, next) = tokio::try_join!(
            tx.prepare_cached(DUE),
            tx.prepare_cached(TRIALS),
            tx.prepare_cached(NEXT)
        )?;
        let (by_time, of_time): (&Values, &Values) = (&[&at, &limit], &[&at]);
        let (found, trials, next) = tokio::try_join!(
            tx.query(&due, by_time),
            tx.query(&trials, of_time),
            tx.query_one(&next, of_time)
        )?;
        tx.commit().await?;
        let rest = is_left.then_some(now);
        let next = [rows::time(&next, 0)?, repair, rest];
        let next = next.into_iter().flatten().min();
        let mut dues = dues((&found, &trials), (next, now), max);
        // That takes a connection of its own.
        drop(client);
        self.unbind(&mut dues.due, now).await;
        Ok(dues)
    }

    pub(super) async fn find_cases(&self, now: Timestamp, max: usize) -> Result<Vec<Case>, Fault> {
        let mut client = self.client().await?;
        let tx = self.begin(&mut client).await?;
        let (at, limit) = (now.as_micros(), limit(max));
        let query = tx.prepare_cached(SUSPECTS).await?;
        let suspects = tx.query(&query, &[&limit]).await?;
        let query = tx.prepare_cached(OVERDUE).await?;
        let overdue = tx.query(&query, &[&at, &limit]).await?;
        let in_hand = InHand::of(&tx, &holders(&suspects)?).await?;
        tx.commit().await?;
        let case = |row: &Row| case(row, &in_hand);
        let mut cases = readable(&overdue, case);
        cases.extend(readable(&suspects, case));
        cases.truncate(max);
        Ok(cases)
    }
}

/// What is due, oldest first, and among it one trial of each stage.
fn dues(
    (found, trials): (&[Row], &[Row]),
    (next, now): (Option<Timestamp>, Timestamp),
    max: usize,
) -> Dues {
    let is_all = found.len() < max;
    let mut due = readable(found, due_at);
    let mut stages: BTreeSet<StageName> = BTreeSet::new();
    for (until, trial) in readable(trials, due_at) {
        if stages.insert(trial.ticket.stage.clone()) {
            due.push((until, trial));
        }
    }
    due.sort_by_key(|(until, _)| *until);
    let is_all = is_all && due.len() <= max;
    due.truncate(max);
    Dues {
        next: match is_all {
            true => next,
            false => Some(now),
        },
        due: due.into_iter().map(|(_, due)| due).collect(),
    }
}

/// Who had these in hand.
fn holders(suspects: &[Row]) -> Result<BTreeSet<Holder>, Fault> {
    let mut holders = BTreeSet::new();
    for row in suspects {
        let holder: Option<&str> = row.try_get(ATTEMPT_AT)?;
        holders.extend(holder.and_then(|holder| Holder::new(holder).ok()));
    }
    Ok(holders)
}

fn limit(max: usize) -> i64 {
    i64::try_from(max).unwrap_or(i64::MAX)
}

/// A row that cannot be read must not stand in the way of all others.
fn readable<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, Fault>) -> Vec<T> {
    let mut readable = Vec::with_capacity(rows.len());
    for row in rows {
        match read(row) {
            Ok(value) => readable.push(value),
            Err(fault) => {
                let id = rows::ticket_id(row, 0).map(|id| id.to_string());
                let id = id.unwrap_or_else(|_| "without a readable id".into());
                tracing::error!("ticket {id} is left where it is, its row is damaged: {fault}");
            }
        }
    }
    readable
}

/// A ticket that is due, and since when.
fn due_at(row: &Row) -> Result<(Timestamp, Due), Fault> {
    let barrier: Option<i64> = row.try_get(TICKET_COLUMNS)?;
    let until = rows::time(row, TICKET_COLUMNS + 3)?;
    let due = Due {
        ticket: rows::ticket(row, 0)?,
        barrier: barrier.map(i64::cast_unsigned),
        avoid: match row.try_get::<_, Option<&str>>(TICKET_COLUMNS + 1)? {
            Some(lines) => rows::versions(lines)?,
            None => Vec::new(),
        },
        alone: row.try_get(TICKET_COLUMNS + 2)?,
    };
    Ok((until.unwrap_or_default(), due))
}

fn case(row: &Row, in_hand: &InHand) -> Result<Case, Fault> {
    let ticket: Ticket = rows::ticket(row, 0)?;
    let placed: Placed = rows::placed(row, TICKET_COLUMNS)?;
    let version = placed.version;
    let wait = placed
        .wait
        .ok_or_else(|| Fault::row("a wait's reason", "nothing"))?;
    let holder: Option<&str> = row.try_get(ATTEMPT_AT)?;
    let started_at = rows::time(row, ATTEMPT_AT + 1)?;
    let scene = match holder {
        Some(holder) => Some(Scene {
            holder: rows::parsed(holder, Holder::new)?,
            hostname: row.try_get(ATTEMPT_AT + 2)?,
            version: rows::parsed(row.try_get(ATTEMPT_AT + 3)?, Version::new)?,
        }),
        None => None,
    };
    let (condition, company) = match (wait.condition, &scene) {
        (Condition::Suspect { .. }, Some(Scene { holder, .. })) => {
            let holder = holder.clone();
            let company = in_hand.company(&holder, placed.is_alone);
            (Condition::Suspect { holder, started_at }, company)
        }
        (condition @ Condition::Suspect { .. }, None) => {
            let (beside, alone) = (0, placed.is_alone);
            (condition, Company { beside, alone })
        }
        (condition, _) => (condition, Company::default()),
    };
    Ok(Case {
        ticket,
        wait: Wait { condition, ..wait },
        scene,
        version,
        company,
    })
}
