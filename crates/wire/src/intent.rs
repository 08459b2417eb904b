//! The intent file: which attempts a process had started, readable after the process is gone.
//!
//! One header, then fixed-size records that are only ever appended. Each has its own checksum, so
//! the end that a dying process tore, or a damaged spot in the middle, costs that record alone.
//! A record is never taken back: whoever reads it asks the books whether it still stands.

use domain::names::Holder;
use domain::ticket::{Attempt, Generation, Hop, Name, TicketId};
use domain::time::Timestamp;

/// The first bytes of every intent file; the digit is the format's version.
const MAGIC: &[u8; 8] = b"GOINTNT1";
/// The longest name of a holder, by the rule of [`Holder`].
const HOLDER_BYTES_MAX: usize = 128;
/// Marks the begin of a record, so that zeros are not one.
const MARK: &[u8; 4] = b"BEGN";

/// How long the header is.
pub const HEADER_BYTES: usize = 8 + 1 + HOLDER_BYTES_MAX + 3 + 4;
/// How long each record is.
pub const RECORD_BYTES: usize = 4 + 16 + 3 * 4 + 8 + 4;

/// An attempt that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Which copy of which ticket.
    pub name: Name,
    /// When.
    pub at: Timestamp,
}

/// What an intent file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intents {
    /// The process that wrote it.
    pub holder: Holder,
    /// What it had started, in that order. Most of it is settled since.
    pub begun: Vec<Begun>,
    /// How many records could not be read.
    pub damaged: usize,
}

/// Bytes that do not begin like an intent file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadIntents {
    /// Another format, or another version of it.
    #[error("expected the first bytes GOINTNT1, got {0:?}")]
    Foreign(String),
    /// The header's checksum or its holder's name is wrong.
    #[error("expected a header with a valid checksum and holder")]
    Header,
}

/// The header of a file that this holder writes.
pub fn header(holder: &Holder) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let name = holder.as_str().as_bytes();
    let length = name.len().min(HOLDER_BYTES_MAX);
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8] = u8::try_from(length).unwrap_or(u8::MAX);
    bytes[9..9 + length].copy_from_slice(&name[..length]);
    seal(&mut bytes);
    bytes
}

/// Appends a record to `bytes`.
pub fn append(begun: &Begun, bytes: &mut Vec<u8>) {
    let mut record = [0; RECORD_BYTES];
    record[..4].copy_from_slice(MARK);
    record[4..20].copy_from_slice(begun.name.ticket.as_bytes());
    record[20..24].copy_from_slice(&begun.name.generation.0.to_le_bytes());
    record[24..28].copy_from_slice(&begun.name.hop.0.to_le_bytes());
    record[28..32].copy_from_slice(&begun.name.attempt.0.to_le_bytes());
    record[32..40].copy_from_slice(&begun.at.as_micros().to_le_bytes());
    seal(&mut record);
    bytes.extend_from_slice(&record);
}

/// Reads a whole file. An empty one is `None`: nothing was ever started.
///
/// # Errors
/// [`BadIntents`] when it does not begin like an intent file. Damaged records are only counted.
pub fn read(bytes: &[u8]) -> Result<Option<Intents>, BadIntents> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let holder = read_header(bytes)?;
    let mut intents = Intents {
        holder,
        begun: Vec::new(),
        damaged: 0,
    };
    for record in bytes[HEADER_BYTES..].chunks(RECORD_BYTES) {
        match read_record(record) {
            Some(begun) => intents.begun.push(begun),
            None => intents.damaged += 1,
        }
    }
    Ok(Some(intents))
}

fn read_header(bytes: &[u8]) -> Result<Holder, BadIntents> {
    if !bytes.starts_with(MAGIC) {
        let start = &bytes[..bytes.len().min(MAGIC.len())];
        return Err(BadIntents::Foreign(
            String::from_utf8_lossy(start).into_owned(),
        ));
    }
    let header = bytes.get(..HEADER_BYTES).ok_or(BadIntents::Header)?;
    if !is_sealed(header) {
        return Err(BadIntents::Header);
    }
    let name = header.get(9..9 + usize::from(header[8]));
    name.and_then(|name| std::str::from_utf8(name).ok())
        .and_then(|name| Holder::new(name).ok())
        .ok_or(BadIntents::Header)
}

fn read_record(record: &[u8]) -> Option<Begun> {
    if record.len() != RECORD_BYTES || !record.starts_with(MARK) || !is_sealed(record) {
        return None;
    }
    let counter = |at: usize| Some(u32::from_le_bytes(record[at..at + 4].try_into().ok()?));
    let name = Name {
        ticket: TicketId::from_bytes(record[4..20].try_into().ok()?),
        generation: Generation(counter(20)?),
        hop: Hop(counter(24)?),
        attempt: Attempt(counter(28)?),
    };
    let at = Timestamp::from_micros(i64::from_le_bytes(record[32..40].try_into().ok()?));
    Some(Begun { name, at })
}

fn seal(bytes: &mut [u8]) {
    let end = bytes.len() - 4;
    let sum = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
}

fn is_sealed(bytes: &[u8]) -> bool {
    let (body, sum) = bytes.split_at(bytes.len() - 4);
    sum == crc32fast::hash(body).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(n: u8) -> Begun {
        Begun {
            name: Name::first(TicketId::from_bytes([n; 16]))
                .charged()
                .handed_on(),
            at: Timestamp::from_micros(1_795_269_802_120_000 + i64::from(n)),
        }
    }

    fn file(records: &[Begun]) -> Vec<u8> {
        let mut bytes = header(&Holder::new("host-1/42").unwrap()).to_vec();
        for record in records {
            append(record, &mut bytes);
        }
        bytes
    }

    #[test]
    fn a_torn_end_costs_only_the_torn_record() {
        let whole = file(&[begun(1), begun(2)]);
        for cut in 1..RECORD_BYTES {
            let intents = read(&whole[..whole.len() - cut]).unwrap().unwrap();
            assert_eq!(
                (intents.begun, intents.damaged),
                (vec![begun(1)], 1),
                "cut {cut}"
            );
        }
    }

    #[test]
    fn a_flipped_bit_costs_only_its_record() {
        let whole = file(&[begun(1), begun(2), begun(3)]);
        for at in 0..RECORD_BYTES {
            let mut bytes = whole.clone();
            bytes[HEADER_BYTES + RECORD_BYTES + at] ^= 1;
            let intents = read(&bytes).unwrap().unwrap();
            assert_eq!(intents.begun, [begun(1), begun(3)], "byte {at}");
        }
    }

    #[test]
    fn another_file_is_not_taken_for_intents() {
        assert_eq!(
            read(b"SQLite format 3\0").unwrap_err(),
            BadIntents::Foreign("SQLite f".into())
        );
        let mut bytes = file(&[]);
        bytes[20] ^= 1;
        assert_eq!(read(&bytes).unwrap_err(), BadIntents::Header);
        assert_eq!(read(&bytes[..30]).unwrap_err(), BadIntents::Header);
        assert_eq!(read(b"").unwrap(), None);
    }

    #[test]
    fn what_was_begun_reads_back_as_written() {
        let intents = read(&file(&[begun(1), begun(2)])).unwrap().unwrap();
        assert_eq!(intents.holder.as_str(), "host-1/42");
        assert_eq!(intents.begun, [begun(1), begun(2)]);
        assert_eq!(intents.damaged, 0);
        let long = Holder::new(&"h".repeat(128)).unwrap();
        assert_eq!(read(&header(&long)).unwrap().unwrap().holder, long);
    }
}
