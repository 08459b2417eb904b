//! What stays of a message from ticket to ticket: its words, with marks in place of what varies.
//!
//! One pass from left to right, which never looks at the same byte more than a few times, whatever
//! a handler prints. Marks: `N` for a number, `<str>` for what is quoted, `<path>`, `<url>`,
//! `<email>`, `<ip>`, `<uuid>`, `<hex>`, `<id>`, `<time>`, `<duration>`, `<size>`; inside a
//! statement of SQL `$INT` and `$STRING`. A list of equal marks is one of them. A number that says
//! what went wrong rather than to whom, such as an HTTP status or an errno, stays.

mod number;
mod quote;
mod run;

use number::Quantity;
use std::borrow::Cow;

/// Longest message that is looked at, in bytes; what is behind it does not count.
pub(super) const MESSAGE_BYTES_MAX: usize = 2 * 1024;

/// Longest shape, in bytes; a longer one loses its middle.
pub(super) const BYTES_MAX: usize = 160;

/// Longest number that is taken for a code, in digits: SQLSTATE has five.
const CODE_DIGITS_MAX: usize = 5;

/// Words after which a number is a code.
const CODE_WORDS: [&str; 8] = [
    "code", "errno", "error", "http", "signal", "sqlstate", "status", "exit",
];

/// Words by which a statement of SQL is known.
const SQL_WORDS: [&str; 7] = [
    "DELETE", "INSERT", "MERGE", "SELECT", "UPDATE", "VALUES", "WHERE",
];

const MONTHS_AND_DAYS: [&str; 19] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Mon",
    "Tue", "Wed", "Thu", "Fri", "Sat", "Sun",
];

/// The shape of a message.
pub(super) fn of(message: &str) -> String {
    let is_cut = message.len() > MESSAGE_BYTES_MAX;
    let message = &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)];
    let mut scanner = Scanner::new(message);
    scanner.scan();
    let shape = scanner.shape.trim_end();
    if is_cut {
        // Where the looking ended depends on the numbers before; only the beginning is the same.
        return format!("{}…", &shape[..shape.floor_char_boundary(BYTES_MAX / 2)]);
    }
    without_middle(shape, BYTES_MAX)
}

/// The text with a space for each character that is not to be seen, and for the one by which a
/// store replaces what it cannot say: what is told apart must not depend on the store.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER;
    match text.contains(is_hidden) {
        true => text.replace(is_hidden, " ").into(),
        false => text.into(),
    }
}

