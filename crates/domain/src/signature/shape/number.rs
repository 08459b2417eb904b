//! What begins with a digit: how long it is, and what it is.
//!
//! Each function looks at the beginning of the bytes and says how many of them it takes.

/// A number, and what its unit makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Without a unit.
    Plain,
    /// A length of time.
    Duration,
    /// A number of bytes.
    Size,
}

/// A UUID, with its hyphens.
pub(super) fn uuid(bytes: &[u8]) -> Option<usize> {
    const LENGTH: usize = 36;
    let (uuid, rest) = bytes.split_at_checked(LENGTH)?;
    let fits = |(i, byte): (usize, &u8)| match i {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    (uuid.iter().enumerate().all(fits) && !goes_on(rest)).then_some(LENGTH)
}

/// A number that says of itself that it is hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> Option<usize> {
    let digits = match bytes {
        [b'0', b'x' | b'X', digits @ ..] => count(digits, u8::is_ascii_hexdigit),
        _ => 0,
    };
    (digits > 0).then_some(digits + 2)
}

/// An address of the internet's fourth version.
pub(super) fn ip(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    for part in 0..4 {
        if part > 0 {
            at += usize::from(bytes.get(at) == Some(&b'.'));
        }
        let digits = count(&bytes[at..], u8::is_ascii_digit);
        if digits == 0 || digits > 3 {
            return None;
        }
        at += digits;
        if part < 3 && bytes.get(at) != Some(&b'.') {
            return None;
        }
    }
    let is_longer = matches!(&bytes[at..], [b'.', next, ..] if next.is_ascii_digit());
    (!is_longer && !goes_on(&bytes[at..])).then_some(at)
}

/// A date, a time of day, or both: `2026-03-04T05:06:07.089+01:00`, `05:06:07,089`.
pub(super) fn moment(bytes: &[u8]) -> Option<usize> {
    let Some(date) = date(bytes) else {
        return time_of_day(bytes);
    };
    let time = match bytes.get(date) {
        Some(b'T' | b'_') => time_of_day(&bytes[date + 1..]).map(|length| length + 1),
        _ => None,
    };
    Some(date + time.unwrap_or(0))
}

fn date(bytes: &[u8]) -> Option<usize> {
    const LENGTH: usize = 10;
    let date = bytes.get(..LENGTH)?;
    let separator = date[4];
    let fits = |(i, byte): (usize, &u8)| match i {
        4 | 7 => *byte == separator,
        _ => byte.is_ascii_digit(),
    };
    let is_date = matches!(separator, b'-' | b'/') && date.iter().enumerate().all(fits);
    let ends = !bytes.get(LENGTH).is_some_and(u8::is_ascii_digit);
    (is_date && ends).then_some(LENGTH)
}

fn time_of_day(bytes: &[u8]) -> Option<usize> {
    let hours = count(bytes, u8::is_ascii_digit);
    let rest = bytes.get(hours..hours + 6)?;
    let is_pair = |at: usize| rest[at] == b':' && all_digits(&rest[at + 1..at + 3]);
    if !(1..=2).contains(&hours) || !is_pair(0) || !is_pair(3) {
        return None;
    }
    let mut at = hours + 6;
    if matches!(bytes.get(at), Some(b'.' | b',')) {
        let digits = count(&bytes[at + 1..], u8::is_ascii_digit);
        at += if digits > 0 { digits + 1 } else { 0 };
    }
    at += zone(&bytes[at..]);
    (!goes_on(&bytes[at..])).then_some(at)
}

fn zone(bytes: &[u8]) -> usize {
    match bytes {
        [b'Z' | b'z', ..] => 1,
        [b'+' | b'-', a, b, b':', c, d, ..] if all_digits(&[*a, *b, *c, *d]) => 6,
        [b'+' | b'-', a, b, c, d, ..] if all_digits(&[*a, *b, *c, *d]) => 5,
        _ => 0,
    }
}

