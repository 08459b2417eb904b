//! The tickets of a plan that still wait: found, counted, and told apart by groups.

use crate::narrowing::{Bound, Narrow};
use crate::postgres::fault::Fault;
use crate::postgres::listing;
use crate::postgres::repairs::moving;
use crate::postgres::rows::{self, ENTRIES};
use deadpool_postgres::Transaction;
use domain::books::Entry;
use domain::filter::Query;
use domain::plan::{Choice, Facet, Group, GroupName, Groups, Order, Selection, Source};
use domain::ticket::TicketId;
use domain::wait::Reason;
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// How many rows are looked at at once when the filter is more than SQL can say.
const SLICE: usize = 1_000;

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

/// What stands after `FROM places p JOIN tickets t ON t.id = p.id WHERE`.
struct Which {
    conditions: Vec<String>,
    values: Vec<Bound>,
    /// What is left to be asked of each row.
    query: Option<Query>,
}

impl Which {
    /// `None` if nothing can be meant.
    fn of(pick: Pick<'_>) -> Option<Self> {
        let selection = pick.selection;
        let mut codes: Vec<String> = Vec::new();
        for reason in selection.source.reasons() {
            codes.push(rows::code_of_reason(reason).to_string());
        }
        if codes.is_empty() {
            return None;
        }
        let query = match selection.filter.is_empty() {
            true => None,
            // It was read before it was kept.
            false => Some(selection.filter.parse::<Query>().ok()?),
        };
        let mut which = match &query {
            Some(query) => {
                let narrow = Narrow::of(query, selection.cutoff, listing::places());
                Self {
                    conditions: vec![narrow.to_sql("TRUE")],
                    values: narrow.values,
                    query: None,
                }
            }
            None => Self {
                conditions: Vec::new(),
                values: Vec::new(),
                query: None,
            },
        };
        which.query = query;
        which.says(&format!(
            "p.state = 2 AND p.reason IN ({})",
            codes.join(", ")
        ));
        which.binds("p.since <=", Bound::Number(selection.cutoff.as_micros()));
        if let Some(stage) = &selection.stage {
            which.binds("p.stage =", Bound::Text(stage.to_string()));
        }
        if let Some(signature) = selection.signature {
            let signature = Bound::Text(signature.to_string());
            match selection.source {
                Source::Waiting(Reason::Held) => {
                    which.says("p.mark = 1");
                    which.binds("p.detail =", signature);
                }
                _ => which.binds("p.signature =", signature),
            }
        }
        if let Choice::Group(GroupName { facet, value }) = pick.choice {
            let column = match facet {
                Facet::Kind => "t.kind =",
                Facet::Key => "t.key =",
                Facet::Signature => "p.signature =",
                // The books know no rules that say something of a ticket.
                Facet::Verdict => return None,
            };
            which.binds(column, Bound::Text(value.clone()));
        }
        Some(which)
    }

    fn says(&mut self, condition: &str) {
        self.conditions.push(condition.into());
    }

    fn binds(&mut self, condition: &str, value: Bound) {
        self.values.push(value);
        let number = self.values.len();
        self.conditions.push(format!("{condition} ${number}"));
    }

    /// Whether each row must be asked.
    const fn is_filtered(&self) -> bool {
        self.query.is_some()
    }
}

/// The columns by which rows are ordered; how a row that comes later compares.
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

fn bound(values: &[Bound]) -> Vec<&(dyn ToSql + Sync)> {
    let value = |value| value as &(dyn ToSql + Sync);
    values.iter().map(value).collect()
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
    if which.is_filtered() {
        let mut found = Vec::new();
        each(tx, (pick, true), |entry, _| {
            found.push(entry.ticket.id());
            found.len() < limit
        })
        .await?;
        return Ok(found);
    }
    let (by, direction, _) = ordered(pick.order);
    let sql = format!(
        "SELECT p.id FROM places p JOIN tickets t ON t.id = p.id WHERE {} \
         ORDER BY {by} {direction}, p.id {direction} LIMIT {limit} FOR UPDATE OF p SKIP LOCKED",
        which.conditions.join(" AND ")
    );
    moving::ids(&tx.query(&sql, &bound(&which.values)).await?)
}

