//! An envelope into a ticket, whatever is inside.

use super::oddities::Oddities;
use super::{AVOID_MAX, Envelope, Header, MILLIS_MAX, is_content_type, is_trace, name};
use domain::names::{Kind, StageName, Version};
use domain::ticket::{Attempt, Generation, Hop, Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The id of a ticket that has none yet.
const NOBODY: TicketId = TicketId::from_bytes([0; 16]);
/// The highest generation, hop or attempt that is believed. Nothing that happens gets there, and
/// a stranger must not bring a ticket to the end of the numbers, where they rise no more.
const COUNTER_MAX: i64 = 1 << 30;

/// A ticket as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpacked {
    /// The ticket, as far as it could be read; always one that can be worked on.
    pub ticket: Ticket,
    /// Whether its sender says that the books know it.
    pub booked: bool,
    /// Whether it came with an id. Without one the ticket's is nil: give it one by
    /// [`Unpacked::identify`] before anybody sees it.
    pub has_identity: bool,
    /// The versions of the handler that must not run it.
    pub avoid: Vec<Version>,
    /// Whether the ticket is on trial, to be run in a process of its own.
    pub alone: bool,
    /// What was left out because it made no sense, a few lines at most.
    pub oddities: Vec<String>,
}

impl Unpacked {
    /// Gives a ticket that came without an identity this one. Any other keeps its own.
    pub const fn identify(&mut self, id: TicketId) {
        if !self.has_identity {
            self.ticket.name = Name::first(id);
            self.ticket.lineage = Lineage::root(id);
        }
    }
}

/// Reads a message of the queue of this stage. Never fails: what makes no sense is left out.
pub fn unpack(envelope: Envelope<'_>, stage: &StageName, now: Timestamp) -> Unpacked {
    let mut reader = Reader {
        envelope: &envelope,
        oddities: Oddities::default(),
    };
    let id = reader.id();
    let booked = reader.flag(name::BOOKED);
    let ticket = Ticket {
        name: id.map_or(Name::first(NOBODY), |id| reader.name(id)),
        kind: reader.kind(),
        flow: reader.parsed(name::FLOW),
        stage: stage.clone(),
        key: reader.parsed(name::KEY),
        payload: Payload {
            bytes: envelope.body.clone(),
            content_type: reader.content_type(),
        },
        deadline: reader.time(name::DEADLINE),
        created_at: reader.created().unwrap_or(now),
        lineage: id.map_or(Lineage::root(NOBODY), |id| reader.lineage(id)),
        trace: reader.checked(name::TRACE, is_trace),
    };
    Unpacked {
        ticket,
        // Nobody's books know a ticket that has no name.
        booked: booked && id.is_some(),
        has_identity: id.is_some(),
        avoid: reader.versions(name::AVOID),
        alone: reader.flag(name::ALONE),
        oddities: reader.oddities.into_lines(),
    }
}

struct Reader<'e> {
    envelope: &'e Envelope<'e>,
    oddities: Oddities,
}

impl<'e> Reader<'e> {
    fn id(&mut self) -> Option<TicketId> {
        let text = self.envelope.message_id.as_deref()?;
        match text.parse() {
            Ok(NOBODY) => {
                self.odd("message_id", "the nil UUID is nobody's");
                None
            }
            Ok(id) => Some(id),
            Err(error) => {
                self.odd("message_id", error);
                None
            }
        }
    }

    /// Which copy. The numbers belong together: without a generation the others mean nothing.
    fn name(&mut self, id: TicketId) -> Name {
        let first = Name::first(id);
        let Some(generation) = self.counter(name::GENERATION, 1..=COUNTER_MAX) else {
            return first;
        };
        let hop = self.counter(name::HOP, 0..=COUNTER_MAX);
        let attempt = self.counter(name::ATTEMPT, 1..=COUNTER_MAX);
        Name {
            generation: Generation(generation),
            hop: hop.map_or(first.hop, Hop),
            attempt: attempt.map_or(first.attempt, Attempt),
            ..first
        }
    }

    fn kind(&mut self) -> Kind {
        let text = self.envelope.kind.as_deref().unwrap_or_default();
        if text.is_empty() {
            return Kind::unnamed();
        }
        Kind::new(text).unwrap_or_else(|error| {
            self.odd("type", error);
            Kind::unnamed()
        })
    }

    fn content_type(&mut self) -> Option<String> {
        let long = self.checked(name::CONTENT_TYPE, is_content_type);
        let text = self.envelope.content_type.as_deref().unwrap_or_default();
        if long.is_some() || text.is_empty() {
            return long;
        }
        let fits = is_content_type(text);
        if !fits {
            self.odd("content_type", "expected printable ASCII");
        }
        fits.then(|| text.to_owned())
    }

