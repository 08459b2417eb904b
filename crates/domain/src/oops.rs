//! The report of one attempt that went wrong; exactly one for each such attempt.

use crate::names::{FlowName, Holder, Kind, StageName, Version};
use crate::outcome::{Failure, OutcomeKind, Usage};
use crate::signature::Signature;
use crate::ticket::{Name, Ticket};
use crate::time::Timestamp;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;
use uuid::Uuid;

/// Crockford's base 32: no I, L, O, U, so that an id survives being read aloud.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const DIGITS: usize = 26;

/// Which report: `OOPS-`, 26 digits that sort by the ticket's age, one check digit.
///
/// It is made from the attempt's name, so whoever reports the same death reports the same OOPS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OopsId(u128);

impl OopsId {
    /// The id of the report about this attempt.
    pub fn of(name: &Name) -> Self {
        let uuid = name.ticket.uuid();
        let key = format!("{}/{}/{}", name.hop, name.generation, name.attempt);
        let hash = Uuid::new_v5(&uuid, key.as_bytes()).as_u128();
        // The first 48 bits of a version 7 UUID are its time, so newer tickets sort later.
        let time = uuid.as_u128() >> 80 << 80;
        Self(time | (hash & ((1 << 80) - 1)))
    }

    /// From the 128 bits that the store keeps.
    pub const fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    /// The 128 bits.
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    fn digits(self) -> [usize; DIGITS] {
        std::array::from_fn(|i| {
            let shift = 5 * (DIGITS - 1 - i);
            usize::try_from((self.0 >> shift) & 31).unwrap_or(0)
        })
    }
}

/// Luhn's check digit over base 32: finds each single wrong digit and most swaps, and stays inside
/// the alphabet, unlike Crockford's own, whose `*` and `$` a shell would eat.
fn check_digit(digits: &[usize]) -> usize {
    let doubled = |digit: usize| 2 * digit / 32 + 2 * digit % 32;
    let sum: usize = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| if i % 2 == 0 { doubled(*digit) } else { *digit })
        .sum();
    (32 - sum % 32) % 32
}

fn digit_of(c: char) -> Option<usize> {
    let c = match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    ALPHABET.iter().position(|digit| char::from(*digit) == c)
}

impl fmt::Display for OopsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits();
        f.write_str("OOPS-")?;
        for digit in digits.iter().chain([&check_digit(&digits)]) {
            write!(f, "{}", char::from(ALPHABET[*digit]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for OopsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not the id of an OOPS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("oops id: expected OOPS- and 27 digits, or at least 10 of them, got {0:?}")]
pub struct BadOopsId(pub String);

/// A way to name one report: by its whole id, or by the beginning of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OopsPrefix {
    /// The lowest id that begins so.
    pub low: OopsId,
    /// The highest id that begins so.
    pub high: OopsId,
}

impl FromStr for OopsPrefix {
    type Err = BadOopsId;

    /// Reads an id in any spelling: upper or lower case, with or without `OOPS-`, with or without
    /// its check digit, or any beginning of at least 10 digits.
    fn from_str(text: &str) -> Result<Self, BadOopsId> {
        let bad = || BadOopsId(text.chars().take(80).collect());
        let trimmed = text.trim();
        let bare = match trimmed.get(..5) {
            Some(start) if start.eq_ignore_ascii_case("OOPS-") => &trimmed[5..],
            _ => trimmed,
        };
        let digits: Vec<usize> = bare
            .chars()
            .map(digit_of)
            .collect::<Option<_>>()
            .ok_or_else(bad)?;
        let is_whole = digits.len() > DIGITS;
        if digits.len() < 10 || digits.len() > DIGITS + 1 || digits[0] > 7 {
            return Err(bad());
        }
        if is_whole && check_digit(&digits[..DIGITS]) != digits[DIGITS] {
            return Err(bad());
        }
        let known = digits.len().min(DIGITS);
        let fold = |rest: u128| {
            let start = digits[..known]
                .iter()
                .fold(0u128, |sum, d| sum << 5 | *d as u128);
            (known..DIGITS).fold(start, |sum, _| sum << 5 | rest)
        };
        Ok(Self {
            low: OopsId(fold(0)),
            high: OopsId(fold(31)),
        })
    }
}

impl FromStr for OopsId {
    type Err = BadOopsId;

    fn from_str(text: &str) -> Result<Self, BadOopsId> {
        let OopsPrefix { low, high } = text.parse()?;
        if low == high {
            Ok(low)
        } else {
            Err(BadOopsId(text.into()))
        }
    }
}

/// Who told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The worker that ran the attempt.
    Worker,
    /// The supervisor, because the worker could not.
    Supervisor,
    /// The launcher, which saw the whole process die.
    Launcher,
    /// The controller, because the whole process was gone.
    Controller,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Worker,
        Self::Supervisor,
        Self::Launcher,
        Self::Controller,
    ];

    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Supervisor => "supervisor",
            Self::Launcher => "launcher",
            Self::Controller => "controller",
        }
    }

    /// The source that users call by this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == word)
    }
}

