//! Rows as values: how a ticket and its place are read, and what a place's row says.

mod waits;

pub(crate) use waits::{detail, kinds};

use super::fault::Fault;
use crate::codes;
use domain::books::{Entry, Place, State};
use domain::hearing::{Position, Spot};
use domain::names::{FlowName, Holder, Key, Kind, StageName, Version};
use domain::oops::OopsId;
use domain::plan::PlanId;
use domain::signature::SignatureId;
use domain::ticket::{Attempt, Generation, Hop, Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason, Wait};
use tokio_postgres::Row;
use uuid::Uuid;

/// What a ticket is without what it carries, of `tickets t` and `places p`.
macro_rules! fact_columns {
    () => {
        "t.id, p.generation, p.hop, p.attempt, p.stage, t.kind, t.flow, t.key, t.content_type, \
         t.deadline, t.created_at, t.root, t.parent, t.depth, t.trace"
    };
}
pub(crate) use fact_columns;

/// The columns that [`ticket`] reads, of `tickets t` and `places p`.
macro_rules! ticket_columns {
    () => {
        concat!($crate::postgres::rows::fact_columns!(), ", t.payload")
    };
}
pub(crate) use ticket_columns;

/// How many columns [`ticket`] reads.
pub(crate) const TICKET_COLUMNS: usize = 16;

/// The columns that [`placed`] reads, of `places p`.
macro_rules! place_columns {
    () => {
        "p.id, p.state, p.stage, p.generation, p.hop, p.attempt, p.since, p.holder, p.version, \
         p.claimed, p.reason, p.until, p.because, p.detail, p.mark, p.oops, p.barrier, \
         p.lock_key, p.next_key, p.signature, p.plan, p.avoid, p.alone"
    };
}
pub(crate) use place_columns;

/// How many columns [`placed`] reads.
pub(crate) const PLACE_COLUMNS: usize = 23;

/// What [`entry`] reads.
pub(crate) const ENTRIES: &str = concat!(
    "SELECT ",
    ticket_columns!(),
    ", ",
    place_columns!(),
    " FROM tickets t JOIN places p ON p.id = t.id "
);

pub(crate) const RUNNABLE: i16 = 0;
pub(crate) const RUNNING: i16 = 1;
pub(crate) const WAITING: i16 = 2;
pub(crate) const DONE: i16 = 3;
pub(crate) const DROPPED: i16 = 4;
/// About to be in its queue; for people it is runnable.
pub(crate) const PUBLISHING: i16 = 5;

/// The revision of the desired state that a ticket waits for every worker to keep to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// This one.
    At(u64),
    /// The one that comes into force with this transaction.
    New,
}

/// The row of a place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placed {
    pub(crate) name: Name,
    pub(crate) stage: StageName,
    pub(crate) state: i16,
    pub(crate) since: Timestamp,
    /// Who has it, while it is running.
    pub(crate) holder: Option<Holder>,
    /// The version of the component that last had it.
    pub(crate) version: Option<Version>,
    /// Its delivery was acked before it ran: the books have the only copy.
    pub(crate) is_claimed: bool,
    /// What it waits for; while publishing, what it comes back to.
    pub(crate) wait: Option<Wait>,
    /// Why it was dropped, and by whom.
    pub(crate) dropped: Option<(String, String)>,
    pub(crate) barrier: Option<Barrier>,
    /// The key that it is at work on, alone.
    pub(crate) lock_key: Option<String>,
    /// The key whose ticket it waits for.
    pub(crate) next_key: Option<String>,
    /// How its last attempt failed, if that is the newest word about it.
    pub(crate) signature: Option<SignatureId>,
    /// The release plan that let it go and has yet to hear of it.
    pub(crate) plan: Option<PlanId>,
    /// The versions that it must not be started on.
    pub(crate) avoid: Vec<Version>,
    /// A process died at it, so it is tried alone.
    pub(crate) is_alone: bool,
}

impl Placed {
    /// In its stage's queue.
    pub(crate) const fn runnable(name: Name, stage: StageName, since: Timestamp) -> Self {
        Self {
            name,
            stage,
            state: RUNNABLE,
            since,
            holder: None,
            version: None,
            is_claimed: false,
            wait: None,
            dropped: None,
            barrier: None,
            lock_key: None,
            next_key: None,
            signature: None,
            plan: None,
            avoid: Vec::new(),
            is_alone: false,
        }
    }

    /// In the store.
    pub(crate) fn waiting(name: Name, stage: StageName, wait: Wait) -> Self {
        let mut placed = Self::runnable(name, stage, wait.since);
        placed.put_waiting(name, wait);
        placed
    }

