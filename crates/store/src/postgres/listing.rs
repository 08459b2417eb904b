//! Lists of tickets. SQL narrows, the domain's own `matches` decides: so this store and every other
//! answer the same query alike. The work of one list is bounded; at the bound it says `more`.

use super::fault::Fault;
use super::rows::{self, place_columns, ticket_columns};
use super::text::is_sayable;
use crate::codes;
use crate::narrowing::{Bound, Dialect, Exactly, Narrow};
use domain::books::{Entry, State};
use domain::filter::Field;
use domain::ports::{Listing, Page, Sort};
use domain::ticket::TicketId;
use domain::wait::Reason;
use std::error::Error;
use std::time::Duration;
use tokio::time::Instant;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, IsolationLevel, Row};

/// The most rows that are looked at for one list.
const LOOKED_AT_MAX: usize = 100_000;
/// How many rows are fetched at once; beyond what is asked for they are read in vain.
const SLICE: usize = 500;
/// After how long a list is broken off.
const TIME_MAX: Duration = Duration::from_secs(5);

/// How a slice of a list is read, and where the next one begins.
pub(super) trait Slices {
    type Fact: domain::filter::Facts;
    /// What stands before the conditions.
    const SELECT: &'static str;
    /// The columns that a list is ordered by.
    const ORDER: &'static [&'static str];
    /// How its table is asked.
    const DIALECT: &'static dyn Dialect;

    /// The row, and where it stands in the order.
    fn read(&mut self, row: &Row) -> Result<(Self::Fact, Vec<i64>), Fault>;
}

/// What a list has gathered so far.
struct Gathered<T> {
    page: Page<T>,
    looked_at: usize,
    began: Instant,
    /// Where the last row that was looked at stands.
    last: Vec<i64>,
}

/// Rows that match, slice by slice, all of one moment.
pub(super) async fn list<S: Slices + Send>(
    client: &mut Client,
    mut slices: S,
    listing: &Listing,
) -> Result<Page<S::Fact>, Fault>
where
    S::Fact: Send,
{
    let narrow = Narrow::of(&listing.query, listing.now, S::DIALECT);
    let moment = client.build_transaction().read_only(true);
    let moment = moment.isolation_level(IsolationLevel::RepeatableRead);
    let moment = moment.start().await?;
    let limit = format!("SET LOCAL statement_timeout = {}", TIME_MAX.as_millis());
    moment.batch_execute(&limit).await?;
    let mut gathered = Gathered {
        page: Page {
            rows: Vec::new(),
            more: false,
        },
        looked_at: 0,
        began: Instant::now(),
        last: Vec::new(),
    };
    loop {
        let (sql, values) = slice::<S>(&narrow, listing, &gathered.last);
        let values: Vec<_> = values
            .iter()
            .map(|value| value as &(dyn ToSql + Sync))
            .collect();
        let rows = match moment.query(&sql, &values).await {
            Err(error) if is_broken_off(&error) => {
                gathered.page.more = true;
                return Ok(gathered.page);
            }
            rows => rows?,
        };
        let is_last = rows.len() < SLICE;
        if !gathered.take(&mut slices, &rows, listing)? || is_last {
            return Ok(gathered.page);
        }
    }
}

/// Whether the server ended the statement because it took too long.
pub(super) fn is_broken_off(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&tokio_postgres::error::SqlState::QUERY_CANCELED)
}

/// The next slice after the row that stands there.
fn slice<S: Slices>(narrow: &Narrow, listing: &Listing, last: &[i64]) -> (String, Vec<Bound>) {
    let (order, beyond) = match listing.sort {
        Sort::NewestFirst => ("DESC", "<"),
        Sort::OldestFirst => ("ASC", ">"),
    };
    let mut values = narrow.values.clone();
    let mut which = narrow.to_sql("TRUE");
    if !last.is_empty() {
        let mut parameters = Vec::new();
        for place in last {
            values.push(Bound::Number(*place));
            parameters.push(format!("${}", values.len()));
        }
        let (columns, parameters) = (S::ORDER.join(", "), parameters.join(", "));
        which = format!("{which} AND ({columns}) {beyond} ({parameters})");
    }
    let ordered: Vec<String> = S::ORDER.iter().map(|by| format!("{by} {order}")).collect();
    let sql = format!(
        "{} WHERE {which} ORDER BY {} LIMIT {SLICE}",
        S::SELECT,
        ordered.join(", ")
    );
    (sql, values)
}

impl<T: domain::filter::Facts> Gathered<T> {
    /// Takes the rows in that match; false when the list is complete.
    fn take<S: Slices<Fact = T>>(
        &mut self,
        slices: &mut S,
        rows: &[Row],
        listing: &Listing,
    ) -> Result<bool, Fault> {
        let limit = listing.limit.clamp(1, Listing::LIMIT_MAX);
        for row in rows {
            let (fact, place) = slices.read(row)?;
            self.last = place;
            self.looked_at += 1;
            let matches = listing.query.matches(&fact, listing.now);
            let is_enough = self.looked_at > LOOKED_AT_MAX || self.began.elapsed() > TIME_MAX;
            if is_enough || (matches && self.page.rows.len() == limit) {
                self.page.more = true;
                return Ok(false);
            }
            if matches {
                self.page.rows.push(fact);
            }
        }
        Ok(true)
    }
}

