//! How a ticket enters a stage: claimed by somebody, alone with its key where that is the rule.

use crate::books::{Books, Stop};
use crate::codes;
use crate::error::Fault;
use crate::repair;
use crate::spot::{Found, Note, Spot};
use domain::names::{Key, Kind, StageName};
use domain::ticket::{Name, Ticket};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use rusqlite::Connection;
use std::borrow::Cow;
use std::sync::Arc;

/// Who drops a ticket for a newer one.
const BY: &str = "unique key";

/// When a ticket may go to work on its key.
pub(crate) enum Turn {
    Now,
    /// Once this one is gone.
    After(Name),
    /// A newer one is there.
    Never(Name),
}

/// A ticket at the door of a stage.
pub(crate) struct Newcomer<'a> {
    pub(crate) seq: i64,
    pub(crate) name: Name,
    pub(crate) stage: &'a StageName,
    pub(crate) stop: Stop,
    pub(crate) kind: &'a Kind,
    pub(crate) key: Option<&'a Key>,
    pub(crate) at: Timestamp,
}

impl<'a> Newcomer<'a> {
    /// The ticket as it is.
    pub(crate) const fn of(ticket: &'a Ticket, seq: i64, stop: Stop, at: Timestamp) -> Self {
        Self {
            seq,
            name: ticket.name,
            stage: &ticket.stage,
            stop,
            kind: &ticket.kind,
            key: ticket.key.as_ref(),
            at,
        }
    }

    /// Where it is put; whoever it supersedes is dropped. The caller writes the spot.
    pub(crate) fn admit(
        &self,
        books: &mut Books,
        db: &Connection,
        copy: impl FnOnce() -> Option<Arc<Ticket>>,
    ) -> Result<Spot<'a>, Fault> {
        if !books.claims(self.stop, self.stage, self.kind) {
            return Ok(Spot::waiting(self.stop.id, self.name, self.unclaimed()));
        }
        let lock_key = match self.key {
            Some(key) if self.stop.is_unique => Some(key.as_str()),
            _ => None,
        };
        if let Some(key) = lock_key {
            match self.take_lock(books, db, key)? {
                Turn::Now => {}
                Turn::After(other) => return Ok(self.in_line(other, key)),
                Turn::Never(newer) => return self.superseded(books, db, newer),
            }
        }
        let ready_seq = books.rise((self.stop.id, self.stage), self.seq, copy);
        let mut spot = Spot::runnable(self.stop.id, ready_seq, self.name, self.at);
        spot.lock_key = lock_key;
        Ok(spot)
    }

    /// The spot of one who waits for another with its key.
    pub(crate) fn in_line(&self, other: Name, key: &'a str) -> Spot<'a> {
        let other = other.ticket;
        let because = "another ticket with its key is at work";
        let wait = self.wait(Condition::Unique { other }, because);
        let mut spot = Spot::waiting(self.stop.id, self.name, wait);
        spot.next_key = Some(key);
        spot
    }

    fn unclaimed(&self) -> Cow<'static, Wait> {
        self.wait(Condition::Unclaimed, "no stage is configured that takes it")
    }

    fn wait(&self, condition: Condition, because: &str) -> Cow<'static, Wait> {
        Cow::Owned(Wait {
            condition,
            since: self.at,
            because: because.into(),
            oops: None,
        })
    }

    /// The spot of one who came late: a newer ticket with its key is there already.
    pub(crate) fn superseded(
        &self,
        books: &mut Books,
        db: &Connection,
        newer: Name,
    ) -> Result<Spot<'a>, Fault> {
        let why = format!("superseded by {}", newer.ticket);
        books.dropped(db, self.seq)?;
        let note = Note {
            at: self.at,
            name: self.name,
            stage: self.stop.id,
            what: "dropped",
            why: &format!("{why}, by {BY}"),
            oops: None,
        };
        note.insert(db, self.seq)?;
        Ok(Spot::dropped(self.stop.id, self.name, self.at, (why, BY)))
    }

    /// Makes room for the newest with this key. Newest is who was accepted last, not who comes
    /// last: an older ticket may come to the stage, or come back to it, after a newer one.
    pub(crate) fn take_lock(
        &self,
        books: &mut Books,
        db: &Connection,
        key: &str,
    ) -> Result<Turn, Fault> {
        let in_line = Found::in_line(db, self.stop.id, key)?.filter(|other| other.seq != self.seq);
        let owner = Found::at_work(db, self.stop.id, key)?.filter(|other| other.seq != self.seq);
        let mut others = in_line.iter().chain(&owner);
        if let Some(newer) = others.find(|other| other.seq > self.seq && !other.is_ended()) {
            return Ok(Turn::Never(newer.name));
        }
        if let Some(older) = in_line {
            supersede(books, db, &older, (self.name, self.at))?;
        }
        let Some(owner) = owner else {
            return Ok(Turn::Now);
        };
        if !is_free(books, self.stage, &owner) {
            return Ok(Turn::After(owner.name));
        }
        supersede(books, db, &owner, (self.name, self.at))?;
        Ok(Turn::Now)
    }
}

/// Whether nobody works on it. About a suspect that is not known yet, and one that was ended and
/// still has its lock is in somebody's hand.
fn is_free(books: &mut Books, stage: &StageName, owner: &Found) -> bool {
    match owner.state {
        codes::RUNNABLE => books.withdraw(stage, owner.seq),
        codes::DONE | codes::DROPPED => false,
        _ => owner.reason != Some(codes::of_reason(Reason::Suspect)),
    }
}

/// Drops a ticket because a newer one with its key is there.
pub(crate) fn supersede(
    books: &mut Books,
    db: &Connection,
    older: &Found,
    (newer, at): (Name, Timestamp),
) -> Result<(), Fault> {
    let why = format!("superseded by {}", newer.ticket);
    Spot::dropped(older.stage, older.name, at, (&why, BY)).update(db, older.seq)?;
    books.dropped(db, older.seq)?;
    repair::taken_away(books, db, (older.seq, older.stage), older.name.ticket)?;
    let note = Note {
        at,
        name: older.name,
        stage: older.stage,
        what: "dropped",
        why: &format!("{why}, by {BY}"),
        oops: None,
    };
    note.insert(db, older.seq)
}

/// An ended ticket was let go by whoever had it: its lock goes to the one in line.
pub(crate) fn unlock(
    books: &mut Books,
    db: &Connection,
    ended: &Found,
    (stage, at): (&StageName, Timestamp),
) -> Result<(), Fault> {
    let Some(key) = &ended.lock_key else {
        return Ok(());
    };
    db.prepare_cached("UPDATE places SET lock_key = NULL WHERE seq = ?1")?
        .execute([ended.seq])?;
    let_next_in(books, db, (stage, ended.stage), (key, at))
}

/// The ticket at work on this key is gone from the stage: the one in line is released.
pub(crate) fn let_next_in(
    books: &mut Books,
    db: &Connection,
    (stage, id): (&StageName, i64),
    (key, at): (&str, Timestamp),
) -> Result<(), Fault> {
    let Some(next) = Found::in_line(db, id, key)? else {
        return Ok(());
    };
    let ready_seq = books.rise((id, stage), next.seq, || None);
    let mut spot = Spot::runnable(id, ready_seq, next.name, at);
    spot.lock_key = Some(key);
    spot.update(db, next.seq)?;
    let note = Note {
        at,
        name: next.name,
        stage: id,
        what: "released",
        why: "the other ticket with its key is gone from the stage",
        oops: None,
    };
    note.insert(db, next.seq)
}
