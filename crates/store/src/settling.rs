//! What became of deliveries. The common ways, done and handed on, are one statement each that
//! compares and moves at once; everything else looks first.

use crate::admission::{self, Newcomer};
use crate::books::{Books, Stop};
use crate::codes::{self, Count};
use crate::error::Fault;
use crate::repair;
use crate::spot::{Found, Note, Spot, bits};
use crate::submitting;
use crate::trials;
use domain::books::Standing;
use domain::delivery::{Disposition, Ended, Settlement};
use domain::flow::Journal;
use domain::outcome::OutcomeKind;
use domain::ports::Settled;
use domain::ticket::{Name, Ticket};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use rusqlite::{CachedStatement, Connection, params};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const FINISH: &str = "UPDATE places SET state = 3, since = ?2, scene = ?3
     WHERE seq = ?1 AND state = 0 AND generation = ?4 AND hop = ?5 AND attempt = ?6";
pub(crate) const HAND_ON: &str =
    "UPDATE places SET since = ?2, scene = ?3, stage = ?7, ready_seq = ?8, hop = ?9, attempt = ?10
     WHERE seq = ?1 AND state = 0 AND generation = ?4 AND hop = ?5 AND attempt = ?6";

const ATTEMPT: &str =
    "INSERT OR IGNORE INTO attempts (ticket, hop, generation, attempt, stage, started_at,
       ended_at, outcome, scene, oops, memory, cpu_user, cpu_system)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

/// The statements of the common ways, prepared once a request.
pub(crate) struct Statements<'a> {
    finish: CachedStatement<'a>,
    hand_on: CachedStatement<'a>,
    attempt: CachedStatement<'a>,
}

/// A settlement with what is known about its ticket's row.
struct Case<'a> {
    seq: i64,
    ticket: &'a Ticket,
    disposition: &'a Disposition,
    from: Stop,
    scene: Option<i64>,
    at: Timestamp,
}

impl<'a> Statements<'a> {
    pub(crate) fn prepare(db: &'a Connection) -> Result<Self, Fault> {
        Ok(Self {
            finish: db.prepare_cached(FINISH)?,
            hand_on: db.prepare_cached(HAND_ON)?,
            attempt: db.prepare_cached(ATTEMPT)?,
        })
    }

    /// Carries a settlement out, if it counts.
    pub(crate) fn settle(
        &mut self,
        books: &mut Books,
        db: &Connection,
        settlement: &Settlement,
        seq: i64,
    ) -> Result<Settled, Fault> {
        let ticket = &**settlement.ticket();
        let ended = settlement.ended();
        let scene = ended.map(|ended| books.scene(db, &ended.scene));
        let case = Case {
            seq,
            ticket,
            disposition: settlement.disposition(),
            from: books.stop(db, &ticket.stage)?,
            scene: scene.transpose()?,
            at: ended.map_or_else(|| books.clock.now(), |ended| ended.span.ended_at),
        };
        if !self.go_straight(books, db, &case)? && !case.look_first(books, db)? {
            self.pass_by(books, db, &case, ended)?;
            return Ok(Settled::Stale);
        }
        case.keep_payload(db)?;
        if let Some(ended) = ended {
            let waits_for = settlement.disposition().waits_for();
            trials::attempted(books, db, seq, (ended.outcome, waits_for))?;
            case.tell(books, db, ended)?;
            case.count(books, ended.outcome);
            if ended.outcome != OutcomeKind::Done || case.from.journal == Journal::Full {
                self.record(db, &case, ended)?;
            }
        }
        submitting::accept_all(books, db, settlement.emits())?;
        Ok(Settled::Applied)
    }

    /// It changes nothing, but that the attempt has ended is worth knowing: without its row it
    /// would be taken for one that died with the process. And it was let go, so that the next one
    /// with its key may go in.
    fn pass_by(
        &mut self,
        books: &mut Books,
        db: &Connection,
        case: &Case,
        ended: Option<&Ended>,
    ) -> Result<(), Fault> {
        // Of a ticket that was forgotten nothing is kept: nobody would ever delete it.
        let Some(found) = Found::by_seq(db, case.seq)? else {
            return Ok(());
        };
        if let Some(ended) = ended {
            self.record(db, case, ended)?;
        }
        if found.is_ended() && found.name == case.ticket.name {
            admission::unlock(books, db, &found, (&case.ticket.stage, case.at))?;
        }
        Ok(())
    }

