//! Decides whether a ticket or a report is what a query asks for.

use super::{Facts, Field, Op, Pattern, Query, Scale, Term};
use crate::time::{BadTime, DAY, Timestamp, parse_duration, start_of_day};
use std::cmp::Ordering;
use std::ops::RangeInclusive;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MICROSECOND: Duration = Duration::from_micros(1);
const FIRST: Timestamp = Timestamp::from_micros(i64::MIN);
const LAST: Timestamp = Timestamp::from_micros(i64::MAX);

impl Query {
    /// Whether everything that the query asks for holds.
    pub fn matches(&self, facts: &dyn Facts, now: Timestamp) -> bool {
        self.all.iter().all(|term| term.matches(facts, now))
    }
}

impl Term {
    fn matches(&self, facts: &dyn Facts, now: Timestamp) -> bool {
        match self {
            Self::Not(term) => !term.matches(facts, now),
            Self::Any(queries) => queries.iter().any(|query| query.matches(facts, now)),
            Self::Field { field, op, values } => values
                .iter()
                .any(|pattern| pattern.matches(*field, *op, facts, now)),
            Self::Data { path, op, values } => {
                let found = facts.data(path);
                let holds = |pattern: &Pattern| {
                    let mut found = found.iter();
                    found.any(|value| pattern.admits_data(*op, value))
                };
                values.iter().any(holds)
            }
            Self::Free(text) => facts.has_text(&text.to_lowercase()),
        }
    }
}

impl Pattern {
    fn matches(&self, field: Field, op: Op, facts: &dyn Facts, now: Timestamp) -> bool {
        let any_value = |holds: &dyn Fn(&str) -> bool| {
            let values = facts.values(field);
            values.iter().any(|value| holds(value))
        };
        match field.scale() {
            Scale::Words | Scale::Ids | Scale::Text | Scale::Data => {
                any_value(&|value| self.is_like(value))
            }
            Scale::Versions => any_value(&|value| self.admits_version(op, value)),
            Scale::Numbers => facts
                .number(field)
                .is_some_and(|n| self.admits_number(op, n)),
            Scale::Times => facts.time(field).is_some_and(|at| {
                let period = self.period(op, now);
                period.is_some_and(|period| period.contains(&at))
            }),
        }
    }

    fn is_like(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => value == text,
            Self::Prefix(start) => value.starts_with(start.as_str()),
            Self::Range(low, high) => low.as_str() <= value && value <= high.as_str(),
            Self::Regex(regex) => regex.finds(value),
        }
    }

    fn admits_version(&self, op: Op, value: &str) -> bool {
        match self {
            Self::Exact(text) if op != Op::Is => op.admits(version_order(value, text)),
            Self::Range(low, high) => {
                Op::AtLeast.admits(version_order(value, low))
                    && Op::AtMost.admits(version_order(value, high))
            }
            Self::Exact(_) | Self::Prefix(_) | Self::Regex(_) => self.is_like(value),
        }
    }

    fn admits_data(&self, op: Op, value: &str) -> bool {
        match (op, self) {
            (Op::Is, Self::Exact(_) | Self::Prefix(_) | Self::Regex(_)) => self.is_like(value),
            _ => number(value).is_some_and(|value| self.admits_number(op, value)),
        }
    }

    fn admits_number(&self, op: Op, value: f64) -> bool {
        let holds = |op: Op, text: &str| {
            let order = number(text).and_then(|bound| value.partial_cmp(&bound));
            order.is_some_and(|order| op.admits(order))
        };
        match self {
            Self::Exact(text) => holds(op, text),
            Self::Prefix(_) | Self::Regex(_) => false,
            Self::Range(low, high) => holds(Op::AtLeast, low) && holds(Op::AtMost, high),
        }
    }

    /// The points in time that a pattern of a [`Scale::Times`] field admits, both ends included;
    /// `None` when it is not about time.
    ///
    /// A date is the whole day in UTC, a time without a fraction the whole second: `>` begins
    /// after its end, `>=` at its start. `-1h` with [`Op::Is`] means "in the last hour".
    pub fn period(&self, op: Op, now: Timestamp) -> Option<RangeInclusive<Timestamp>> {
        let (low, high) = match self {
            Self::Exact(text) => {
                let moment = Moment::parse(text)?;
                let (from, to) = moment.bounds(now);
                match op {
                    Op::Is if matches!(moment, Moment::Ago(_)) => (from, LAST),
                    Op::Is => (from, to),
                    Op::Over => (to.plus(MICROSECOND), LAST),
                    Op::AtLeast => (from, LAST),
                    Op::Under => (FIRST, from.minus(MICROSECOND)),
                    Op::AtMost => (FIRST, to),
                }
            }
            Self::Prefix(_) | Self::Regex(_) => return None,
            Self::Range(low, high) => {
                let (from, _) = Moment::parse(low)?.bounds(now);
                let (_, to) = Moment::parse(high)?.bounds(now);
                (from, to)
            }
        };
        Some(low..=high)
    }
}

