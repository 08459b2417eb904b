//! Which tickets a plan is about, as SQL: what its breaker holds, or what was chosen when it was
//! made.

use crate::books::stage_id;
use crate::codes;
use crate::error::Fault;
use crate::waiting::{self, Waiter};
use domain::breaker::Scope;
use domain::plan::{Choice, Facet, GroupName, Order, Plan, PlanId};
use domain::signature::SignatureId;
use domain::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

/// The tickets of a stage that wait for a repair. The words are those of the partial index, and
/// that time is not negative is said so that no other index seems as good.
pub(crate) const HELD: &str = "p.state = 2 AND p.reason = 5 AND p.mark = 1 AND p.stage = ? \
     AND p.detail = ? AND p.since >= 0";
/// The tickets that were chosen for a plan. The plus signs keep other indexes out of it.
pub(crate) const CHOSEN: &str = "JOIN chosen c ON c.ticket = p.seq \
     WHERE c.plan = ? AND +p.state = 2 AND +p.reason IN (";

/// How many tickets a plan has released that have not ended an attempt since. An end that was told
/// to nobody leaves the plan's mark where it was.
pub(crate) const OUT: &str = "SELECT count(*) FROM places WHERE plan = ?1 AND +state < 3";
/// Since when the newest of the tickets waits that wait for this repair.
pub(crate) const NEWEST_HELD: &str = "SELECT max(p.since) FROM places p \
     WHERE p.state = 2 AND p.reason = 5 AND p.mark = 1 AND p.stage = ? AND p.detail = ? \
     AND p.since >= 0";

/// The tickets of a plan's choice that are left.
pub(crate) struct Members {
    /// What stands after the tables.
    which: String,
    /// What the oldest comes first by.
    age: &'static str,
    values: Vec<Value>,
}

impl Members {
    pub(crate) fn of(db: &Connection, plan: &Plan, choice: &Choice) -> Result<Self, Fault> {
        let mut members = Self::of_all(db, plan)?;
        members.which.push_str(" AND p.since <= ?");
        let cutoff = plan.selection.cutoff.as_micros();
        members.values.push(Value::Integer(cutoff));
        if let Choice::Group(name) = choice {
            members.only(name);
        }
        Ok(members)
    }

    fn of_all(db: &Connection, plan: &Plan) -> Result<Self, Fault> {
        if let (Some(Scope::Signature(signature)), Some(stage)) =
            (plan.repairs, &plan.selection.stage)
        {
            let stage = stage_id(db, stage)?;
            return Ok(Self {
                which: format!("WHERE {HELD}"),
                age: "p.since",
                values: vec![Value::Integer(stage), Value::Text(signature.to_string())],
            });
        }
        // Nothing waits in the books for a plan that releases a queue.
        let reasons = plan.selection.source.reasons().map(codes::of_reason);
        let reasons: Vec<String> = reasons.map(|code| code.to_string()).collect();
        Ok(Self {
            which: format!("{CHOSEN}{})", reasons.join(", ")),
            age: "c.position",
            values: vec![Value::Blob(bytes(plan.id))],
        })
    }

    /// Narrows it to a group.
    fn only(&mut self, name: &GroupName) {
        self.which.push_str(match name.facet {
            Facet::Kind => " AND t.kind = ?",
            Facet::Key => " AND t.key = ?",
            Facet::Signature => {
                " AND CASE WHEN p.reason = 5 AND p.mark = 1 THEN p.detail ELSE p.signature END = ?"
            }
            // Rules do not decide about tickets yet, so that no group has such a name.
            Facet::Verdict => " AND ? IS NULL",
        });
        self.values.push(Value::Text(name.value.clone()));
    }

    /// The first of them, at most so many.
    pub(crate) fn first(
        &self,
        db: &Connection,
        order: Order,
        max: usize,
    ) -> Result<Vec<Waiter>, Fault> {
        let age = self.age;
        let order = match order {
            Order::OldestFirst => age.to_owned(),
            Order::NewestFirst => format!("{age} DESC"),
            // A row's number is spread by a large prime; the seed turns the wheel.
            Order::Random { seed } => {
                format!("(p.seq * 2654435761 + {}) % 1000000007", seed >> 33)
            }
        };
        let which = &self.which;
        let query = format!("{}{which} ORDER BY {order} LIMIT ?", waiting::WAITERS);
        let mut values = self.values.clone();
        values.push(Value::Integer(i64::try_from(max).unwrap_or(i64::MAX)));
        waiting::waiters(db, &query, params_from_iter(values))
    }

    pub(crate) fn count(&self, db: &Connection) -> Result<u64, Fault> {
        let query = format!(
            "SELECT count(*) FROM places p JOIN tickets t ON t.seq = p.seq {}",
            self.which
        );
        let mut query = db.prepare_cached(&query)?;
        let count: i64 = query.query_row(params_from_iter(&self.values), |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }
}

/// The bytes of a plan's id, which sort by age.
pub(crate) fn bytes(id: PlanId) -> Vec<u8> {
    id.uuid().as_bytes().to_vec()
}

fn count(db: &Connection, query: &str, values: impl rusqlite::Params) -> Result<u64, Fault> {
    let mut query = db.prepare_cached(query)?;
    let count: i64 = query.query_row(values, |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// How many tickets of a stage wait for this repair.
pub(crate) fn held(db: &Connection, stage: i64, signature: SignatureId) -> Result<u64, Fault> {
    let query = format!("SELECT count(*) FROM places p WHERE {HELD}");
    count(db, &query, params![stage, signature.to_string()])
}

/// Since when the newest ticket of a stage waits that waits for this repair.
pub(crate) fn newest_held(
    db: &Connection,
    stage: i64,
    signature: SignatureId,
) -> Result<Option<Timestamp>, Fault> {
    let mut query = db.prepare_cached(NEWEST_HELD)?;
    let since = query.query_row(params![stage, signature.to_string()], |row| row.get(0))?;
    Ok(Option::<i64>::map(since, Timestamp::from_micros))
}

/// How many tickets of a stage are runnable.
pub(crate) fn runnable(db: &Connection, stage: i64) -> Result<u64, Fault> {
    let query = "SELECT count(*) FROM places WHERE state = 0 AND stage = ?1";
    count(db, query, [stage])
}

/// How many tickets that a plan has released have not ended an attempt since.
pub(crate) fn out(db: &Connection, plan: PlanId) -> Result<u64, Fault> {
    count(db, OUT, [bytes(plan)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::BOOKS;
    use tempfile::TempDir;
    use uuid::Uuid;

    #[test]
    fn what_has_ended_is_not_out_whoever_was_told() {
        let folder = TempDir::new().unwrap();
        let db = BOOKS.open(folder.path()).unwrap();
        let plan = PlanId::new(Uuid::from_u128(7));
        for (seq, state) in [
            (1, codes::RUNNABLE),
            (2, codes::WAITING),
            (3, codes::DONE),
            (4, codes::DROPPED),
        ] {
            db.execute(
                "INSERT INTO places
                   (seq, state, stage, ready_seq, generation, hop, attempt, since, plan)
                 VALUES (?1, ?2, 1, 0, 1, 0, 1, 1, ?3)",
                params![seq, state, bytes(plan)],
            )
            .unwrap();
        }
        assert_eq!(out(&db, plan).unwrap(), 2);
    }
}