    /// The common ways: compare and move in one statement. False when it moved nothing.
    fn go_straight(
        &mut self,
        books: &mut Books,
        db: &Connection,
        case: &Case,
    ) -> Result<bool, Fault> {
        if case.lock_key().is_some() {
            return Ok(false);
        }
        match case.disposition {
            Disposition::Finish => self.finish(books, case),
            Disposition::Forward(copy) => self.hand_on(books, db, case, copy),
            Disposition::Wait { .. } => Ok(false),
        }
    }

    fn finish(&mut self, books: &mut Books, case: &Case) -> Result<bool, Fault> {
        let name = case.ticket.name;
        let moved = self.finish.execute(params![
            case.seq,
            case.at.as_micros(),
            case.scene,
            name.generation.0,
            name.hop.0,
            name.attempt.0,
        ])?;
        if moved == 1 {
            books.count(0, Count::Done, 1);
        }
        Ok(moved == 1)
    }

    fn hand_on(
        &mut self,
        books: &mut Books,
        db: &Connection,
        case: &Case,
        copy: &Ticket,
    ) -> Result<bool, Fault> {
        let name = case.ticket.name;
        let to = books.stop(db, &copy.stage)?;
        let is_plain = books.claims(to, &copy.stage, &copy.kind)
            && !(to.is_unique && copy.key.is_some())
            && copy.name.generation == name.generation;
        if !is_plain {
            return Ok(false);
        }
        let shared = || Some(Arc::new(copy.clone()));
        let ready_seq = books.rise((to.id, &copy.stage), case.seq, shared);
        let moved = self.hand_on.execute(params![
            case.seq,
            case.at.as_micros(),
            case.scene,
            name.generation.0,
            name.hop.0,
            name.attempt.0,
            to.id,
            ready_seq,
            copy.name.hop.0,
            copy.name.attempt.0,
        ])?;
        if moved == 0 {
            books.fall(case.seq);
        }
        Ok(moved == 1)
    }

    /// Writes the attempt down. The same attempt is the same row, whoever tells of it again.
    fn record(&mut self, db: &Connection, case: &Case, ended: &Ended) -> Result<(), Fault> {
        let name = case.ticket.name;
        let micros = |length: Duration| i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        let memory = ended.usage.memory_bytes_max;
        self.attempt.execute(params![
            case.seq,
            name.hop.0,
            name.generation.0,
            name.attempt.0,
            case.from.id,
            ended.span.started_at.as_micros(),
            ended.span.ended_at.as_micros(),
            codes::of_outcome(ended.outcome),
            case.scene,
            ended.oops.map(bits),
            memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            ended.usage.cpu_user.map(micros),
            ended.usage.cpu_system.map(micros),
        ])?;
        crate::history::trim_attempts(db, case.seq, &name)
    }
}