/// The report: the fields of the classic OOPS and ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Which report.
    pub id: OopsId,
    /// About which attempt of which ticket.
    pub name: Name,
    /// At which stage.
    pub stage: StageName,
    /// Of which flow.
    pub flow: Option<FlowName>,
    /// The ticket's kind.
    pub kind: Kind,
    /// How the attempt ended.
    pub outcome: OutcomeKind,
    /// When it ended, as far as is known.
    pub time: Timestamp,
    /// How long it had run, if that is known.
    pub duration: Option<Duration>,
    /// What went wrong.
    pub failure: Failure,
    /// What it cost.
    pub usage: Usage,
    /// Who told of it.
    pub source: Source,
    /// Which process ran it.
    pub holder: Holder,
    /// On which host.
    pub hostname: String,
    /// Which version of the component ran it.
    pub version: Version,
    /// The trace it belonged to.
    pub trace: Option<String>,
}

/// What a report needs to know beyond the attempt itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Which process.
    pub holder: Holder,
    /// On which host.
    pub hostname: String,
    /// Which version of the component.
    pub version: Version,
}

/// When an attempt began and ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When the handler was started.
    pub started_at: Timestamp,
    /// When it had let go.
    pub ended_at: Timestamp,
}

impl Report {
    /// Longest message that is kept, in bytes; the rest is cut and marked.
    pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;
    /// Longest trace or log tail that is kept, in bytes; its beginning is cut and marked.
    pub const TRACE_BYTES_MAX: usize = 64 * 1024;

    /// The report about an attempt that ended in this failure.
    pub fn new(
        ticket: &Ticket,
        outcome: OutcomeKind,
        failure: Failure,
        scene: &Scene,
        span: Span,
    ) -> Self {
        Self {
            id: OopsId::of(&ticket.name),
            name: ticket.name,
            stage: ticket.stage.clone(),
            flow: ticket.flow.clone(),
            kind: ticket.kind.clone(),
            outcome,
            time: span.ended_at,
            duration: Some(span.ended_at.since(span.started_at)),
            failure: bounded(failure),
            usage: Usage::default(),
            source: Source::Worker,
            holder: scene.holder.clone(),
            hostname: scene.hostname.clone(),
            version: scene.version.clone(),
            trace: ticket.trace.clone(),
        }
    }

    /// What problem it is about.
    ///
    /// It follows from the report, so it is not kept there: a report of an older version has it in
    /// today's version too. Worked out each time, which takes microseconds.
    pub fn signature(&self) -> Signature {
        Signature::of(&self.stage, &self.kind, self.outcome, &self.failure)
    }
}

fn bounded(failure: Failure) -> Failure {
    Failure {
        error_type: head(failure.error_type, 256),
        message: head(failure.message, Report::MESSAGE_BYTES_MAX),
        trace: tail(failure.trace, Report::TRACE_BYTES_MAX),
        log_tail: tail(failure.log_tail, Report::TRACE_BYTES_MAX),
        exit: failure.exit,
    }
}

fn head(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let end = text.floor_char_boundary(bytes_max);
    format!("{} […{} bytes cut]", &text[..end], text.len() - end)
}

fn tail(text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let start = text.ceil_char_boundary(text.len() - bytes_max);
    format!("[{start} bytes cut…] {}", &text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticket::TicketId;
    use proptest::prelude::*;

    fn id() -> OopsId {
        let ticket: TicketId = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f".parse().unwrap();
        OopsId::of(&Name::first(ticket))
    }

    #[test]
    fn the_same_death_is_the_same_oops() {
        let ticket = TicketId::from_bytes([9; 16]);
        let name = Name::first(ticket);
        assert_eq!(OopsId::of(&name), OopsId::of(&name));
        for other in [name.charged(), name.handed_on(), name.renewed()] {
            assert_ne!(OopsId::of(&name), OopsId::of(&other));
        }
    }

    #[test]
    fn an_id_is_read_in_any_spelling() {
        let text = id().to_string();
        assert_eq!(text.len(), 5 + 27);
        for spelling in [
            text.clone(),
            text.to_lowercase(),
            text[5..].to_owned(),
            text[..31].to_owned(),
        ] {
            assert_eq!(spelling.parse::<OopsId>().unwrap(), id(), "{spelling}");
        }
        let prefix: OopsPrefix = text[..15].parse().unwrap();
        assert!(prefix.low < id() && id() < prefix.high);
        assert!("OOPS-123".parse::<OopsPrefix>().is_err());
    }

    proptest! {
        #[test]
        fn one_wrong_digit_is_noticed(at in 0usize..26, shift in 1usize..32) {
            let text = id().to_string();
            let mut digits: Vec<char> = text.chars().collect();
            let old = digit_of(digits[5 + at]).unwrap();
            digits[5 + at] = char::from(ALPHABET[(old + shift) % 32]);
            let wrong: String = digits.into_iter().collect();
            prop_assert!(wrong.parse::<OopsId>().is_err());
        }

        #[test]
        fn every_id_reads_back(bits in any::<u128>()) {
            let id = OopsId::from_u128(bits);
            prop_assert_eq!(id.to_string().parse::<OopsId>().unwrap(), id);
        }
    }
}
