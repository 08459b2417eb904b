//! Records into bytes.

use super::texts::{Scenes, Texts, place};
use super::{obituary, ticket, wait};
use crate::outcome::UsageNumbers;
use crate::{control, proto};
use bytes::{BufMut, Bytes, BytesMut};
use domain::fleet::Heartbeat;
use domain::names::{StageName, Version};
use domain::record::{Arrived, Fate, Parted, Record, Said, Started};
use domain::settlement::Ended;
use domain::ticket::Ticket;
use prost::Message;
use proto::parted::To;
use proto::record::Said as Word;

/// About as long as a record of the happy path is.
const RECORD_BYTES: usize = 80;
/// The key of a ticket: field 6, wire type 2.
const TICKET_KEY: u8 = 6 << 3 | 2;
/// The key of a record: field 7, wire type 2.
const RECORD_KEY: u8 = 7 << 3 | 2;

pub(super) fn encode(records: &[Record]) -> Bytes {
    let mut writer = Writer {
        bytes: BytesMut::with_capacity(records.len() * RECORD_BYTES + 256),
        ..Writer::default()
    };
    for record in records {
        writer.record(record);
    }
    writer.finish(records.len())
}

/// A message that is being written. Records and tickets go out at once, the tables at the end.
#[derive(Default)]
pub(super) struct Writer<'a> {
    bytes: BytesMut,
    pub(super) holders: Texts<'a>,
    pub(super) stages: Texts<'a>,
    pub(super) kinds: Texts<'a>,
    pub(super) flows: Texts<'a>,
    scenes: Scenes<'a>,
    tickets: u32,
}

impl<'a> Writer<'a> {
    fn record(&mut self, record: &'a Record) {
        let record = proto::Record {
            by: self.holders.place(record.by.as_str()),
            at_us: record.at.as_micros(),
            said: Some(self.said(&record.said)),
        };
        self.put(RECORD_KEY, &record);
    }

    fn put(&mut self, key: u8, message: &impl Message) {
        self.bytes.put_u8(key);
        message
            .encode_length_delimited(&mut self.bytes)
            .expect("the buffer grows by itself");
    }

    fn finish(mut self, records: usize) -> Bytes {
        // Protobuf lets a message be written in pieces, and this is its last one.
        let rest = proto::Records {
            holders: self.holders.into_entries(),
            stages: self.stages.into_entries(),
            kinds: self.kinds.into_entries(),
            flows: self.flows.into_entries(),
            scenes: self.scenes.into_entries(),
            tickets: Vec::new(),
            records: Vec::new(),
            count: Some(place(records)),
        };
        rest.encode(&mut self.bytes)
            .expect("the buffer grows by itself");
        self.bytes.freeze()
    }

    fn said(&mut self, said: &'a Said) -> Word {
        match said {
            Said::Arrived(arrived) => Word::Arrived(self.arrived(arrived)),
            Said::Started(started) => Word::Started(self.started(started)),
            Said::Ended(parted) => Word::Ended(self.parted(parted)),
            Said::Suspect(ticket) => Word::Suspect(self.ticket(ticket)),
            Said::Fenced { name, stage } => Word::Fenced(proto::Fenced {
                name: Some(name.into()),
                stage: self.stages.place(stage.as_str()),
            }),
            Said::Beat(beat) => Word::Beat(self.beat(beat)),
            Said::Gone {
                holder,
                why,
                obituary,
            } => Word::Gone(proto::Gone {
                holder: self.holders.place(holder.as_str()),
                why: why.clone(),
                obituary: obituary.as_deref().map(obituary::write),
            }),
            Said::Marker(marker) => Word::Marker(*marker),
            Said::Hold(stage, hold) => Word::Hold(control::hold_of(stage, hold)),
            Said::Unhold(stage) => Word::Unhold(self.stages.place(stage.as_str())),
        }
    }

    fn started(&mut self, started: &'a Started) -> proto::Started {
        proto::Started {
            name: Some((&started.name).into()),
            stage: self.stages.place(started.stage.as_str()),
            scene: self.scenes.place(&started.scene, &mut self.holders),
            ticket: started.ticket.as_deref().map(|ticket| self.ticket(ticket)),
            is_claimed: started.claimed,
        }
    }

    fn parted(&mut self, parted: &'a Parted) -> proto::Parted {
        let to = match &parted.to {
            Fate::Forwarded(stage) => To::Forwarded(self.stages.place(stage.as_str())),
            Fate::Finished => To::Finished(proto::Nothing {}),
            Fate::Waits(arrived) => To::Waits(self.arrived(arrived)),
            Fate::Doubted(tickets) => To::Doubted(proto::Doubted {
                tickets: self.tickets(tickets),
            }),
        };
        proto::Parted {
            name: Some((&parted.name).into()),
            stage: self.stages.place(parted.stage.as_str()),
            ended: parted.ended.as_ref().map(|ended| self.ended(ended)),
            to: Some(to),
            emits: self.tickets(&parted.emits),
        }
    }

    fn ended(&mut self, ended: &'a Ended) -> proto::AttemptEnd {
        let UsageNumbers {
            memory_bytes_max,
            cpu_user_us,
            cpu_system_us,
        } = ended.usage.into();
        proto::AttemptEnd {
            started_at_us: ended.span.started_at.as_micros(),
            ended_at_us: ended.span.ended_at.as_micros(),
            outcome: proto::OutcomeKind::from(ended.outcome).into(),
            oops: ended.oops.map(Into::into),
            memory_bytes_max,
            cpu_user_us,
            cpu_system_us,
            scene: self.scenes.place(&ended.scene, &mut self.holders),
            signature: ended.signature.map(Into::into),
        }
    }

    fn arrived(&mut self, arrived: &'a Arrived) -> proto::Arrived {
        proto::Arrived {
            ticket: self.ticket(&arrived.ticket),
            name: Some((&arrived.name).into()),
            wait: Some(wait::write(&arrived.wait, self)),
        }
    }

    fn beat(&mut self, beat: &'a Heartbeat) -> proto::Heartbeat {
        let (stages, kinds) = (&mut self.stages, &mut self.kinds);
        let mut served = |(stage, version): (&'a StageName, &Version)| {
            let taken = beat.kinds.get(stage).into_iter().flatten();
            proto::StageServed {
                stage: stages.place(stage.as_str()),
                version: version.to_string(),
                kinds: taken.map(|kind| kinds.place(kind.as_str())).collect(),
            }
        };
        proto::Heartbeat {
            holder: self.holders.place(beat.holder.as_str()),
            hostname: beat.hostname.clone(),
            stages: beat.stages.iter().map(&mut served).collect(),
            revision: beat.revision,
            in_hand: beat.in_hand.iter().map(Into::into).collect(),
        }
    }

    fn tickets(&mut self, tickets: &'a [Ticket]) -> Vec<u32> {
        tickets.iter().map(|ticket| self.ticket(ticket)).collect()
    }

    /// Writes the ticket, and says where it stands.
    fn ticket(&mut self, ticket: &'a Ticket) -> u32 {
        let message = ticket::write(ticket, self);
        self.put(TICKET_KEY, &message);
        let place = self.tickets;
        self.tickets += 1;
        place
    }
}
