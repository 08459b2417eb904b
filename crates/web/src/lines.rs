//! Cuts a stream of bytes into lines, holding at most one line of it.

/// One line of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// Its text, without its end.
    Text(&'a [u8]),
    /// It was longer than a line may be; so many bytes.
    TooLong(usize),
}

/// Cuts a stream of bytes into lines.
pub(crate) struct Lines {
    bytes_max: usize,
    held: Vec<u8>,
    /// How much of a line that is too long went by.
    skipped: usize,
}

impl Lines {
    pub(crate) const fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            held: Vec::new(),
            skipped: 0,
        }
    }

    /// Cuts the next piece; tells `each` the lines that end in it.
    pub(crate) fn feed(&mut self, piece: &[u8], mut each: impl FnMut(Line)) {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, tail) = (&rest[..end], &rest[end + 1..]);
            rest = tail;
            if self.held.is_empty() && self.skipped == 0 && line.len() <= self.bytes_max {
                each(Line::Text(line));
                continue;
            }
            self.hold(line);
            self.release(&mut each);
        }
        self.hold(rest);
    }

    /// Tells `each` the last line, if it has no end.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Line)) {
        if !self.held.is_empty() || self.skipped > 0 {
            self.release(&mut each);
        }
    }

    fn hold(&mut self, part: &[u8]) {
        if self.skipped > 0 || self.held.len() + part.len() > self.bytes_max {
            self.skipped += self.held.len() + part.len();
            self.held = Vec::new();
        } else {
            self.held.extend_from_slice(part);
        }
    }

    fn release(&mut self, each: &mut impl FnMut(Line)) {
        match std::mem::take(&mut self.skipped) {
            0 => each(Line::Text(&self.held)),
            size => each(Line::TooLong(size)),
        }
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&str]) -> Vec<String> {
        let mut said = Vec::new();
        let mut each = |line: Line| {
            said.push(match line {
                Line::Text(text) => String::from_utf8_lossy(text).into_owned(),
                Line::TooLong(size) => format!("<{size}>"),
            });
        };
        let mut lines = Lines::new(5);
        for piece in pieces {
            lines.feed(piece.as_bytes(), &mut each);
        }
        lines.finish(&mut each);
        said
    }

    #[test]
    fn lines_are_the_same_however_the_stream_is_cut() {
        let expected = ["a", "", "bcd", "<6>", "<9>", "ef"];
        let text = "a\n\nbcd\n123456\n123456789\nef";
        assert_eq!(cut(&[text]), expected);
        for at in 0..text.len() {
            assert_eq!(cut(&[&text[..at], &text[at..]]), expected, "cut at {at}");
        }
        let bytes: Vec<&str> = text.split_inclusive(|_| true).collect();
        assert_eq!(cut(&bytes), expected);
    }

    #[test]
    fn a_last_line_needs_no_end() {
        assert_eq!(cut(&["a\n"]), ["a"]);
        assert_eq!(cut(&["a\n1234567"]), ["a", "<7>"]);
        assert!(cut(&[]).is_empty());
    }
}
