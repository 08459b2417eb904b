//! What tickets are: the rows of `tickets`, which change rarely.

use super::fault::Fault;
use super::rows::Placed;
use super::text::sayable;
use super::writing::{Values, execute};
use deadpool_postgres::Transaction;
use domain::ticket::{Name, Ticket};
use domain::time::Timestamp;
use std::borrow::Cow;
use uuid::Uuid;

pub(crate) const NEW_TICKETS: &str =
    "INSERT INTO tickets (id, kind, flow, key, content_type, deadline,
   created_at, root, parent, depth, trace, payload, body_generation, body_hop)
 SELECT id, kind, flow, key, content_type, deadline, created_at, root, parent, depth, trace,
   payload, body_generation, body_hop
 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
   $7::bigint[], $8::uuid[], $9::uuid[], $10::bigint[], $11::text[], $12::bytea[],
   $13::bigint[], $14::bigint[]) WITH ORDINALITY AS u (id, kind, flow, key, content_type, deadline,
   created_at, root, parent, depth, trace, payload, body_generation, body_hop, nth)
 ORDER BY nth ON CONFLICT (id) DO NOTHING RETURNING id";

/// Only what differs is written again: most often the books know the body. A word about an earlier
/// hop that is read late must not bring an old payload back, and one that leaves the payload out
/// must not take away what is known of the same copy.
pub(crate) const SHOWN_TICKETS: &str =
    "UPDATE tickets t SET kind = u.kind, flow = u.flow, key = u.key,
   content_type = u.content_type, deadline = u.deadline, created_at = u.created_at, root = u.root,
   parent = u.parent, depth = u.depth, trace = u.trace, payload = u.payload,
   body_generation = u.body_generation, body_hop = u.body_hop
 FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[],
   $7::bigint[], $8::uuid[], $9::uuid[], $10::bigint[], $11::text[], $12::bytea[],
   $13::bigint[], $14::bigint[]) AS u (id, kind, flow, key, content_type, deadline, created_at,
   root, parent, depth, trace, payload, body_generation, body_hop)
 WHERE t.id = u.id
   AND (t.payload IS NULL OR (t.body_generation, t.body_hop) <= (u.body_generation, u.body_hop))
   AND (u.payload IS NOT NULL OR (t.body_generation, t.body_hop) < (u.body_generation, u.body_hop))
   AND (t.payload, t.content_type, t.kind, t.flow, t.key, t.deadline)
   IS DISTINCT FROM (u.payload, u.content_type, u.kind, u.flow, u.key, u.deadline)";

/// A row of `tickets`; without the ticket itself if the books have only heard its name.
pub(crate) struct Body<'a> {
    name: Name,
    ticket: Option<&'a Ticket>,
    since: Timestamp,
}

impl<'a> Body<'a> {
    pub(crate) fn of(placed: &Placed, ticket: Option<&'a Ticket>) -> Self {
        Self {
            name: placed.name,
            ticket,
            since: placed.since,
        }
    }

    pub(crate) const fn shown(ticket: &'a Ticket) -> Self {
        Self {
            name: ticket.name,
            ticket: Some(ticket),
            since: ticket.created_at,
        }
    }
}

/// The kind of a ticket of which only the name is known.
const KIND_UNKNOWN: &str = "ticket";

/// Returns how many rows were written.
pub(crate) async fn write<'a>(
    bodies: Vec<Body<'a>>,
    tx: &Transaction<'_>,
    sql: &str,
) -> Result<u64, Fault> {
    macro_rules! column {
        ($type:ty, $read:expr) => {
            bodies
                .iter()
                .map(|body| body.ticket.and_then($read))
                .collect::<Vec<Option<$type>>>()
        };
    }
    let ids: Vec<Uuid> = bodies.iter().map(|body| body.name.ticket.uuid()).collect();
    let kind = |body: &Body<'a>| body.ticket.map_or(KIND_UNKNOWN, |t| t.kind.as_str());
    let kinds: Vec<&str> = bodies.iter().map(kind).collect();
    let flows = column!(&str, |t| t.flow.as_ref().map(|flow| flow.as_str()));
    let keys = column!(&str, |t| t.key.as_ref().map(|key| key.as_str()));
    let types = column!(Cow<'_, str>, |t| t
        .payload
        .content_type
        .as_deref()
        .map(sayable));
    let deadlines = column!(i64, |t| t.deadline.map(Timestamp::as_micros));
    let created: Vec<i64> = bodies
        .iter()
        .map(|body| body.ticket.map_or(body.since, |t| t.created_at).as_micros())
        .collect();
    let roots: Vec<Uuid> = bodies
        .iter()
        .map(|body| {
            body.ticket
                .map_or(body.name.ticket, |t| t.lineage.root)
                .uuid()
        })
        .collect();
    let parents = column!(Uuid, |t| t.lineage.parent.map(|parent| parent.uuid()));
    let depths: Vec<i64> = bodies
        .iter()
        .map(|body| body.ticket.map_or(0, |t| t.lineage.depth.into()))
        .collect();
    let traces = column!(Cow<'_, str>, |t| t.trace.as_deref().map(sayable));
    // What was too large to be carried was not shown, and does not run until somebody shows it.
    let is_shown = |t: &Ticket| !wire::record::is_left_out(&t.payload);
    let payloads = column!(&[u8], |t| is_shown(t).then_some(&*t.payload.bytes));
    let generations: Vec<i64> = bodies.iter().map(|b| b.name.generation.0.into()).collect();
    let hops: Vec<i64> = bodies.iter().map(|body| body.name.hop.0.into()).collect();
    let values: &Values = &[
        &ids,
        &kinds,
        &flows,
        &keys,
        &types,
        &deadlines,
        &created,
        &roots,
        &parents,
        &depths,
        &traces,
        &payloads,
        &generations,
        &hops,
    ];
    execute(tx, sql, values).await
}
