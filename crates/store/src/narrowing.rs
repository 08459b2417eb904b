//! A query as SQL: conditions that every match fulfils, and what to bind to them. Some rows that
//! fulfil them do not match; the domain's own `matches` decides. So every store answers the same
//! query alike, whatever its SQL can say.

use domain::filter::{Field, Op, Pattern, Query, Scale, Term};
use domain::time::Timestamp;

/// What is bound to a parameter. No value of a query is ever written into the SQL itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Number(i64),
    Text(String),
    /// The bits of a ticket's or a report's id.
    Id([u8; 16]),
}

/// That a field has exactly one value, in SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Exactly {
    /// It needs no parameter.
    Plain(String),
    /// The parameter stands between these.
    Between(&'static str, Bound, &'static str),
}

/// How one table is asked in one dialect. What it answers `None` to is left to `matches`.
pub(crate) trait Dialect {
    /// How the parameter with this number, from 1, is written.
    fn parameter(&self, number: usize) -> String;
    /// That the field is this text.
    fn exactly(&self, field: Field, text: &str) -> Option<Exactly>;
    /// That the field lies between these parameters, both included.
    fn within(&self, field: Field, low: &str, high: &str) -> Option<String>;
    /// That the field begins with this parameter.
    fn begins(&self, _field: Field, _start: &str) -> Option<String> {
        None
    }
}

/// A query, as far as SQL can say it.
#[derive(Debug, Default)]
pub(crate) struct Narrow {
    conditions: Vec<String>,
    pub(crate) values: Vec<Bound>,
}

impl Narrow {
    /// The conditions of a query that is asked now.
    pub(crate) fn of(query: &Query, now: Timestamp, dialect: &dyn Dialect) -> Self {
        let mut narrow = Self::default();
        let conditions = narrow.all(query, now, dialect);
        narrow.conditions = conditions;
        narrow
    }

    /// What stands after `WHERE`; `everything` is what the dialect writes for no condition.
    pub(crate) fn to_sql(&self, everything: &str) -> String {
        match self.conditions.is_empty() {
            true => everything.into(),
            false => self.conditions.join(" AND "),
        }
    }

    fn all(&mut self, query: &Query, now: Timestamp, dialect: &dyn Dialect) -> Vec<String> {
        let mut conditions = Vec::new();
        for term in &query.all {
            let before = self.values.len();
            match self.term(term, now, dialect) {
                Some(condition) => conditions.push(condition),
                None => self.values.truncate(before),
            }
        }
        conditions
    }

    /// One alternative that cannot be said in SQL opens the whole term.
    fn term(&mut self, term: &Term, now: Timestamp, dialect: &dyn Dialect) -> Option<String> {
        let any: Vec<String> = match term {
            Term::Field { field, op, values } => values
                .iter()
                .map(|pattern| self.pattern(*field, (*op, pattern), now, dialect))
                .collect::<Option<_>>()?,
            Term::Any(queries) => queries
                .iter()
                .map(|query| self.group(query, now, dialect))
                .collect::<Option<_>>()?,
            // What is only narrowed must not be negated; texts, and what a ticket carries, are
            // looked at by `matches`.
            Term::Not(_) | Term::Free(_) | Term::Data { .. } => return None,
        };
        (!any.is_empty()).then(|| format!("({})", any.join(" OR ")))
    }

    fn group(&mut self, query: &Query, now: Timestamp, dialect: &dyn Dialect) -> Option<String> {
        let all = self.all(query, now, dialect);
        (!all.is_empty()).then(|| format!("({})", all.join(" AND ")))
    }

    fn pattern(
        &mut self,
        field: Field,
        (op, pattern): (Op, &Pattern),
        now: Timestamp,
        dialect: &dyn Dialect,
    ) -> Option<String> {
        if field.scale() == Scale::Times {
            let period = pattern.period(op, now)?;
            let low = self.bind(Bound::Number(period.start().as_micros()), dialect);
            let high = self.bind(Bound::Number(period.end().as_micros()), dialect);
            return dialect.within(field, &low, &high);
        }
        match (op, pattern) {
            (Op::Is, Pattern::Exact(text)) => Some(match dialect.exactly(field, text)? {
                Exactly::Plain(condition) => condition,
                Exactly::Between(before, bound, after) => {
                    let parameter = self.bind(bound, dialect);
                    format!("{before} {parameter}{after}")
                }
            }),
            // No column of PostgreSQL has such a text, and no parameter takes it.
            (Op::Is, Pattern::Prefix(start)) if start.contains('\0') => None,
            (Op::Is, Pattern::Prefix(start)) => {
                let parameter = self.bind(Bound::Text(start.clone()), dialect);
                dialect.begins(field, &parameter)
            }
            _ => None,
        }
    }

    fn bind(&mut self, value: Bound, dialect: &dyn Dialect) -> String {
        self.values.push(value);
        dialect.parameter(self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table;

    impl Dialect for Table {
        fn parameter(&self, number: usize) -> String {
            format!("${number}")
        }

        fn exactly(&self, field: Field, text: &str) -> Option<Exactly> {
            match field {
                Field::Is => Some(Exactly::Plain(format!("is_{text}"))),
                Field::Stage => Some(Exactly::Between("stage =", Bound::Text(text.into()), "")),
                _ => None,
            }
        }

        fn within(&self, _: Field, low: &str, high: &str) -> Option<String> {
            Some(format!("at BETWEEN {low} AND {high}"))
        }
    }

    fn narrowed(query: &str) -> (String, usize) {
        let narrow = Narrow::of(&query.parse().unwrap(), Timestamp::EPOCH, &Table);
        (narrow.to_sql("TRUE"), narrow.values.len())
    }

    #[test]
    fn what_sql_cannot_say_leaves_no_condition_and_no_value_behind() {
        for query in [
            "",
            "-stage:a",
            "text",
            "flow:x",
            "stage:a*",
            "stage:a,b*",
            "stage:a,~\"b\"",
            "data.a:x",
        ] {
            assert_eq!(narrowed(query), ("TRUE".into(), 0), "{query}");
        }
        assert_eq!(narrowed("(stage:a OR flow:x)"), ("TRUE".into(), 0));
        assert_eq!(narrowed("flow:x stage:a"), ("(stage = $1)".into(), 1));
    }

    #[test]
    fn each_value_is_bound_and_never_written() {
        let (sql, values) = narrowed("is:done stage:a,\"x' OR 1=1\" created:<2026-01-01");
        let expected = "(is_done) AND (stage = $1 OR stage = $2) AND (at BETWEEN $3 AND $4)";
        assert_eq!((sql.as_str(), values), (expected, 4));
    }

    #[test]
    fn a_group_is_narrowed_when_each_alternative_is() {
        let (sql, values) = narrowed("(stage:a flow:x OR is:done)");
        assert_eq!(
            (sql.as_str(), values),
            ("(((stage = $1)) OR ((is_done)))", 1)
        );
    }
}
