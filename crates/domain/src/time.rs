//! Time as a value: a point in time, and how lengths of time are written. Nothing reads a clock.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A day in UTC.
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A point in time, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The start of 1970, which is before everything that happens here.
    pub const EPOCH: Self = Self(0);

    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970, rounded down.
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This long afterwards; stops at the end of time rather than wrapping.
    #[must_use]
    pub fn plus(self, length: Duration) -> Self {
        let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// This long before; stops at the beginning of time.
    #[must_use]
    pub fn minus(self, length: Duration) -> Self {
        let micros = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this is; zero when it is before.
    pub fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, for example `2026-11-21T14:03:22.120Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

/// A point or a length of time that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {got:?}")]
pub struct BadTime {
    /// The form in words.
    pub expected: &'static str,
    /// What was found.
    pub got: String,
}

impl FromStr for Timestamp {
    type Err = BadTime;

    fn from_str(text: &str) -> Result<Self, BadTime> {
        let bad = || BadTime {
            expected: "a time such as 2026-11-21T14:03:22Z",
            got: text.chars().take(80).collect(),
        };
        let at: jiff::Timestamp = text.trim().parse().map_err(|_| bad())?;
        Ok(Self(at.as_microsecond()))
    }
}

/// Reads a length of time: `500ms`, `1s`, `30m`, `2h 30m`, `7d`.
///
/// # Errors
/// [`BadTime`] when it is not a length of time, is negative, or is over 1,000 years.
pub fn parse_duration(text: &str) -> Result<Duration, BadTime> {
    let bad = || BadTime {
        expected: "a length of time such as 500ms, 30s, 5m, 2h or 7d",
        got: text.chars().take(80).collect(),
    };
    if text.trim().is_empty() || text.contains('-') {
        return Err(bad());
    }
    // Days and weeks are exact here (24 hours, 7 days): a wait has no calendar.
    let mut total = Duration::ZERO;
    for part in split_units(text).ok_or_else(bad)? {
        let (number, unit) = part;
        let seconds = unit_seconds(unit).ok_or_else(bad)?;
        let length = number * seconds;
        if !length.is_finite() || length > 1_000.0 * 366.0 * 86_400.0 {
            return Err(bad());
        }
        total += Duration::from_secs_f64(length);
    }
    Ok(total)
}

fn split_units(text: &str) -> Option<Vec<(f64, &str)>> {
    let mut rest = text.trim();
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..unit_at].parse().ok()?;
        let tail = rest[unit_at..].trim_start();
        let unit_end = tail
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(tail.len());
        parts.push((number, &tail[..unit_end]));
        rest = tail[unit_end..].trim_start();
    }
    Some(parts)
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "week" | "weeks" => 604_800.0,
        _ => return None,
    })
}

/// The first moment of a day in UTC, if the text is a date and nothing else.
pub(crate) fn start_of_day(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    // Dates are also read from longer texts by the library; only the short form is a whole day.
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    let start = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(Timestamp::from_micros(start.as_microsecond()))
}

/// Writes a length of time in at most two units, for people: `1.5s`, `2m 30s`, `3d 4h`.
pub fn show_duration(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 if length.is_zero() => "0s".into(),
        0 => format!("{}ms", length.as_millis().max(1)),
        1..60 => match length.subsec_millis() / 100 {
            0 => format!("{seconds}s"),
            tenths => format!("{seconds}.{tenths}s"),
        },
        60..3_600 => two_units(seconds, (60, "m"), (1, "s")),
        3_600..86_400 => two_units(seconds, (3_600, "h"), (60, "m")),
        _ => two_units(seconds, (86_400, "d"), (3_600, "h")),
    }
}

fn two_units(seconds: u64, big: (u64, &str), small: (u64, &str)) -> String {
    let rest = seconds % big.0 / small.0;
    match rest {
        0 => format!("{}{}", seconds / big.0, big.1),
        _ => format!("{}{} {rest}{}", seconds / big.0, big.1, small.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_written() {
        for (text, expected) in [
            ("500ms", "500ms"),
            ("1s", "1s"),
            ("1.5s", "1.5s"),
            ("90s", "1m 30s"),
            ("2h 30m", "2h 30m"),
            ("2h30m", "2h 30m"),
            ("7d", "7d"),
            ("0s", "0s"),
        ] {
            assert_eq!(
                show_duration(parse_duration(text).unwrap()),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_not_a_length_of_time_is_refused() {
        for text in [
            "",
            "5",
            "m",
            "-5s",
            "5 parsecs",
            "1e9d",
            "99999999d",
            "1..5s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_reads_back_as_written() {
        let at = Timestamp::from_micros(1_795_269_802_120_000);
        assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
