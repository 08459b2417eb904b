//! The tickets that one transaction moves: read and locked at its beginning, changed in memory, and
//! written back at its end with a handful of statements, however many there are.

use super::fault::Fault;
use super::rows::{self, Placed, WAITING, place_columns};
use super::writing;
use crate::codes::{self, Count};
use deadpool_postgres::Transaction;
use domain::books::Line;
use domain::control::{Gate, Hold};
use domain::names::{Holder, StageName, Version};
use domain::oops::Scene;
use domain::ports::Kinds;
use domain::ticket::{Generation, Name, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::Reason;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

pub(crate) const PLACES: &str = concat!(
    "SELECT ",
    place_columns!(),
    " FROM places p WHERE p.id = ANY($1) ORDER BY p.id FOR UPDATE"
);
const ATTEMPTS: &str = "SELECT ticket, generation, hop, attempt, stage, holder, hostname, version,
       started_at, claimed FROM attempts WHERE ticket = ANY($1)";

/// The sums of live tickets, by state; those of waiting ones begin after [`WAITING_AT`].
pub(crate) const RUNNABLE_SUM: i16 = 10;
pub(crate) const RUNNING_SUM: i16 = 11;
/// A waiting ticket is counted under this plus the code of its reason.
pub(crate) const WAITING_AT: i16 = 20;

/// A ticket's place before and after.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) before: Option<Placed>,
    pub(crate) now: Placed,
}

/// An attempt that has begun and of whose end nobody has told.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) name: Name,
    pub(crate) stage: StageName,
    pub(crate) holder: Holder,
    pub(crate) hostname: String,
    pub(crate) version: Version,
    pub(crate) started_at: Timestamp,
    pub(crate) is_claimed: bool,
}

/// How the books have an attempt, and will have it.
#[derive(Debug)]
pub(crate) struct Tracked {
    pub(crate) open: Open,
    pub(crate) is_stored: bool,
    pub(crate) is_over: bool,
}

/// A change to the desired state.
#[derive(Debug)]
pub(crate) enum Steer {
    Hold(StageName, Hold),
    Unhold(StageName),
    /// It takes deliveries by permit only.
    Gate(StageName, Gate),
    Ungate(StageName),
    /// Nothing below this generation may run.
    Fence(TicketId, Generation),
}

/// Waits that end because something else has changed.
pub(crate) type Releases = BTreeMap<(StageName, Reason), Release>;

/// Why, when, and which of them.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) at: Timestamp,
    pub(crate) because: &'static str,
    /// Those of these kinds only.
    pub(crate) kinds: Kinds,
}

/// By how much which sum of which stage changes.
pub(crate) type Sums = BTreeMap<(String, i16), i64>;

/// What a transaction has in mind.
#[derive(Default)]
pub(crate) struct Working {
    pub(crate) places: HashMap<TicketId, Kept>,
    pub(crate) attempts: HashMap<Name, Tracked>,
    pub(crate) bodies: HashMap<TicketId, Ticket>,
    pub(crate) lines: Vec<Line>,
    pub(crate) sums: Sums,
    pub(crate) steers: Vec<Steer>,
    pub(crate) releases: Releases,
    /// The order in which new tickets came.
    pub(crate) newcomers: Vec<TicketId>,
}

/// What a transaction did beside the tickets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// The revision that is now in force, if the desired state has changed.
    pub(crate) revision: Option<u64>,
    /// How many tickets were released by what changed.
    pub(crate) released: u64,
}

impl Working {
    /// Reads and locks these tickets, as far as the books know them, and their open attempts.
    pub(crate) async fn load(tx: &Transaction<'_>, ids: Vec<TicketId>) -> Result<Self, Fault> {
        let mut working = Self::default();
        working.load_more(tx, ids).await?;
        Ok(working)
    }

