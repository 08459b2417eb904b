//! Which tickets are meant, in SQL as far as it can say so, and what is left to be asked of each.

use super::Pick;
use crate::narrowing::{Bound, Narrow};
use crate::postgres::listing;
use crate::postgres::rows::{self, ENTRIES, fact_columns, place_columns};
use crate::postgres::text::is_sayable;
use domain::books::Entry;
use domain::filter::{Field, Op, Pattern, Query, Term};
use domain::plan::{Choice, Facet, GroupName, Selection, Source};
use domain::time::Timestamp;
use domain::wait::Reason;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// [`ENTRIES`] without what tickets carry, which is most of the table.
const FACTS: &str = concat!(
    "SELECT ",
    fact_columns!(),
    ", NULL::bytea AS payload, ",
    place_columns!(),
    " FROM tickets t JOIN places p ON p.id = t.id "
);
/// How many rows are read at once.
const SLICE: usize = 1_000;
/// The same where each has what its ticket carries, which may be a megabyte.
const LOADED_SLICE: usize = 50;

/// The conditions for `tickets t JOIN places p`.
pub(super) struct Which {
    /// For what they wait; one at least.
    reasons: Vec<i16>,
    conditions: Vec<String>,
    values: Vec<Bound>,
    /// What is left to be asked of each row.
    query: Option<Query>,
    cutoff: Timestamp,
}

impl Which {
    /// `None` if nothing can be meant.
    pub(super) fn of(pick: Pick<'_>) -> Option<Self> {
        let selection = pick.selection;
        let reasons = selection.source.reasons().map(rows::code_of_reason);
        let mut which = Self {
            reasons: reasons.collect(),
            conditions: Vec::new(),
            values: Vec::new(),
            query: None,
            cutoff: selection.cutoff,
        };
        if which.reasons.is_empty() {
            return None;
        }
        if !selection.filter.is_empty() {
            // It was read before it was kept.
            which.filter(selection.filter.parse().ok()?, selection);
        }
        which.binds("p.since <=", Bound::Number(selection.cutoff.as_micros()));
        if let Some(stage) = &selection.stage {
            which.binds("p.stage =", Bound::Text(stage.to_string()));
        }
        if let Some(signature) = selection.signature {
            let signature = Bound::Text(signature.to_string());
            match selection.source {
                Source::Waiting(Reason::Held) => {
                    which.conditions.push("p.mark = 1".into());
                    which.binds("p.detail =", signature);
                }
                _ => which.binds("p.signature =", signature),
            }
        }
        match pick.choice {
            Choice::Everything => Some(which),
            Choice::Group(group) => which.of_group(group).then_some(which),
        }
    }

    fn filter(&mut self, query: Query, selection: &Selection) {
        let narrow = Narrow::of(&query, selection.cutoff, listing::places());
        let can_say = |value: &Bound| match value {
            Bound::Text(text) => is_sayable(text),
            Bound::Number(_) | Bound::Id(_) => true,
        };
        if narrow.values.iter().all(can_say) {
            self.conditions.push(narrow.to_sql("TRUE"));
            self.values = narrow.values;
        }
        let is_said = query.all.iter().all(|term| is_said(term, selection));
        self.query = (!is_said).then_some(query);
    }

    /// Only those of this group; false if there can be none.
    fn of_group(&mut self, GroupName { facet, value }: &GroupName) -> bool {
        let column = match facet {
            Facet::Kind => "t.kind =",
            Facet::Key => "t.key =",
            Facet::Signature => "p.signature =",
            // The books know no rules that say something of a ticket.
            Facet::Verdict => return false,
        };
        self.binds(column, Bound::Text(value.clone()));
        is_sayable(value)
    }

    fn binds(&mut self, condition: &str, value: Bound) {
        self.values.push(value);
        let number = self.values.len();
        self.conditions.push(format!("{condition} ${number}"));
    }

    /// What stands after `WHERE` for tickets that wait for one of these reasons.
    pub(super) fn condition(&self, reasons: &[i16]) -> String {
        let codes: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        let conditions = self.conditions.join(" AND ");
        format!(
            "p.state = 2 AND p.reason IN ({}) AND {conditions}",
            codes.join(", ")
        )
    }

    pub(super) fn reasons(&self) -> &[i16] {
        &self.reasons
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        bound(&self.values)
    }

    /// The values and further ones.
    pub(super) fn values_and(&self, further: impl IntoIterator<Item = Bound>) -> Vec<Bound> {
        self.values.iter().cloned().chain(further).collect()
    }

