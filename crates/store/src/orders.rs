//! An operator's orders: carried out, or refused with the reason and what would make it possible.

use crate::admission;
use crate::books::Books;
use crate::codes;
use crate::error::Fault;
use crate::opening;
use crate::permits::{self, Refusal};
use crate::repair;
use crate::rows::{self, ENTRIES, Shared};
use crate::settling;
use crate::spot::{self, Found, Note, Spot};
use crate::waiting::{self, Waiter};
use domain::books::{Entry, Place};
use domain::breaker::{Attempt, End};
use domain::delivery::Decision;
use domain::flow::Stage;
use domain::names::StageName;
use domain::oops::{OopsId, Span};
use domain::outcome::Outcome;
use domain::plan::By;
use domain::ports::{Action, Answer, Order};
use domain::settlement;
use domain::signature::SignatureId;
use domain::ticket::{Generation, TicketId};
use domain::wait::Condition;
use rusqlite::Connection;

/// An order, and the report about the outcome that it brings, which is durable already.
pub(crate) struct Ordered {
    pub(crate) order: Order,
    pub(crate) told: Option<(OopsId, SignatureId)>,
}

type Outcomes = Result<Result<(), Refusal>, Fault>;

/// A ticket that an order is about.
struct Subject<'a> {
    seq: i64,
    entry: Entry,
    found: Found,
    ordered: &'a Ordered,
}

pub(crate) fn carry_out(
    books: &mut Books,
    db: &Connection,
    ordered: &Ordered,
) -> Result<Answer, Fault> {
    let id = ordered.order.ticket;
    let Some((seq, entry)) = entry(books, db, id)? else {
        return Ok(Answer::NotFound);
    };
    let Some(found) = Found::by_seq(db, seq)? else {
        return Ok(Answer::NotFound);
    };
    let subject = Subject {
        seq,
        entry,
        found,
        ordered,
    };
    let done = match &ordered.order.action {
        Action::Retry => subject.retry(books, db)?,
        Action::Cancel => subject.end(books, db, ("cancelled", "cancelled"))?,
        Action::Drop(reason) => subject.end(books, db, ("dropped", reason))?,
        Action::Start(generation) => subject.start(db, *generation)?,
        Action::Complete(generation, outcome) => {
            subject.complete(books, db, (*generation, outcome))?
        }
    };
    if let Err(Refusal { why, remedy }) = done {
        let remedy = remedy.to_owned();
        return Ok(Answer::Refused { why, remedy });
    }
    let now = entry_now(books, db, id)?;
    Ok(now.map_or(Answer::NotFound, |entry| Answer::Done(Box::new(entry))))
}

fn entry_now(books: &Books, db: &Connection, id: TicketId) -> Result<Option<Entry>, Fault> {
    Ok(entry(books, db, id)?.map(|(_, entry)| entry))
}

