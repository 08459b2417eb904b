//! The tickets of a plan that still wait: found, counted, and told apart by groups.

mod walk;
mod which;

use crate::postgres::fault::Fault;
use crate::postgres::repairs::moving;
use deadpool_postgres::Transaction;
use domain::books::Entry;
use domain::plan::{Choice, Facet, Groups, Order, Selection, Tally};
use domain::ticket::TicketId;
use std::collections::HashSet;
use tokio_postgres::Row;
use uuid::Uuid;
use walk::Walk;
use which::Which;

/// Where so few are counted, each is looked at: one that is damaged is never found, so it must not
/// be waited for.
const LOOKED_AT_MAX: u64 = 1_000;

/// Tickets of a plan, in an order.
#[derive(Clone, Copy)]
pub(in crate::postgres) struct Pick<'a> {
    pub(in crate::postgres) selection: &'a Selection,
    pub(in crate::postgres) choice: &'a Choice,
    pub(in crate::postgres) order: Order,
}

impl<'a> Pick<'a> {
    /// All that are left.
    pub(in crate::postgres) const fn all(selection: &'a Selection) -> Self {
        Self {
            selection,
            choice: &Choice::Everything,
            order: Order::OldestFirst,
        }
    }
}

/// The next tickets, at most so many, locked; those that somebody else has in hand are left out.
pub(in crate::postgres) async fn find(
    tx: &Transaction<'_>,
    pick: Pick<'_>,
    limit: usize,
) -> Result<Vec<TicketId>, Fault> {
    let Some(which) = Which::of(pick) else {
        return Ok(Vec::new());
    };
    let mut walk = Walk::new(&which, pick.order, limit);
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(meant) = walk.next(tx).await?
    {
        let mut meant = meant.into_iter();
        while found.len() < limit {
            let next: Vec<TicketId> = meant.by_ref().take(limit - found.len()).collect();
            if next.is_empty() {
                break;
            }
            found.extend(locked(tx, &which, next).await?);
        }
    }
    Ok(found)
}

/// Locks those that are still meant and that nobody else has in hand. The others of a slice, which
/// the filter has left out, are not: somebody may want them.
async fn locked(
    tx: &Transaction<'_>,
    which: &Which,
    ids: Vec<TicketId>,
) -> Result<Vec<TicketId>, Fault> {
    let uuids: Vec<Uuid> = ids.iter().map(TicketId::uuid).collect();
    let mut values = which.values();
    values.push(&uuids);
    let sql = format!(
        "SELECT p.id FROM tickets t JOIN places p ON p.id = t.id WHERE {} AND p.id = ANY(${}) \
         FOR UPDATE OF p SKIP LOCKED",
        which.condition(which.reasons()),
        values.len()
    );
    let locked = moving::ids(&tx.query(&sql, &values).await?)?;
    let locked: HashSet<TicketId> = locked.into_iter().collect();
    Ok(ids.into_iter().filter(|id| locked.contains(id)).collect())
}

/// How many there are.
pub(in crate::postgres) async fn count(tx: &Transaction<'_>, pick: Pick<'_>) -> Result<u64, Fault> {
    let Some(which) = Which::of(pick) else {
        return Ok(0);
    };
    if which.is_said() {
        let sql = format!(
            "SELECT count(*) FROM tickets t JOIN places p ON p.id = t.id WHERE {}",
            which.condition(which.reasons())
        );
        let row = tx.query_one(&sql, &which.values()).await?;
        let count = row.try_get::<_, i64>(0)?.cast_unsigned();
        if count > LOOKED_AT_MAX {
            return Ok(count);
        }
    }
    let mut count = 0;
    each(tx, &which, |_, _| count += 1).await?;
    Ok(count)
}

/// How many there are, and in which groups.
pub(in crate::postgres) async fn groups(
    tx: &Transaction<'_>,
    selection: &Selection,
) -> Result<(u64, Groups), Fault> {
    let Some(which) = Which::of(Pick::all(selection)) else {
        return Ok((0, Groups::default()));
    };
    let mut tally = Tally::default();
    let mut total = 0;
    each(tx, &which, |entry, signature| {
        total += 1;
        tally.add(Facet::Kind, entry.ticket.kind.to_string());
        if let Some(key) = &entry.ticket.key {
            tally.add(Facet::Key, key.to_string());
        }
        if let Some(signature) = signature {
            tally.add(Facet::Signature, signature.to_owned());
        }
    })
    .await?;
    Ok((total, tally.groups()))
}

/// Shows each ticket that is meant, with the signature of its last failure, in no order: one
/// statement reads them all, whose rows are fetched by and by.
async fn each(
    tx: &Transaction<'_>,
    which: &Which,
    mut show: impl FnMut(&Entry, Option<&str>) + Send,
) -> Result<(), Fault> {
    let condition = which.condition(which.reasons());
    let sql = format!("{} WHERE {condition}", which.select());
    let statement = tx.prepare(&sql).await?;
    let portal = tx.bind(&statement, &which.values()).await?;
    let slice = which.slice();
    loop {
        let max = i32::try_from(slice).unwrap_or(i32::MAX);
        let rows = tx.query_portal(&portal, max).await?;
        for row in &rows {
            if let Some(entry) = which.read(row) {
                show(&entry, last_failure(row)?);
            }
        }
        if rows.len() < slice {
            return Ok(());
        }
    }
}

fn last_failure(row: &Row) -> Result<Option<&str>, Fault> {
    Ok(row.try_get("signature")?)
}

/// How the first slice of such a size is asked for, and the one after this row.
#[cfg(test)]
pub(in crate::postgres) fn asked(
    pick: Pick<'_>,
    (k, id): (i64, Uuid),
    slice: usize,
) -> [String; 2] {
    let which = Which::of(pick).expect("something is meant");
    let walk = || Walk::in_slices(&which, pick.order, slice);
    [walk().asked().0, walk().after(k, id).asked().0]
}
