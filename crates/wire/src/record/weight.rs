//! How long records become, so that no message gets longer than a broker takes.

use domain::record::{Arrived, Fate, Record, Said};
use domain::ticket::Ticket;
use std::collections::BTreeSet;

/// The most records of one message.
pub const RECORDS_MAX: usize = 16_384;

/// More than anything of fixed length in a record, with all names that it may bring into the
/// tables: two scenes, and a holder and a stage or two beside them.
const RECORD_BYTES: usize = 2_048;
/// The same of a ticket: its kind, flow, stage and key.
const TICKET_BYTES: usize = 768;
/// A name of a copy.
const NAME_BYTES: usize = 48;
/// A stage that is served, with its version.
const SERVED_BYTES: usize = 256;
/// A kind that is taken.
const KIND_BYTES: usize = 160;

/// Cuts records into groups that stay below `bytes_max` when they are encoded, and have at most
/// [`RECORDS_MAX`]. A record that is longer by itself is a group of its own: its ticket is too
/// large for the broker, which only the broker can say.
pub fn groups(records: &[Record], bytes_max: usize) -> impl Iterator<Item = &[Record]> {
    let mut rest = records;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (group, later) = rest.split_at(first_group(rest, bytes_max));
        rest = later;
        Some(group)
    })
}

fn first_group(records: &[Record], bytes_max: usize) -> usize {
    let mut bytes = 0usize;
    let fits = |record: &&Record| {
        bytes = bytes.saturating_add(weight(record));
        bytes <= bytes_max
    };
    let count = records.iter().take(RECORDS_MAX).take_while(fits).count();
    count.max(1)
}

/// At least as many bytes as the record takes in a message.
fn weight(record: &Record) -> usize {
    let inside = match &record.said {
        Said::Arrived(arrived) => arrived_weight(arrived),
        Said::Started(started) => {
            let ticket = started.ticket.as_deref().map_or(0, ticket_weight);
            ticket + started.scene.hostname.len()
        }
        Said::Ended(parted) => {
            let scene = parted.ended.as_ref().map(|ended| &ended.scene);
            let to = match &parted.to {
                Fate::Forwarded(_) | Fate::Finished => 0,
                Fate::Waits(arrived) => arrived_weight(arrived),
                Fate::Doubted(tickets) => tickets.iter().map(ticket_weight).sum(),
            };
            let emits: usize = parted.emits.iter().map(ticket_weight).sum();
            to + emits + scene.map_or(0, |scene| scene.hostname.len())
        }
        Said::Suspect(ticket) => ticket_weight(ticket),
        Said::Beat(beat) => {
            let served = beat.stages.len() * SERVED_BYTES;
            let kinds: usize = beat.kinds.values().map(BTreeSet::len).sum();
            let served = served + kinds * KIND_BYTES;
            served + beat.in_hand.len() * NAME_BYTES + beat.hostname.len()
        }
        Said::Gone { why, obituary, .. } => {
            let last_words = obituary.as_deref().map_or(0, |it| it.last_words.len());
            why.len() + last_words
        }
        Said::Hold(_, hold) => hold.reason.len() + hold.by.len(),
        Said::Fenced { .. } | Said::Marker(_) | Said::Unhold(_) => 0,
    };
    RECORD_BYTES + inside
}

fn arrived_weight(arrived: &Arrived) -> usize {
    ticket_weight(&arrived.ticket) + arrived.wait.because.len()
}

fn ticket_weight(ticket: &Ticket) -> usize {
    let payload = &ticket.payload;
    let texts = [payload.content_type.as_deref(), ticket.trace.as_deref()];
    let texts: usize = texts.into_iter().flatten().map(str::len).sum();
    TICKET_BYTES + payload.bytes.len() + texts
}
