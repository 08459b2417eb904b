//! Tickets on trial: a process died at each of them, so each goes out alone until an attempt of it
//! ends in another way, or it is given up. They are in a table of their own, mirrored in memory: a
//! settlement while there are none pays for one look at a number.

use crate::books::Books;
use crate::codes::{self, Count};
use crate::error::Fault;
use crate::waiting::{self, Waiter, waiters};
use domain::outcome::OutcomeKind;
use domain::time::Timestamp;
use domain::trial::ends_trial;
use domain::wait::{Condition, Reason};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// When the first ticket of a stage may be tried alone.
pub(crate) const NEXT: &str = "SELECT p.until FROM places p WHERE p.reason = ?1 \
     AND p.until IS NOT NULL AND +p.stage = ?2 ORDER BY p.until LIMIT 1";

/// Which tickets are on trial, for the writer and for whoever reads the queues ahead. It changes
/// before the transaction is durable: until then nobody can be handed a ticket of it.
#[derive(Default)]
pub(crate) struct OnTrial {
    /// The stages, by the rows of the tickets.
    stages: RwLock<HashMap<i64, i64>>,
    count: AtomicUsize,
}

/// What the writer knows of them.
pub(crate) struct Trials {
    all: Arc<OnTrial>,
    /// Stage and row of those that may be out; none is out that is not among them. Whether one is
    /// is its place's state.
    out: BTreeSet<(i64, i64)>,
    /// What this transaction has changed, and what it was before.
    changes: Vec<(i64, Option<i64>)>,
}

impl OnTrial {
    fn read(&self) -> RwLockReadGuard<'_, HashMap<i64, i64>> {
        // The map is whole after each statement, so a panic elsewhere does not spoil it.
        self.stages.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    /// Whether the ticket of this row is to be tried alone.
    pub(crate) fn has(&self, seq: i64) -> bool {
        self.stage_of(seq).is_some()
    }

    fn stage_of(&self, seq: i64) -> Option<i64> {
        match self.is_empty() {
            true => None,
            false => self.read().get(&seq).copied(),
        }
    }

    /// Returns what it was before.
    fn set(&self, seq: i64, stage: Option<i64>) -> Option<i64> {
        let mut stages = self.stages.write().unwrap_or_else(PoisonError::into_inner);
        let before = match stage {
            Some(stage) => stages.insert(seq, stage),
            None => stages.remove(&seq),
        };
        self.count.store(stages.len(), Ordering::SeqCst);
        before
    }
}

impl Trials {
    pub(crate) const fn new(all: Arc<OnTrial>) -> Self {
        Self {
            all,
            out: BTreeSet::new(),
            changes: Vec::new(),
        }
    }

    /// Reads the table when the folder is opened. What has ended is nobody's trial any more: its
    /// row number may be given to another ticket.
    pub(crate) fn load(&mut self, db: &Connection) -> Result<(), Fault> {
        db.execute(
            "DELETE FROM alone WHERE NOT EXISTS (
               SELECT 1 FROM places WHERE seq = ticket AND places.stage = alone.stage AND state < 3)",
            [],
        )?;
        let mut query = db.prepare("SELECT ticket, stage FROM alone")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            self.all.set(row.get(0)?, Some(row.get(1)?));
        }
        self.suspect_all();
        Ok(())
    }

    /// The transaction is durable.
    pub(crate) fn committed(&mut self) {
        self.changes.clear();
    }

    /// The transaction was undone.
    pub(crate) fn undone(&mut self) {
        for (seq, before) in self.changes.drain(..).rev() {
            self.all.set(seq, before);
        }
        self.suspect_all();
    }

    /// Any of them may be out.
    fn suspect_all(&mut self) {
        let all = self.all.read();
        self.out = all.iter().map(|(seq, stage)| (*stage, *seq)).collect();
    }

    /// The ticket becomes runnable.
    pub(crate) fn rises(&mut self, seq: i64) {
        if let Some(stage) = self.all.stage_of(seq) {
            self.out.insert((stage, seq));
        }
    }

    fn change(&mut self, seq: i64, stage: Option<i64>) -> Option<i64> {
        let before = self.all.set(seq, stage);
        if before != stage {
            self.changes.push((seq, before));
        }
        before
    }

    fn stages(&self) -> BTreeSet<i64> {
        if self.all.is_empty() {
            return BTreeSet::new();
        }
        self.all.read().values().copied().collect()
    }

    /// Whether one of the stage's tickets on trial is runnable or running.
    fn is_out(&mut self, db: &Connection, stage: i64) -> Result<bool, Fault> {
        let mut query = db.prepare_cached("SELECT state FROM places WHERE seq = ?1")?;
        while let Some((_, seq)) = self.out.range((stage, i64::MIN)..=(stage, i64::MAX)).next() {
            let seq = *seq;
            let state: Option<i64> = query.query_row([seq], |row| row.get(0)).optional()?;
            if state == Some(codes::RUNNABLE) {
                return Ok(true);
            }
            self.out.remove(&(stage, seq));
        }
        Ok(false)
    }
}

impl Books {
    /// A ticket is given up for good, and so is its trial.
    pub(crate) fn dropped(&mut self, db: &Connection, seq: i64) -> Result<(), Fault> {
        self.count(0, Count::Dropped, 1);
        end(self, db, seq)
    }
}