    /// Whether SQL says all of it, so that no row need be asked.
    pub(super) const fn is_said(&self) -> bool {
        self.query.is_none()
    }

    /// What [`Which::read`] reads: without what tickets carry, unless something is looked for in
    /// it.
    pub(super) fn select(&self) -> &'static str {
        match self.is_loaded() {
            true => ENTRIES,
            false => FACTS,
        }
    }

    /// How many rows are read at once.
    pub(super) fn slice(&self) -> usize {
        match self.is_loaded() {
            true => LOADED_SLICE,
            false => SLICE,
        }
    }

    fn is_loaded(&self) -> bool {
        self.query.as_ref().is_some_and(looks_for_text)
    }

    /// The ticket, if it is meant. One that cannot be read is of no plan: it stays where it is, and
    /// must not stand in the way of all others.
    pub(super) fn read(&self, row: &Row) -> Option<Entry> {
        match rows::entry(row) {
            Ok(entry) => {
                let query = self.query.as_ref();
                let is_meant = query.is_none_or(|it| it.matches(&entry, self.cutoff));
                is_meant.then_some(entry)
            }
            Err(fault) => {
                let id = rows::ticket_id(row, 0).map(|id| id.to_string());
                let id = id.unwrap_or_else(|_| "without a readable id".into());
                tracing::error!("ticket {id} is of no plan, its row is damaged: {fault}");
                None
            }
        }
    }
}

pub(super) fn bound(values: &[Bound]) -> Vec<&(dyn ToSql + Sync)> {
    let value = |value| value as &(dyn ToSql + Sync);
    values.iter().map(value).collect()
}

/// Whether the conditions say all that the term does. Where this errs, each row is asked in vain;
/// so only what is plain is said.
fn is_said(term: &Term, selection: &Selection) -> bool {
    let Term::Field {
        field,
        op: Op::Is,
        values,
    } = term
    else {
        return false;
    };
    match field {
        Field::Is => match (selection.source, values.as_slice()) {
            (Source::Waiting(reason), [Pattern::Exact(word)]) => word == reason.as_str(),
            _ => false,
        },
        Field::Stage | Field::Flow | Field::Kind | Field::Key => values
            .iter()
            .all(|value| matches!(value, Pattern::Exact(text) if is_sayable(text))),
        _ => false,
    }
}

/// Whether the query looks into what a ticket carries: for text, or for a value in it.
fn looks_for_text(query: &Query) -> bool {
    fn looks(term: &Term) -> bool {
        match term {
            Term::Free(_) | Term::Data { .. } => true,
            Term::Not(term) => looks(term),
            Term::Any(queries) => queries.iter().any(looks_for_text),
            Term::Field { .. } => false,
        }
    }
    query.all.iter().any(looks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn which(query: &str) -> Which {
        let query: Query = query.parse().unwrap();
        let selection = Selection::asked(&query, Timestamp::EPOCH);
        Which::of(Pick::all(&selection)).unwrap()
    }

    #[test]
    fn what_sql_says_is_not_asked_of_each_ticket() {
        for (query, is_said) in [
            ("", true),
            ("is:parked", true),
            ("is:parked stage:build kind:a,b key:x", true),
            ("is:waiting", false),
            ("is:parked,held", false),
            ("-kind:a", false),
            ("kind:a*", false),
            ("kind:~\"a\"", false),
            ("data.a:b", false),
            ("is:parked attempts:>3", false),
            ("(kind:a OR kind:b)", false),
        ] {
            assert_eq!(which(query).is_said(), is_said, "{query}");
        }
    }

    #[test]
    fn payloads_are_read_only_where_something_is_looked_for_in_them() {
        for (query, is_loaded) in [
            ("is:parked -kind:a", false),
            ("is:parked kind:a*", false),
            ("text", true),
            ("-text", true),
            ("data.arch:s390x", true),
            ("kind:~\"a|b\"", false),
            ("(kind:a OR (kind:b -text))", true),
        ] {
            assert_eq!(which(query).is_loaded(), is_loaded, "{query}");
        }
    }

    #[test]
    fn what_the_server_cannot_hold_is_bound_nowhere() {
        for query in ["\"a\0b\"", "kind:a\0b", "kind:a\0b*", "kind:\"a\0b\""] {
            let Ok(query) = query.parse::<Query>() else {
                continue;
            };
            let selection = Selection::asked(&query, Timestamp::EPOCH);
            let which = Which::of(Pick::all(&selection)).unwrap();
            assert!(!which.is_said());
            assert_eq!(which.values, [Bound::Number(0)]);
        }
    }
}