    /// Puts it into a wait; version, key, signature, plan and mark stay. One that waits for its
    /// trial is marked from then on.
    pub(crate) fn put_waiting(&mut self, name: Name, wait: Wait) {
        self.let_go(name, WAITING, wait.since);
        self.is_alone |= matches!(wait.condition, Condition::Trial { .. });
        self.wait = Some(wait);
    }

    /// Gives it up. Its keys are free.
    pub(crate) fn drop_for(&mut self, (why, by): (String, String), at: Timestamp) {
        self.let_go(self.name, DROPPED, at);
        self.dropped = Some((why, by));
        self.lock_key = None;
        self.next_key = None;
        self.plan = None;
        self.avoid = Vec::new();
    }

    /// Another state; nobody has it and it waits for nothing. Version, keys, signature and plan
    /// stay; so does the mark, unless it has ended or was handed on.
    pub(crate) fn let_go(&mut self, name: Name, state: i16, since: Timestamp) {
        self.is_alone &= self.name.hop == name.hop && !matches!(state, DONE | DROPPED);
        self.name = name;
        self.state = state;
        self.since = since;
        self.holder = None;
        self.is_claimed = false;
        self.wait = None;
        self.dropped = None;
        self.barrier = None;
    }

    /// Why it waits, if it does.
    pub(crate) fn reason(&self) -> Option<Reason> {
        let wait = self.wait.as_ref().filter(|_| self.state == WAITING);
        wait.map(|wait| wait.condition.reason())
    }

    /// Whether nothing moves it any more.
    pub(crate) const fn is_ended(&self) -> bool {
        matches!(self.state, DONE | DROPPED)
    }

    /// Whether the other trials of its stage wait for this one: it may be at work, or is about to
    /// be. Of a suspect nobody knows yet; the index `places_alone` says the same.
    pub(crate) fn is_tried(&self) -> bool {
        self.is_alone
            && match self.state {
                RUNNABLE | RUNNING | PUBLISHING => true,
                _ => matches!(
                    self.reason(),
                    Some(Reason::Backoff | Reason::NotNow | Reason::Suspect)
                ),
            }
    }

    /// What words of the journal are compared with.
    pub(crate) fn position(&self) -> Position {
        let spot = match self.state {
            RUNNABLE => Spot::Runnable,
            RUNNING => Spot::Running,
            DONE => Spot::Done,
            DROPPED => Spot::Dropped,
            PUBLISHING => Spot::Publishing,
            _ => Spot::Waiting(self.reason().unwrap_or(Reason::Parked)),
        };
        Position {
            name: self.name,
            spot,
        }
    }

    /// What users see.
    pub(crate) fn place(&self) -> Place {
        let since = self.since;
        match (self.state, &self.wait, &self.holder) {
            (RUNNING, _, holder) => Place::Running {
                since,
                holder: holder.clone().unwrap_or_else(Holder::unknown),
            },
            (WAITING, Some(wait), _) => Place::Waiting(wait.clone()),
            (DONE, ..) => Place::Done { at: since },
            (DROPPED, ..) => {
                let (reason, by) = self.dropped.clone().unwrap_or_default();
                Place::Dropped {
                    at: since,
                    reason,
                    by,
                }
            }
            _ => Place::Runnable { since },
        }
    }
}

/// The code of a state in a query. A publishing ticket is runnable as well: see [`PUBLISHING`].
pub(crate) const fn code_of_state(state: State) -> i16 {
    match state {
        State::Runnable => RUNNABLE,
        State::Running => RUNNING,
        State::Waiting => WAITING,
        State::Done => DONE,
        State::Dropped => DROPPED,
    }
}

pub(crate) fn code_of_reason(reason: Reason) -> i16 {
    small(codes::of_reason(reason))
}

/// A code as its column has it.
pub(crate) fn small(code: i64) -> i16 {
    i16::try_from(code).unwrap_or(i16::MAX)
}

/// The ticket, from [`ticket_columns`] that begin at `at`.
pub(crate) fn ticket(row: &Row, at: usize) -> Result<Ticket, Fault> {
    let id = ticket_id(row, at)?;
    let text = |column: usize| -> Result<Option<&str>, Fault> { Ok(row.try_get(at + column)?) };
    let payload: Option<&[u8]> = row.try_get(at + 15)?;
    let parent: Option<Uuid> = row.try_get(at + 12)?;
    let depth: i64 = row.try_get(at + 13)?;
    Ok(Ticket {
        name: name(row, id, at + 1)?,
        stage: parsed(row.try_get(at + 4)?, StageName::new)?,
        kind: parsed(row.try_get(at + 5)?, Kind::new)?,
        flow: text(6)?
            .map(|text| parsed(text, FlowName::new))
            .transpose()?,
        key: text(7)?.map(|text| parsed(text, Key::new)).transpose()?,
        payload: Payload {
            bytes: bytes::Bytes::copy_from_slice(payload.unwrap_or_default()),
            content_type: text(8)?.map(str::to_owned),
        },
        deadline: time(row, at + 9)?,
        created_at: Timestamp::from_micros(row.try_get(at + 10)?),
        lineage: Lineage {
            root: ticket_id(row, at + 11)?,
            parent: parent.map(TicketId::new),
            depth: number(depth, "a ticket's depth")?,
        },
        trace: text(14)?.map(str::to_owned),
    })
}

