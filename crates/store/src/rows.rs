//! Rows as values: how a ticket, its place and its history are read.

use crate::codes;
use crate::error::Fault;
use domain::books::{Entry, Fact, Line, Place, State};
use domain::names::{FlowName, Holder, Key, Kind, StageName, Version};
use domain::oops::OopsId;
use domain::outcome::Usage;
use domain::ticket::{Attempt, Generation, Hop, Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use rusqlite::{Connection, Row};
use std::time::Duration;

/// The columns that [`ticket`] reads, of `tickets t`, `places p` and `stages s`.
macro_rules! ticket_columns {
    () => {
        "p.seq, t.id, p.generation, p.hop, p.attempt, s.name, t.kind, t.flow, t.key, \
         t.content_type, t.deadline, t.created_at, t.root, t.parent, t.depth, t.trace, t.payload"
    };
}
pub(crate) use ticket_columns;

/// The columns that [`entry`] reads: those of the ticket, then of the place.
pub(crate) const ENTRIES: &str = concat!(
    "SELECT ",
    ticket_columns!(),
    ", p.state, p.since, p.reason, p.until, p.because, p.detail, p.mark, p.oops, c.version \
     FROM places p JOIN tickets t ON t.seq = p.seq JOIN stages s ON s.id = p.stage \
     LEFT JOIN scenes c ON c.id = p.scene "
);

/// Where the columns of the place begin in [`ENTRIES`].
const PLACE_AT: usize = 17;

/// Names that come again and again, so that they are shared rather than made anew.
#[derive(Default)]
pub(crate) struct Shared {
    stage: Option<StageName>,
    kind: Option<Kind>,
    flow: Option<FlowName>,
}

macro_rules! shared {
    ($method:ident, $type:ident) => {
        fn $method(&mut self, text: &str) -> Result<$type, Fault> {
            if let Some(known) = &self.$method
                && known.as_str() == text
            {
                return Ok(known.clone());
            }
            let name = $type::new(text).map_err(|error| Fault::row("a ticket's name", error))?;
            self.$method = Some(name.clone());
            Ok(name)
        }
    };
}

impl Shared {
    shared!(stage, StageName);
    shared!(kind, Kind);
    shared!(flow, FlowName);
}

/// The row number and the ticket.
pub(crate) fn ticket(row: &Row, shared: &mut Shared) -> Result<(i64, Ticket), Fault> {
    let id = ticket_id(row, 1)?;
    let flow = row.get_ref(7)?.as_str_or_null().map_err(column)?;
    let key: Option<String> = row.get(8)?;
    let root = optional_id(row, 12)?;
    let ticket = Ticket {
        name: name(row, id, 2)?,
        kind: shared.kind(row.get_ref(6)?.as_str().map_err(column)?)?,
        flow: flow.map(|text| shared.flow(text)).transpose()?,
        stage: shared.stage(row.get_ref(5)?.as_str().map_err(column)?)?,
        key: key.map(|text| parsed(&text, Key::new)).transpose()?,
        payload: Payload {
            bytes: bytes::Bytes::copy_from_slice(row.get_ref(16)?.as_blob().map_err(column)?),
            content_type: row.get(9)?,
        },
        deadline: time(row, 10)?,
        created_at: Timestamp::from_micros(row.get(11)?),
        lineage: Lineage {
            root: root.unwrap_or(id),
            parent: optional_id(row, 13)?,
            depth: row.get(14)?,
        },
        trace: row.get(15)?,
    };
    Ok((row.get(0)?, ticket))
}

/// The row number and the entry, but for its reports and for whether it is running: the row only
/// knows that it is runnable.
pub(crate) fn entry(row: &Row, shared: &mut Shared) -> Result<(i64, Entry), Fault> {
    let (seq, ticket) = ticket(row, shared)?;
    let version: Option<String> = row.get(PLACE_AT + 8)?;
    let entry = Entry {
        ticket,
        place: place(row)?,
        version: version
            .map(|text| parsed(&text, Version::new))
            .transpose()?,
        oopses: Vec::new(),
    };
    Ok((seq, entry))
}

fn place(row: &Row) -> Result<Place, Fault> {
    let since = Timestamp::from_micros(row.get(PLACE_AT + 1)?);
    let text = |at: usize| -> Result<String, Fault> {
        let text: Option<String> = row.get(PLACE_AT + at)?;
        Ok(text.unwrap_or_default())
    };
    let code: i64 = row.get(PLACE_AT)?;
    Ok(match codes::state(code) {
        Some(State::Runnable | State::Running) => Place::Runnable { since },
        Some(State::Waiting) => Place::Waiting(Wait {
            condition: condition(row)?,
            since,
            because: text(4)?,
            oops: oops_id(row, PLACE_AT + 7)?,
        }),
        Some(State::Done) => Place::Done { at: since },
        Some(State::Dropped) => Place::Dropped {
            at: since,
            reason: text(4)?,
            by: text(5)?,
        },
        None => return Err(Fault::row("a ticket's state", code)),
    })
}

fn condition(row: &Row) -> Result<Condition, Fault> {
    let code: i64 = row.get(PLACE_AT + 2)?;
    let reason = codes::reason(code).ok_or_else(|| Fault::row("a wait's reason", code))?;
    let until = || -> Result<Timestamp, Fault> { Ok(time(row, PLACE_AT + 3)?.unwrap_or_default()) };
    let detail: Option<String> = row.get(PLACE_AT + 5)?;
    let detail = detail.as_deref();
    Ok(match reason {
        Reason::Backoff => Condition::Backoff { until: until()? },
        Reason::NotNow => Condition::NotNow { until: until()? },
        Reason::Trial => Condition::Trial { until: until()? },
        Reason::Pending => Condition::Pending {
            until: until()?,
            once_started: time(row, PLACE_AT + 6)?,
        },
        Reason::Parked => Condition::Parked,
        Reason::Held if time(row, PLACE_AT + 6)?.is_some() => Condition::Repair {
            signature: parsed(detail.unwrap_or_default(), str::parse)?,
        },
        Reason::Held => Condition::Held {
            version: detail.map(|text| parsed(text, Version::new)).transpose()?,
        },
        Reason::Unclaimed => Condition::Unclaimed,
        Reason::Suspect => Condition::Suspect {
            holder: parsed(detail.unwrap_or_default(), Holder::new)?,
            started_at: time(row, PLACE_AT + 6)?,
        },
        Reason::Unique => Condition::Unique {
            other: detail
                .unwrap_or_default()
                .parse()
                .map_err(|error| Fault::row("a wait's other ticket", error))?,
        },
    })
}

/// The reports about a ticket, oldest first.
pub(crate) fn oopses(db: &Connection, seq: i64) -> Result<Vec<OopsId>, Fault> {
    let mut found = db.prepare_cached(
        "SELECT oops FROM (
           SELECT oops, ended_at AS at FROM attempts WHERE ticket = ?1 AND oops IS NOT NULL
           UNION ALL SELECT oops, at FROM notes WHERE ticket = ?1 AND oops IS NOT NULL)
         ORDER BY at",
    )?;
    let mut rows = found.query([seq])?;
    let mut oopses = Vec::new();
    while let Some(row) = rows.next()? {
        oopses.extend(oops_id(row, 0)?.filter(|id| !oopses.contains(id)));
    }
    Ok(oopses)
}