impl Op {
    fn admits(self, order: Ordering) -> bool {
        match self {
            Self::Is => order.is_eq(),
            Self::Over => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Under => order.is_lt(),
            Self::AtMost => order.is_le(),
        }
    }
}

/// Reads a number as users write it; infinity is none.
pub(super) fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number)
}

/// How two versions compare: number by number if both are dotted numbers, else as text. What
/// follows a hyphen comes before the numbers alone, as semantic versions have it: 1.4.0-rc.2 is
/// after 1.4.0-rc.1 and before 1.4.0. What follows a plus sign does not count.
pub fn version_order(a: &str, b: &str) -> Ordering {
    let (Some((one, before)), Some((other, before_other))) = (dotted(a), dotted(b)) else {
        return a.cmp(b);
    };
    one.cmp(&other).then_with(|| match (before, before_other) {
        (None, None) => Ordering::Equal,
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(one), Some(other)) => part_by_part(one, other),
    })
}

/// The numbers of `1.4.2` or `v1.4.2`, and what follows a hyphen; zeros at the end are left out, so
/// that 1.4 equals 1.4.0.
fn dotted(text: &str) -> Option<(Vec<u64>, Option<&str>)> {
    let bare = text.strip_prefix('v').unwrap_or(text);
    let bare = bare.split_once('+').map_or(bare, |(version, _)| version);
    let (release, before) = match bare.split_once('-') {
        Some((release, before)) => (release, Some(before)),
        None => (bare, None),
    };
    let mut numbers: Vec<u64> = release.split('.').map(digits).collect::<Option<_>>()?;
    while numbers.last() == Some(&0) {
        numbers.pop();
    }
    Some((numbers, before))
}

fn digits(part: &str) -> Option<u64> {
    let is_numeric = part.bytes().all(|b| b.is_ascii_digit());
    is_numeric.then(|| part.parse().ok()).flatten()
}

/// Numbers by their size and before words, words as text; what has more parts is later.
fn part_by_part(a: &str, b: &str) -> Ordering {
    let key = |part: &str| match digits(part) {
        Some(number) => (0, number, String::new()),
        None => (1, 0, part.to_owned()),
    };
    a.split('.').map(key).cmp(b.split('.').map(key))
}

/// A point in time as users write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// So long ago.
    Ago(Duration),
    /// From then on, for so long.
    Span(Timestamp, Duration),
}

impl Moment {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(length) = text.strip_prefix('-') {
            return parse_duration(length).ok().map(Self::Ago);
        }
        if let Some(day) = start_of_day(text) {
            return Some(Self::Span(day, DAY));
        }
        let at: Timestamp = text.parse().ok()?;
        let fraction = text.split_once('.').map(|(_, rest)| {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            10u32.saturating_pow(u32::try_from(digits).unwrap_or(u32::MAX))
        });
        let length = fraction.map_or(SECOND, |parts| (SECOND / parts).max(MICROSECOND));
        Some(Self::Span(at, length))
    }

    /// Whether one is surely after the other, whatever time it is now.
    pub(super) fn is_after(text: &str, other: &str) -> bool {
        match (Self::parse(text), Self::parse(other)) {
            (Some(Self::Ago(ago)), Some(Self::Ago(other))) => ago < other,
            (Some(Self::Span(from, _)), Some(Self::Span(other, _))) => from > other,
            _ => false,
        }
    }

    /// The first and the last microsecond of it.
    fn bounds(self, now: Timestamp) -> (Timestamp, Timestamp) {
        match self {
            Self::Ago(length) => (now.minus(length), now.minus(length)),
            Self::Span(from, length) => (from, from.plus(length).minus(MICROSECOND)),
        }
    }
}

/// The moment that somebody means who writes `since` and a time as filters have it: `-1h`,
/// `2026-11-01` (its first moment in UTC) or `2026-11-01T14:03:22Z`.
///
/// # Errors
/// [`BadTime`] when it is none of these.
pub fn parse_since(text: &str, now: Timestamp) -> Result<Timestamp, BadTime> {
    let moment = Moment::parse(text).ok_or_else(|| BadTime {
        expected: "a time such as -1h, 2026-11-01 or 2026-11-01T14:03:22Z",
        got: text.chars().take(80).collect(),
    })?;
    let (from, _) = moment.bounds(now);
    Ok(from)
}
