//! The lines of a file in chunks, with bounded memory.

use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

/// The most lines of one request.
const CHUNK_LINES_MAX: u64 = 4_000;
/// After so many bytes a chunk takes no further line.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// The longest line that is sent; a longer one is passed over and told.
const LINE_BYTES_MAX: u64 = 128 << 20;
const BUFFER_BYTES: usize = 256 << 10;

/// Neighbouring lines, as they are sent.
pub(in crate::cli) struct Chunk {
    /// The lines; one that cannot be sent is blank, so that the others keep their numbers.
    pub(super) bytes: Vec<u8>,
    /// The number of the first, from 1.
    pub(super) first: u64,
    /// The number of the last.
    pub(super) last: u64,
    /// How much of the file it is.
    pub(super) size: u64,
    /// Lines that cannot be sent, and why.
    pub(super) unsent: Vec<(u64, String)>,
}

/// A file with one ticket a line.
pub(in crate::cli) struct Lines<R> {
    /// What it is called in messages.
    pub(super) name: String,
    /// How big it is, if that is known.
    pub(super) size: Option<u64>,
    reader: BufReader<R>,
    /// What is added to a line that does not say it.
    defaults: Map<String, Json>,
    chunk_lines_max: u64,
    next: u64,
}

impl<R: Read> Lines<R> {
    pub(in crate::cli) fn new(name: &str, reader: R, size: Option<u64>) -> Self {
        Self {
            name: name.into(),
            size,
            reader: BufReader::with_capacity(BUFFER_BYTES, reader),
            defaults: Map::new(),
            chunk_lines_max: CHUNK_LINES_MAX,
            next: 1,
        }
    }

    /// The same lines, each filled with what it does not say itself.
    pub(in crate::cli) fn filled(self, defaults: Map<String, Json>) -> Self {
        Self { defaults, ..self }
    }

    /// No more lines in a chunk than these.
    pub(super) fn keep_to(&mut self, lines_max: u64) {
        self.chunk_lines_max = self.chunk_lines_max.min(lines_max);
    }

    /// The next chunk; `None` at the end.
    pub(super) fn chunk(&mut self) -> std::io::Result<Option<Chunk>> {
        let mut chunk = Chunk {
            bytes: Vec::new(),
            first: self.next,
            last: self.next,
            size: 0,
            unsent: Vec::new(),
        };
        while self.next < chunk.first + self.chunk_lines_max && chunk.bytes.len() < CHUNK_BYTES_MAX
        {
            if !self.line(&mut chunk)? {
                break;
            }
            chunk.last = self.next;
            self.next += 1;
        }
        Ok((chunk.size > 0).then_some(chunk))
    }

    /// Adds one line; `false` at the end.
    fn line(&mut self, chunk: &mut Chunk) -> std::io::Result<bool> {
        let start = chunk.bytes.len();
        let limit = LINE_BYTES_MAX + 1;
        let mut limited = self.reader.by_ref().take(limit);
        let read = limited.read_until(b'\n', &mut chunk.bytes)? as u64;
        chunk.size += read;
        if read == limit && chunk.bytes.last() != Some(&b'\n') {
            chunk.bytes.truncate(start);
            chunk.size += self.skip_line()?;
            let why = format!("expected at most {LINE_BYTES_MAX} bytes in a line, got more");
            chunk.unsent.push((self.next, why));
        } else if !self.defaults.is_empty()
            && let Some(filled) = fill(&chunk.bytes[start..], &self.defaults)
        {
            chunk.bytes.truncate(start);
            chunk.bytes.extend_from_slice(filled.as_bytes());
        }
        if read > 0 && chunk.bytes[start..].last() != Some(&b'\n') {
            chunk.bytes.push(b'\n');
        }
        Ok(read > 0)
    }

    fn skip_line(&mut self) -> std::io::Result<u64> {
        let mut skipped = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            let (used, is_end) = match buffer.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.reader.consume(used);
            skipped += used as u64;
            if is_end {
                return Ok(skipped);
            }
        }
    }
}

/// The line with what it does not say; `None` when it is no object, which the server will tell.
fn fill(line: &[u8], defaults: &Map<String, Json>) -> Option<String> {
    let said: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(line).ok()?;
    let mut missing = defaults.clone();
    missing.retain(|name, _| !said.contains_key(name.as_str()));
    let line = std::str::from_utf8(line).ok()?.trim();
    let inside = line.strip_prefix('{')?;
    let missing = Json::Object(missing).to_string();
    let comma = if said.is_empty() || missing == "{}" {
        ""
    } else {
        ","
    };
    Some(format!("{}{comma}{inside}", missing.strip_suffix('}')?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lines(text: &str) -> Lines<&[u8]> {
        Lines::new("f", text.as_bytes(), None)
    }

    #[test]
    fn a_file_is_cut_between_lines_and_every_line_keeps_its_number() {
        let text = "{}\n".repeat(9_999) + "{}";
        let mut lines = lines(&text);
        let mut seen = Vec::new();
        let mut size = 0;
        while let Some(chunk) = lines.chunk().unwrap() {
            assert_eq!(chunk.bytes.len() as u64, 3 * (chunk.last - chunk.first + 1));
            size += chunk.size;
            seen.push((chunk.first, chunk.last));
        }
        assert_eq!(seen, [(1, 4_000), (4_001, 8_000), (8_001, 10_000)]);
        assert_eq!(size, text.len() as u64);
    }

    #[test]
    fn big_lines_make_small_chunks() {
        let text = format!("{}\n", "x".repeat(CHUNK_BYTES_MAX)).repeat(2);
        let mut lines = lines(&text);
        assert_eq!(lines.chunk().unwrap().map(|chunk| chunk.last), Some(1));
        assert_eq!(lines.chunk().unwrap().map(|chunk| chunk.last), Some(2));
        assert!(lines.chunk().unwrap().is_none());
    }

    #[test]
    fn flags_fill_what_a_line_does_not_say() {
        let defaults = json!({ "flow": "ci", "kind": "k" });
        let defaults = defaults.as_object().unwrap();
        for (line, filled) in [
            ("{}", Some(r#"{"flow":"ci","kind":"k"}"#)),
            (
                "{ \"kind\": \"mine\", \"payload\": 1e400 }\n",
                Some(r#"{"flow":"ci", "kind": "mine", "payload": 1e400 }"#),
            ),
            (
                r#"{"flow":"x","kind":"y"}"#,
                Some(r#"{"flow":"x","kind":"y"}"#),
            ),
            ("not json", None),
            ("", None),
        ] {
            assert_eq!(fill(line.as_bytes(), defaults).as_deref(), filled, "{line}");
        }
    }
}
