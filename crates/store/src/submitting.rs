//! New tickets: from publishers, and from attempts that send some.

use crate::admission::Newcomer;
use crate::books::Books;
use crate::codes::Count;
use crate::error::Fault;
use domain::ports::Accepted;
use domain::ticket::Ticket;
use domain::time::Timestamp;
use rusqlite::{Connection, params};
use std::sync::Arc;

/// Accepts a ticket, unless one with its id was accepted before.
pub(crate) fn accept(
    books: &mut Books,
    db: &Connection,
    ticket: &Arc<Ticket>,
) -> Result<Accepted, Fault> {
    let stop = books.stop(db, &ticket.stage)?;
    let seq = books.next_seq();
    if !insert(db, ticket, (seq, stop.id))? {
        return Ok(Accepted::Known(ticket.id()));
    }
    let newcomer = Newcomer::of(ticket, seq, stop, ticket.created_at);
    let spot = newcomer.admit(books, db, || Some(Arc::clone(ticket)))?;
    spot.insert(db, seq)?;
    books.count(0, Count::Accepted, 1);
    Ok(Accepted::New(ticket.id()))
}

fn insert(db: &Connection, ticket: &Ticket, (seq, stage): (i64, i64)) -> Result<bool, Fault> {
    let id = ticket.id();
    let lineage = &ticket.lineage;
    let root = (lineage.root != id).then(|| *lineage.root.as_bytes());
    let added = db
        .prepare_cached(
            "INSERT INTO tickets (seq, id, stage, kind, flow, key, content_type, deadline,
               created_at, root, parent, depth, trace, payload)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            seq,
            id.as_bytes(),
            stage,
            ticket.kind.as_str(),
            ticket.flow.as_ref().map(|flow| flow.as_str()),
            ticket.key.as_ref().map(|key| key.as_str()),
            ticket.payload.content_type,
            ticket.deadline.map(Timestamp::as_micros),
            ticket.created_at.as_micros(),
            root,
            lineage.parent.as_ref().map(|parent| parent.as_bytes()),
            lineage.depth,
            ticket.trace,
            &*ticket.payload.bytes,
        ])?;
    Ok(added == 1)
}
