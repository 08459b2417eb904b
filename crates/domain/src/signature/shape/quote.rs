//! Quoted texts: whatever they say, a mark stands for it; unless it is the message itself.

use super::Scanner;

/// Keys whose quoted value is what went wrong, in logs of JSON and of `key="value"`.
const TELLING: [&str; 12] = [
    "class",
    "code",
    "detail",
    "err",
    "error",
    "exception",
    "kind",
    "level",
    "message",
    "msg",
    "reason",
    "type",
];

/// How far the end of a text in printed quotes may be, in bytes.
const PRINTED_BYTES_MAX: usize = 256;

impl Scanner<'_> {
    /// A quotation mark: the first, the last, or an apostrophe.
    pub(super) fn quoted(&mut self, quote: u8) {
        let is_closer = self.closer == Some(self.at);
        let is_identifier = self.is_sql && quote == b'"';
        if is_closer || is_identifier || !self.opens() {
            self.closer = self.closer.filter(|_| !is_closer);
            return self.keep(1);
        }
        let Some(end) = self.closer_after(self.at + 1, quote) else {
            return self.keep(1);
        };
        let is_key = self.is_json && quote == b'"' && self.byte(end + 1) == Some(b':');
        if is_key || self.is_after_telling_key() {
            self.closer = Some(end);
            return self.keep(1);
        }
        let mark = if self.is_sql { "$STRING" } else { "<str>" };
        self.mark(mark, end + 1 - self.at);
    }

    /// Whether a quoted text may begin here: not inside of a word, except after a prefix such as
    /// the one of `b'bytes'`.
    fn opens(&self) -> bool {
        let before = |back: usize| self.at.checked_sub(back).and_then(|at| self.byte(at));
        let is_letter = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        // Inside of a text that is quoted itself.
        if before(1) == Some(b'\\') {
            return false;
        }
        let is_prefix = matches!(before(1), Some(b'b' | b'u' | b'r' | b'f'));
        !is_letter(before(1)) || (is_prefix && !is_letter(before(2)))
    }

    /// Where the quoted text ends. What has no end once has none ever after, so each end is looked
    /// for once.
    fn closer_after(&mut self, start: usize, quote: u8) -> Option<usize> {
        let unclosed = &mut self.unclosed[usize::from(quote == b'"')];
        if *unclosed {
            return None;
        }
        let bytes = self.text.as_bytes();
        let ends = |at: &usize| {
            let is_escaped = bytes[*at - 1] == b'\\' && bytes[*at - 2] != b'\\';
            let goes_on = bytes.get(*at + 1).is_some_and(u8::is_ascii_alphanumeric);
            bytes[*at] == quote && !is_escaped && !goes_on
        };
        let end = (start..bytes.len()).find(ends);
        *unclosed = end.is_none();
        end
    }

    /// Whether `"msg":` or `msg=` stands before the quotation mark.
    fn is_after_telling_key(&self) -> bool {
        const KEY_BYTES_MAX: usize = 16;
        let before = &self.text.as_bytes()[..self.at];
        let before = before.strip_suffix(b" ").unwrap_or(before);
        let before = before
            .strip_suffix(b"\":")
            .or_else(|| before.strip_suffix(b"="));
        before.is_some_and(|before| {
            let letters = before.iter().rev().take(KEY_BYTES_MAX);
            let length = letters
                .take_while(|byte| byte.is_ascii_alphabetic())
                .count();
            let key = &before[before.len() - length..];
            TELLING.iter().any(|word| word.as_bytes() == key)
        })
    }

    /// A text in printed quotation marks; `false` when this is none.
    pub(super) fn quoted_in_print(&mut self, open: char) -> bool {
        let close = match open {
            '“' => '”',
            '‘' => '’',
            '«' => '»',
            _ => return false,
        };
        let rest = &self.rest()[open.len_utf8()..];
        let near = &rest[..rest.floor_char_boundary(PRINTED_BYTES_MAX)];
        let Some(inside) = near.find(close) else {
            return false;
        };
        self.mark("<str>", open.len_utf8() + inside + close.len_utf8());
        true
    }
}
