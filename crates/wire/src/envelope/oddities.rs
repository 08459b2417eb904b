//! What was strange about a message and was left out: a few lines for the log.

use std::fmt::Display;

/// The most lines that are kept. Anyone may send anything, and must not fill our log.
const LINES_MAX: usize = 8;
/// The most characters of a line.
const LINE_CHARS_MAX: usize = 200;

#[derive(Default)]
pub(super) struct Oddities {
    lines: Vec<String>,
}

impl Oddities {
    /// Notes that the value at this place is left out.
    pub(super) fn note(&mut self, place: &str, why: impl Display) {
        if self.lines.len() < LINES_MAX {
            let line = format!("{place}: {why}");
            self.lines
                .push(match line.char_indices().nth(LINE_CHARS_MAX) {
                    Some((end, _)) => format!("{}…", &line[..end]),
                    None => line,
                });
        }
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines
    }
}