/// The attempts of a ticket, in the order of their names.
pub(crate) fn attempts(db: &Connection, seq: i64, id: TicketId) -> Result<Vec<Line>, Fault> {
    let mut found = db.prepare_cached(
        "SELECT a.generation, a.hop, a.attempt, s.name, a.started_at, a.ended_at, a.outcome,
           c.version, c.holder, a.oops, a.memory, a.cpu_user, a.cpu_system
         FROM attempts a JOIN stages s ON s.id = a.stage JOIN scenes c ON c.id = a.scene
         WHERE a.ticket = ?1 ORDER BY a.hop, a.generation, a.attempt",
    )?;
    let mut rows = found.query([seq])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        lines.push(attempt(row, id)?);
    }
    Ok(lines)
}

fn attempt(row: &Row, id: TicketId) -> Result<Line, Fault> {
    let code: i64 = row.get(6)?;
    let length = |at: usize| -> Result<Option<Duration>, Fault> {
        let micros: Option<i64> = row.get(at)?;
        Ok(micros.and_then(|micros| u64::try_from(micros).ok().map(Duration::from_micros)))
    };
    let memory: Option<i64> = row.get(10)?;
    let fact = Fact::Attempted {
        started_at: Timestamp::from_micros(row.get(4)?),
        outcome: codes::outcome(code).ok_or_else(|| Fault::row("an attempt's outcome", code))?,
        version: parsed(&row.get::<_, String>(7)?, Version::new)?,
        holder: parsed(&row.get::<_, String>(8)?, Holder::new)?,
        oops: oops_id(row, 9)?,
        usage: Usage {
            memory_bytes_max: memory.and_then(|bytes| u64::try_from(bytes).ok()),
            cpu_user: length(11)?,
            cpu_system: length(12)?,
        },
    };
    Ok(Line {
        at: Timestamp::from_micros(row.get(5)?),
        name: name(row, id, 0)?,
        stage: parsed(&row.get::<_, String>(3)?, StageName::new)?,
        fact,
    })
}

