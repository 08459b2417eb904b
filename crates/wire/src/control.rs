//! The desired state as bytes: protobuf `goaround.v1.Control`.

use crate::unreadable::bounded;
use crate::{Unreadable, ids, proto};
use bytes::Bytes;
use domain::control::{Gate, Hold, Permit, Snapshot};
use domain::names::{Holder, StageName, Version};
use domain::ticket::{Generation, TicketId};
use domain::time::Timestamp;
use prost::Message;

/// What the bytes are called where they travel.
pub const CONTENT_TYPE: &str = "application/x-protobuf; proto=goaround.v1.Control";

/// The longest snapshot that is read: room for 100 times the fences that may be in force.
pub const BYTES_MAX: usize = 4 * 1024 * 1024;

/// Writes a snapshot.
pub fn encode(snapshot: &Snapshot) -> Bytes {
    let control = proto::Control {
        revision: snapshot.revision,
        holds: snapshot
            .holds
            .iter()
            .map(|(stage, hold)| hold_of(stage, hold))
            .collect(),
        fences: snapshot
            .fences
            .iter()
            .map(|(ticket, generation)| fence_of(ticket, *generation))
            .collect(),
        gates: snapshot
            .gates
            .iter()
            .map(|(stage, gate)| gate_of(stage, gate))
            .collect(),
        is_whole: true,
    };
    control.encode_to_vec().into()
}

/// Reads a snapshot. Of two holds of one stage, or fences of one ticket, the later one counts.
///
/// # Errors
/// [`Unreadable`] when it is not one, was cut, or has a name that is not valid. Fields that this
/// version does not know are passed over.
pub fn decode(bytes: &[u8]) -> Result<Snapshot, Unreadable> {
    read(bytes).map_err(|error| error.within("control"))
}

fn read(bytes: &[u8]) -> Result<Snapshot, Unreadable> {
    bounded(bytes, BYTES_MAX)?;
    let control = proto::Control::decode(bytes).map_err(Unreadable::new)?;
    if !control.is_whole {
        return Err(Unreadable::cut());
    }
    let mut snapshot = Snapshot {
        revision: control.revision,
        ..Snapshot::default()
    };
    for hold in control.holds {
        let (stage, hold) = read_hold(hold).map_err(|error| error.within("hold"))?;
        snapshot.holds.insert(stage, hold);
    }
    for gate in control.gates {
        let (stage, gate) = read_gate(gate).map_err(|error| error.within("gate"))?;
        snapshot.gates.insert(stage, gate);
    }
    for fence in control.fences {
        let ticket = ids::ticket_id(fence.ticket_high, fence.ticket_low);
        let generation = Generation(fence.generation);
        snapshot.fences.insert(ticket, generation);
    }
    Ok(snapshot)
}

fn fence_of(ticket: &TicketId, generation: Generation) -> proto::Fence {
    let (ticket_high, ticket_low) = ids::ticket_halves(ticket);
    proto::Fence {
        ticket_high,
        ticket_low,
        generation: generation.0,
    }
}

/// A stage that fails as a whole.
fn gate_of(stage: &StageName, gate: &Gate) -> proto::Gate {
    proto::Gate {
        stage: stage.to_string(),
        since_us: gate.since.as_micros(),
        reason: gate.reason.clone(),
        permit: gate.permit.as_ref().map(|permit| proto::Permit {
            number: permit.number,
            holder: permit.holder.to_string(),
        }),
    }
}

fn read_gate(gate: proto::Gate) -> Result<(StageName, Gate), Unreadable> {
    let stage = StageName::new(&gate.stage).map_err(Unreadable::new)?;
    let permit = gate.permit.map(|permit| {
        Ok(Permit {
            number: permit.number,
            holder: Holder::new(&permit.holder).map_err(Unreadable::new)?,
        })
    });
    let read = Gate {
        since: Timestamp::from_micros(gate.since_us),
        reason: gate.reason,
        permit: permit.transpose()?,
    };
    Ok((stage, read))
}

/// A stage's hold, which the journal speaks of too.
pub(crate) fn hold_of(stage: &StageName, hold: &Hold) -> proto::Hold {
    proto::Hold {
        stage: stage.to_string(),
        since_us: hold.since.as_micros(),
        reason: hold.reason.clone(),
        by: hold.by.clone(),
        version: hold.version.as_ref().map(ToString::to_string),
        oops: hold.oops.map(Into::into),
    }
}

/// The stage, and why it takes no deliveries.
pub(crate) fn read_hold(hold: proto::Hold) -> Result<(StageName, Hold), Unreadable> {
    let stage = StageName::new(&hold.stage).map_err(Unreadable::new)?;
    let version = hold.version.as_deref().map(Version::new).transpose();
    let read = Hold {
        since: Timestamp::from_micros(hold.since_us),
        reason: hold.reason,
        by: hold.by,
        version: version.map_err(Unreadable::new)?,
        oops: hold.oops.map(Into::into),
    };
    Ok((stage, read))
}

#[cfg(test)]
mod tests;