    /// Reads and locks further tickets; those that it has already stay as they are.
    pub(crate) async fn load_more(
        &mut self,
        tx: &Transaction<'_>,
        ids: Vec<TicketId>,
    ) -> Result<(), Fault> {
        let ids: BTreeSet<Uuid> = ids
            .iter()
            .filter(|id| !self.places.contains_key(id))
            .map(TicketId::uuid)
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let places = tx.prepare_cached(PLACES).await?;
        let attempts = tx.prepare_cached(ATTEMPTS).await?;
        // The rows are locked by the first before the second looks: they are sent together, and the
        // server carries them out one after the other.
        let values: &[&(dyn ToSql + Sync)] = &[&ids];
        let (places, attempts) =
            tokio::try_join!(tx.query(&places, values), tx.query(&attempts, values))?;
        for row in &places {
            self.found(rows::placed(row, 0)?);
        }
        for row in &attempts {
            self.track(open(row)?);
        }
        Ok(())
    }

    /// The books have this ticket here, and its row is locked.
    pub(crate) fn found(&mut self, placed: Placed) {
        self.places.entry(placed.name.ticket).or_insert(Kept {
            before: Some(placed.clone()),
            now: placed,
        });
    }

    fn track(&mut self, open: Open) {
        let tracked = Tracked {
            is_stored: true,
            is_over: false,
            open,
        };
        self.attempts.entry(tracked.open.name).or_insert(tracked);
    }

    /// Where the ticket is by now.
    pub(crate) fn get(&self, id: TicketId) -> Option<&Placed> {
        self.places.get(&id).map(|kept| &kept.now)
    }

    /// Where the ticket is by now, to be changed.
    pub(crate) fn get_mut(&mut self, id: TicketId) -> Option<&mut Placed> {
        self.places.get_mut(&id).map(|kept| &mut kept.now)
    }

    /// Puts the ticket there; the books hear of it for the first time if they did not know it.
    pub(crate) fn put(&mut self, placed: Placed) {
        let id = placed.name.ticket;
        match self.places.get_mut(&id) {
            Some(kept) => kept.now = placed,
            None => {
                self.newcomers.push(id);
                let kept = Kept {
                    before: None,
                    now: placed,
                };
                self.places.insert(id, kept);
            }
        }
    }

    /// Shows the books what the ticket is.
    pub(crate) fn show(&mut self, ticket: &Ticket) {
        self.bodies.insert(ticket.id(), ticket.clone());
    }

    /// An attempt has begun; nothing new if the books knew that.
    pub(crate) fn open(
        &mut self,
        (name, stage): (Name, &StageName),
        scene: &Scene,
        at: Timestamp,
        is_claimed: bool,
    ) {
        let open = Open {
            name,
            stage: stage.clone(),
            holder: scene.holder.clone(),
            hostname: scene.hostname.clone(),
            version: scene.version.clone(),
            started_at: at,
            is_claimed,
        };
        self.attempts.entry(name).or_insert(Tracked {
            open,
            is_stored: false,
            is_over: false,
        });
    }

    /// The open attempt of this name.
    pub(crate) fn open_attempt(&self, name: &Name) -> Option<&Open> {
        let tracked = self.attempts.get(name);
        tracked
            .filter(|tracked| !tracked.is_over)
            .map(|tracked| &tracked.open)
    }

    /// Whether an attempt of this ticket is open, whatever its name.
    pub(crate) fn has_open_attempt(&self, id: TicketId) -> bool {
        let mut tracked = self.attempts.values();
        tracked.any(|tracked| tracked.open.name.ticket == id && !tracked.is_over)
    }

    /// The attempt has ended and that is told. False when no such attempt was open.
    pub(crate) fn close(&mut self, name: &Name) -> bool {
        let open = self
            .attempts
            .get_mut(name)
            .filter(|tracked| !tracked.is_over);
        open.map(|tracked| tracked.is_over = true).is_some()
    }

