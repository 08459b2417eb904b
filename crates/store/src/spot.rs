//! The row of a place, as it is written.

use crate::codes;
use crate::error::Fault;
use domain::oops::OopsId;
use domain::plan::PlanId;
use domain::ticket::{Name, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use rusqlite::{CachedStatement, Connection, ToSql, params, params_from_iter};
use std::borrow::Cow;

/// Everything that a place's row says but the version that last had it.
#[derive(Clone, Debug)]
pub(crate) struct Spot<'a> {
    pub(crate) state: i64,
    pub(crate) stage: i64,
    pub(crate) ready_seq: i64,
    pub(crate) name: Name,
    pub(crate) since: Timestamp,
    pub(crate) wait: Option<Cow<'a, Wait>>,
    /// Why it was dropped, and by whom.
    pub(crate) dropped: Option<(Cow<'a, str>, &'a str)>,
    /// The key that this ticket is at work on, alone.
    pub(crate) lock_key: Option<&'a str>,
    /// The key whose ticket it waits for.
    pub(crate) next_key: Option<&'a str>,
}

macro_rules! update {
    ($rest:literal) => {
        concat!(
            "UPDATE places SET state = ?2, stage = ?3, ready_seq = ?4, generation = ?5, hop = ?6,
               attempt = ?7, since = ?8, reason = ?9, until = ?10, because = ?11, detail = ?12,
               mark = ?13, oops = ?14, lock_key = ?15, next_key = ?16, signature = NULL ",
            $rest
        )
    };
}

impl<'a> Spot<'a> {
    pub(crate) const fn runnable(stage: i64, ready_seq: i64, name: Name, since: Timestamp) -> Self {
        Self {
            state: codes::RUNNABLE,
            stage,
            ready_seq,
            name,
            since,
            wait: None,
            dropped: None,
            lock_key: None,
            next_key: None,
        }
    }

    pub(crate) fn waiting(stage: i64, name: Name, wait: impl Into<Cow<'a, Wait>>) -> Self {
        let wait = wait.into();
        Self {
            state: codes::WAITING,
            since: wait.since,
            wait: Some(wait),
            ..Self::runnable(stage, 0, name, Timestamp::EPOCH)
        }
    }

    pub(crate) fn dropped(
        stage: i64,
        name: Name,
        at: Timestamp,
        (why, by): (impl Into<Cow<'a, str>>, &'a str),
    ) -> Self {
        Self {
            state: codes::DROPPED,
            dropped: Some((why.into(), by)),
            ..Self::runnable(stage, 0, name, at)
        }
    }

    /// Whether it says nothing but that the ticket is runnable.
    pub(crate) const fn is_plain(&self) -> bool {
        self.state == codes::RUNNABLE && self.lock_key.is_none()
    }

    pub(crate) fn insert(&self, db: &Connection, seq: i64) -> Result<(), Fault> {
        let mut statement = db.prepare_cached(
            "INSERT INTO places (seq, state, stage, ready_seq, generation, hop, attempt, since,
               reason, until, because, detail, mark, oops, lock_key, next_key)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?;
        self.execute(&mut statement, seq, None)
    }

    pub(crate) fn update(&self, db: &Connection, seq: i64) -> Result<(), Fault> {
        let mut statement = db.prepare_cached(update!("WHERE seq = ?1"))?;
        self.execute(&mut statement, seq, None)
    }

    /// The same, and this plan has let it go.
    pub(crate) fn update_for(&self, plan: PlanId, db: &Connection, seq: i64) -> Result<(), Fault> {
        let mut statement = db.prepare_cached(update!(", plan = ?17 WHERE seq = ?1"))?;
        self.execute(&mut statement, seq, Some(plan))
    }

    fn execute(
        &self,
        statement: &mut CachedStatement,
        seq: i64,
        plan: Option<PlanId>,
    ) -> Result<(), Fault> {
        let wait = self.wait.as_deref();
        let (detail, mark) = wait.map_or((None, None), |wait| detail(&wait.condition));
        let because = wait.map(|wait| wait.because.as_str());
        let dropped = self.dropped.as_ref();
        let until = wait.and_then(|wait| wait.condition.until());
        let values: [&dyn ToSql; 16] = [
            &seq,
            &self.state,
            &self.stage,
            &self.ready_seq,
            &self.name.generation.0,
            &self.name.hop.0,
            &self.name.attempt.0,
            &self.since.as_micros(),
            &wait.map(|wait| codes::of_reason(wait.condition.reason())),
            &until.map(Timestamp::as_micros),
            &because.or(dropped.map(|(why, _)| &**why)),
            &detail.as_deref().or(dropped.map(|(_, by)| *by)),
            &mark,
            &wait.and_then(|wait| wait.oops).map(bits),
            &self.lock_key,
            &self.next_key,
        ];
        let plan = plan.map(|plan| *plan.uuid().as_bytes());
        let plan = plan.as_ref().map(|plan| plan as &dyn ToSql);
        statement.execute(params_from_iter(values.into_iter().chain(plan)))?;
        Ok(())
    }
}

