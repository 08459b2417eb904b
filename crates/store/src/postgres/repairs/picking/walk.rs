//! The tickets of a plan in their order, slice by slice. A slice costs what it holds and no more,
//! however many are before it or behind it: each begins in the index where the last one ended, and
//! a plan of several reasons asks for each of them apart.

use super::which::{Which, bound};
use crate::narrowing::Bound;
use crate::postgres::fault::Fault;
use deadpool_postgres::Transaction;
use domain::plan::Order;
use domain::ticket::TicketId;
use tokio_postgres::Row;
use uuid::Uuid;

/// Where a walk through the tickets of a plan has come to.
pub(super) struct Walk<'a> {
    which: &'a Which,
    order: Order,
    /// How many rows it looks at in one step.
    slice: usize,
    /// Where the last row stands.
    last: Option<(i64, Uuid)>,
    is_over: bool,
}

impl<'a> Walk<'a> {
    /// From the first, to find so many.
    pub(super) fn new(which: &'a Which, order: Order, wanted: usize) -> Self {
        // Of those that need not be asked all match.
        let slice = match which.is_said() {
            true => wanted.max(1),
            false => which.slice(),
        };
        Self::in_slices(which, order, slice)
    }

    pub(super) const fn in_slices(which: &'a Which, order: Order, slice: usize) -> Self {
        Self {
            which,
            order,
            slice,
            last: None,
            is_over: false,
        }
    }

    /// The next ones that are meant; empty also where there may be more behind.
    pub(super) async fn next(
        &mut self,
        tx: &Transaction<'_>,
    ) -> Result<Option<Vec<TicketId>>, Fault> {
        if self.is_over {
            return Ok(None);
        }
        let (sql, values) = self.asked();
        let rows = tx.query(&sql, &bound(&values)).await?;
        self.is_over = rows.len() < self.slice;
        if let Some(row) = rows.last() {
            self.last = Some((row.try_get("k")?, row.try_get("place")?));
        }
        let meant = |row: &Row| self.which.read(row).map(|entry| entry.ticket.id());
        Ok(Some(rows.iter().filter_map(meant).collect()))
    }

    /// The next slice as SQL, and what is bound to it.
    pub(super) fn asked(&self) -> (String, Vec<Bound>) {
        let (by, direction, beyond) = ordered(self.order);
        let place = self
            .last
            .map(|(k, id)| (Bound::Number(k), Bound::Id(*id.as_bytes())));
        let values = self
            .which
            .values_and(place.into_iter().flat_map(|(k, id)| [k, id]));
        let from = match self.last {
            Some(_) => {
                let (k, id) = (values.len() - 1, values.len());
                format!(" AND ({by}, p.id) {beyond} (${k}, ${id})")
            }
            None => String::new(),
        };
        let columns = format!(", {by} AS k, p.id AS place FROM");
        let select = self.which.select().replacen(" FROM", &columns, 1);
        let limit = self.slice;
        let of = |reasons: &[i16]| {
            let condition = self.which.condition(reasons);
            format!(
                "({select} WHERE {condition}{from} \
                 ORDER BY {by} {direction}, p.id {direction} LIMIT {limit})"
            )
        };
        let all = self.which.reasons();
        let parts: Vec<String> = match self.order {
            Order::OldestFirst | Order::NewestFirst => all.chunks(1).map(of).collect(),
            // No index has this order, so that all are looked at anyway.
            Order::Random { .. } => vec![of(all)],
        };
        let sql = match parts.as_slice() {
            [one] => one.clone(),
            parts => format!(
                "{} ORDER BY k {direction}, place {direction} LIMIT {limit}",
                parts.join(" UNION ALL ")
            ),
        };
        (sql, values)
    }
}

/// The column by which rows are ordered; how a row that comes later compares.
fn ordered(order: Order) -> (String, &'static str, &'static str) {
    match order {
        Order::OldestFirst => ("p.since".into(), "ASC", ">"),
        Order::NewestFirst => ("p.since".into(), "DESC", "<"),
        Order::Random { seed } => {
            let seed = seed.cast_signed();
            let by = format!("hashtextextended(p.id::text, ({seed})::bigint)");
            (by, "ASC", ">")
        }
    }
}

#[cfg(test)]
impl Walk<'_> {
    /// As after this row.
    pub(super) const fn after(mut self, k: i64, id: Uuid) -> Self {
        self.last = Some((k, id));
        self
    }
}
