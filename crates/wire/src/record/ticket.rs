//! Tickets inside a message of records.

use super::tables::Tables;
use super::write::Writer;
use crate::{Unreadable, ids, proto};
use domain::names::Key;
use domain::ticket::{Lineage, Payload, Ticket};
use domain::time::Timestamp;
use prost::Message;

pub(super) fn write<'a>(ticket: &'a Ticket, writer: &mut Writer<'a>) -> proto::Ticket {
    let flow = ticket.flow.as_ref();
    proto::Ticket {
        name: Some((&ticket.name).into()),
        kind: writer.kinds.place(ticket.kind.as_str()),
        flow: flow.map(|flow| writer.flows.place(flow.as_str())),
        stage: writer.stages.place(ticket.stage.as_str()),
        key: ticket.key.as_ref().map(ToString::to_string),
        content: ticket.payload.bytes.clone(),
        content_type: ticket.payload.content_type.clone(),
        deadline_us: ticket.deadline.map(Timestamp::as_micros),
        created_at_us: ticket.created_at.as_micros(),
        lineage: lineage_of(ticket),
        traceparent: ticket.trace.clone(),
    }
}

/// Most tickets come from outside, and their lineage says nothing that their name does not.
fn lineage_of(ticket: &Ticket) -> Option<proto::Lineage> {
    let lineage = &ticket.lineage;
    (*lineage != Lineage::root(ticket.id())).then(|| proto::Lineage {
        root: Some((&lineage.root).into()),
        parent: lineage.parent.as_ref().map(Into::into),
        depth: lineage.depth,
    })
}

pub(super) fn read(bytes: &[u8], tables: &Tables) -> Result<Ticket, Unreadable> {
    let ticket = proto::Ticket::decode(bytes).map_err(Unreadable::new)?;
    let name = ids::required(ticket.name)?;
    let lineage = match ticket.lineage {
        None => Lineage::root(name.ticket),
        Some(lineage) => Lineage {
            root: lineage
                .root
                .ok_or_else(|| Unreadable::missing("root"))?
                .into(),
            parent: lineage.parent.map(Into::into),
            depth: lineage.depth,
        },
    };
    let key = ticket.key.as_deref().map(Key::new).transpose();
    Ok(Ticket {
        name,
        kind: tables.kind(ticket.kind)?,
        flow: ticket.flow.map(|flow| tables.flow(flow)).transpose()?,
        stage: tables.stage(ticket.stage)?,
        key: key.map_err(Unreadable::new)?,
        payload: Payload {
            bytes: ticket.content,
            content_type: ticket.content_type,
        },
        deadline: ticket.deadline_us.map(Timestamp::from_micros),
        created_at: Timestamp::from_micros(ticket.created_at_us),
        lineage,
        trace: ticket.traceparent,
    })
}