/// The place, from [`place_columns`] that begin at `at`.
pub(crate) fn placed(row: &Row, at: usize) -> Result<Placed, Fault> {
    let id = ticket_id(row, at)?;
    let state: i16 = row.try_get(at + 1)?;
    let since = Timestamp::from_micros(row.try_get(at + 6)?);
    let text = |column: usize| -> Result<Option<&str>, Fault> { Ok(row.try_get(at + column)?) };
    let owned = |column: usize| -> Result<Option<String>, Fault> { Ok(row.try_get(at + column)?) };
    let barrier: Option<i64> = row.try_get(at + 16)?;
    Ok(Placed {
        name: name(row, id, at + 3)?,
        stage: parsed(row.try_get(at + 2)?, StageName::new)?,
        state: match state {
            RUNNABLE..=PUBLISHING => state,
            other => return Err(Fault::row("a ticket's state", other)),
        },
        since,
        holder: text(7)?.map(|text| parsed(text, Holder::new)).transpose()?,
        version: text(8)?
            .map(|text| parsed(text, Version::new))
            .transpose()?,
        is_claimed: row.try_get(at + 9)?,
        wait: waits::read(row, at, since)?,
        dropped: match state {
            DROPPED => Some((
                owned(12)?.unwrap_or_default(),
                owned(13)?.unwrap_or_default(),
            )),
            _ => None,
        },
        barrier: barrier.map(|revision| Barrier::At(revision.cast_unsigned())),
        lock_key: owned(17)?,
        next_key: owned(18)?,
        // Nothing but a release asks for it, so a text that makes no sense is none.
        signature: text(19)?.and_then(|text| text.parse().ok()),
        plan: row.try_get::<_, Option<Uuid>>(at + 20)?.map(PlanId::new),
        avoid: match text(21)? {
            Some(lines) => versions(lines)?,
            None => Vec::new(),
        },
        is_alone: row.try_get(at + 22)?,
    })
}

/// The ticket with its place, from [`ENTRIES`]; its reports are for the caller to add.
pub(crate) fn entry(row: &Row) -> Result<Entry, Fault> {
    let placed = placed(row, TICKET_COLUMNS)?;
    Ok(Entry {
        ticket: ticket(row, 0)?,
        place: placed.place(),
        version: placed.version,
        oopses: Vec::new(),
    })
}

/// Versions, one a line; none of their names has one in it.
pub(crate) fn versions(lines: &str) -> Result<Vec<Version>, Fault> {
    lines
        .lines()
        .map(|line| parsed(line, Version::new))
        .collect()
}

/// The same as their column has it.
pub(crate) fn lines(versions: &[Version]) -> Option<String> {
    let names: Vec<&str> = versions.iter().map(|version| version.as_str()).collect();
    (!names.is_empty()).then(|| names.join("\n"))
}

/// A ticket's name from three columns: generation, hop, attempt.
pub(crate) fn name(row: &Row, ticket: TicketId, at: usize) -> Result<Name, Fault> {
    let part = |column: usize| -> Result<u32, Fault> {
        number(row.try_get(at + column)?, "a part of a ticket's name")
    };
    Ok(Name {
        ticket,
        generation: Generation(part(0)?),
        hop: Hop(part(1)?),
        attempt: Attempt(part(2)?),
    })
}

pub(crate) fn ticket_id(row: &Row, at: usize) -> Result<TicketId, Fault> {
    Ok(TicketId::new(row.try_get(at)?))
}

/// A report's id as its column has it; the order is the same.
pub(crate) const fn oops_uuid(oops: OopsId) -> Uuid {
    Uuid::from_u128(oops.as_u128())
}

pub(crate) const fn oops_id(uuid: Uuid) -> OopsId {
    OopsId::from_u128(uuid.as_u128())
}

pub(crate) fn time(row: &Row, at: usize) -> Result<Option<Timestamp>, Fault> {
    let micros: Option<i64> = row.try_get(at)?;
    Ok(micros.map(Timestamp::from_micros))
}

/// Text that was valid when it was written.
pub(crate) fn parsed<T, E: std::fmt::Display>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, Fault> {
    parse(text).map_err(|error| Fault::row("a name", error))
}

fn number(found: i64, what: &str) -> Result<u32, Fault> {
    u32::try_from(found).map_err(|_| Fault::row(what, found))
}
