//! Checks that what stands after a key makes sense for it.

use super::compare::{Moment, number};
use super::{DataPath, Field, Op, Pattern, Rows, Scale};
use crate::books::State;
use crate::oops::{OopsId, Source};
use crate::outcome::OutcomeKind;
use crate::signature::SignatureId;
use crate::ticket::TicketId;
use crate::wait::Reason;

/// What would have made sense instead, and the known word that is most like it.
pub(super) struct Mistake {
    pub(super) expected: String,
    pub(super) nearest: Option<String>,
}

impl From<&str> for Mistake {
    fn from(expected: &str) -> Self {
        Self {
            expected: expected.into(),
            nearest: None,
        }
    }
}

/// What stands before the colon.
pub(super) enum Asked {
    Field(Field),
    Data(DataPath),
}

impl Asked {
    pub(super) const fn scale(&self) -> Scale {
        match self {
            Self::Field(field) => field.scale(),
            Self::Data(_) => Scale::Data,
        }
    }

    pub(super) fn key(&self) -> String {
        match self {
            Self::Field(field) => field.key().into(),
            Self::Data(path) => format!("data.{path}"),
        }
    }
}

/// Checks that the pattern makes sense for what is asked, and brings ids into their one spelling.
pub(super) fn check(asked: &Asked, op: Op, pattern: Pattern) -> Result<Pattern, Mistake> {
    if op != Op::Is && !matches!(pattern, Pattern::Exact(_)) {
        return Err("a single value after < or >".into());
    }
    match asked {
        Asked::Field(field) => check_field(*field, pattern),
        Asked::Data(_) if op == Op::Is && !matches!(pattern, Pattern::Range(..)) => Ok(pattern),
        Asked::Data(_) => check_number(pattern),
    }
}

fn check_number(pattern: Pattern) -> Result<Pattern, Mistake> {
    match pattern.is_of(|text| number(text).is_some()) {
        true if pattern.is_reversed(|low, high| number(low) > number(high)) => {
            Err("a range from the smaller to the larger, as in 2..5".into())
        }
        true => Ok(pattern),
        false => Err("a number such as 3, or a range such as 2..5".into()),
    }
}

fn check_field(field: Field, pattern: Pattern) -> Result<Pattern, Mistake> {
    match field.scale() {
        Scale::Words => check_word(field, pattern),
        Scale::Ids => canonical_id(field, pattern),
        Scale::Text | Scale::Data => Ok(pattern),
        Scale::Versions => match &pattern {
            Pattern::Range(low, high) if low.is_empty() || high.is_empty() => {
                Err("two versions, as in 1.4..1.6".into())
            }
            _ => Ok(pattern),
        },
        Scale::Numbers => check_number(pattern),
        Scale::Times => match pattern.is_of(|text| Moment::parse(text).is_some()) {
            true if pattern.is_reversed(Moment::is_after) => {
                Err("a range from the earlier to the later, as in -2h..-1h".into())
            }
            true => Ok(pattern),
            false => Err("a time such as -1h, 2026-11-01 or 2026-11-01T14:03:22Z, \
                 or a range of two"
                .into()),
        },
    }
}

impl Pattern {
    fn is_reversed(&self, is_over: impl Fn(&str, &str) -> bool) -> bool {
        matches!(self, Self::Range(low, high) if is_over(low, high))
    }

    fn is_of(&self, is_good: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Exact(text) => is_good(text),
            Self::Prefix(_) | Self::Regex(_) => false,
            Self::Range(low, high) => is_good(low) && is_good(high),
        }
    }
}

fn check_word(field: Field, pattern: Pattern) -> Result<Pattern, Mistake> {
    let words = words(field);
    let word = match &pattern {
        Pattern::Exact(word) if words.contains(&word.as_str()) => return Ok(pattern),
        Pattern::Exact(word) | Pattern::Prefix(word) | Pattern::Range(word, _) => word.as_str(),
        Pattern::Regex(regex) => regex.as_str(),
    };
    Err(Mistake {
        expected: format!("one of {}", words.join(", ")),
        nearest: nearest(word, &words),
    })
}

/// The words that a field of [`Scale::Words`] knows.
fn words(field: Field) -> Vec<&'static str> {
    if field == Field::Src {
        return Source::ALL.map(Source::as_str).to_vec();
    }
    let mut words = is_words(Rows::Tickets);
    for word in is_words(Rows::Reports) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// What such rows can be.
pub(super) fn is_words(rows: Rows) -> Vec<&'static str> {
    match rows {
        Rows::Tickets => {
            let states = State::ALL.into_iter().map(State::as_str);
            let reasons = Reason::ALL.into_iter().map(Reason::as_str);
            states.chain(["live", "ended"]).chain(reasons).collect()
        }
        Rows::Reports => {
            let wrong = OutcomeKind::ALL.into_iter().filter(|it| it.went_wrong());
            let words = wrong.map(OutcomeKind::as_str);
            words.chain(["panic", "handled"]).collect()
        }
    }
}

fn canonical_id(field: Field, pattern: Pattern) -> Result<Pattern, Mistake> {
    let whole = |text: &str| match field {
        Field::Group => text.parse::<SignatureId>().ok().map(|id| id.to_string()),
        _ => {
            let ticket = text.parse::<TicketId>().ok().map(|id| id.to_string());
            ticket.or_else(|| text.parse::<OopsId>().ok().map(|id| id.to_string()))
        }
    };
    let expected = match field {
        Field::Group => "a whole signature such as v1-0f3a9c5e77b2d104, or its beginning and *",
        _ => "the whole id of a ticket or report, or its beginning and *",
    };
    match pattern {
        Pattern::Exact(text) => whole(&text)
            .map(Pattern::Exact)
            .ok_or_else(|| expected.into()),
        Pattern::Prefix(start) => Ok(Pattern::Prefix(
            match start.to_ascii_uppercase().starts_with('O') {
                true => start.to_ascii_uppercase(),
                false => start.to_ascii_lowercase(),
            },
        )),
        Pattern::Range(..) | Pattern::Regex(_) => Err(expected.into()),
    }
}

/// The known word that differs least, if it does not differ too much to be meant.
pub(super) fn nearest(word: &str, known: &[&str]) -> Option<String> {
    // Long garbage is nobody's misspelling, and comparing it costs its length.
    if word.len() > 32 {
        return None;
    }
    let distance = |candidate: &&str| strsim::damerau_levenshtein(word, candidate);
    let best = known.iter().copied().min_by_key(|known| distance(known))?;
    let begins_it = !word.is_empty() && best.starts_with(word);
    (distance(&best) <= 1 + best.len() / 4 || begins_it).then(|| best.into())
}