/// The text, or its beginning and its end, in at most this many bytes.
pub(super) fn without_middle(text: &str, bytes_max: usize) -> String {
    const MARK: &str = "…";
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(bytes_max * 3 / 5);
    let tail = text.ceil_char_boundary(text.len() - (bytes_max - head - MARK.len()));
    [&text[..head], MARK, &text[tail..]].concat()
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    shape: String,
    /// The last mark, and how long the shape was after it.
    marked: Option<(&'static str, usize)>,
    /// How long the shape was after a word that a code may follow, and whether that was `error`,
    /// which is so common a word that only a space may come between.
    code: Option<(usize, bool)>,
    /// Where the run of characters without a separator ends that was looked at as a whole.
    run_end: usize,
    /// Where a quoted text ends that is looked into.
    closer: Option<usize>,
    /// Whether there is no closing `'` or `"` any more.
    unclosed: [bool; 2],
    is_sql: bool,
    is_json: bool,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            shape: String::with_capacity(text.len().min(2 * BYTES_MAX)),
            marked: None,
            code: None,
            run_end: 0,
            closer: None,
            unclosed: [false; 2],
            is_sql: false,
            is_json: text.trim_start().starts_with('{'),
        }
    }

    fn scan(&mut self) {
        while let Some(byte) = self.byte(self.at) {
            if byte <= b' ' || byte == 0x7f {
                self.space();
            } else if matches!(byte, b'\'' | b'"') {
                self.quoted(byte);
            } else if self.at >= self.run_end && self.run() {
                // It was of one piece.
            } else if byte.is_ascii_alphanumeric() {
                self.token();
            } else if byte.is_ascii() {
                self.keep(1);
            } else {
                self.foreign();
            }
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Takes this many bytes as they are.
    fn keep(&mut self, bytes: usize) {
        self.shape.push_str(&self.text[self.at..self.at + bytes]);
        self.at += bytes;
    }

    fn space(&mut self) {
        if !self.shape.is_empty() && !self.shape.ends_with(' ') {
            self.shape.push(' ');
        }
        self.at += 1;
    }

    /// Takes this many bytes and writes a mark for them, unless the same mark was just written.
    fn mark(&mut self, mark: &'static str, bytes: usize) {
        self.at += bytes;
        if let Some((last, end)) = self.marked
            && last == mark
            && matches!(&self.shape[end..], "" | " " | "," | ", ")
        {
            self.shape.truncate(end);
            return;
        }
        self.shape.push_str(mark);
        self.marked = Some((mark, self.shape.len()));
    }

    /// A character outside of ASCII: a letter for us, unless it is a space or stands for one.
    fn foreign(&mut self) {
        let Some(c) = self.rest().chars().next() else {
            return;
        };
        // See `visible`.
        if c.is_whitespace() || c.is_control() || c == char::REPLACEMENT_CHARACTER {
            self.space();
            self.at += c.len_utf8() - 1;
        } else if !self.quoted_in_print(c) {
            self.keep(c.len_utf8());
        }
    }

    /// A letter or digit that begins a word.
    fn token(&mut self) {
        let rest = self.rest().as_bytes();
        if let Some(length) = number::uuid(rest) {
            self.mark("<uuid>", length);
        } else if rest[0].is_ascii_digit() {
            self.number(rest);
        } else {
            self.word(rest);
        }
    }

    fn number(&mut self, rest: &[u8]) {
        if let Some(length) = number::hex(rest) {
            return self.mark("<hex>", length);
        }
        if let Some(length) = number::moment(rest) {
            return self.mark("<time>", length);
        }
        if let Some(length) = number::ip(rest) {
            return self.mark("<ip>", length);
        }
        match number::quantity(rest) {
            Some((length, Quantity::Duration)) => self.mark("<duration>", length),
            Some((length, Quantity::Size)) => self.mark("<size>", length),
            // 7d4b9c begins like a number; as a whole it is an id.
            _ if is_id(segment(rest)) => self.mark("<id>", segment(rest).len()),
            Some((length, Quantity::Plain)) => self.plain_number(length),
            None => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
                self.plain_number(digits.count());
            }
        }
    }

    fn plain_number(&mut self, bytes: usize) {
        if bytes <= CODE_DIGITS_MAX && self.is_after_code_word() {
            return self.keep(bytes);
        }
        let unsigned = self.shape.strip_suffix(['-', '+']);
        if let Some(before) = unsigned
            && !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '>' | '_' | '-'))
        {
            self.shape.truncate(before.len());
        }
        self.mark(if self.is_sql { "$INT" } else { "N" }, bytes);
    }

    fn is_after_code_word(&self) -> bool {
        const GAP_BYTES_MAX: usize = 3;
        self.code.is_some_and(|(end, is_error)| {
            let gap = &self.shape[end..];
            let is_gap = |byte: u8| matches!(byte, b' ' | b'=' | b':' | b'-' | b'"');
            match is_error {
                true => gap == " ",
                false => gap.len() <= GAP_BYTES_MAX && gap.bytes().all(is_gap),
            }
        })
    }

    fn word(&mut self, rest: &[u8]) {
        let word = segment(rest);
        if is_id(word) {
            return self.mark("<id>", word.len());
        }
        let text = &self.text[self.at..self.at + word.len()];
        if !word.iter().any(u8::is_ascii_digit) {
            if is_date_word(text) && goes_on_as_date(&rest[word.len()..]) {
                return self.mark("<time>", word.len());
            }
            self.keep(word.len());
            self.is_sql |= SQL_WORDS.contains(&text);
            if CODE_WORDS
                .iter()
                .any(|code| code.eq_ignore_ascii_case(text))
            {
                self.code = Some((self.shape.len(), text.eq_ignore_ascii_case("error")));
            }
            return;
        }
        self.at += word.len();
        let mut was_digit = false;
        for c in text.chars() {
            let is_digit = c.is_ascii_digit();
            if !is_digit {
                self.shape.push(c);
            } else if !was_digit {
                self.shape.push('N');
            }
            was_digit = is_digit;
        }
    }
}

/// The letters and digits at the beginning.
fn segment(bytes: &[u8]) -> &[u8] {
    let is_inside = |byte: &&u8| byte.is_ascii_alphanumeric();
    &bytes[..bytes.iter().take_while(is_inside).count()]
}

/// Whether a word looks drawn from a hat: hexadecimal, or digits and letters all mixed up.
fn is_id(word: &[u8]) -> bool {
    const HEX_BYTES_MIN: usize = 7;
    const SWITCHES_MIN: usize = 3;
    let switches = word
        .windows(2)
        .filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit())
        .count();
    let is_hex = || word.len() >= HEX_BYTES_MIN && word.iter().all(u8::is_ascii_hexdigit);
    switches >= SWITCHES_MIN || (switches > 0 && is_hex())
}

fn is_date_word(word: &str) -> bool {
    word.len() == 3 && MONTHS_AND_DAYS.contains(&word)
}

/// Whether a day, a year or a month comes next: `Feb  3`, `Mon, 03`, `Tue Feb`.
fn goes_on_as_date(rest: &[u8]) -> bool {
    const GAP_BYTES_MAX: usize = 3;
    let is_gap = |byte: &&u8| matches!(byte, b' ' | b',' | b'.');
    let gap = rest.iter().take(GAP_BYTES_MAX).take_while(is_gap).count();
    let next = segment(&rest[gap..]);
    gap > 0
        && (next.first().is_some_and(u8::is_ascii_digit)
            || std::str::from_utf8(next).is_ok_and(is_date_word))
}

#[cfg(test)]
mod tests;
