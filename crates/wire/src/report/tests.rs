use super::*;
use crate::samples::{self, hex};
use domain::oops::OopsId;
use domain::outcome::{OutcomeKind, Usage};
use domain::ticket::{Name, TicketId};
use proptest::prelude::*;

fn one() -> Report {
    let name = Name::first(TicketId::from_bytes([9; 16])).charged();
    Report {
        id: OopsId::of(&name),
        name,
        stage: StageName::new("build").unwrap(),
        flow: Some(FlowName::new("release").unwrap()),
        kind: Kind::new("package").unwrap(),
        outcome: OutcomeKind::Crashed,
        time: Timestamp::from_micros(1_795_269_802_120_000),
        duration: Some(Duration::from_millis(1_500)),
        failure: Failure {
            error_type: "Signal".into(),
            message: "killed".into(),
            trace: "at main".into(),
            exit: Some(Exit::Signal(9)),
            log_tail: "bye".into(),
        },
        usage: Usage {
            memory_bytes_max: Some(4_096),
            cpu_user: Some(Duration::from_micros(7)),
            cpu_system: Some(Duration::ZERO),
        },
        source: Source::Supervisor,
        holder: Holder::new("host-1/42").unwrap(),
        hostname: "host-1".into(),
        version: Version::new("1.2").unwrap(),
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

/// What makes a good message a bad one.
type Change = fn(&mut proto::Oops);

fn refusal(change: Change) -> String {
    let mut oops = proto::Oops::decode(encode(&one())).unwrap();
    change(&mut oops);
    decode(&oops.encode_to_vec()).unwrap_err().to_string()
}

#[test]
fn a_report_that_was_cut_anywhere_is_refused() {
    let whole = encode(&one());
    for cut in 0..whole.len() {
        assert!(decode(&whole[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn what_must_be_there_and_is_not_is_named() {
    let cases: [(&str, Change); 7] = [
        ("oops: id: expected one, got none", |it| it.id = None),
        ("oops: name: expected one, got none", |it| it.name = None),
        ("oops: failure: expected one, got none", |it| {
            it.failure = None;
        }),
        ("oops: outcome: expected one, got none", |it| it.outcome = 0),
        ("oops: source: expected one, got none", |it| it.source = 0),
        (
            "oops: outcome: expected one that this version knows, got number 99; a newer version \
             has written it",
            |it| it.outcome = 99,
        ),
        (
            "oops: holder: expected 1 to 128 bytes without control characters, got \"\"",
            |it| it.holder.clear(),
        ),
    ];
    for (why, change) in cases {
        assert_eq!(refusal(change), why);
    }
}

#[test]
fn a_report_over_the_limit_is_refused_unread() {
    let said = decode(&vec![0; BYTES_MAX + 1]).unwrap_err().to_string();
    assert_eq!(said, "oops: expected at most 1048576 bytes, got 1048577");
}

#[test]
fn a_field_of_a_newer_version_is_passed_over() {
    let newer = [&encode(&one())[..], b"\xa2\x06\x03new"].concat();
    assert_eq!(decode(&newer), Ok(one()));
}

#[test]
fn the_bytes_of_a_report_are_those_of_the_first_release() {
    let golden = include_str!("../../golden/oops.hex");
    assert_eq!(hex(&encode(&one())), golden.trim_end());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_but_never_panic(bytes: Vec<u8>) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn every_report_reads_back_as_written(report in samples::report()) {
        prop_assert_eq!(decode(&encode(&report)), Ok(report));
    }
}