    fn created(&mut self) -> Option<Timestamp> {
        // Some clients send 0 for "not set".
        let seconds = self.envelope.timestamp.filter(|seconds| *seconds > 0);
        let created = self.time(name::CREATED);
        if created.is_some() || seconds.is_none() {
            return created;
        }
        let seconds = i64::try_from(seconds?).unwrap_or(i64::MAX);
        self.instant("timestamp", seconds.saturating_mul(1_000))
    }

    fn lineage(&mut self, id: TicketId) -> Lineage {
        let root: Option<TicketId> = self.parsed(name::ROOT);
        let parent = self.parsed(name::PARENT);
        let depth = self.counter(name::DEPTH, 0..=COUNTER_MAX);
        Lineage {
            root: root.or(parent).unwrap_or(id),
            parent,
            depth: depth.unwrap_or_else(|| u32::from(parent.is_some())),
        }
    }

    fn counter(&mut self, name: &str, range: RangeInclusive<i64>) -> Option<u32> {
        let number = self.int(name)?;
        let fits = range.contains(&number);
        if !fits {
            let (low, high) = range.into_inner();
            self.odd(name, format!("expected {low} to {high}, got {number}"));
        }
        u32::try_from(number).ok().filter(|_| fits)
    }

    fn time(&mut self, name: &str) -> Option<Timestamp> {
        let millis = self.int(name)?;
        self.instant(name, millis)
    }

    fn instant(&mut self, place: &str, millis: i64) -> Option<Timestamp> {
        if (-MILLIS_MAX..=MILLIS_MAX).contains(&millis) {
            return Some(Timestamp::from_micros(millis * 1_000));
        }
        let why = "expected a time within 10,000 years of 1970, got one in another unit perhaps";
        self.odd(place, format!("{why}: {millis} ms"));
        None
    }

    fn parsed<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        let parsed = text.parse();
        parsed.map_err(|error| self.odd(name, error)).ok()
    }

    fn checked(&mut self, name: &str, is_fine: fn(&str) -> bool) -> Option<String> {
        let text = self.text(name)?;
        if is_fine(text) {
            return Some(text.to_owned());
        }
        let start: String = text.chars().take(80).collect();
        self.odd(name, format!("expected printable ASCII, got {start:?}"));
        None
    }

    fn flag(&mut self, name: &str) -> bool {
        match self.header(name) {
            None => false,
            Some(Header::Bool(flag)) => *flag,
            Some(Header::Int(_) | Header::Text(_) | Header::Texts(_) | Header::Other) => {
                self.odd(name, "expected a truth value, got another type");
                false
            }
        }
    }

    fn versions(&mut self, name: &str) -> Vec<Version> {
        let texts = match self.header(name) {
            None => return Vec::new(),
            Some(Header::Texts(texts)) => texts,
            Some(Header::Int(_) | Header::Text(_) | Header::Bool(_) | Header::Other) => {
                self.odd(name, "expected a list of texts, got another type");
                return Vec::new();
            }
        };
        if texts.len() > AVOID_MAX {
            let got = texts.len();
            self.odd(
                name,
                format!("expected at most {AVOID_MAX}, got {got}, the last ones"),
            );
        }
        let versions = texts.iter().take(AVOID_MAX);
        let parsed = |text: &Cow<'_, str>| {
            let parsed = Version::new(text);
            parsed.map_err(|error| self.odd(name, error)).ok()
        };
        versions.filter_map(parsed).collect()
    }

    fn int(&mut self, name: &str) -> Option<i64> {
        match self.header(name)? {
            Header::Int(number) => Some(*number),
            Header::Text(_) | Header::Bool(_) | Header::Texts(_) | Header::Other => {
                self.odd(name, "expected an integer, got another type");
                None
            }
        }
    }

    fn text(&mut self, name: &str) -> Option<&'e str> {
        match self.header(name)? {
            Header::Text(text) => Some(text),
            Header::Int(_) | Header::Bool(_) | Header::Texts(_) | Header::Other => {
                self.odd(name, "expected text, got another type");
                None
            }
        }
    }

    fn header(&self, name: &str) -> Option<&'e Header<'e>> {
        let headers = &self.envelope.headers;
        let found = headers.iter().find(|(other, _)| other == name);
        found.map(|(_, header)| header)
    }

    fn odd(&mut self, place: &str, why: impl Display) {
        self.oddities.note(place, format_args!("{why}; left out"));
    }
}