/// A wait begins; one for its turn puts the ticket on trial.
pub(crate) fn begin(
    books: &mut Books,
    db: &Connection,
    (seq, stage): (i64, i64),
    condition: &Condition,
) -> Result<(), Fault> {
    if !matches!(condition, Condition::Trial { .. }) {
        return Ok(());
    }
    db.prepare_cached("INSERT OR REPLACE INTO alone (ticket, stage) VALUES (?1, ?2)")?
        .execute([seq, stage])?;
    books.trials.change(seq, Some(stage));
    Ok(())
}

/// An attempt has ended so, and its ticket waits for this, if for anything. Whoever did not take
/// its process along is on trial no longer, but for one that was only broken off or never began.
pub(crate) fn attempted(
    books: &mut Books,
    db: &Connection,
    seq: i64,
    (outcome, waits_for): (OutcomeKind, Option<&Condition>),
) -> Result<(), Fault> {
    if !books.trials.all.has(seq) {
        return Ok(());
    }
    books.has_case();
    match ends_trial(outcome, waits_for) {
        true => end(books, db, seq),
        false => Ok(()),
    }
}

/// The ticket is on trial no longer: the next one of its stage may have its turn.
fn end(books: &mut Books, db: &Connection, seq: i64) -> Result<(), Fault> {
    let Some(stage) = books.trials.all.stage_of(seq) else {
        return Ok(());
    };
    db.prepare_cached("DELETE FROM alone WHERE ticket = ?1")?
        .execute([seq])?;
    books.trials.change(seq, None);
    books.trials.out.remove(&(stage, seq));
    books.has_case();
    Ok(())
}

/// Of each stage the ticket whose turn it is to be tried alone, if no other is out.
pub(crate) fn turns(
    books: &mut Books,
    db: &Connection,
    now: Timestamp,
) -> Result<Vec<Waiter>, Fault> {
    let mut turns = Vec::new();
    for stage in books.trials.stages() {
        if !books.trials.is_out(db, stage)? {
            let trial = codes::of_reason(Reason::Trial);
            let values = params![trial, now.as_micros(), stage];
            turns.extend(waiters(db, waiting::TURN, values)?);
        }
    }
    Ok(turns)
}

/// Whether the ticket may go out now, as far as others on trial are concerned.
pub(crate) fn may_go(books: &mut Books, db: &Connection, waiter: &Waiter) -> Result<bool, Fault> {
    let is_turn = waiter.is_for(Reason::Trial);
    Ok(!is_turn || !books.trials.is_out(db, waiter.stage_id())?)
}

/// When the next turn comes by time. One that has to wait for another comes with that one's end.
pub(crate) fn next(books: &mut Books, db: &Connection) -> Result<Option<Timestamp>, Fault> {
    let mut next: Option<i64> = None;
    for stage in books.trials.stages() {
        if books.trials.is_out(db, stage)? {
            continue;
        }
        let until: Option<i64> = db
            .prepare_cached(NEXT)?
            .query_row([codes::of_reason(Reason::Trial), stage], |row| row.get(0))
            .optional()?;
        next = next.into_iter().chain(until).min();
    }
    Ok(next.map(Timestamp::from_micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::BOOKS;
    use tempfile::TempDir;

    #[test]
    fn what_was_undone_is_as_it_was_for_the_writer_and_for_whoever_reads_ahead() {
        let all = Arc::new(OnTrial::default());
        let mut trials = Trials::new(Arc::clone(&all));
        trials.change(1, Some(7));
        trials.committed();
        assert!(trials.out.is_empty(), "it waits");
        trials.change(1, None);
        trials.change(2, Some(7));
        trials.change(2, Some(8));
        trials.change(2, None);
        trials.undone();
        assert_eq!((all.has(1), all.has(2)), (true, false));
        assert_eq!(trials.stages(), BTreeSet::from([7]));
        assert_eq!(trials.out, BTreeSet::from([(7, 1)]), "looked up again");
        trials.undone();
        assert!(all.has(1), "what is durable stays");
    }

    #[test]
    fn what_has_ended_or_is_elsewhere_is_on_trial_no_longer_when_the_folder_is_opened() {
        let folder = TempDir::new().unwrap();
        let db = BOOKS.open(folder.path()).unwrap();
        // Waiting, runnable, done, at another stage; the fifth was forgotten.
        for (seq, state, stage) in [(1, 2, 7), (2, 0, 7), (3, 3, 7), (4, 2, 8)] {
            db.execute(
                "INSERT INTO places (seq, state, stage, ready_seq, generation, hop, attempt, since)
                 VALUES (?1, ?2, ?3, 0, 1, 0, 1, 1)",
                [seq, state, stage],
            )
            .unwrap();
        }
        for seq in 1..=5 {
            db.execute("INSERT INTO alone VALUES (?1, 7)", [seq])
                .unwrap();
        }
        let all = Arc::new(OnTrial::default());
        let mut trials = Trials::new(Arc::clone(&all));
        trials.load(&db).unwrap();
        let has: Vec<i64> = (1..=5).filter(|seq| all.has(*seq)).collect();
        assert_eq!(has, [1, 2]);
        assert!(trials.is_out(&db, 7).unwrap());
        assert!(!trials.is_out(&db, 8).unwrap());
    }
}
