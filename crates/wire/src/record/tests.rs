use super::*;
use crate::proto;
use crate::samples::{self, hex};
use domain::control::Hold;
use domain::fleet::Heartbeat;
use domain::names::{Holder, Kind, StageName, Version};
use domain::obituary::Obituary;
use domain::oops::{OopsId, Scene, Span};
use domain::outcome::{Exit, OutcomeKind, Usage};
use domain::record::{Arrived, Fate, Parted, Said, Started};
use domain::settlement::Ended;
use domain::signature::SignatureId;
use domain::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use domain::wait::{Condition, Wait};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const AT: Timestamp = Timestamp::from_micros(1_795_269_802_120_000);

fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

fn worker() -> Holder {
    Holder::new("host-1/42").unwrap()
}

fn name(n: u8) -> Name {
    Name::first(TicketId::from_bytes([n; 16]))
}

fn scene() -> Arc<Scene> {
    Arc::new(Scene {
        holder: worker(),
        hostname: "host-1".into(),
        version: Version::new("1.2").unwrap(),
    })
}

fn ticket(n: u8) -> Ticket {
    Ticket {
        name: name(n),
        kind: Kind::new("package").unwrap(),
        flow: Some("release".parse().unwrap()),
        stage: stage("build"),
        key: Some("lib".parse().unwrap()),
        payload: Payload::json("{}"),
        deadline: Some(AT.plus(Duration::from_secs(60))),
        created_at: AT,
        lineage: Lineage {
            root: TicketId::from_bytes([1; 16]),
            parent: Some(TicketId::from_bytes([2; 16])),
            depth: 3,
        },
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

fn arrived(n: u8) -> Arrived {
    Arrived {
        ticket: ticket(n),
        name: name(n).renewed(),
        wait: Wait {
            condition: Condition::Suspect {
                holder: worker(),
                started_at: Some(AT),
            },
            since: AT,
            because: "it was asked to".into(),
            oops: Some(OopsId::from_u128(5)),
        },
    }
}

fn started(n: u8) -> Said {
    Said::Started(Box::new(Started {
        name: name(n),
        stage: stage("build"),
        scene: scene(),
        ticket: None,
        claimed: false,
    }))
}

fn ended(n: u8, to: Fate) -> Said {
    Said::Ended(Box::new(Parted {
        name: name(n),
        stage: stage("build"),
        ended: Some(Ended {
            span: Span {
                started_at: AT,
                ended_at: AT.plus(Duration::from_millis(7)),
            },
            outcome: OutcomeKind::Done,
            oops: Some(OopsId::from_u128(5)),
            usage: Usage {
                memory_bytes_max: Some(4_096),
                cpu_user: Some(Duration::from_micros(7)),
                cpu_system: Some(Duration::ZERO),
            },
            scene: scene(),
            signature: None,
        }),
        to,
        emits: vec![ticket(3)],
    }))
}

fn failed(n: u8) -> Said {
    let mut said = ended(n, Fate::Waits(Box::new(arrived(n))));
    if let Said::Ended(parted) = &mut said
        && let Some(ended) = &mut parted.ended
    {
        ended.outcome = OutcomeKind::Failed;
        ended.signature = Some(SignatureId::new(1, 0x0f3a_9c5e_77b2_d104));
    }
    said
}

/// It waits for a call-back that says that something has started.
fn pending(n: u8) -> Said {
    let mut waits = arrived(n);
    waits.wait.condition = Condition::Pending {
        until: AT,
        once_started: Some(AT.plus(Duration::from_secs(60))),
    };
    Said::Arrived(Box::new(waits))
}

fn claimed() -> Said {
    Said::Started(Box::new(Started {
        name: name(9),
        stage: stage("build"),
        scene: scene(),
        ticket: Some(Box::new(ticket(9))),
        claimed: true,
    }))
}

fn beat() -> Said {
    Said::Beat(Box::new(Heartbeat {
        holder: worker(),
        hostname: "host-1".into(),
        stages: [(stage("build"), Version::new("1.2").unwrap())].into(),
        kinds: BTreeMap::new(),
        revision: 300,
        in_hand: vec![name(8), name(9)],
    }))
}

/// Of one that takes only some kinds at a stage.
fn picky_beat() -> Said {
    let Said::Beat(mut beat) = beat() else {
        unreachable!("it is a beat")
    };
    let kinds = ["bolt", "nut"].map(|kind| Kind::new(kind).unwrap());
    beat.kinds = BTreeMap::from([(stage("build"), kinds.into())]);
    Said::Beat(beat)
}

fn hold() -> Said {
    let hold = Hold {
        since: AT,
        reason: "no such file".into(),
        by: "worker-1".into(),
        version: None,
        oops: None,
    };
    Said::Hold(stage("build"), Box::new(hold))
}

fn died() -> Said {
    let obituary = Obituary {
        exit: Exit::Signal(9),
        began_at: AT,
        died_at: AT.plus(Duration::from_secs(90)),
        memory_bytes_max: Some(83 << 20),
        oom_kills: 1,
        last_words: "no room\n".into(),
    };
    Said::Gone {
        holder: worker(),
        why: "signal 9".into(),
        obituary: Some(Box::new(obituary)),
    }
}

fn group(said: Vec<Said>) -> Vec<Record> {
    let said = said.into_iter();
    let record = |said| Record {
        by: worker(),
        at: AT,
        said,
    };
    said.map(record).collect()
}

/// Something of everything that can be said.
fn everything() -> Vec<Record> {
    group(vec![
        started(9),
        claimed(),
        ended(9, Fate::Finished),
        ended(9, Fate::Forwarded(stage("test"))),
        ended(9, Fate::Waits(Box::new(arrived(9)))),
        ended(9, Fate::Doubted(vec![ticket(9), ticket(8)])),
        Said::Arrived(Box::new(arrived(9))),
        Said::Suspect(Box::new(ticket(9))),
        Said::Fenced {
            name: name(9),
            stage: stage("build"),
        },
        beat(),
        Said::Gone {
            holder: worker(),
            why: "exit status 1".into(),
            obituary: None,
        },
        Said::Marker(300),
        hold(),
        Said::Unhold(stage("build")),
        died(),
        failed(9),
        picky_beat(),
        pending(9),
    ])
}

/// What makes a good message a bad one.
type Change = fn(&mut proto::Records);

/// The message, with a change made to it, is refused with this.
fn refusal(records: &[Record], change: impl FnOnce(&mut proto::Records)) -> String {
    let mut message = proto::Records::decode(encode(records)).unwrap();
    change(&mut message);
    decode(&message.encode_to_vec()).unwrap_err().to_string()
}

#[test]
fn a_group_that_was_cut_anywhere_is_refused() {
    let whole = encode(&everything());
    for cut in 0..whole.len() {
        assert!(decode(&whole[..cut]).is_err(), "cut at {cut}");
    }
    let said = decode(b"").unwrap_err().to_string();
    assert_eq!(
        said,
        "records: expected the mark at its end, got none: it was cut"
    );
}

#[test]
fn a_word_of_a_newer_version_is_refused_by_its_number() {
    let newer: &[u8] = b"\x0a\x03w/1\x3a\x06\x10\x01\xea\x01\x01n\xf8\x7f\x01";
    let said = decode(newer).unwrap_err().to_string();
    assert_eq!(
        said,
        "records: record 0: word: expected one that this version knows, got field 29; \
         a newer version has written it, upgrade whoever reads it"
    );
    let mute: &[u8] = b"\x0a\x03w/1\x3a\x02\x10\x01\xf8\x7f\x01";
    let said = decode(mute).unwrap_err().to_string();
    assert_eq!(said, "records: record 0: word: expected one, got none");
}

#[test]
fn a_fate_or_a_condition_of_a_newer_version_is_refused() {
    let records = group(vec![ended(9, Fate::Waits(Box::new(arrived(9))))]);
    let parted = |message: &mut proto::Records, change: fn(&mut proto::Parted)| match &mut message
        .records[0]
        .said
    {
        Some(proto::record::Said::Ended(parted)) => change(parted),
        other => panic!("expected the end of an attempt, got {other:?}"),
    };
    let said = refusal(&records, |message| parted(message, |it| it.to = None));
    let why = "fate: expected one that this version knows, got none of them";
    assert_eq!(said, format!("records: record 0: {why}"));
    let said = refusal(&records, |message| {
        parted(message, |it| match &mut it.to {
            Some(proto::parted::To::Waits(proto::Arrived {
                wait: Some(wait), ..
            })) => wait.condition = None,
            other => panic!("expected a wait, got {other:?}"),
        });
    });
    let why = "condition: expected one that this version knows, got none of them";
    assert_eq!(said, format!("records: record 0: {why}"));
    let said = refusal(&records, |message| {
        parted(message, |it| {
            it.ended.as_mut().unwrap().outcome = 99;
        });
    });
    assert!(said.starts_with("records: record 0: outcome: "), "{said}");
}

#[test]
fn a_name_that_is_not_valid_is_refused_with_its_rule() {
    let records = group(vec![claimed()]);
    let cases: [(&str, Change); 5] = [
        (
            "records: holder: expected 1 to 128 bytes without control characters, got \"\"",
            |it| it.holders[0].clear(),
        ),
        (
            "records: stage: expected 1 to 64 of the characters a-z A-Z 0-9 _ - ., got \"a b\"",
            |it| it.stages[0] = "a b".into(),
        ),
        (
            "records: kind: expected 1 to 128 bytes without control characters, got \"\\n\"",
            |it| it.kinds[0] = "\n".into(),
        ),
        (
            "records: scene 0: version: expected 1 to 128 bytes without control characters, \
             got \"\"",
            |it| it.scenes[0].version.clear(),
        ),
        (
            "records: ticket 0: key: expected 1 to 256 bytes without control characters, got \"\"",
            |it| it.tickets[0].key = Some(String::new()),
        ),
    ];
    for (why, change) in cases {
        assert_eq!(refusal(&records, change), why);
    }
    let said = decode(b"\x12\x01\xff").unwrap_err().to_string();
    assert!(said.starts_with("records: stage: expected UTF-8"), "{said}");
}

#[test]
fn a_place_that_no_table_has_is_refused() {
    let records = group(vec![claimed()]);
    let said = refusal(&records, |it| it.stages.clear());
    assert_eq!(
        said,
        "records: ticket 0: stage: expected one of the 0 in the message, got number 0"
    );
    let said = refusal(&records, |it| it.records[0].by = u32::MAX);
    assert_eq!(
        said,
        "records: record 0: holder: expected one of the 1 in the message, got number 4294967295"
    );
}

#[test]
fn a_ticket_that_two_records_want_is_refused() {
    let records = group(vec![Said::Suspect(Box::new(ticket(9)))]);
    let said = refusal(&records, |it| {
        it.records.push(it.records[0].clone());
        it.count = Some(2);
    });
    assert_eq!(
        said,
        "records: record 1: ticket: expected one of the 1 in the message that no other record \
         has, got number 0"
    );
}

#[test]
fn a_record_without_a_name_is_refused() {
    let records = group(vec![started(9)]);
    let said = refusal(&records, |it| match &mut it.records[0].said {
        Some(proto::record::Said::Started(started)) => started.name = None,
        other => panic!("expected a start, got {other:?}"),
    });
    assert_eq!(said, "records: record 0: name: expected one, got none");
}

#[test]
fn a_record_that_is_lost_on_the_way_is_missed() {
    let said = refusal(&everything(), |it| {
        it.records.remove(3);
    });
    assert!(said.contains("it was cut"), "{said}");
}

#[test]
fn a_message_that_would_fill_the_memory_is_refused() {
    let many = b"\x10\x00".repeat((1 << 20) + 1);
    let said = decode(&many).unwrap_err().to_string();
    assert_eq!(said, "records: expected at most 1048576 entries, got more");
    let said = refusal(&group(vec![beat()]), |it| match &mut it.records[0].said {
        Some(proto::record::Said::Beat(beat)) => {
            beat.in_hand = vec![proto::Name::default(); read::RECORD_BYTES_MAX / 2];
        }
        other => panic!("expected a beat, got {other:?}"),
    });
    assert!(said.contains("expected at most 4194304 bytes"), "{said}");
}

#[test]
fn fields_of_a_newer_version_are_passed_over_at_every_depth() {
    let future = b"\xa2\x06\x03new";
    let newer = [&encode(&everything())[..], future].concat();
    assert_eq!(decode(&newer), Ok(everything()));
    // A marker whose record has the field 9, which is not a word.
    let newer: &[u8] = b"\x0a\x03w/1\x3a\x07\x10\x01\x48\x01\x88\x01\x07\xf8\x7f\x01";
    let expected = Record {
        by: Holder::new("w/1").unwrap(),
        at: Timestamp::from_micros(1),
        said: Said::Marker(7),
    };
    assert_eq!(decode(newer), Ok(vec![expected]));
}

#[test]
fn any_encoder_may_put_the_tables_first() {
    let message = proto::Records::decode(encode(&everything())).unwrap();
    assert_eq!(decode(&message.encode_to_vec()), Ok(everything()));
}

#[test]
fn no_records_are_a_message_too() {
    assert_eq!(decode(&encode(&[])), Ok(vec![]));
}

#[test]
fn what_records_share_is_read_once() {
    let scene = scene();
    let said = |n| {
        Said::Started(Box::new(Started {
            name: name(n),
            stage: stage("build"),
            scene: scene.clone(),
            ticket: None,
            claimed: false,
        }))
    };
    let bytes = encode(&group((0..200).map(said).collect()));
    assert!(bytes.len() < 200 * 48, "{} bytes", bytes.len());
    let read = decode(&bytes).unwrap();
    let scenes = read.iter().map(|record| match &record.said {
        Said::Started(started) => &started.scene,
        other => panic!("expected a start, got {other:?}"),
    });
    let scenes: Vec<_> = scenes.collect();
    assert!(scenes.iter().all(|other| Arc::ptr_eq(other, scenes[0])));
}

#[test]
fn a_ticket_that_is_too_large_is_a_group_of_its_own() {
    let mut large = ticket(1);
    large.payload = Payload::untyped(vec![0; 100_000]);
    let records = group(vec![
        Said::Marker(1),
        Said::Marker(2),
        Said::Suspect(Box::new(large)),
        Said::Marker(3),
    ]);
    let lengths: Vec<_> = groups(&records, 50_000).map(<[_]>::len).collect();
    assert_eq!(lengths, [2, 1, 1]);
    assert_eq!(groups(&[], 50_000).count(), 0);
    let many = group(vec![Said::Marker(1); RECORDS_MAX + 1]);
    let lengths: Vec<_> = groups(&many, usize::MAX).map(<[_]>::len).collect();
    assert_eq!(lengths, [RECORDS_MAX, 1]);
}

#[test]
fn the_bytes_of_each_record_are_those_of_the_first_release() {
    let golden = include_str!("../../golden/records.hex");
    let (records, golden) = (everything(), golden.lines());
    assert_eq!(golden.clone().count(), records.len());
    for (record, golden) in records.into_iter().zip(golden) {
        let record = [record];
        let bytes = encode(&record);
        assert_eq!(hex(&bytes), golden, "{record:?}");
        assert_eq!(decode(&bytes).as_deref(), Ok(&record[..]));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_but_never_panic(bytes in vec(any::<u8>(), 0..256)) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn a_damaged_message_is_read_or_refused_but_never_panics(
        records in vec(samples::record(), 1..4),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encode(&records).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(read) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&read)), Ok(read));
        }
    }

    #[test]
    fn every_group_reads_back_as_written(records in vec(samples::record(), 0..8)) {
        prop_assert_eq!(decode(&encode(&records)), Ok(records));
    }

    #[test]
    fn no_group_is_longer_than_it_may_be(
        records in vec(samples::record(), 0..12),
        bytes_max in 0..20_000_usize,
    ) {
        let mut all = Vec::new();
        for group in groups(&records, bytes_max) {
            prop_assert!(group.len() == 1 || encode(group).len() <= bytes_max);
            all.extend_from_slice(group);
        }
        prop_assert_eq!(all, records);
    }
}

#[test]
fn a_body_that_was_left_out_is_told_from_an_empty_one() {
    let mut ticket = ticket(1);
    for (payload, expected) in [
        (left_out(), true),
        (Payload::default(), false),
        (Payload::json(""), false),
    ] {
        ticket.payload = payload;
        let said = Said::Suspect(Box::new(ticket.clone()));
        let (by, at) = (worker(), AT);
        let read = decode(&encode(&[Record { by, at, said }])).unwrap();
        let Said::Suspect(read) = &read[0].said else {
            panic!("{read:?}")
        };
        assert_eq!(is_left_out(&read.payload), expected, "{read:?}");
    }
}
