//! New tickets: from publishers, and from attempts that send some.

use crate::admission::Newcomer;
use crate::books::Books;
use crate::codes::Count;
use crate::error::Fault;
use domain::ports::Accepted;
use domain::ticket::Ticket;
use domain::time::Timestamp;
use rusqlite::{CachedStatement, Connection, params};
use std::sync::Arc;

/// The two statements that accept a ticket, prepared once a request.
pub(crate) struct Inserts<'a> {
    ticket: CachedStatement<'a>,
    place: CachedStatement<'a>,
}

impl<'a> Inserts<'a> {
    pub(crate) fn prepare(db: &'a Connection) -> Result<Self, Fault> {
        Ok(Self {
            ticket: db.prepare_cached(
                "INSERT INTO tickets (seq, id, stage, kind, flow, key, content_type, deadline,
                   created_at, root, parent, depth, trace, payload)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
                 ON CONFLICT (id) DO NOTHING",
            )?,
            place: db.prepare_cached(
                "INSERT INTO places (seq, state, stage, ready_seq, generation, hop, attempt, since)
                 VALUES (?1, 0, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?,
        })
    }

    /// Accepts a ticket, unless one with its id was accepted before.
    pub(crate) fn accept(
        &mut self,
        books: &mut Books,
        db: &Connection,
        ticket: &Arc<Ticket>,
    ) -> Result<Accepted, Fault> {
        let stop = books.stop(db, &ticket.stage)?;
        let seq = books.next_seq();
        if !self.insert(ticket, (seq, stop.id))? {
            return Ok(Accepted::Known(ticket.id()));
        }
        let newcomer = Newcomer::of(ticket, seq, stop, ticket.created_at);
        let spot = newcomer.admit(books, db, || Some(Arc::clone(ticket)))?;
        if spot.is_plain() {
            self.place.execute(params![
                seq,
                spot.stage,
                spot.ready_seq,
                spot.name.generation.0,
                spot.name.hop.0,
                spot.name.attempt.0,
                spot.since.as_micros(),
            ])?;
        } else {
            spot.insert(db, seq)?;
        }
        books.count(0, Count::Accepted, 1);
        Ok(Accepted::New(ticket.id()))
    }

    fn insert(&mut self, ticket: &Ticket, (seq, stage): (i64, i64)) -> Result<bool, Fault> {
        let id = ticket.id();
        let lineage = &ticket.lineage;
        let root = (lineage.root != id).then(|| *lineage.root.as_bytes());
        let added = self.ticket.execute(params![
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
}

/// Accepts what an attempt sends.
pub(crate) fn accept_all(
    books: &mut Books,
    db: &Connection,
    tickets: &[Ticket],
) -> Result<(), Fault> {
    if tickets.is_empty() {
        return Ok(());
    }
    let mut inserts = Inserts::prepare(db)?;
    for ticket in tickets {
        inserts.accept(books, db, &Arc::new(ticket.clone()))?;
    }
    Ok(())
}
