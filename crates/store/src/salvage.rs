//! Rows that cannot be read as tickets: what can be read of them is delivered, so that they are
//! reported and parked like any other, and those behind them go on.

use crate::error::Fault;
use crate::rows::{Shared, id_of_row, optional_id, parsed, ticket, ticket_id, time};
use domain::names::{FlowName, Key, Kind, StageName};
use domain::ticket::{Attempt, Generation, Hop, Lineage, Name, Payload, Ticket};
use domain::time::Timestamp;
use rusqlite::Row;

/// The row number and the ticket. Of a row that cannot be read, what can be, and what is wrong.
pub(crate) fn ticket_or_rest(
    row: &Row,
    stage: &StageName,
    shared: &mut Shared,
) -> Result<(i64, Ticket, Option<String>), Fault> {
    match ticket(row, shared) {
        Ok((seq, ticket)) => Ok((seq, ticket, None)),
        Err(fault) => {
            let seq = row.get(0)?;
            let (ticket, columns) = rest(row, seq, stage);
            let why = format!(
                "row {seq} of books.db cannot be read: {fault}; unreadable columns: {}",
                columns.join(", ")
            );
            tracing::error!("ticket {}: {why}", ticket.id());
            Ok((seq, ticket, Some(why)))
        }
    }
}

/// What can be read of a row of this stage, with a stand-in for each column that cannot, and
/// the names of those.
fn rest(row: &Row, seq: i64, of: &StageName) -> (Ticket, Vec<&'static str>) {
    let mut bad = Vec::new();
    let id = or(ticket_id(row, 1), "id", &mut bad).unwrap_or_else(|| id_of_row(seq));
    let text = |at: usize| -> Result<Option<String>, Fault> { Ok(row.get(at)?) };
    let number = |at: usize| row.get(at).map_err(Fault::from);
    let generation = or(number(2), "generation", &mut bad).unwrap_or(1);
    let hop = or(number(3), "hop", &mut bad).unwrap_or(0);
    let attempt = or(number(4), "attempt", &mut bad).unwrap_or(1);
    let stage = text(5).and_then(|text| parsed(&text.unwrap_or_default(), StageName::new));
    let kind = text(6).and_then(|text| parsed(&text.unwrap_or_default(), Kind::new));
    let flow = text(7).and_then(|text| text.map(|t| parsed(&t, FlowName::new)).transpose());
    let key = text(8).and_then(|text| text.map(|t| parsed(&t, Key::new)).transpose());
    let payload = row.get(16).map_err(Fault::from);
    let payload: Vec<u8> = or(payload, "payload", &mut bad).unwrap_or_default();
    let created_at = row.get(11).map_err(Fault::from);
    let ticket = Ticket {
        name: Name {
            ticket: id,
            generation: Generation(generation),
            hop: Hop(hop),
            attempt: Attempt(attempt),
        },
        kind: or(kind, "kind", &mut bad).unwrap_or_else(Kind::unnamed),
        flow: or(flow, "flow", &mut bad).flatten(),
        stage: or(stage, "stage", &mut bad).unwrap_or_else(|| of.clone()),
        key: or(key, "key", &mut bad).flatten(),
        payload: Payload {
            bytes: payload.into(),
            content_type: or(text(9), "content_type", &mut bad).flatten(),
        },
        deadline: or(time(row, 10), "deadline", &mut bad).flatten(),
        created_at: Timestamp::from_micros(or(created_at, "created_at", &mut bad).unwrap_or(0)),
        lineage: Lineage {
            root: or(optional_id(row, 12), "root", &mut bad)
                .flatten()
                .unwrap_or(id),
            parent: or(optional_id(row, 13), "parent", &mut bad).flatten(),
            depth: or(number(14), "depth", &mut bad).unwrap_or(0),
        },
        trace: or(text(15), "trace", &mut bad).flatten(),
    };
    (ticket, bad)
}

fn or<T>(read: Result<T, Fault>, column: &'static str, bad: &mut Vec<&'static str>) -> Option<T> {
    if read.is_err() {
        bad.push(column);
    }
    read.ok()
}