/// What else happened to a ticket, oldest first.
pub(crate) fn notes(db: &Connection, seq: i64, id: TicketId) -> Result<Vec<Line>, Fault> {
    let mut found = db.prepare_cached(
        "SELECT n.generation, n.hop, n.attempt, s.name, n.at, n.what, n.why,
           n.oops
         FROM notes n JOIN stages s ON s.id = n.stage WHERE n.ticket = ?1 ORDER BY n.id",
    )?;
    let mut rows = found.query([seq])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        lines.push(Line {
            at: Timestamp::from_micros(row.get(4)?),
            name: name(row, id, 0)?,
            stage: parsed(&row.get::<_, String>(3)?, StageName::new)?,
            fact: Fact::Noted {
                what: row.get(5)?,
                why: row.get(6)?,
                oops: oops_id(row, 7)?,
            },
        });
    }
    Ok(lines)
}

/// A ticket's name from three columns: generation, hop, attempt.
pub(crate) fn name(row: &Row, ticket: TicketId, at: usize) -> Result<Name, Fault> {
    Ok(Name {
        ticket,
        generation: Generation(row.get(at)?),
        hop: Hop(row.get(at + 1)?),
        attempt: Attempt(row.get(at + 2)?),
    })
}

/// The id that stands in for one that cannot be read; it names the row.
pub(crate) fn id_of_row(seq: i64) -> TicketId {
    TicketId::from_bytes(i128::from(seq).to_be_bytes())
}

/// A ticket's id from a column.
pub(crate) fn ticket_id(row: &Row, at: usize) -> Result<TicketId, Fault> {
    optional_id(row, at)?.ok_or_else(|| Fault::row("a ticket's id", "nothing"))
}

pub(crate) fn optional_id(row: &Row, at: usize) -> Result<Option<TicketId>, Fault> {
    Ok(bits(row, at)?.map(TicketId::from_bytes))
}

fn oops_id(row: &Row, at: usize) -> Result<Option<OopsId>, Fault> {
    let bits = bits(row, at)?;
    Ok(bits.map(|bits| OopsId::from_u128(u128::from_be_bytes(bits))))
}

fn bits(row: &Row, at: usize) -> Result<Option<[u8; 16]>, Fault> {
    let Some(bytes) = row.get_ref(at)?.as_blob_or_null().map_err(column)? else {
        return Ok(None);
    };
    let bits = bytes.try_into();
    bits.map(Some)
        .map_err(|_| Fault::row("an id of 16 bytes", bytes.len()))
}

pub(crate) fn time(row: &Row, at: usize) -> Result<Option<Timestamp>, Fault> {
    let micros: Option<i64> = row.get(at)?;
    Ok(micros.map(Timestamp::from_micros))
}

/// Text that was valid when it was written.
pub(crate) fn parsed<T, E: std::fmt::Display>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, Fault> {
    parse(text).map_err(|error| Fault::row("a name", error))
}

fn column(error: rusqlite::types::FromSqlError) -> Fault {
    Fault::row("a column", error)
}
