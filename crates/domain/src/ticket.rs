//! The unit of work, and the name under which one copy of it may travel.

use crate::names::{FlowName, Key, Kind, StageName};
use crate::time::Timestamp;
use bytes::Bytes;
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Which ticket: a UUID, version 7 when we made it. Read in any spelling.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId(Uuid);

impl TicketId {
    /// From a UUID of any version.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// From the sixteen bytes of a UUID.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The UUID.
    pub const fn uuid(&self) -> Uuid {
        self.0
    }

    /// The sixteen bytes of the UUID.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Text that is not a ticket id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ticket id: expected a UUID, got {0:?}")]
pub struct BadTicketId(pub String);

impl FromStr for TicketId {
    type Err = BadTicketId;

    fn from_str(text: &str) -> Result<Self, BadTicketId> {
        let bad = |_| BadTicketId(text.chars().take(80).collect());
        Uuid::try_parse(text.trim()).map(Self).map_err(bad)
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $type:ident, $first:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(pub u32);

        impl $type {
            /// Where every ticket begins.
            pub const FIRST: Self = Self($first);

            /// The one after this; stays at the end rather than wrapping.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter!(
    /// Rises with each hand-off to a next stage; begins at 0.
    Hop,
    0
);
counter!(
    /// Which try at this hop; begins at 1.
    Attempt,
    1
);
counter!(
    /// Rises with doubt (a reset, a take-over, an unknown publish); begins at 1.
    Generation,
    1
);

/// What exactly one message may carry. A name is published once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Whose copy.
    pub ticket: TicketId,
    /// Which generation; an older one changes nothing.
    pub generation: Generation,
    /// Which hand-off.
    pub hop: Hop,
    /// Which try.
    pub attempt: Attempt,
}

impl Name {
    /// The name of a ticket that was just accepted.
    pub const fn first(ticket: TicketId) -> Self {
        Self {
            ticket,
            generation: Generation::FIRST,
            hop: Hop::FIRST,
            attempt: Attempt::FIRST,
        }
    }

    /// The same ticket at its next stage: a new hop, whose first attempt it will be.
    #[must_use]
    pub const fn handed_on(self) -> Self {
        Self {
            hop: self.hop.next(),
            attempt: Attempt::FIRST,
            ..self
        }
    }

    /// The same ticket after an attempt that was charged to it.
    #[must_use]
    pub const fn charged(self) -> Self {
        Self {
            attempt: self.attempt.next(),
            ..self
        }
    }

    /// The same ticket after something that was not its fault, or that is in doubt.
    #[must_use]
    pub const fn renewed(self) -> Self {
        Self {
            generation: self.generation.next(),
            ..self
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} g{} h{} a{}",
            self.ticket, self.generation, self.hop, self.attempt
        )
    }
}

/// Where a ticket came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The first of the family; the ticket itself when nobody sent it.
    pub root: TicketId,
    /// Who sent it.
    pub parent: Option<TicketId>,
    /// How many generations below the root.
    pub depth: u32,
}

impl Lineage {
    /// A ticket that came from outside.
    pub const fn root(id: TicketId) -> Self {
        Self {
            root: id,
            parent: None,
            depth: 0,
        }
    }

    /// A ticket that `parent` sent.
    #[must_use]
    pub const fn child_of(parent: &Ticket) -> Self {
        Self {
            root: parent.lineage.root,
            parent: Some(parent.name.ticket),
            depth: parent.lineage.depth.saturating_add(1),
        }
    }
}

/// What a ticket carries: bytes that only the handler understands.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Payload {
    /// The bytes, as they came.
    pub bytes: Bytes,
    /// What they are, if the sender said so, for example `application/json`.
    pub content_type: Option<String>,
}

impl Payload {
    /// Bytes that nobody has named.
    pub fn untyped(bytes: impl Into<Bytes>) -> Self {
        Self {
            bytes: bytes.into(),
            content_type: None,
        }
    }

    /// Text of the type `application/json`; the caller has checked that it is.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self {
            bytes: text.into(),
            content_type: Some("application/json".into()),
        }
    }
}

/// The unit of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Which ticket, and which copy of it.
    pub name: Name,
    /// What sort of work.
    pub kind: Kind,
    /// The list of stages it follows, if any; without one it ends after its stage.
    pub flow: Option<FlowName>,
    /// The stage that it is at.
    pub stage: StageName,
    /// What it is about.
    pub key: Option<Key>,
    /// What it carries.
    pub payload: Payload,
    /// When the work is worth nothing any more: no attempt goes on past it, and none begins then.
    pub deadline: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Where it came from.
    pub lineage: Lineage,
    /// The W3C `traceparent` that it came with.
    pub trace: Option<String>,
}

impl Ticket {
    /// A new ticket for a stage: of no kind, without a flow, about nothing and with nothing in it.
    pub fn new(id: TicketId, stage: StageName, created_at: Timestamp) -> Self {
        Self {
            name: Name::first(id),
            kind: Kind::unnamed(),
            flow: None,
            stage,
            key: None,
            payload: Payload::default(),
            deadline: None,
            created_at,
            lineage: Lineage::root(id),
            trace: None,
        }
    }

    /// Which ticket.
    pub const fn id(&self) -> TicketId {
        self.name.ticket
    }

    /// The same ticket under another name.
    #[must_use]
    pub fn named(&self, name: Name) -> Self {
        Self {
            name,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_in_any_spelling() {
        let id: TicketId = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f".parse().unwrap();
        for text in [
            "0192F0C1-7A1B-7C3D-8E4F-5A6B7C8D9E0F",
            "0192f0c17a1b7c3d8e4f5a6b7c8d9e0f",
            "{0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f}",
            " urn:uuid:0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f\n",
        ] {
            assert_eq!(text.parse::<TicketId>().unwrap(), id, "{text}");
        }
        assert!("42".parse::<TicketId>().is_err());
    }

    #[test]
    fn a_hand_off_begins_a_new_hop_and_keeps_the_generation() {
        let name = Name::first(TicketId::from_bytes([7; 16]))
            .charged()
            .renewed()
            .handed_on();
        assert_eq!((name.generation.0, name.hop.0, name.attempt.0), (2, 1, 1));
    }
}
