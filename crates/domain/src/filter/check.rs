//! Checks that what stands after a key makes sense for it.

use super::compare::{Moment, number};
use super::{Field, Op, Pattern, Scale};
use crate::books::State;
use crate::oops::{OopsId, Source};
use crate::outcome::OutcomeKind;
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

/// Checks that the pattern makes sense for the field, and brings ids into their one spelling.
pub(super) fn check(field: Field, op: Op, pattern: Pattern) -> Result<Pattern, Mistake> {
    if op != Op::Is && !matches!(pattern, Pattern::Exact(_)) {
        return Err("a single value after < or >".into());
    }
    match field.scale() {
        Scale::Words => check_word(field, pattern),
        Scale::Ids => canonical_id(pattern),
        Scale::Text => Ok(pattern),
        Scale::Versions => match &pattern {
            Pattern::Range(low, high) if low.is_empty() || high.is_empty() => {
                Err("two versions, as in 1.4..1.6".into())
            }
            _ => Ok(pattern),
        },
        Scale::Numbers => match pattern.is_of(|text| number(text).is_some()) {
            true if pattern.is_reversed(|low, high| number(low) > number(high)) => {
                Err("a range from the smaller to the larger, as in 2..5".into())
            }
            true => Ok(pattern),
            false => Err("a number such as 3, or a range such as 2..5".into()),
        },
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
            Self::Prefix(_) => false,
            Self::Range(low, high) => is_good(low) && is_good(high),
        }
    }
}

fn check_word(field: Field, pattern: Pattern) -> Result<Pattern, Mistake> {
    let words = words(field);
    match &pattern {
        Pattern::Exact(word) if words.contains(&word.as_str()) => Ok(pattern),
        Pattern::Exact(word) | Pattern::Prefix(word) | Pattern::Range(word, _) => Err(Mistake {
            expected: format!("one of {}", words.join(", ")),
            nearest: nearest(word, &words),
        }),
    }
}

/// The words that a field of [`Scale::Words`] knows.
fn words(field: Field) -> Vec<&'static str> {
    if field == Field::Src {
        return Source::ALL.map(Source::as_str).to_vec();
    }
    let states = State::ALL.into_iter().map(State::as_str);
    let reasons = Reason::ALL.into_iter().map(Reason::as_str);
    let outcomes = OutcomeKind::ALL.into_iter().map(OutcomeKind::as_str);
    let mut words: Vec<_> = states.chain(["live", "ended"]).collect();
    for word in reasons.chain(outcomes) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

fn canonical_id(pattern: Pattern) -> Result<Pattern, Mistake> {
    match pattern {
        Pattern::Exact(text) => {
            let ticket = text.parse::<TicketId>().map(|id| id.to_string());
            ticket
                .or_else(|_| text.parse::<OopsId>().map(|id| id.to_string()))
                .map(Pattern::Exact)
                .map_err(|_| "the whole id of a ticket or report, or its beginning and *".into())
        }
        Pattern::Prefix(start) => Ok(Pattern::Prefix(
            match start.to_ascii_uppercase().starts_with('O') {
                true => start.to_ascii_uppercase(),
                false => start.to_ascii_lowercase(),
            },
        )),
        Pattern::Range(..) => Err("an id, not a range".into()),
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
