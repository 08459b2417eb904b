//! Lists of tickets. SQL narrows, the domain's own `matches` decides: so this store and every other
//! answer the same query alike. The work of one list is bounded; at the bound it says `more`.

use crate::codes;
use crate::error::Fault;
use crate::lease::InHand;
use crate::narrowing::{Bound, Dialect, Exactly, Narrow};
use crate::readers::is_broken_off;
use crate::rows::{self, ENTRIES, Shared};
use domain::books::{Entry, State};
use domain::filter::{Field, Pattern, Query, Term};
use domain::ports::{Listing, Page, Sort};
use domain::ticket::TicketId;
use domain::wait::Reason;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, ToSql, params_from_iter};
use std::time::{Duration, Instant};

/// The most rows that are looked at for one list.
const LOOKED_AT_MAX: usize = 100_000;
/// How long they are looked at: what is left to `matches` costs SQLite no steps.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(5);
/// Up to this many tickets in hand are found through their index; more are dense enough to be met
/// soon on the way through all tickets.
const IN_HAND_MAX: usize = 20_000;

/// Tickets that match, with their rows; `running` is what runs now.
pub(crate) fn tickets(
    db: &Connection,
    listing: &Listing,
    running: &[InHand],
) -> Result<Page<(i64, Entry)>, Fault> {
    let rows = match Named::by(&listing.query).in_hand(db)? {
        Some(seqs) => by_rows(db, seqs, listing, running),
        None => by_scan(db, listing, running),
    };
    let mut page = rows?;
    for (seq, entry) in &mut page.rows {
        entry.oopses = rows::oopses(db, *seq)?;
    }
    Ok(page)
}

/// What a list has gathered so far.
struct Gathered<'a> {
    listing: &'a Listing,
    running: &'a [InHand],
    shared: Shared,
    looked_at: usize,
    began: Instant,
    page: Page<(i64, Entry)>,
}

impl<'a> Gathered<'a> {
    fn new(listing: &'a Listing, running: &'a [InHand]) -> Self {
        Self {
            listing,
            running,
            shared: Shared::default(),
            looked_at: 0,
            began: Instant::now(),
            page: Page {
                rows: Vec::new(),
                more: false,
            },
        }
    }

    /// Takes a row in if it matches; false when the list is complete.
    fn take(&mut self, row: &rusqlite::Row) -> Result<bool, Fault> {
        let (seq, mut entry) = rows::entry(row, &mut self.shared)?;
        self.looked_at += 1;
        mark_running(seq, &mut entry, self.running);
        let matches = self.listing.query.matches(&entry, self.listing.now);
        let limit = self.listing.limit.clamp(1, Listing::LIMIT_MAX);
        let is_enough = self.looked_at > LOOKED_AT_MAX || self.began.elapsed() > TIME_MAX;
        if is_enough || (matches && self.page.rows.len() == limit) {
            self.page.more = true;
            return Ok(false);
        }
        if matches {
            self.page.rows.push((seq, entry));
        }
        Ok(true)
    }
}

fn mark_running(seq: i64, entry: &mut Entry, running: &[InHand]) {
    use domain::books::Place;
    let is_it = |in_hand: &&InHand| in_hand.seq == seq && in_hand.name == entry.ticket.name;
    if matches!(entry.place, Place::Runnable { .. })
        && let Some(in_hand) = running.iter().find(is_it)
    {
        entry.place = Place::Running {
            since: in_hand.had.started_at,
            holder: in_hand.had.holder.clone(),
        };
    }
}

fn by_rows(
    db: &Connection,
    mut seqs: Vec<i64>,
    listing: &Listing,
    running: &[InHand],
) -> Result<Page<(i64, Entry)>, Fault> {
    seqs.sort_unstable();
    seqs.dedup();
    if listing.sort == Sort::NewestFirst {
        seqs.reverse();
    }
    let mut gathered = Gathered::new(listing, running);
    let mut query = db.prepare_cached(&format!("{ENTRIES}WHERE p.seq = ?1"))?;
    for seq in seqs {
        let mut rows = query.query([seq])?;
        if let Some(row) = rows.next()?
            && !gathered.take(row)?
        {
            break;
        }
    }
    Ok(gathered.page)
}