    /// A line of history.
    pub(crate) fn tell(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Counts what is not a ticket's place: attempts, and what was forgotten.
    pub(crate) fn count(&mut self, stage: &str, what: Count, by: i64) {
        let sum = (stage.to_owned(), rows::small(what.code()));
        *self.sums.entry(sum).or_insert(0) += by;
    }

    /// Changes the desired state with this transaction.
    pub(crate) fn steer(&mut self, steer: Steer) {
        self.steers.push(steer);
    }

    /// Releases, with this transaction, every ticket of the stage that waits for this reason.
    pub(crate) fn release(
        &mut self,
        (stage, reason): (&StageName, Reason),
        at: Timestamp,
        because: &'static str,
    ) {
        let kinds = None;
        let release = Release { at, because, kinds };
        self.releases.insert((stage.clone(), reason), release);
    }

    /// Releases, with this transaction, tickets of these kinds that wait for somebody who takes
    /// them at this stage.
    pub(crate) fn claim(
        &mut self,
        (stage, kinds): (&StageName, Kinds),
        at: Timestamp,
        because: &'static str,
    ) {
        let key = (stage.clone(), Reason::Unclaimed);
        let kinds = match self.releases.remove(&key) {
            Some(before) => before.kinds.zip(kinds).map(|(one, other)| &one | &other),
            None => kinds,
        };
        self.releases.insert(key, Release { at, because, kinds });
    }

    /// Writes everything back; the caller commits. `shard` is which of the sums' rows it adds to.
    pub(crate) async fn write(self, tx: &Transaction<'_>, shard: i16) -> Result<Written, Fault> {
        writing::write(self, tx, shard).await
    }

    /// Whether a wait begins that the leader must know of.
    pub(crate) fn has_new_waits(&self) -> bool {
        let mut kept = self.places.values();
        kept.any(|kept| kept.now.state == WAITING && kept.before.as_ref() != Some(&kept.now))
    }

    /// Whether a trial is over, so that the next one of its stage can be made.
    pub(crate) fn ends_trial(&self) -> bool {
        let was_tried = |kept: &Kept| kept.before.as_ref().is_some_and(Placed::is_tried);
        let mut kept = self.places.values();
        kept.any(|kept| was_tried(kept) && !kept.now.is_tried())
    }

    /// By how much the sums change.
    pub(crate) fn sums(&self) -> Sums {
        let mut sums = self.sums.clone();
        let mut add = |stage: &str, what: i16, by: i64| {
            *sums.entry((stage.to_owned(), what)).or_insert(0) += by;
        };
        for kept in self.places.values() {
            let (before, now) = (kept.before.as_ref(), &kept.now);
            if before.is_none() {
                add("", rows::small(Count::Accepted.code()), 1);
            }
            if let Some(before) = before
                && let Some(what) = sum_of(before)
            {
                add(before.stage.as_str(), what, -1);
            }
            match sum_of(now) {
                Some(what) => add(now.stage.as_str(), what, 1),
                None if before.is_some_and(Placed::is_ended) => {}
                None => add("", rows::small(ended_as(now.state).code()), 1),
            }
        }
        sums.retain(|_, by| *by != 0);
        sums
    }
}

/// Under what a live ticket is counted.
fn sum_of(placed: &Placed) -> Option<i16> {
    match placed.state {
        rows::RUNNABLE | rows::PUBLISHING => Some(RUNNABLE_SUM),
        rows::RUNNING => Some(RUNNING_SUM),
        WAITING => Some(waiting_sum(placed.reason().unwrap_or(Reason::Parked))),
        _ => None,
    }
}

/// Under what tickets that wait for this reason are counted.
pub(crate) fn waiting_sum(reason: Reason) -> i16 {
    WAITING_AT + rows::small(codes::of_reason(reason))
}

const fn ended_as(state: i16) -> Count {
    match state {
        rows::DONE => Count::Done,
        _ => Count::Dropped,
    }
}

fn open(row: &Row) -> Result<Open, Fault> {
    let id = rows::ticket_id(row, 0)?;
    Ok(Open {
        name: rows::name(row, id, 1)?,
        stage: rows::parsed(row.try_get(4)?, StageName::new)?,
        holder: rows::parsed(row.try_get(5)?, Holder::new)?,
        hostname: row.try_get(6)?,
        version: rows::parsed(row.try_get(7)?, Version::new)?,
        started_at: Timestamp::from_micros(row.try_get(8)?),
        is_claimed: row.try_get(9)?,
    })
}