impl Case<'_> {
    /// Whether its stage lets each key in once, and it has one.
    fn lock_key(&self) -> Option<&str> {
        let key = self.ticket.key.as_ref().map(|key| key.as_str());
        key.filter(|_| self.from.is_unique)
    }

    /// Every other way. False when the books know better.
    fn look_first(&self, books: &mut Books, db: &Connection) -> Result<bool, Fault> {
        let Some(found) = Found::by_seq(db, self.seq)? else {
            return Ok(false);
        };
        let state =
            codes::state(found.state).ok_or_else(|| Fault::row("a ticket's state", found.state))?;
        let standing = Standing {
            name: found.name,
            state,
        };
        if standing.accepts(&self.ticket.name).is_err() {
            return Ok(false);
        }
        let is_gone = match self.disposition {
            Disposition::Finish => {
                let mut spot = Spot::runnable(self.from.id, 0, self.ticket.name, self.at);
                spot.state = codes::DONE;
                spot.update(db, self.seq)?;
                books.count(0, Count::Done, 1);
                true
            }
            Disposition::Forward(copy) => {
                let to = books.stop(db, &copy.stage)?;
                let newcomer = Newcomer::of(copy, self.seq, to, self.at);
                let spot = newcomer.admit(books, db, || Some(Arc::new((**copy).clone())))?;
                spot.update(db, self.seq)?;
                true
            }
            Disposition::Wait { name, wait } => self.wait(books, db, (*name, wait))?,
        };
        if let Some(scene) = self.scene {
            db.prepare_cached("UPDATE places SET scene = ?2 WHERE seq = ?1")?
                .execute([self.seq, scene])?;
        }
        if let (true, Some(key)) = (is_gone, self.lock_key()) {
            let stage = (&self.ticket.stage, self.from.id);
            admission::let_next_in(books, db, stage, (key, self.at))?;
        }
        Ok(true)
    }

    /// Puts it into its wait. True when it is gone from the stage instead: a newer ticket with
    /// its key is in line, and this one is no longer at work.
    fn wait(
        &self,
        books: &mut Books,
        db: &Connection,
        (name, wait): (Name, &Wait),
    ) -> Result<bool, Fault> {
        let lock_key = self.lock_key();
        if let Some(key) = lock_key
            && !matches!(wait.condition, Condition::Suspect { .. })
            && let Some(newer) = Found::in_line(db, self.from.id, key)?
            && let Some(older) = Found::by_seq(db, self.seq)?
        {
            admission::supersede(books, db, &older, (newer.name, wait.since))?;
            return Ok(true);
        }
        let mut spot = Spot::waiting(self.from.id, name, std::borrow::Cow::Borrowed(wait));
        spot.lock_key = lock_key;
        spot.update(db, self.seq)?;
        books.waits(&wait.condition);
        trials::begin(books, db, (self.seq, self.from.id), &wait.condition)?;
        self.note_parking(db, name, wait)?;
        Ok(false)
    }

    /// How its attempt ended does not say that a person has to decide, nor why.
    fn note_parking(&self, db: &Connection, name: Name, wait: &Wait) -> Result<(), Fault> {
        let Some(why) = wait.parked_because() else {
            return Ok(());
        };
        let note = Note {
            at: wait.since,
            name,
            stage: self.from.id,
            what: Reason::Parked.as_str(),
            why,
            oops: None,
        };
        note.insert(db, self.seq)
    }

    /// The payload is written again only if the attempt has changed it.
    fn keep_payload(&self, db: &Connection) -> Result<(), Fault> {
        if let Disposition::Forward(copy) = self.disposition
            && copy.payload != self.ticket.payload
        {
            db.prepare_cached("UPDATE tickets SET payload = ?2, content_type = ?3 WHERE seq = ?1")?
                .execute(params![
                    self.seq,
                    &*copy.payload.bytes,
                    copy.payload.content_type
                ])?;
        }
        Ok(())
    }

    /// Tells the breakers of the stage, and the plan that had released the ticket.
    fn tell(&self, books: &mut Books, db: &Connection, ended: &Ended) -> Result<(), Fault> {
        let news = repair::news(&books.boards, self.from, self.ticket.name, ended);
        let Some(attempt) = news else {
            return Ok(());
        };
        let of = repair::Subject {
            seq: self.seq,
            stop: self.from,
            stage: &self.ticket.stage,
        };
        repair::heard(books, db, of, &attempt)
    }

    fn count(&self, books: &mut Books, outcome: OutcomeKind) {
        if let Some(count) = Count::of_end(outcome) {
            books.count(self.from.id, count, 1);
        }
    }
}

/// An outside event has ended a pending wait like this: the ticket goes where that leads.
pub(crate) fn complete(
    books: &mut Books,
    db: &Connection,
    (seq, ticket): (i64, &Ticket),
    (outcome, disposition, emits): (OutcomeKind, &Disposition, &[Ticket]),
    note: &Note,
) -> Result<(), Fault> {
    let case = Case {
        seq,
        ticket,
        disposition,
        from: books.stop(db, &ticket.stage)?,
        scene: None,
        at: note.at,
    };
    // First, so that the history tells where it goes after it has told why.
    note.insert(db, seq)?;
    if !case.look_first(books, db)? {
        return Err(Fault::row(
            "a pending ticket changed meanwhile",
            ticket.id(),
        ));
    }
    case.keep_payload(db)?;
    case.count(books, outcome);
    submitting::accept_all(books, db, emits)
}
