//! Breakers and the versions of a stage as bytes: protobuf `goaround.v1.Breaker` and
//! `goaround.v1.Roster`, a row of the books each.

use crate::ids::required;
use crate::unreadable::bounded;
use crate::{Unreadable, proto};
use bytes::Bytes;
use domain::breaker::{
    Announced, Breaker, Canary, Clue, Haste, Proof, Roster, Scope, State as BreakerState,
};
use domain::names::Version;
use domain::ticket::Name;
use domain::time::Timestamp;
use prost::Message;
use proto::breaker::State as StateField;
use proto::scope::Of;

/// The longest breaker or roster that is read: several times what the rules let grow.
pub const BYTES_MAX: usize = 64 * 1024;

/// Writes a breaker.
pub fn encode(breaker: &Breaker) -> Bytes {
    let row = proto::Breaker {
        scope: Some(breaker.scope.into()),
        state: Some(state_of(&breaker.state)),
        failed_on: breaker.failed_on.iter().map(ToString::to_string).collect(),
        failures: breaker.failures,
        tried: breaker.tried,
        probes: breaker.probes,
        haste_since_us: breaker.haste.since.as_micros(),
        haste_count: breaker.haste.count,
        last_failed: breaker.last_failed.as_ref().map(Into::into),
        landed_at_us: breaker.landed_at.map(Timestamp::as_micros),
        row_since_us: breaker.row_since.map(Timestamp::as_micros),
        is_whole: true,
    };
    row.encode_to_vec().into()
}

/// Reads a breaker.
///
/// # Errors
/// [`Unreadable`] when it is not one, was cut, is over [`BYTES_MAX`], has a name that is not valid,
/// or a state that this version does not know. Other fields that it does not know are passed over.
pub fn decode(bytes: &[u8]) -> Result<Breaker, Unreadable> {
    read(bytes).map_err(|error| error.within("breaker"))
}

/// Writes the versions of a stage.
pub fn encode_roster(roster: &Roster) -> Bytes {
    let row = proto::Roster {
        versions: roster.versions.iter().map(announced_of).collect(),
        is_whole: true,
    };
    row.encode_to_vec().into()
}

/// Reads the versions of a stage.
///
/// # Errors
/// [`Unreadable`] when it is not a roster, was cut, is over [`BYTES_MAX`], or has a version that is
/// not valid. Fields that this version does not know are passed over.
pub fn decode_roster(bytes: &[u8]) -> Result<Roster, Unreadable> {
    read_roster(bytes).map_err(|error| error.within("roster"))
}

fn read(bytes: &[u8]) -> Result<Breaker, Unreadable> {
    bounded(bytes, BYTES_MAX)?;
    let row = proto::Breaker::decode(bytes).map_err(Unreadable::new)?;
    if !row.is_whole {
        return Err(Unreadable::cut());
    }
    let scope = row.scope.ok_or_else(|| Unreadable::missing("scope"))?;
    let state = row.state.ok_or_else(|| unknown("state"))?;
    let failed_on = row.failed_on.iter().map(|it| version(it));
    Ok(Breaker {
        scope: scope.try_into()?,
        state: read_state(state)?,
        failed_on: failed_on.collect::<Result<_, _>>()?,
        failures: row.failures,
        tried: row.tried,
        probes: row.probes,
        haste: Haste {
            since: Timestamp::from_micros(row.haste_since_us),
            count: row.haste_count,
        },
        last_failed: row.last_failed.map(Name::from),
        landed_at: row.landed_at_us.map(Timestamp::from_micros),
        row_since: row.row_since_us.map(Timestamp::from_micros),
    })
}

fn read_roster(bytes: &[u8]) -> Result<Roster, Unreadable> {
    bounded(bytes, BYTES_MAX)?;
    let row = proto::Roster::decode(bytes).map_err(Unreadable::new)?;
    if !row.is_whole {
        return Err(Unreadable::cut());
    }
    let versions = row.versions.iter().map(read_announced);
    Ok(Roster {
        versions: versions.collect::<Result<_, _>>()?,
    })
}

/// A choice of which none was made, or one that only a newer version knows.
pub(crate) fn unknown(what: &str) -> Unreadable {
    Unreadable::new(format!(
        "{what}: expected one that this version knows, got none of them"
    ))
}

fn version(text: &str) -> Result<Version, Unreadable> {
    Version::new(text).map_err(Unreadable::new)
}

impl From<Scope> for proto::Scope {
    fn from(scope: Scope) -> Self {
        let of = match scope {
            Scope::Stage => Of::Stage(proto::Nothing {}),
            Scope::Signature(signature) => Of::Signature(signature.into()),
        };
        Self { of: Some(of) }
    }
}

