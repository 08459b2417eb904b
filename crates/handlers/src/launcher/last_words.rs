//! The end of what somebody wrote.

use domain::obituary::Obituary;
use std::collections::VecDeque;

/// The last bytes of a stream, as many as an obituary holds.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    bytes: VecDeque<u8>,
    is_cut: bool,
}

impl LastWords {
    const BYTES_MAX: usize = Obituary::LAST_WORDS_BYTES_MAX;

    /// More was written.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(Self::BYTES_MAX);
        let room = Self::BYTES_MAX - kept;
        let excess = self.bytes.len().saturating_sub(room);
        self.is_cut |= excess > 0 || kept < bytes.len();
        self.bytes.drain(..excess);
        self.bytes.extend(&bytes[bytes.len() - kept..]);
    }

    /// As text, from the beginning of a line on, without colours.
    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let first_line = bytes.iter().position(|byte| *byte == b'\n');
        let whole = match (self.is_cut, first_line) {
            // A single line that is longer than all of this is better than nothing.
            (true, Some(end)) if end + 1 < bytes.len() => &bytes[end + 1..],
            _ => &bytes[..],
        };
        plain(&String::from_utf8_lossy(whole))
    }
}

/// Takes out the escape sequences that terminals are coloured with.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            plain.push(c);
        } else if chars.next() == Some('[') {
            // It goes on to its first letter.
            chars.find(|c| ('@'..='~').contains(c));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(pieces: &[&str]) -> String {
        let mut words = LastWords::default();
        for piece in pieces {
            words.hear(piece.as_bytes());
        }
        words.text()
    }

    #[test]
    fn what_fits_is_kept_whole() {
        assert_eq!(heard(&[]), "");
        assert_eq!(heard(&["one\ntw", "o\n", "three"]), "one\ntwo\nthree");
    }

    #[test]
    fn of_more_only_the_last_lines_are_kept_and_none_of_them_is_cut() {
        let lines: Vec<String> = (0..1_000).map(|n| format!("line {n}\n")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        for text in [heard(&lines), heard(&[&lines.concat()])] {
            assert!(text.len() <= LastWords::BYTES_MAX);
            assert!(text.len() > LastWords::BYTES_MAX - 20);
            assert!(text.starts_with("line "), "{text}");
            assert!(text.ends_with("line 999\n"));
        }
    }

    #[test]
    fn a_line_that_is_too_long_keeps_its_end() {
        let long = format!("{}the end\n", "x".repeat(20_000));
        let text = heard(&["before\n", &long]);
        assert_eq!(text.len(), LastWords::BYTES_MAX);
        assert!(text.ends_with("xthe end\n"));
    }

    #[test]
    fn colours_are_left_out() {
        assert_eq!(
            heard(&["\u{1b}[2m12:00\u{1b}[0m \u{1b}[31mERROR\u{1b}[0m no\n"]),
            "12:00 ERROR no\n"
        );
        assert_eq!(heard(&["cut \u{1b}[3"]), "cut ");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        let mut words = LastWords::default();
        words.hear(b"\xff\xfe!\n");
        assert_eq!(words.text(), "\u{fffd}\u{fffd}!\n");
    }
}
