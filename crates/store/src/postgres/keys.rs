//! Stages that let each key in once: who is at work on a key, and who is next in line.
//!
//! What comes to such a stage by the books is held back here. What a worker hands on to it goes by
//! the broker, without asking anybody, and is not.

use super::fault::Fault;
use super::rows::{self, Placed, WAITING, place_columns};
use super::working::Working;
use deadpool_postgres::Transaction;
use domain::books::{Fact, Line};
use domain::flow::{Flows, Unique};
use domain::names::StageName;
use domain::ticket::{Name, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use std::collections::BTreeMap;

/// Who drops a ticket for a newer one.
const BY: &str = "unique key";
const LET_IN: &str = "the other ticket with its key is gone from the stage";
/// Whoever moves tickets that have keys holds it, so that they come one after the other.
const KEYS_LOCK: i64 = 0x676F_6172_6F75_6E65;

pub(crate) const IN_LINE: &str = concat!(
    "SELECT ",
    place_columns!(),
    " FROM places p JOIN unnest($1::text[], $2::text[]) AS u (stage, key) ON p.stage = u.stage
      AND p.next_key = u.key WHERE p.next_key IS NOT NULL ORDER BY p.id FOR UPDATE OF p"
);
pub(crate) const AT_WORK: &str = concat!(
    "SELECT ",
    place_columns!(),
    " FROM places p JOIN unnest($1::text[], $2::text[]) AS u (stage, key) ON p.stage = u.stage
      AND p.lock_key = u.key WHERE p.lock_key IS NOT NULL ORDER BY p.id FOR UPDATE OF p"
);

type Stand = (StageName, String);

/// Whether this stage lets each key in once.
pub(crate) fn is_unique(flows: &Flows, stage: &StageName) -> bool {
    let stage = flows.stage(stage);
    stage.is_some_and(|stage| stage.unique == Unique::ByKey)
}

/// From here to the end of the transaction nobody else moves tickets that have keys. Taken before
/// any ticket is locked.
pub(crate) async fn lock(tx: &Transaction<'_>) -> Result<(), Fault> {
    let lock = "SELECT pg_advisory_xact_lock($1)";
    tx.execute(lock, &[&KEYS_LOCK]).await?;
    Ok(())
}

async fn load(
    tx: &Transaction<'_>,
    working: &mut Working,
    stands: &[Stand],
    query: &str,
) -> Result<Vec<TicketId>, Fault> {
    let stages: Vec<&str> = stands.iter().map(|(stage, _)| stage.as_str()).collect();
    let keys: Vec<&str> = stands.iter().map(|(_, key)| key.as_str()).collect();
    let query = tx.prepare_cached(query).await?;
    let mut found = Vec::new();
    for row in tx.query(&query, &[&stages, &keys]).await? {
        let placed = rows::placed(&row, 0)?;
        found.push(placed.name.ticket);
        working.found(placed);
    }
    Ok(found)
}

/// Puts a new ticket where its key lets it: to be released now, or in line. The newest supersedes
/// whoever is in line, and whoever nobody works on.
pub(crate) async fn admit(
    tx: &Transaction<'_>,
    working: &mut Working,
    flows: &Flows,
    (tickets, now): (&[&Ticket], Timestamp),
) -> Result<(), Fault> {
    let stands: Vec<Stand> = tickets
        .iter()
        .filter(|ticket| is_unique(flows, &ticket.stage))
        .filter_map(|ticket| Some((ticket.stage.clone(), ticket.key.as_ref()?.to_string())))
        .collect();
    if stands.is_empty() {
        return Ok(());
    }
    let in_line = load(tx, working, &stands, IN_LINE).await?;
    let at_work = load(tx, working, &stands, AT_WORK).await?;
    let mut line: BTreeMap<Stand, TicketId> = BTreeMap::new();
    let mut work: BTreeMap<Stand, TicketId> = BTreeMap::new();
    for id in in_line {
        line.extend(stand(working.get(id), |placed| placed.next_key.as_ref()).map(|at| (at, id)));
    }
    for id in at_work {
        work.extend(stand(working.get(id), |placed| placed.lock_key.as_ref()).map(|at| (at, id)));
    }
    for ticket in tickets
        .iter()
        .filter(|ticket| is_unique(flows, &ticket.stage))
    {
        let Some(key) = &ticket.key else { continue };
        let at = (ticket.stage.clone(), key.to_string());
        if let Some(older) = line.remove(&at) {
            supersede(working, older, (ticket.name, now));
        }
        let owner = work.get(&at).copied();
        let is_free = owner
            .and_then(|owner| working.get(owner))
            .is_none_or(is_free);
        match owner {
            Some(owner) if !is_free => {
                put_in_line(working, ticket.id(), (owner, &at.1), now);
                line.insert(at, ticket.id());
            }
            owner => {
                if let Some(owner) = owner {
                    supersede(working, owner, (ticket.name, now));
                }
                if let Some(placed) = working.get_mut(ticket.id()) {
                    placed.lock_key = Some(at.1.clone());
                }
                work.insert(at, ticket.id());
            }
        }
    }
    Ok(())
}

fn stand(placed: Option<&Placed>, key: impl Fn(&Placed) -> Option<&String>) -> Option<Stand> {
    let placed = placed?;
    Some((placed.stage.clone(), key(placed)?.clone()))
}

/// Whether nobody works on it: it is in the store. About a suspect that is not known yet.
fn is_free(placed: &Placed) -> bool {
    placed.state == WAITING && placed.reason() != Some(Reason::Suspect)
}

fn put_in_line(
    working: &mut Working,
    id: TicketId,
    (owner, key): (TicketId, &str),
    now: Timestamp,
) {
    if let Some(placed) = working.get_mut(id) {
        let wait = Wait {
            condition: Condition::Unique { other: owner },
            since: now,
            because: "another ticket with its key is at work".into(),
            oops: None,
        };
        placed.put_waiting(placed.name, wait);
        placed.next_key = Some(key.to_owned());
    }
}

/// Drops a ticket because a newer one with its key is there.
fn supersede(working: &mut Working, older: TicketId, (newer, at): (Name, Timestamp)) {
    let why = format!("superseded by {}", newer.ticket);
    let Some(placed) = working.get_mut(older) else {
        return;
    };
    placed.drop_for((why.clone(), BY.into()), at);
    let (name, stage) = (placed.name, placed.stage.clone());
    working.tell(note(
        (name, stage),
        at,
        ("dropped", &format!("{why}, by {BY}")),
    ));
}

/// A line of history that is not an attempt.
pub(crate) fn note((name, stage): (Name, StageName), at: Timestamp, told: (&str, &str)) -> Line {
    Line {
        at,
        name,
        stage,
        fact: Fact::Noted {
            what: told.0.into(),
            why: told.1.into(),
            oops: None,
        },
    }
}

/// At the end of a transaction: whoever has left its stage or lost its key lets the next one in,
/// and so does whoever has come to wait, if somebody newer is in line. One that was ended while it
/// was out there keeps its key until it is told that it was let go.
pub(crate) async fn pass_on(
    tx: &Transaction<'_>,
    working: &mut Working,
    now: Timestamp,
) -> Result<(), Fault> {
    let mut stands: BTreeMap<Stand, Option<TicketId>> = BTreeMap::new();
    for kept in working.places.values_mut() {
        let Some(before) = &kept.before else { continue };
        let Some(key) = &before.lock_key else {
            continue;
        };
        let at = (before.stage.clone(), key.clone());
        if kept.now.lock_key.is_none() || kept.now.stage != before.stage {
            kept.now.lock_key = None;
            stands.insert(at, None);
        } else if is_free(&kept.now) && !is_free(before) {
            stands.insert(at, Some(kept.now.name.ticket));
        }
    }
    if stands.is_empty() {
        return Ok(());
    }
    let wanted: Vec<Stand> = stands.keys().cloned().collect();
    for id in load(tx, working, &wanted, IN_LINE).await? {
        let Some(next) = working.get(id) else {
            continue;
        };
        let Some(at) = stand(Some(next), |placed| placed.next_key.as_ref()) else {
            continue;
        };
        let Some(owner) = stands.get(&at).copied() else {
            continue;
        };
        let newer = next.name;
        if let Some(owner) = owner {
            supersede(working, owner, (newer, now));
        }
        let_in(working, id, (&at.1, now));
    }
    Ok(())
}

fn let_in(working: &mut Working, id: TicketId, (key, now): (&str, Timestamp)) {
    let Some(placed) = working.get_mut(id) else {
        return;
    };
    let wait = Wait {
        condition: Condition::NotNow { until: now },
        since: now,
        because: LET_IN.into(),
        oops: None,
    };
    placed.put_waiting(placed.name, wait);
    placed.next_key = None;
    placed.lock_key = Some(key.to_owned());
    let (name, stage) = (placed.name, placed.stage.clone());
    working.tell(note((name, stage), now, ("released", LET_IN)));
}