/// The mark of a held ticket that waits for a repair; the detail is then a signature.
pub(crate) const REPAIR: i64 = 1;

fn detail(condition: &Condition) -> (Option<Cow<'_, str>>, Option<i64>) {
    match condition {
        Condition::Held { version } => {
            let version = version.as_ref().map(|version| version.as_str().into());
            (version, None)
        }
        Condition::Repair { signature } => (Some(signature.to_string().into()), Some(REPAIR)),
        Condition::Suspect { holder, started_at } => (
            Some(holder.as_str().into()),
            started_at.map(Timestamp::as_micros),
        ),
        Condition::Unique { other } => (Some(other.to_string().into()), None),
        Condition::Pending { once_started, .. } => (None, once_started.map(Timestamp::as_micros)),
        Condition::Backoff { .. }
        | Condition::NotNow { .. }
        | Condition::Parked
        | Condition::Unclaimed
        | Condition::Trial { .. } => (None, None),
    }
}

/// What a pending ticket waits for has started, and has to end by then.
pub(crate) fn started(db: &Connection, seq: i64, until: Timestamp) -> Result<(), Fault> {
    db.prepare_cached("UPDATE places SET until = ?2, mark = NULL WHERE seq = ?1")?
        .execute(params![seq, until.as_micros()])?;
    Ok(())
}

/// The bytes of a report's id, which sort like the ids.
pub(crate) const fn bits(oops: OopsId) -> [u8; 16] {
    oops.as_u128().to_be_bytes()
}

/// A line of history that is not an attempt.
pub(crate) struct Note<'a> {
    pub(crate) at: Timestamp,
    pub(crate) name: Name,
    pub(crate) stage: i64,
    pub(crate) what: &'a str,
    pub(crate) why: &'a str,
    pub(crate) oops: Option<OopsId>,
}

impl Note<'_> {
    pub(crate) fn insert(&self, db: &Connection, seq: i64) -> Result<(), Fault> {
        let mut statement = db.prepare_cached(
            "INSERT INTO notes (ticket, at, generation, hop, attempt, stage, what, why, oops)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        statement.execute(params![
            seq,
            self.at.as_micros(),
            self.name.generation.0,
            self.name.hop.0,
            self.name.attempt.0,
            self.stage,
            self.what,
            self.why,
            self.oops.map(bits),
        ])?;
        crate::history::trim_notes(db, seq, &self.name)
    }
}

/// What the books know of a ticket in few words, for those who are about to move it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) seq: i64,
    pub(crate) state: i64,
    pub(crate) reason: Option<i64>,
    pub(crate) stage: i64,
    pub(crate) name: Name,
    pub(crate) lock_key: Option<String>,
    pub(crate) until: Option<Timestamp>,
}

macro_rules! found {
    ($which:literal) => {
        concat!(
            "SELECT p.seq, p.state, p.reason, p.stage, t.id, p.generation, p.hop, p.attempt, \
             p.lock_key, p.until FROM places p JOIN tickets t ON t.seq = p.seq WHERE ",
            $which
        )
    };
}

impl Found {
    /// Whether nothing moves it any more.
    pub(crate) const fn is_ended(&self) -> bool {
        matches!(self.state, codes::DONE | codes::DROPPED)
    }

    pub(crate) fn by_id(db: &Connection, id: TicketId) -> Result<Option<Self>, Fault> {
        Self::one(db, found!("t.id = ?1"), params![id.as_bytes()])
    }

    pub(crate) fn by_seq(db: &Connection, seq: i64) -> Result<Option<Self>, Fault> {
        Self::one(db, found!("p.seq = ?1"), params![seq])
    }

    /// The ticket that is alone at work on this key.
    pub(crate) fn at_work(db: &Connection, stage: i64, key: &str) -> Result<Option<Self>, Fault> {
        let query = found!("p.stage = ?1 AND p.lock_key = ?2");
        Self::one(db, query, params![stage, key])
    }

    /// The ticket that waits for the one at work.
    pub(crate) fn in_line(db: &Connection, stage: i64, key: &str) -> Result<Option<Self>, Fault> {
        let query = found!("p.stage = ?1 AND p.next_key = ?2");
        Self::one(db, query, params![stage, key])
    }

    fn one(
        db: &Connection,
        query: &str,
        values: impl rusqlite::Params,
    ) -> Result<Option<Self>, Fault> {
        let mut found = db.prepare_cached(query)?;
        let mut rows = found.query(values)?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let seq = row.get(0)?;
        // An unreadable one must not keep its ticket from being parked.
        let id = crate::rows::ticket_id(row, 4);
        let id = id.unwrap_or_else(|_| crate::rows::id_of_row(seq));
        Ok(Some(Self {
            seq,
            state: row.get(1)?,
            reason: row.get(2)?,
            stage: row.get(3)?,
            name: crate::rows::name(row, id, 5)?,
            lock_key: row.get(8)?,
            until: row.get::<_, Option<i64>>(9)?.map(Timestamp::from_micros),
        }))
    }
}
