//! What the records of a message have in common, as it was read.

use super::ticket;
use crate::fields::{Fields, Value};
use crate::{Unreadable, proto};
use domain::names::{BadName, FlowName, Holder, Kind, StageName, Version};
use domain::oops::Scene;
use domain::ticket::Ticket;
use prost::Message;
use std::str::FromStr;
use std::sync::Arc;

/// The most entries of all tables and records together. A group that fits a broker's usual largest
/// message has fewer; more of them are an attack on our memory, since an entry is larger in it.
const ENTRIES_MAX: usize = 1 << 20;

/// The tables of one message.
#[derive(Default)]
pub(super) struct Tables {
    holders: Vec<Holder>,
    stages: Vec<StageName>,
    kinds: Vec<Kind>,
    flows: Vec<FlowName>,
    scenes: Vec<Arc<Scene>>,
    /// Each is taken by the one record that it belongs to.
    tickets: Vec<Option<Ticket>>,
}

/// The parts of a message that can be read only once all texts are known.
#[derive(Default)]
struct Parts<'a> {
    scenes: Vec<&'a [u8]>,
    tickets: Vec<&'a [u8]>,
    records: Vec<&'a [u8]>,
    count: Option<u64>,
}

impl Tables {
    /// Reads the tables; returns them and the records, which are not read yet.
    pub(super) fn read(message: &[u8]) -> Result<(Self, Vec<&[u8]>), Unreadable> {
        let mut tables = Self::default();
        let parts = tables.texts(message)?;
        if parts.count != Some(parts.records.len() as u64) {
            return Err(Unreadable::cut());
        }
        for (at, scene) in parts.scenes.into_iter().enumerate() {
            let read = tables.read_scene(scene);
            let scene = read.map_err(|error| error.within(format_args!("scene {at}")))?;
            tables.scenes.push(Arc::new(scene));
        }
        for (at, ticket) in parts.tickets.into_iter().enumerate() {
            let read = ticket::read(ticket, &tables);
            let ticket = read.map_err(|error| error.within(format_args!("ticket {at}")))?;
            tables.tickets.push(Some(ticket));
        }
        Ok((tables, parts.records))
    }

    fn texts<'a>(&mut self, message: &'a [u8]) -> Result<Parts<'a>, Unreadable> {
        let mut parts = Parts::default();
        for (at, field) in Fields::new(message).enumerate() {
            if at >= ENTRIES_MAX {
                return Err(Unreadable::new(format!(
                    "expected at most {ENTRIES_MAX} entries, got more"
                )));
            }
            match field? {
                (1, Value::Bytes(text)) => self.holders.push(name("holder", text)?),
                (2, Value::Bytes(text)) => self.stages.push(name("stage", text)?),
                (3, Value::Bytes(text)) => self.kinds.push(name("kind", text)?),
                (4, Value::Bytes(text)) => self.flows.push(name("flow", text)?),
                (5, Value::Bytes(scene)) => parts.scenes.push(scene),
                (6, Value::Bytes(ticket)) => parts.tickets.push(ticket),
                (7, Value::Bytes(record)) => parts.records.push(record),
                (2047, Value::Varint(count)) => parts.count = Some(count),
                // A newer version has more to say.
                (_, Value::Bytes(_) | Value::Varint(_) | Value::Fixed) => {}
            }
        }
        Ok(parts)
    }

    fn read_scene(&self, bytes: &[u8]) -> Result<Scene, Unreadable> {
        let scene = proto::Scene::decode(bytes).map_err(Unreadable::new)?;
        Ok(Scene {
            holder: self.holder(scene.holder)?,
            hostname: scene.hostname,
            version: Version::new(&scene.version).map_err(Unreadable::new)?,
        })
    }

    pub(super) fn holder(&self, place: u32) -> Result<Holder, Unreadable> {
        entry("holder", &self.holders, place).cloned()
    }

    pub(super) fn stage(&self, place: u32) -> Result<StageName, Unreadable> {
        entry("stage", &self.stages, place).cloned()
    }

    pub(super) fn kind(&self, place: u32) -> Result<Kind, Unreadable> {
        entry("kind", &self.kinds, place).cloned()
    }

    pub(super) fn flow(&self, place: u32) -> Result<FlowName, Unreadable> {
        entry("flow", &self.flows, place).cloned()
    }

    pub(super) fn scene(&self, place: u32) -> Result<Arc<Scene>, Unreadable> {
        entry("scene", &self.scenes, place).cloned()
    }

    /// Takes a ticket out. A second record that wants it is wrong: copies of one large ticket
    /// could otherwise fill our memory.
    pub(super) fn take_ticket(&mut self, place: u32) -> Result<Ticket, Unreadable> {
        let index = usize::try_from(place).unwrap_or(usize::MAX);
        let length = self.tickets.len();
        let ticket = self.tickets.get_mut(index);
        ticket.and_then(Option::take).ok_or_else(|| {
            Unreadable::new(format!(
                "ticket: expected one of the {length} in the message that no other record has, \
                 got number {place}"
            ))
        })
    }
}

fn entry<'a, T>(noun: &str, table: &'a [T], place: u32) -> Result<&'a T, Unreadable> {
    let index = usize::try_from(place).unwrap_or(usize::MAX);
    table.get(index).ok_or_else(|| {
        Unreadable::new(format!(
            "{noun}: expected one of the {} in the message, got number {place}",
            table.len()
        ))
    })
}

fn name<T: FromStr<Err = BadName>>(noun: &str, text: &[u8]) -> Result<T, Unreadable> {
    let text = std::str::from_utf8(text)
        .map_err(|error| Unreadable::new(format!("{noun}: expected UTF-8, got {error}")))?;
    text.parse().map_err(Unreadable::new)
}
