//! A holder that is dead: what it had claimed is a question now, and what it left behind is told.

use super::Books;
use super::deaths::{self, InHand};
use crate::codes::Count;
use crate::postgres::fault::Fault;
use crate::postgres::keys;
use crate::postgres::partitions::HISTORY;
use crate::postgres::rows::{self, Placed, RUNNING, ticket_columns};
use crate::postgres::submit::LEDGER_SHARD;
use crate::postgres::working::{Open, Working};
use deadpool_postgres::Transaction;
use domain::books::{Fact, Line};
use domain::names::Holder;
use domain::oops::{OopsId, Report, Scene, Source, Span};
use domain::outcome::{Failure, OutcomeKind};
use domain::ticket::{Ticket, TicketId};
use domain::time::Timestamp;
use domain::trial::Company;
use domain::wait::{Condition, Reason, Wait};
use std::collections::{BTreeSet, HashMap, HashSet};
use uuid::Uuid;

/// What the history says of an attempt whose end somebody else had to tell.
pub(super) const JUDGED: &str = "judged";
const OF_HOLDER: &str = "SELECT ticket FROM attempts WHERE holder = $1";
const REPORTED: &str = "SELECT id FROM oops_ids WHERE id = ANY($1)";
const TICKETS: &str = concat!(
    "SELECT ",
    ticket_columns!(),
    " FROM places p JOIN tickets t ON t.id = p.id WHERE p.id = ANY($1)"
);

impl Books {
    pub(super) async fn bury_once(
        &self,
        holder: &Holder,
        now: Timestamp,
    ) -> Result<Vec<Report>, Fault> {
        let mut client = self.client().await?;
        let days = &self.store.shared.days;
        days.cover(&client, HISTORY, [now].into_iter(), now).await?;
        let tx = self.begin(&mut client).await?;
        keys::lock(&tx).await?;
        let query = tx.prepare_cached(OF_HOLDER).await?;
        let mut ids: Vec<TicketId> = Vec::new();
        for row in tx.query(&query, &[&holder.as_str()]).await? {
            ids.push(rows::ticket_id(&row, 0)?);
        }
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut working = Working::load(&tx, ids).await?;
        let dead = BTreeSet::from([holder.clone()]);
        deaths::note(&tx, &dead, now).await?;
        let in_hand = InHand::of(&tx, &dead).await?;
        let left = left_behind(&mut working, (holder, &in_hand), now);
        let owed = without_reported(&tx, &mut working, left, now).await?;
        let reports = reports(&tx, &mut working, owed, now).await?;
        keys::pass_on(&tx, &mut working, now).await?;
        working.write(&tx, LEDGER_SHARD).await?;
        deaths::forget_judged(&tx, &dead).await?;
        tx.commit().await?;
        self.wake();
        Ok(reports)
    }
}

/// An attempt that its holder left behind.
struct Left {
    open: Open,
    then: Then,
}

/// What became of its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The attempt stays open for the verdict, which needs to know who had it and in what company
    /// that one died. It is told of all the same, since the word that its ticket has gone on may
    /// come next, and then nobody judges it.
    IsJudged(Company),
    /// It has gone on without it.
    HasGoneOn,
}

/// Claims become suspect; returns every attempt that nobody will tell the end of.
fn left_behind(
    working: &mut Working,
    (holder, in_hand): (&Holder, &InHand),
    now: Timestamp,
) -> Vec<Left> {
    let tracked = working.attempts.values();
    let of_holder = tracked.filter(|tracked| !tracked.is_over && tracked.open.holder == *holder);
    let open: Vec<Open> = of_holder.map(|tracked| tracked.open.clone()).collect();
    let mut left = Vec::new();
    for open in open {
        match working.get_mut(open.name.ticket) {
            Some(placed) if is_at(placed, &open) => {
                if placed.state == RUNNING && placed.is_claimed {
                    put_suspect(placed, &open, now);
                }
                let company = in_hand.company(holder, placed.is_alone);
                let then = Then::IsJudged(company);
                left.push(Left { open, then });
            }
            Some(placed) => {
                if placed.is_ended() {
                    placed.lock_key = None;
                }
                let then = Then::HasGoneOn;
                left.push(Left { open, then });
            }
            // Its ticket was forgotten; nobody asks any more.
            None => {
                working.close(&open.name);
            }
        }
    }
    left
}

