//! The desired state, as everybody reads it.

use super::fault::Fault;
use super::repairs::Gated;
use super::rows::{oops_id, parsed};
use domain::control::{Hold, Snapshot};
use domain::names::{StageName, Version};
use domain::ticket::{Generation, TicketId};
use domain::time::Timestamp;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

/// Revision, holds, gates and fences in one statement, so of one moment. A hold has its stage, a
/// fence its ticket, a gate its stage in a column of its own; none is in the row that is only about
/// the revision.
const SNAPSHOT: &str = "SELECT c.revision, h.stage, h.since, h.reason, h.by, h.version, h.oops, \
       NULL::uuid, NULL::bigint, NULL::text, NULL::bigint, NULL::text, NULL::bigint, NULL::text, \
       NULL::boolean FROM control c LEFT JOIN holds h ON TRUE \
     UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, ticket, generation, \
       NULL, NULL, NULL, NULL, NULL, NULL FROM fences \
     UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
       stage, since, reason, permit, holder, is_used FROM gates";
/// Where the columns of a gate begin.
const GATE_AT: usize = 9;

/// The desired state in force.
pub(super) async fn read(client: &impl GenericClient) -> Result<Snapshot, Fault> {
    let mut snapshot = Snapshot::default();
    for row in client.query(SNAPSHOT, &[]).await? {
        if let Some(revision) = row.try_get::<_, Option<i64>>(0)? {
            snapshot.revision = revision.cast_unsigned();
        }
        if let Some((stage, hold)) = hold(&row)? {
            snapshot.holds.insert(stage, hold);
        }
        if let Some((ticket, generation)) = fence(&row)? {
            snapshot.fences.insert(ticket, generation);
        }
        if let Some(stage) = row.try_get::<_, Option<&str>>(GATE_AT)? {
            let gate = Gated::read(&row, GATE_AT + 1)?.gate();
            snapshot.gates.insert(parsed(stage, StageName::new)?, gate);
        }
    }
    Ok(snapshot)
}

fn hold(row: &Row) -> Result<Option<(StageName, Hold)>, Fault> {
    let Some(stage) = row.try_get::<_, Option<&str>>(1)? else {
        return Ok(None);
    };
    let version: Option<&str> = row.try_get(5)?;
    let oops: Option<Uuid> = row.try_get(6)?;
    let hold = Hold {
        since: Timestamp::from_micros(row.try_get(2)?),
        reason: row.try_get(3)?,
        by: row.try_get(4)?,
        version: version.map(|text| parsed(text, Version::new)).transpose()?,
        oops: oops.map(oops_id),
    };
    Ok(Some((parsed(stage, StageName::new)?, hold)))
}

fn fence(row: &Row) -> Result<Option<(TicketId, Generation)>, Fault> {
    let Some(ticket) = row.try_get::<_, Option<Uuid>>(7)? else {
        return Ok(None);
    };
    let generation: i64 = row.try_get(8)?;
    let generation = u32::try_from(generation);
    let generation = generation.map_err(|error| Fault::row("a fence's generation", error))?;
    Ok(Some((TicketId::new(ticket), Generation(generation))))
}

/// Raises the revision and changes nothing else: every live worker answers it at once.
pub(super) async fn bump(client: &impl GenericClient) -> Result<(), Fault> {
    let bump = "UPDATE control SET revision = revision + 1";
    client.execute(bump, &[]).await?;
    Ok(())
}