/// Tickets that match, but for their reports.
#[derive(Default)]
pub(super) struct Tickets;

impl Slices for Tickets {
    type Fact = Entry;
    const SELECT: &'static str = concat!(
        "SELECT ",
        ticket_columns!(),
        ", ",
        place_columns!(),
        ", t.seq FROM places p JOIN tickets t ON t.id = p.id"
    );
    const ORDER: &'static [&'static str] = &["t.seq"];
    const DIALECT: &'static dyn Dialect = &Places;

    fn read(&mut self, row: &Row) -> Result<(Entry, Vec<i64>), Fault> {
        let seq = row.try_get("seq")?;
        Ok((rows::entry(row)?, vec![seq]))
    }
}

/// The tables of the tickets, as they are asked.
struct Places;

/// How the tables of tickets are asked.
pub(super) fn places() -> &'static dyn Dialect {
    &Places
}

impl Dialect for Places {
    fn parameter(&self, number: usize) -> String {
        format!("${number}")
    }

    fn exactly(&self, field: Field, text: &str) -> Option<Exactly> {
        if !is_sayable(text) {
            return None;
        }
        let is_text = |column| Exactly::Between(column, Bound::Text(text.into()), "");
        let is_one = |of| Exactly::Between("", Bound::Text(text.into()), of);
        Some(match field {
            Field::Is => Exactly::Plain(is_word(text)),
            Field::Id | Field::Ticket => {
                let id: TicketId = text.parse().ok()?;
                Exactly::Between("t.id =", Bound::Id(*id.as_bytes()), "")
            }
            Field::Stage => is_text("p.stage ="),
            Field::Flow => is_text("t.flow ="),
            Field::Kind => is_text("t.kind ="),
            Field::Key => is_text("t.key ="),
            Field::Version => is_text("p.version ="),
            Field::By => {
                Exactly::Between("(p.state = 4 AND p.detail =", Bound::Text(text.into()), ")")
            }
            Field::Group => Exactly::Between(
                "(p.state = 2 AND p.mark = 1 AND p.detail =",
                Bound::Text(text.into()),
                ")",
            ),
            Field::Worker => is_one(" IN (p.holder, p.detail)"),
            Field::Trace => is_one(" IN (t.trace, split_part(t.trace, '-', 2))"),
            _ => return None,
        })
    }

    fn within(&self, field: Field, low: &str, high: &str) -> Option<String> {
        let column = match field {
            Field::Created => "t.created_at",
            Field::Since | Field::Seen => "p.since",
            Field::Parked => {
                let parked = codes::of_reason(Reason::Parked);
                return Some(format!(
                    "(p.state = 2 AND p.reason = {parked} AND p.since BETWEEN {low} AND {high})"
                ));
            }
            _ => return None,
        };
        Some(format!("{column} BETWEEN {low} AND {high}"))
    }

    fn begins(&self, field: Field, start: &str) -> Option<String> {
        let column = match field {
            Field::Id | Field::Ticket => "t.id::text",
            Field::Stage => "p.stage",
            Field::Flow => "t.flow",
            Field::Kind => "t.kind",
            Field::Key => "t.key",
            _ => return None,
        };
        Some(format!("starts_with({column}, {start})"))
    }
}

/// The literals are those of the partial indexes.
fn is_word(word: &str) -> String {
    if let Some(state) = State::parse(word) {
        return match state {
            // Also what is about to be in its queue.
            State::Runnable => "(p.state = 0 OR p.state = 5)".into(),
            state => format!("p.state = {}", rows::code_of_state(state)),
        };
    }
    if let Some(reason) = Reason::parse(word) {
        return format!("(p.state = 2 AND p.reason = {})", codes::of_reason(reason));
    }
    match word {
        "live" => "(p.state = 0 OR p.state = 1 OR p.state = 2 OR p.state = 5)".into(),
        "ended" => "p.state IN (3, 4)".into(),
        // An outcome: that is asked of reports, no ticket answers to it.
        _ => "FALSE".into(),
    }
}

impl ToSql for Bound {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Number(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Id(bits) => TicketId::from_bytes(*bits).uuid().to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::UUID)
    }

    to_sql_checked!();
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::time::Timestamp;

    fn listing(query: &str, sort: Sort) -> Listing {
        Listing {
            query: query.parse().unwrap(),
            limit: 10,
            sort,
            now: Timestamp::EPOCH,
        }
    }

    #[test]
    fn the_next_slice_begins_beyond_the_last_row() {
        for (sort, expected) in [
            (
                Sort::NewestFirst,
                "AND (t.seq) < ($2) ORDER BY t.seq DESC LIMIT 500",
            ),
            (
                Sort::OldestFirst,
                "AND (t.seq) > ($2) ORDER BY t.seq ASC LIMIT 500",
            ),
        ] {
            let listing = listing("stage:build", sort);
            let narrow = Narrow::of(&listing.query, listing.now, &Places);
            let (sql, values) = slice::<Tickets>(&narrow, &listing, &[7]);
            assert!(sql.ends_with(expected), "{sql}");
            assert_eq!(values, [Bound::Text("build".into()), Bound::Number(7)]);
        }
    }

    #[test]
    fn what_the_server_cannot_hold_is_left_to_the_domain() {
        let narrow = Places.exactly(Field::Key, "a\0b");
        assert_eq!(narrow, None);
    }
}