/// Whether the ticket is still where this attempt had it.
fn is_at(placed: &Placed, open: &Open) -> bool {
    placed.name == open.name
        && (placed.state == RUNNING || placed.reason() == Some(Reason::Suspect))
}

fn put_suspect(placed: &mut Placed, open: &Open, now: Timestamp) {
    let holder = open.holder.clone();
    let wait = Wait {
        because: format!("{holder} had it and is gone"),
        condition: Condition::Suspect {
            holder,
            started_at: Some(open.started_at),
        },
        since: now,
        oops: None,
    };
    placed.put_waiting(open.name, wait);
}

/// Attempts whose report is durable are over.
async fn without_reported(
    tx: &Transaction<'_>,
    working: &mut Working,
    left: Vec<Left>,
    now: Timestamp,
) -> Result<Vec<Left>, Fault> {
    let ids: Vec<Uuid> = left
        .iter()
        .map(|left| rows::oops_uuid(OopsId::of(&left.open.name)))
        .collect();
    let query = tx.prepare_cached(REPORTED).await?;
    let mut reported: HashSet<Uuid> = HashSet::new();
    for row in tx.query(&query, &[&ids]).await? {
        reported.insert(row.try_get(0)?);
    }
    let mut owed = Vec::new();
    for left in left {
        let id = OopsId::of(&left.open.name);
        if !reported.contains(&rows::oops_uuid(id)) {
            owed.push(left);
            continue;
        }
        let Left { open, then } = left;
        if then != Then::HasGoneOn {
            continue;
        }
        working.close(&open.name);
        working.count(open.stage.as_str(), Count::AttemptsFailed, 1);
        working.tell(Line {
            at: now,
            name: open.name,
            stage: open.stage.clone(),
            fact: Fact::Noted {
                what: JUDGED.into(),
                why: format!(
                    "{} died at it, the ticket had gone on without it",
                    open.holder
                ),
                oops: Some(id),
            },
        });
    }
    Ok(owed)
}

async fn reports(
    tx: &Transaction<'_>,
    working: &mut Working,
    owed: Vec<Left>,
    now: Timestamp,
) -> Result<Vec<Report>, Fault> {
    if owed.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = owed
        .iter()
        .map(|left| left.open.name.ticket.uuid())
        .collect();
    let query = tx.prepare_cached(TICKETS).await?;
    let mut tickets: HashMap<TicketId, Ticket> = HashMap::new();
    for row in tx.query(&query, &[&ids]).await? {
        let ticket = rows::ticket(&row, 0)?;
        tickets.insert(ticket.id(), ticket);
    }
    let mut reports = Vec::with_capacity(owed.len());
    for left in owed {
        match tickets.get(&left.open.name.ticket) {
            Some(ticket) => reports.push(report(ticket, &left, now)),
            None => {
                working.close(&left.open.name);
            }
        }
    }
    Ok(reports)
}

fn report(ticket: &Ticket, left: &Left, now: Timestamp) -> Report {
    let open = &left.open;
    let then = match left.then {
        Then::IsJudged(company) => company.in_words(),
        Then::HasGoneOn => "; the ticket had gone on without it".into(),
    };
    let mut ticket = ticket.named(open.name);
    ticket.stage = open.stage.clone();
    let message = format!(
        "the process died while ticket {} was at stage {} (attempt {}, held by {}){then}",
        ticket.id(),
        open.stage,
        open.name.attempt,
        open.holder,
    );
    let scene = Scene {
        holder: open.holder.clone(),
        hostname: open.hostname.clone(),
        version: open.version.clone(),
    };
    let span = Span {
        started_at: open.started_at,
        ended_at: now,
    };
    let failure = Failure::new("ProcessDied", message);
    let mut report = Report::new(&ticket, OutcomeKind::Crashed, failure, &scene, span);
    report.source = Source::Controller;
    report
}