impl TryFrom<proto::Scope> for Scope {
    type Error = Unreadable;

    fn try_from(scope: proto::Scope) -> Result<Self, Unreadable> {
        match scope.of.ok_or_else(|| unknown("scope"))? {
            Of::Stage(proto::Nothing {}) => Ok(Self::Stage),
            Of::Signature(signature) => Ok(Self::Signature(signature.into())),
        }
    }
}

fn state_of(state: &BreakerState) -> StateField {
    match state {
        BreakerState::Closed { clues } => StateField::Closed(proto::BreakerClosed {
            clues: clues.iter().map(clue_of).collect(),
        }),
        BreakerState::Open { since, next_probe } => StateField::Open(proto::BreakerOpen {
            since_us: since.as_micros(),
            next_probe_us: next_probe.map(Timestamp::as_micros),
        }),
        BreakerState::Probing { since, canary } => StateField::Probing(proto::BreakerProbing {
            since_us: since.as_micros(),
            canary: Some(canary_of(canary)),
        }),
        BreakerState::Releasing {
            since,
            proof,
            proven_at,
            plan,
            clues,
        } => StateField::Releasing(proto::BreakerReleasing {
            since_us: since.as_micros(),
            proof: proof_of(*proof).into(),
            proven_at_us: proven_at.as_micros(),
            plan: plan.map(Into::into),
            clues: clues.iter().map(clue_of).collect(),
        }),
    }
}

fn read_state(state: StateField) -> Result<BreakerState, Unreadable> {
    let at = Timestamp::from_micros;
    Ok(match state {
        StateField::Closed(it) => BreakerState::Closed {
            clues: read_clues(it.clues)?,
        },
        StateField::Open(it) => BreakerState::Open {
            since: at(it.since_us),
            next_probe: it.next_probe_us.map(at),
        },
        StateField::Probing(it) => BreakerState::Probing {
            since: at(it.since_us),
            canary: read_canary(it.canary.ok_or_else(|| Unreadable::missing("canary"))?)?,
        },
        StateField::Releasing(it) => BreakerState::Releasing {
            since: at(it.since_us),
            proof: read_proof(it.proof)?,
            proven_at: at(it.proven_at_us),
            plan: it.plan.map(Into::into),
            clues: read_clues(it.clues)?,
        },
    })
}

fn clue_of(clue: &Clue) -> proto::Clue {
    proto::Clue {
        name: Some((&clue.name).into()),
        at_us: clue.at.as_micros(),
    }
}

fn read_clues(clues: Vec<proto::Clue>) -> Result<Vec<Clue>, Unreadable> {
    let read = |clue: proto::Clue| {
        Ok(Clue {
            name: required(clue.name)?,
            at: Timestamp::from_micros(clue.at_us),
        })
    };
    clues.into_iter().map(read).collect()
}

fn canary_of(canary: &Canary) -> proto::Canary {
    proto::Canary {
        number: canary.number,
        name: canary.name.as_ref().map(Into::into),
        wants: canary.wants.as_ref().map(ToString::to_string),
        sent_at_us: canary.sent_at.as_micros(),
        asked_at_us: canary.asked_at.as_micros(),
    }
}

fn read_canary(canary: proto::Canary) -> Result<Canary, Unreadable> {
    Ok(Canary {
        number: canary.number,
        name: canary.name.map(Name::from),
        wants: canary.wants.as_deref().map(version).transpose()?,
        sent_at: Timestamp::from_micros(canary.sent_at_us),
        asked_at: Timestamp::from_micros(canary.asked_at_us),
    })
}

const fn proof_of(proof: Proof) -> proto::Proof {
    match proof {
        Proof::Repaired => proto::Proof::Repaired,
        Proof::Healed => proto::Proof::Healed,
    }
}

fn read_proof(number: i32) -> Result<Proof, Unreadable> {
    match proto::Proof::try_from(number) {
        Ok(proto::Proof::Repaired) => Ok(Proof::Repaired),
        Ok(proto::Proof::Healed) => Ok(Proof::Healed),
        Ok(proto::Proof::Unspecified) => Err(Unreadable::missing("proof")),
        Err(_) => Err(unknown("proof")),
    }
}

fn announced_of(announced: &Announced) -> proto::Announced {
    proto::Announced {
        version: announced.version.to_string(),
        number: announced.number,
        at_us: announced.at.as_micros(),
        is_here: announced.is_here,
    }
}

fn read_announced(announced: &proto::Announced) -> Result<Announced, Unreadable> {
    Ok(Announced {
        version: version(&announced.version)?,
        number: announced.number,
        at: Timestamp::from_micros(announced.at_us),
        is_here: announced.is_here,
    })
}

#[cfg(test)]
mod tests;
