//! The lines of history, as they are written.

use super::fault::Fault;
use super::rows;
use super::text::sayable;
use super::writing::{Values, execute};
use crate::codes;
use deadpool_postgres::Transaction;
use domain::books::{Fact, Line};
use domain::ticket::Name;
use std::borrow::Cow;
use std::time::Duration;
use uuid::Uuid;

const LINES: &str = "INSERT INTO history (at, ticket, generation, hop, attempt, stage, started_at,
   outcome, holder, version, oops, memory, cpu_user, cpu_system, what, why)
 SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[],
   $6::text[], $7::bigint[], $8::smallint[], $9::text[], $10::text[], $11::uuid[],
   $12::bigint[], $13::bigint[], $14::bigint[], $15::text[], $16::text[])";

/// The columns of names, an array each.
pub(crate) struct Names {
    pub(crate) tickets: Vec<Uuid>,
    pub(crate) generations: Vec<i64>,
    pub(crate) hops: Vec<i64>,
    pub(crate) attempts: Vec<i64>,
}

impl Names {
    pub(crate) fn of<'a>(names: impl Iterator<Item = &'a Name> + Clone) -> Self {
        Self {
            tickets: names.clone().map(|name| name.ticket.uuid()).collect(),
            generations: names.clone().map(|name| name.generation.0.into()).collect(),
            hops: names.clone().map(|name| name.hop.0.into()).collect(),
            attempts: names.map(|name| name.attempt.0.into()).collect(),
        }
    }
}

/// The columns of what a line tells, an array each.
#[derive(Default)]
struct Facts<'a> {
    started: Vec<Option<i64>>,
    outcomes: Vec<Option<i16>>,
    holders: Vec<Option<&'a str>>,
    versions: Vec<Option<&'a str>>,
    oopses: Vec<Option<Uuid>>,
    memory: Vec<Option<i64>>,
    cpu_user: Vec<Option<i64>>,
    cpu_system: Vec<Option<i64>>,
    what: Vec<Option<Cow<'a, str>>>,
    why: Vec<Option<Cow<'a, str>>>,
}

impl<'a> Facts<'a> {
    fn add(&mut self, fact: &'a Fact) {
        let micros = |length: Duration| i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        match fact {
            Fact::Attempted {
                started_at,
                outcome,
                version,
                holder,
                oops,
                usage,
            } => {
                let memory = usage.memory_bytes_max;
                self.started.push(Some(started_at.as_micros()));
                self.outcomes
                    .push(Some(rows::small(codes::of_outcome(*outcome))));
                self.holders.push(Some(holder.as_str()));
                self.versions.push(Some(version.as_str()));
                self.oopses.push(oops.map(rows::oops_uuid));
                self.memory
                    .push(memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)));
                self.cpu_user.push(usage.cpu_user.map(micros));
                self.cpu_system.push(usage.cpu_system.map(micros));
                self.what.push(None);
                self.why.push(None);
            }
            Fact::Noted { what, why, oops } => {
                self.started.push(None);
                self.outcomes.push(None);
                self.holders.push(None);
                self.versions.push(None);
                self.oopses.push(oops.map(rows::oops_uuid));
                self.memory.push(None);
                self.cpu_user.push(None);
                self.cpu_system.push(None);
                self.what.push(Some(sayable(what)));
                self.why.push(Some(sayable(why)));
            }
        }
    }
}

/// Writes the lines down.
pub(crate) async fn write(lines: &[Line], tx: &Transaction<'_>) -> Result<(), Fault> {
    if lines.is_empty() {
        return Ok(());
    }
    let at: Vec<i64> = lines.iter().map(|line| line.at.as_micros()).collect();
    let stages: Vec<&str> = lines.iter().map(|line| line.stage.as_str()).collect();
    let names = Names::of(lines.iter().map(|line| &line.name));
    let mut facts = Facts::default();
    for line in lines {
        facts.add(&line.fact);
    }
    let values: &Values = &[
        &at,
        &names.tickets,
        &names.generations,
        &names.hops,
        &names.attempts,
        &stages,
        &facts.started,
        &facts.outcomes,
        &facts.holders,
        &facts.versions,
        &facts.oopses,
        &facts.memory,
        &facts.cpu_user,
        &facts.cpu_system,
        &facts.what,
        &facts.why,
    ];
    execute(tx, LINES, values).await?;
    Ok(())
}