/// How many there are.
pub(in crate::postgres) async fn count(tx: &Transaction<'_>, pick: Pick<'_>) -> Result<u64, Fault> {
    let Some(which) = Which::of(pick) else {
        return Ok(0);
    };
    if which.is_filtered() {
        let mut count = 0;
        each(tx, (pick, false), |_, _| {
            count += 1;
            true
        })
        .await?;
        return Ok(count);
    }
    let sql = format!(
        "SELECT count(*) FROM places p JOIN tickets t ON t.id = p.id WHERE {}",
        which.conditions.join(" AND ")
    );
    let row = tx.query_one(&sql, &bound(&which.values)).await?;
    Ok(row.try_get::<_, i64>(0)?.cast_unsigned())
}

/// How many there are, and in which groups.
pub(in crate::postgres) async fn groups(
    tx: &Transaction<'_>,
    selection: &Selection,
) -> Result<(u64, Groups), Fault> {
    let mut counts: BTreeMap<GroupName, u64> = BTreeMap::new();
    let mut total = 0;
    each(tx, (Pick::all(selection), false), |entry, signature| {
        total += 1;
        let mut add = |facet, value: &str| {
            let value = value.to_owned();
            *counts.entry(GroupName { facet, value }).or_default() += 1;
        };
        add(Facet::Kind, entry.ticket.kind.as_str());
        if let Some(key) = &entry.ticket.key {
            add(Facet::Key, key.as_str());
        }
        if let Some(signature) = signature {
            add(Facet::Signature, signature);
        }
        true
    })
    .await?;
    let groups = counts
        .into_iter()
        .map(|(name, count)| Group { name, count });
    Ok((total, Groups::of(groups.collect())))
}

/// Shows each ticket that matches, with the signature of its last failure, until the answer is
/// false.
async fn each(
    tx: &Transaction<'_>,
    (pick, is_locked): (Pick<'_>, bool),
    mut show: impl FnMut(&Entry, Option<&str>) -> bool,
) -> Result<(), Fault> {
    let Some(which) = Which::of(pick) else {
        return Ok(());
    };
    let (by, direction, beyond) = ordered(pick.order);
    let lock = if is_locked {
        "FOR UPDATE OF p SKIP LOCKED"
    } else {
        ""
    };
    let select = ENTRIES.replacen(" FROM", &format!(", {by} AS k FROM"), 1);
    let mut last: Option<(i64, TicketId)> = None;
    loop {
        let mut conditions = which.conditions.clone();
        let mut values = which.values.clone();
        if let Some((k, id)) = last {
            values.push(Bound::Number(k));
            values.push(Bound::Id(*id.as_bytes()));
            let (k, id) = (values.len() - 1, values.len());
            conditions.push(format!("({by}, p.id) {beyond} (${k}, ${id})"));
        }
        let sql = format!(
            "{select} WHERE {} ORDER BY {by} {direction}, p.id {direction} LIMIT {SLICE} {lock}",
            conditions.join(" AND ")
        );
        let found = tx.query(&sql, &bound(&values)).await?;
        for row in &found {
            let entry = rows::entry(row)?;
            last = Some((row.try_get("k")?, entry.ticket.id()));
            let query = which.query.as_ref();
            let matches = query.is_none_or(|it| it.matches(&entry, pick.selection.cutoff));
            if matches && !show(&entry, last_failure(row)?) {
                return Ok(());
            }
        }
        if found.len() < SLICE {
            return Ok(());
        }
    }
}

fn last_failure(row: &Row) -> Result<Option<&str>, Fault> {
    Ok(row.try_get("signature")?)
}
