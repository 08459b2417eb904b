//! Ids and names of tickets, reports and problems as protobuf: numbers, so that neither writing nor
//! reading one asks for memory.

use crate::{Unreadable, proto};
use domain::oops::OopsId;
use domain::plan::PlanId;
use domain::signature::SignatureId;
use domain::ticket::{Attempt, Generation, Hop, Name, TicketId};

/// The first and the last eight bytes.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves are what is wanted"
)]
pub(crate) const fn halves(bits: u128) -> (u64, u64) {
    ((bits >> 64) as u64, bits as u64)
}

pub(crate) const fn whole(high: u64, low: u64) -> u128 {
    (high as u128) << 64 | low as u128
}

pub(crate) fn ticket_halves(id: &TicketId) -> (u64, u64) {
    halves(u128::from_be_bytes(*id.as_bytes()))
}

pub(crate) const fn ticket_id(high: u64, low: u64) -> TicketId {
    TicketId::from_bytes(whole(high, low).to_be_bytes())
}

impl From<&TicketId> for proto::Id {
    fn from(id: &TicketId) -> Self {
        let (high, low) = ticket_halves(id);
        Self { high, low }
    }
}

impl From<proto::Id> for TicketId {
    fn from(id: proto::Id) -> Self {
        ticket_id(id.high, id.low)
    }
}

impl From<OopsId> for proto::Id {
    fn from(id: OopsId) -> Self {
        let (high, low) = halves(id.as_u128());
        Self { high, low }
    }
}

impl From<proto::Id> for OopsId {
    fn from(id: proto::Id) -> Self {
        Self::from_u128(whole(id.high, id.low))
    }
}

impl From<PlanId> for proto::Id {
    fn from(id: PlanId) -> Self {
        let (high, low) = halves(id.as_u128());
        Self { high, low }
    }
}

impl From<proto::Id> for PlanId {
    fn from(id: proto::Id) -> Self {
        Self::from_u128(whole(id.high, id.low))
    }
}

impl From<SignatureId> for proto::SignatureId {
    fn from(id: SignatureId) -> Self {
        Self {
            version: id.version(),
            hash: id.hash(),
        }
    }
}

impl From<proto::SignatureId> for SignatureId {
    fn from(id: proto::SignatureId) -> Self {
        Self::new(id.version, id.hash)
    }
}

impl From<&Name> for proto::Name {
    fn from(name: &Name) -> Self {
        let (ticket_high, ticket_low) = ticket_halves(&name.ticket);
        Self {
            ticket_high,
            ticket_low,
            generation: name.generation.0,
            hop: name.hop.0,
            attempt: name.attempt.0,
        }
    }
}

impl From<proto::Name> for Name {
    fn from(name: proto::Name) -> Self {
        Self {
            ticket: ticket_id(name.ticket_high, name.ticket_low),
            generation: Generation(name.generation),
            hop: Hop(name.hop),
            attempt: Attempt(name.attempt),
        }
    }
}

/// The name that every record about a ticket must have.
pub(crate) fn required(name: Option<proto::Name>) -> Result<Name, Unreadable> {
    name.map(Name::from)
        .ok_or_else(|| Unreadable::missing("name"))
}
