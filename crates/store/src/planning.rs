//! Plans that people make, and what they want of them.

use crate::books::Books;
use crate::codes;
use crate::error::Fault;
use crate::releases;
use crate::rows::{self, ENTRIES, Shared};
use crate::selecting::{self, Members};
use domain::books::{Entry, Place};
use domain::filter::Query;
use domain::plan::{By, Draft, Facet, Plan, PlanId, Release, Selection, Tally, Terms};
use domain::ports::{PlanError, PlanOrder};
use domain::time::Timestamp;
use domain::wait::{Condition, Reason};
use rusqlite::{Connection, params};
use std::time::{Duration, Instant};

/// How long tickets may be looked at for a plan. Nothing else is written meanwhile, and filters
/// with expressions look at whole texts.
const TIME_MAX: Duration = Duration::from_secs(20);

const UNCHOSEN: &str = "the tickets for the plan were not found within 20 s, so none was made; \
    narrow the filter, for example by stage: or parked:";

/// A plan that somebody wants.
pub(crate) struct Wanted {
    pub(crate) query: Query,
    pub(crate) terms: Terms,
    pub(crate) by: String,
}

/// What somebody wants of a plan.
pub(crate) struct Ordered {
    pub(crate) id: PlanId,
    pub(crate) order: PlanOrder,
    pub(crate) by: String,
}

/// Freezes the tickets that match into a plan.
pub(crate) fn make(books: &mut Books, db: &Connection, wanted: &Wanted) -> Result<Plan, Fault> {
    let Wanted { query, terms, by } = wanted;
    let at = books.clock.now();
    let mut selection = Selection::asked(query, at);
    let mut choosing = Choosing::default();
    let until = Instant::now() + TIME_MAX;
    for reason in selection.source.reasons() {
        choosing.take_all(db, (reason, query), (at, until))?;
    }
    selection.count = choosing.found.len() as u64;
    let draft = Draft {
        id: PlanId::new(books.clock.ticket_id().uuid()),
        selection,
        groups: std::mem::take(&mut choosing.tally).groups(),
        terms: terms.clone(),
        repairs: None,
    };
    let plan = Plan::new(draft, By { who: by, at });
    books.boards.keep(db, plan.clone())?;
    choosing.write(db, plan.id)?;
    Ok(plan)
}

/// The tickets of a plan that is being made.
#[derive(Default)]
struct Choosing {
    /// Since when each waits, and its row.
    found: Vec<(i64, i64)>,
    tally: Tally,
}

impl Choosing {
    /// Those that match and wait for this reason.
    fn take_all(
        &mut self,
        db: &Connection,
        (reason, query): (Reason, &Query),
        (at, until): (Timestamp, Instant),
    ) -> Result<(), Fault> {
        let mut rows = db.prepare_cached(&format!(
            "{ENTRIES}WHERE p.state = 2 AND p.reason = ?1 AND p.since <= ?2"
        ))?;
        let mut rows = rows.query(params![codes::of_reason(reason), at.as_micros()])?;
        let mut shared = Shared::default();
        while let Some(row) = rows.next()? {
            if Instant::now() > until {
                return Err(Fault::TooMuch(UNCHOSEN));
            }
            // What cannot be read is released by nobody but whoever looks at it.
            if let Ok((seq, entry)) = rows::entry(row, &mut shared)
                && query.matches(&entry, at)
            {
                self.take(db, seq, &entry)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, db: &Connection, seq: i64, entry: &Entry) -> Result<(), Fault> {
        self.found.push((entry.place.since().as_micros(), seq));
        for facet in Facet::ALL {
            if let Some(value) = value_of(db, facet, seq, entry)? {
                self.tally.add(facet, value);
            }
        }
        Ok(())
    }

    fn write(mut self, db: &Connection, plan: PlanId) -> Result<(), Fault> {
        self.found.sort_unstable();
        let plan = selecting::bytes(plan);
        let mut write =
            db.prepare_cached("INSERT INTO chosen (plan, position, ticket) VALUES (?1, ?2, ?3)")?;
        for (position, (_, seq)) in (1_i64..).zip(self.found) {
            write.execute(params![plan, position, seq])?;
        }
        Ok(())
    }
}

/// What the ticket has of the facet.
fn value_of(
    db: &Connection,
    facet: Facet,
    seq: i64,
    entry: &Entry,
) -> Result<Option<String>, Fault> {
    let ticket = &entry.ticket;
    Ok(match facet {
        Facet::Kind => Some(ticket.kind.to_string()),
        Facet::Key => ticket.key.as_ref().map(ToString::to_string),
        Facet::Signature => {
            if let Place::Waiting(wait) = &entry.place
                && let Condition::Repair { signature } = wait.condition
            {
                return Ok(Some(signature.to_string()));
            }
            let mut query = db.prepare_cached("SELECT signature FROM places WHERE seq = ?1")?;
            query.query_row([seq], |row| row.get(0))?
        }
        Facet::Verdict => None,
    })
}

/// Does what somebody wants of a plan; changes nothing when it is refused.
pub(crate) fn order(
    books: &mut Books,
    db: &Connection,
    ordered: &Ordered,
) -> Result<Result<Plan, PlanError>, Fault> {
    let id = ordered.id;
    let Some(mut plan) = books.boards.plan(db, id)? else {
        return Ok(Err(PlanError::Unknown(id)));
    };
    let at = books.clock.now();
    let by = By {
        who: &ordered.by,
        at,
    };
    if let Err(refusal) = carry_out(books, db, (&mut plan, &ordered.order), by)? {
        return Ok(Err(refusal));
    }
    books
        .boards
        .with_plan(db, id, |kept| *kept = plan.clone())?;
    releases::move_gate(books, db, &plan, at)?;
    releases::tell_board(books, db, id, at)?;
    let plan = books.boards.plan(db, id)?;
    Ok(plan.ok_or(PlanError::Unknown(id)))
}

fn carry_out(
    books: &mut Books,
    db: &Connection,
    (plan, order): (&mut Plan, &PlanOrder),
    by: By,
) -> Result<Result<(), PlanError>, Fault> {
    let done = match order {
        PlanOrder::Release(choice, terms) => {
            let count = Members::of(db, plan, choice)?.count(db)?;
            let (left, out) = releases::counts(db, plan)?;
            plan.counted(left, out, by.at);
            plan.release(
                Release {
                    choice: choice.clone(),
                    count,
                    terms: terms.clone(),
                },
                by,
            )
        }
        PlanOrder::Pause => plan.pause(by),
        PlanOrder::Resume => plan.resume(by),
        PlanOrder::Stop => plan.stop(by),
        PlanOrder::Drop(choice, reason) => {
            let allowed = plan.drop_of(choice, reason, by);
            if allowed.is_ok() {
                let count = releases::drop_all(books, db, plan, (choice, reason), by)?;
                plan.dropped(count, by.at);
            }
            allowed
        }
    };
    Ok(done.map_err(PlanError::from))
}
