//! Bytes into records.

use super::tables::Tables;
use super::{obituary, wait};
use crate::fields::Fields;
use crate::outcome::UsageNumbers;
use crate::unreadable::bounded;
use crate::{Unreadable, control, ids, outcome, proto};
use domain::fleet::Heartbeat;
use domain::names::Version;
use domain::oops::Span;
use domain::record::{Arrived, Fate, Parted, Record, Said, Started};
use domain::settlement::Ended;
use domain::ticket::Ticket;
use domain::time::Timestamp;
use prost::Message;
use proto::parted::To;
use proto::record::Said as Word;
use std::collections::BTreeMap;

/// The longest record without its tickets: a heartbeat with 150,000 copies in hand.
pub(super) const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Every field of a record from here on is a word.
const WORDS_FROM: u32 = 10;

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Record>, Unreadable> {
    let (mut tables, messages) = Tables::read(bytes)?;
    let mut records = Vec::with_capacity(messages.len());
    for (at, message) in messages.into_iter().enumerate() {
        let read = record(message, &mut tables);
        records.push(read.map_err(|error| error.within(format_args!("record {at}")))?);
    }
    Ok(records)
}

fn record(bytes: &[u8], tables: &mut Tables) -> Result<Record, Unreadable> {
    bounded(bytes, RECORD_BYTES_MAX)?;
    let record = proto::Record::decode(bytes).map_err(Unreadable::new)?;
    let word = record.said.ok_or_else(|| unknown_word(bytes))?;
    Ok(Record {
        by: tables.holder(record.by)?,
        at: Timestamp::from_micros(record.at_us),
        said: said(word, tables)?,
    })
}

fn unknown_word(record: &[u8]) -> Unreadable {
    let numbers = Fields::new(record).flatten().map(|(number, _)| number);
    match numbers.filter(|number| *number >= WORDS_FROM).last() {
        None => Unreadable::missing("word"),
        Some(number) => Unreadable::new(format!(
            "word: expected one that this version knows, got field {number}; \
             a newer version has written it, upgrade whoever reads it"
        )),
    }
}

fn said(word: Word, tables: &mut Tables) -> Result<Said, Unreadable> {
    Ok(match word {
        Word::Arrived(it) => Said::Arrived(Box::new(arrived(it, tables)?)),
        Word::Started(it) => Said::Started(Box::new(started(&it, tables)?)),
        Word::Ended(it) => Said::Ended(Box::new(parted(it, tables)?)),
        Word::Suspect(ticket) => Said::Suspect(Box::new(tables.take_ticket(ticket)?)),
        Word::Fenced(it) => Said::Fenced {
            name: ids::required(it.name)?,
            stage: tables.stage(it.stage)?,
        },
        Word::Beat(it) => Said::Beat(Box::new(beat(it, tables)?)),
        Word::Gone(it) => Said::Gone {
            holder: tables.holder(it.holder)?,
            why: it.why,
            obituary: it.obituary.and_then(obituary::read).map(Box::new),
        },
        Word::Marker(marker) => Said::Marker(marker),
        Word::Hold(it) => {
            let (stage, hold) = control::read_hold(it)?;
            Said::Hold(stage, Box::new(hold))
        }
        Word::Unhold(stage) => Said::Unhold(tables.stage(stage)?),
    })
}

fn started(it: &proto::Started, tables: &mut Tables) -> Result<Started, Unreadable> {
    let ticket = it.ticket.map(|ticket| tables.take_ticket(ticket));
    Ok(Started {
        name: ids::required(it.name)?,
        stage: tables.stage(it.stage)?,
        scene: tables.scene(it.scene)?,
        ticket: ticket.transpose()?.map(Box::new),
        claimed: it.is_claimed,
    })
}

fn parted(it: proto::Parted, tables: &mut Tables) -> Result<Parted, Unreadable> {
    let to = it.to.ok_or_else(|| {
        Unreadable::new("fate: expected one that this version knows, got none of them")
    })?;
    let ended = it.ended.map(|it| ended(&it, tables));
    Ok(Parted {
        name: ids::required(it.name)?,
        stage: tables.stage(it.stage)?,
        ended: ended.transpose()?,
        to: fate(to, tables)?,
        emits: tickets(&it.emits, tables)?,
    })
}

fn fate(to: To, tables: &mut Tables) -> Result<Fate, Unreadable> {
    Ok(match to {
        To::Forwarded(stage) => Fate::Forwarded(tables.stage(stage)?),
        To::Finished(proto::Nothing {}) => Fate::Finished,
        To::Waits(it) => Fate::Waits(Box::new(arrived(it, tables)?)),
        To::Doubted(it) => Fate::Doubted(tickets(&it.tickets, tables)?),
    })
}

fn ended(it: &proto::AttemptEnd, tables: &Tables) -> Result<Ended, Unreadable> {
    let usage = UsageNumbers {
        memory_bytes_max: it.memory_bytes_max,
        cpu_user_us: it.cpu_user_us,
        cpu_system_us: it.cpu_system_us,
    };
    Ok(Ended {
        span: Span {
            started_at: Timestamp::from_micros(it.started_at_us),
            ended_at: Timestamp::from_micros(it.ended_at_us),
        },
        outcome: outcome::kind(it.outcome)?,
        oops: it.oops.map(Into::into),
        usage: usage.into(),
        scene: tables.scene(it.scene)?,
        signature: it.signature.map(Into::into),
    })
}

fn arrived(it: proto::Arrived, tables: &mut Tables) -> Result<Arrived, Unreadable> {
    let wait = it.wait.ok_or_else(|| Unreadable::missing("wait"))?;
    Ok(Arrived {
        ticket: tables.take_ticket(it.ticket)?,
        name: ids::required(it.name)?,
        wait: wait::read(wait, tables)?,
    })
}

fn beat(it: proto::Heartbeat, tables: &Tables) -> Result<Heartbeat, Unreadable> {
    let (mut stages, mut kinds) = (BTreeMap::new(), BTreeMap::new());
    for served in it.stages {
        let version = Version::new(&served.version).map_err(Unreadable::new)?;
        let stage = tables.stage(served.stage)?;
        if !served.kinds.is_empty() {
            let taken = served.kinds.into_iter().map(|place| tables.kind(place));
            kinds.insert(stage.clone(), taken.collect::<Result<_, _>>()?);
        }
        stages.insert(stage, version);
    }
    Ok(Heartbeat {
        holder: tables.holder(it.holder)?,
        hostname: it.hostname,
        stages,
        kinds,
        revision: it.revision,
        in_hand: it.in_hand.into_iter().map(Into::into).collect(),
    })
}

fn tickets(places: &[u32], tables: &mut Tables) -> Result<Vec<Ticket>, Unreadable> {
    let ticket = |place: &u32| tables.take_ticket(*place);
    places.iter().map(ticket).collect()
}