fn by_scan(
    db: &Connection,
    listing: &Listing,
    running: &[InHand],
) -> Result<Page<(i64, Entry)>, Fault> {
    let narrow = Narrow::of(&listing.query, listing.now, &Tickets);
    let order = match listing.sort {
        Sort::NewestFirst => "DESC",
        Sort::OldestFirst => "ASC",
    };
    let places = ENTRIES.replace("FROM places p ", "FROM places p NOT INDEXED ");
    let which = narrow.to_sql("1");
    let mut query = db.prepare(&format!("{places}WHERE {which} ORDER BY p.seq {order}"))?;
    let mut rows = query.query(params_from_iter(&narrow.values))?;
    let mut gathered = Gathered::new(listing, running);
    loop {
        match rows.next() {
            Ok(Some(row)) if gathered.take(row)? => {}
            Ok(_) => return Ok(gathered.page),
            Err(error) if is_broken_off(&error) => {
                gathered.page.more = true;
                return Ok(gathered.page);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The tables of the tickets, as they are asked.
struct Tickets;

impl Dialect for Tickets {
    fn parameter(&self, number: usize) -> String {
        format!("?{number}")
    }

    fn exactly(&self, field: Field, text: &str) -> Option<Exactly> {
        let is_text = |column| Exactly::Between(column, Bound::Text(text.into()), "");
        Some(match field {
            Field::Is => Exactly::Plain(is_word(text)),
            Field::Id | Field::Ticket => {
                let id: TicketId = text.parse().ok()?;
                Exactly::Between("t.id =", Bound::Id(*id.as_bytes()), "")
            }
            Field::Stage => Exactly::Between(
                "p.stage IN (SELECT id FROM stages WHERE name =",
                Bound::Text(text.into()),
                ")",
            ),
            Field::Flow => is_text("t.flow ="),
            Field::Kind => is_text("t.kind ="),
            Field::Key => is_text("t.key ="),
            Field::By => {
                Exactly::Between("(p.state = 4 AND p.detail =", Bound::Text(text.into()), ")")
            }
            Field::Group => Exactly::Between(
                "(p.state = 2 AND p.mark = 1 AND p.detail =",
                Bound::Text(text.into()),
                ")",
            ),
            _ => return None,
        })
    }

    fn within(&self, field: Field, low: &str, high: &str) -> Option<String> {
        match field {
            Field::Created => Some(format!("(t.created_at BETWEEN {low} AND {high})")),
            // Since when a ticket runs is in memory, so a runnable one may be later than it says.
            Field::Since | Field::Seen => {
                Some(format!("(p.state = 0 OR p.since BETWEEN {low} AND {high})"))
            }
            Field::Parked => {
                let parked = codes::of_reason(Reason::Parked);
                Some(format!(
                    "(p.state = 2 AND p.reason = {parked} AND p.since BETWEEN {low} AND {high})"
                ))
            }
            _ => None,
        }
    }
}

impl ToSql for Bound {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Id(bits) => bits.as_slice().into(),
        })
    }
}

/// Tickets that a query names by what can be found through a small index.
#[derive(Default)]
struct Named {
    /// The words of the first `is:`, or what another key says of it, if it is about tickets in hand
    /// only.
    in_hand: Option<Vec<InHandWord>>,
    ids: Option<Vec<TicketId>>,
}

#[derive(Clone, Copy)]
enum InHandWord {
    Runnable,
    Waiting,
    Reason(Reason),
}

impl Named {
    fn by(query: &Query) -> Self {
        let mut named = Self::default();
        for term in &query.all {
            if let Term::Field { field, values, .. } = term {
                named.remember(*field, values);
            }
        }
        named
    }

    fn remember(&mut self, field: Field, values: &[Pattern]) {
        let exact = |pattern: &Pattern| match pattern {
            Pattern::Exact(text) => Some(text.clone()),
            Pattern::Prefix(_) | Pattern::Range(..) | Pattern::Regex(_) => None,
        };
        // Whatever is asked of them, it is only these that can answer.
        let implied = match field {
            Field::Parked => Some(Reason::Parked),
            Field::Group => Some(Reason::Held),
            _ => None,
        };
        if let Some(reason) = implied {
            let words = || vec![InHandWord::Reason(reason)];
            self.in_hand.get_or_insert_with(words);
            return;
        }
        let Some(words) = values.iter().map(exact).collect::<Option<Vec<_>>>() else {
            return;
        };
        match field {
            Field::Is if self.in_hand.is_none() => {
                self.in_hand = words.iter().map(|word| in_hand_words(word)).collect();
                let flat = self.in_hand.is_some();
                if flat && words.iter().any(|word| word == "live") {
                    self.in_hand = Some(vec![InHandWord::Runnable, InHandWord::Waiting]);
                }
            }
            Field::Id | Field::Ticket if self.ids.is_none() => {
                self.ids = words.iter().map(|word| word.parse().ok()).collect();
            }
            _ => {}
        }
    }

    /// The rows of the tickets in hand that the query can be about, if it is about such and they
    /// are not too many.
    fn in_hand(&self, db: &Connection) -> Result<Option<Vec<i64>>, Fault> {
        let mut seqs = Vec::new();
        if let Some(ids) = &self.ids {
            let mut query = db.prepare_cached("SELECT seq FROM tickets WHERE id = ?1")?;
            for id in ids {
                seqs.extend(integers(&mut query, &[&id.as_bytes()])?);
            }
            return Ok(Some(seqs));
        }
        let Some(words) = &self.in_hand else {
            return Ok(None);
        };
        let limit = IN_HAND_MAX as i64 + 1;
        for word in words {
            let (which, code) = match word {
                InHandWord::Runnable => ("runnable WHERE state = 0 AND ?1 = 0", 0),
                InHandWord::Waiting => ("waiting WHERE state = 2 AND ?1 = 0", 0),
                InHandWord::Reason(reason) => (
                    "waiting WHERE state = 2 AND reason = ?1",
                    codes::of_reason(*reason),
                ),
            };
            let sql = format!("SELECT seq FROM places INDEXED BY {which} LIMIT ?2");
            seqs.extend(integers(&mut *db.prepare_cached(&sql)?, &[&code, &limit])?);
            if seqs.len() > IN_HAND_MAX {
                return Ok(None);
            }
        }
        Ok(Some(seqs))
    }
}

fn integers(
    query: &mut rusqlite::Statement,
    values: &[&dyn ToSql],
) -> Result<Vec<i64>, rusqlite::Error> {
    query.query_map(values, |row| row.get(0))?.collect()
}

fn in_hand_words(word: &str) -> Option<InHandWord> {
    match State::parse(word) {
        Some(State::Runnable | State::Running) => return Some(InHandWord::Runnable),
        Some(State::Waiting) => return Some(InHandWord::Waiting),
        Some(State::Done | State::Dropped) => return None,
        None => {}
    }
    match word {
        "live" => Some(InHandWord::Waiting),
        reason => Reason::parse(reason).map(InHandWord::Reason),
    }
}

fn is_word(word: &str) -> String {
    if let Some(state) = State::parse(word) {
        return format!("p.state = {}", codes::of_state(state));
    }
    if let Some(reason) = Reason::parse(word) {
        return format!("(p.state = 2 AND p.reason = {})", codes::of_reason(reason));
    }
    match word {
        "live" => "p.state < 3".into(),
        "ended" => "p.state >= 3".into(),
        // An outcome: that is asked of reports, no ticket answers to it.
        _ => "0".into(),
    }
}
