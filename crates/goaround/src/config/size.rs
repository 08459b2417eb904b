//! Sizes in bytes, as people write them.

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads `1MiB`, `64 KiB`, `2GB` or a plain number of bytes; `None` when it is none of these.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..unit_at].parse().ok()?;
    let unit = match text[unit_at..].trim() {
        "" => 1,
        unit => {
            UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))?
                .1
        }
    };
    number.checked_mul(unit)
}

/// Writes a size in the biggest unit that loses nothing.
pub(super) fn show(bytes: u64) -> String {
    let binary = UNITS.iter().filter(|(name, _)| name.contains('i'));
    let exact = binary
        .filter(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map(|(name, unit)| format!("{}{name}", bytes / unit));
    exact
        .into_iter()
        .next()
        .unwrap_or_else(|| format!("{bytes}B"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_without_a_known_unit_is_not_a_size() {
        for text in ["", "MiB", "1.5MiB", "-1", "1 parsec", "99999999999GiB"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, shown) in [
            ("1MiB", 1 << 20, "1MiB"),
            ("64 kib", 64 << 10, "64KiB"),
            ("1000", 1_000, "1000B"),
            ("2GB", 2_000_000_000, "1953125KiB"),
            ("0", 0, "0B"),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
            assert_eq!(show(bytes), shown, "{text}");
        }
    }
}