/// A number and its unit, if it has one that is known: `3`, `1.2.3`, `5ms`, `1h30m`, `5 seconds`,
/// `12.5 MiB`. `None` when letters follow that are no unit.
pub(super) fn quantity(bytes: &[u8]) -> Option<(usize, Quantity)> {
    let digits = decimal(bytes);
    let (unit, attached) = letters(&bytes[digits..]);
    if attached > 0 {
        return attached_unit(bytes, digits, unit);
    }
    let spaced = match bytes.get(digits) {
        Some(b' ') => letters(&bytes[digits + 1..]),
        _ => ("", 0),
    };
    let (unit, length) = spaced;
    let ends = !goes_on(&bytes[digits + usize::from(length > 0) + length..]);
    match unit_of(unit) {
        // A single letter on its own is a word; K, M and G are sizes only where they are attached.
        Some(quantity) if ends && (length > 1 || matches!(unit, "s" | "B")) => {
            Some((digits + 1 + length, quantity))
        }
        _ => Some((digits, Quantity::Plain)),
    }
}

fn attached_unit(bytes: &[u8], digits: usize, unit: &str) -> Option<(usize, Quantity)> {
    let end = digits + unit.len();
    if matches!(unit, "e" | "E") {
        let sign = usize::from(matches!(bytes.get(end), Some(b'+' | b'-')));
        let power = count(&bytes[end + sign..], u8::is_ascii_digit);
        let end = end + sign + power;
        return (power > 0 && !goes_on(&bytes[end..])).then_some((end, Quantity::Plain));
    }
    if matches!(unit, "st" | "nd" | "rd" | "th") {
        return (!goes_on(&bytes[end..])).then_some((end, Quantity::Plain));
    }
    let quantity = unit_of(unit)?;
    if !goes_on(&bytes[end..]) {
        return Some((end, quantity));
    }
    // 1h30m: each part has a unit of its own.
    let (more, next) = match bytes[end].is_ascii_digit() {
        true => quantity_of_part(&bytes[end..])?,
        false => return None,
    };
    let is_compound = quantity == Quantity::Duration && next == Quantity::Duration;
    is_compound.then_some((end + more, quantity))
}

fn quantity_of_part(bytes: &[u8]) -> Option<(usize, Quantity)> {
    let mut at = 0;
    while bytes.get(at).is_some_and(u8::is_ascii_digit) {
        let digits = decimal(&bytes[at..]);
        let (unit, length) = letters(&bytes[at + digits..]);
        if unit_of(unit)? != Quantity::Duration {
            return None;
        }
        at += digits + length;
    }
    (!goes_on(&bytes[at..])).then_some((at, Quantity::Duration))
}

fn unit_of(unit: &str) -> Option<Quantity> {
    Some(match unit {
        "ns" | "us" | "µs" | "μs" | "ms" | "s" | "sec" | "secs" | "second" | "seconds" | "m"
        | "min" | "mins" | "minute" | "minutes" | "h" | "hr" | "hrs" | "hour" | "hours" | "d"
        | "day" | "days" | "week" | "weeks" | "millisecond" | "milliseconds" | "millis"
        | "microsecond" | "microseconds" | "nanosecond" | "nanoseconds" => Quantity::Duration,
        "B" | "K" | "k" | "M" | "G" | "T" | "kB" | "KB" | "MB" | "GB" | "TB" | "PB" | "KiB"
        | "MiB" | "GiB" | "TiB" | "PiB" | "byte" | "bytes" => Quantity::Size,
        _ => return None,
    })
}

/// Digits with points between them.
fn decimal(bytes: &[u8]) -> usize {
    let mut at = count(bytes, u8::is_ascii_digit);
    while let [b'.', next, ..] = &bytes[at..] {
        if !next.is_ascii_digit() {
            break;
        }
        at += 1 + count(&bytes[at + 1..], u8::is_ascii_digit);
    }
    at
}

/// The word at the beginning, if it could be a unit.
fn letters(bytes: &[u8]) -> (&str, usize) {
    const UNIT_BYTES_MAX: usize = 12;
    let length = count(bytes, |byte| byte.is_ascii_alphabetic() || *byte >= 0x80);
    let word = &bytes[..length.min(UNIT_BYTES_MAX + 1)];
    (std::str::from_utf8(word).unwrap_or("?"), length)
}

/// Whether a word goes on here.
fn goes_on(bytes: &[u8]) -> bool {
    bytes
        .first()
        .is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80)
}

fn all_digits(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_digit)
}

fn count(bytes: &[u8], is_one: impl Fn(&u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| is_one(byte)).count()
}