fn entry(books: &Books, db: &Connection, id: TicketId) -> Result<Option<(i64, Entry)>, Fault> {
    let mut query = db.prepare_cached(&format!("{ENTRIES} WHERE t.id = ?1"))?;
    let mut rows = query.query([id.as_bytes()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let (seq, mut entry) = rows::entry(row, &mut Shared::default())?;
    entry.oopses = rows::oopses(db, seq)?;
    books.queues.mark_running(seq, &mut entry);
    Ok(Some((seq, entry)))
}

impl Subject<'_> {
    fn oops(&self) -> Option<OopsId> {
        self.ordered.told.map(|(oops, _)| oops)
    }

    fn note(&self, db: &Connection, what: &str, why: &str) -> Result<(), Fault> {
        self.to_note(what, why).insert(db, self.seq)
    }

    fn to_note<'n>(&self, what: &'n str, why: &'n str) -> Note<'n> {
        Note {
            at: self.ordered.order.at,
            name: self.found.name,
            stage: self.found.stage,
            what,
            why,
            oops: self.oops(),
        }
    }

    fn retry(&self, books: &mut Books, db: &Connection) -> Outcomes {
        let at = self.ordered.order.at;
        if let Err(refusal) = permits::retry(&self.entry, at) {
            return Ok(Err(refusal));
        }
        let by = format!("by {}", self.ordered.order.by);
        self.note(db, "retried", &by)?;
        let waiter = Waiter::of(&self.entry.ticket, self.found.clone());
        waiting::admit_again(books, db, &waiter, (self.found.name.renewed(), at))?;
        self.taken_away(books, db)?;
        Ok(Ok(()))
    }

    /// A call-back that brings a failure is the end of an attempt, for the breakers.
    fn tell(&self, books: &mut Books, db: &Connection) -> Result<(), Fault> {
        let (Some((_, signature)), Some(version)) = (self.ordered.told, &self.entry.version) else {
            return Ok(());
        };
        let attempt = Attempt {
            name: self.found.name,
            version: version.clone(),
            span: Span {
                started_at: self.entry.place.since(),
                ended_at: self.ordered.order.at,
            },
            end: End::Failed(Some(signature)),
        };
        let stage = &self.entry.ticket.stage;
        let of = repair::Subject {
            seq: self.seq,
            stop: books.stop(db, stage)?,
            stage,
        };
        repair::heard(books, db, of, &attempt)
    }

    fn taken_away(&self, books: &mut Books, db: &Connection) -> Result<(), Fault> {
        let place = (self.seq, self.found.stage);
        repair::taken_away(books, db, place, self.entry.ticket.id())
    }

    fn end(&self, books: &mut Books, db: &Connection, (what, why): (&str, &str)) -> Outcomes {
        if let Err(refusal) = permits::end(&self.entry.place) {
            return Ok(Err(refusal));
        }
        let Order { by, at, .. } = &self.ordered.order;
        let stage = &self.entry.ticket.stage;
        let is_in_hand = self.found.state == codes::RUNNABLE && !books.end(stage, self.seq);
        let mut spot = Spot::dropped(self.found.stage, self.found.name, *at, (why, by.as_str()));
        if is_in_hand {
            let generation = self.found.name.generation.next();
            books.control.fence(self.entry.ticket.id(), generation);
            // The next one with its key must wait until this one is let go.
            spot.lock_key = self.found.lock_key.as_deref();
        }
        spot.update(db, self.seq)?;
        books.dropped(db, self.seq)?;
        self.keep_case(books, db)?;
        self.note(db, what, &format!("by {by}: {why}"))?;
        self.taken_away(books, db)?;
        if let (false, Some(key)) = (is_in_hand, &self.found.lock_key) {
            let stage = (stage, self.found.stage);
            admission::let_next_in(books, db, stage, (key, *at))?;
        }
        Ok(Ok(()))
    }

    /// The attempt of a suspect that is given up died all the same, and has to be reported.
    fn keep_case(&self, books: &mut Books, db: &Connection) -> Result<(), Fault> {
        if let Place::Waiting(wait) = &self.entry.place
            && let Condition::Suspect {
                holder,
                started_at: Some(started_at),
            } = &wait.condition
            && opening::orphan(db, &self.found, (holder, *started_at), wait.since)?
        {
            books.has_case();
        }
        Ok(())
    }

    /// Who says it again, or need not say it, has changed nothing.
    fn start(&self, db: &Connection, generation: Generation) -> Outcomes {
        let wait = match permits::start(&self.entry, generation, self.ordered.order.at) {
            Ok(wait) => wait,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(until) = wait.and_then(|wait| wait.condition.until()) {
            spot::started(db, self.seq, until)?;
            let by = format!("by {}", self.ordered.order.by);
            self.note(db, "started", &by)?;
        }
        Ok(Ok(()))
    }

    fn complete(
        &self,
        books: &mut Books,
        db: &Connection,
        (generation, outcome): (Generation, &Outcome),
    ) -> Outcomes {
        if let Err(refusal) = permits::call_back(&self.entry, generation) {
            return Ok(Err(refusal));
        }
        let ticket = &self.entry.ticket;
        let flows = std::sync::Arc::clone(&books.flows);
        let defaults;
        let stage = match flows.stage(&ticket.stage) {
            Some(stage) => stage,
            None => {
                defaults = Stage::new(ticket.stage.clone());
                &defaults
            }
        };
        let decision = Decision {
            stage,
            flows: &flows,
            now: self.ordered.order.at,
            chance: books.clock.chance(),
        };
        let (disposition, emits) =
            settlement::completed(ticket, outcome.clone(), self.oops(), &decision);
        let kind = outcome.kind();
        let why = format!("by {}: {kind}", self.ordered.order.by);
        let note = self.to_note("completed", &why);
        let subject = (self.seq, ticket);
        settling::complete(books, db, subject, (kind, &disposition, &emits), &note)?;
        if kind.went_wrong() {
            self.tell(books, db)?;
        }
        Ok(Ok(()))
    }
}

/// Gives a waiting ticket up, as a plan's order.
pub(crate) fn give_up(
    books: &mut Books,
    db: &Connection,
    (found, stage): (&Found, &StageName),
    (why, by): (&str, By),
) -> Result<(), Fault> {
    Spot::dropped(found.stage, found.name, by.at, (why, by.who)).update(db, found.seq)?;
    books.dropped(db, found.seq)?;
    let note = Note {
        at: by.at,
        name: found.name,
        stage: found.stage,
        what: "dropped",
        why: &format!("by {}: {why}", by.who),
        oops: None,
    };
    note.insert(db, found.seq)?;
    repair::taken_away(books, db, (found.seq, found.stage), found.name.ticket)?;
    match &found.lock_key {
        Some(key) => admission::let_next_in(books, db, (stage, found.stage), (key, by.at)),
        None => Ok(()),
    }
}
