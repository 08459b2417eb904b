use super::*;
use crate::samples::{self, hex};
use domain::oops::OopsId;
use proptest::prelude::*;

fn one() -> Snapshot {
    let hold = Hold {
        since: Timestamp::from_micros(1_795_269_802_120_000),
        reason: "no such file".into(),
        by: "worker-1".into(),
        version: Some(Version::new("1.2").unwrap()),
        oops: Some(OopsId::from_u128(7)),
    };
    Snapshot {
        revision: 300,
        holds: [(StageName::new("build").unwrap(), hold)].into(),
        gates: [].into(),
        fences: [(TicketId::from_bytes([9; 16]), Generation(2))].into(),
    }
}

#[test]
fn a_snapshot_that_was_cut_anywhere_is_refused() {
    let whole = encode(&one());
    for cut in 0..whole.len() {
        assert!(decode(&whole[..cut]).is_err(), "cut at {cut}");
    }
    let said = decode(b"").unwrap_err().to_string();
    assert_eq!(
        said,
        "control: expected the mark at its end, got none: it was cut"
    );
}

#[test]
fn a_name_that_is_not_valid_is_refused_with_its_place() {
    let control = proto::Control {
        holds: vec![proto::Hold {
            stage: "two words".into(),
            ..proto::Hold::default()
        }],
        is_whole: true,
        ..proto::Control::default()
    };
    let said = decode(&control.encode_to_vec()).unwrap_err().to_string();
    let why = r#"expected 1 to 64 of the characters a-z A-Z 0-9 _ - ., got "two words""#;
    assert_eq!(said, format!("control: hold: stage: {why}"));
}

#[test]
fn the_permit_of_a_gate_comes_through() {
    let gate = Gate {
        since: Timestamp::from_micros(1_795_269_802_120_000),
        reason: "20 tickets in a row failed".into(),
        permit: Some(Permit {
            number: 3,
            holder: Holder::new("host-1/42").unwrap(),
        }),
    };
    let mut snapshot = one();
    snapshot.gates.insert(StageName::new("test").unwrap(), gate);
    assert_eq!(decode(&encode(&snapshot)), Ok(snapshot));
}

#[test]
fn a_snapshot_over_the_limit_is_refused_unread() {
    let said = decode(&vec![0; BYTES_MAX + 1]).unwrap_err().to_string();
    assert_eq!(said, "control: expected at most 4194304 bytes, got 4194305");
}

#[test]
fn a_field_of_a_newer_version_is_passed_over() {
    let newer = [&encode(&one())[..], b"\xa2\x06\x03new"].concat();
    assert_eq!(decode(&newer), Ok(one()));
}

#[test]
fn the_bytes_of_a_snapshot_are_those_of_the_first_release() {
    let golden = include_str!("../../golden/control.hex");
    assert_eq!(hex(&encode(&one())), golden.trim_end());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_but_never_panic(bytes: Vec<u8>) {
        let read = decode(&bytes);
        prop_assert!(read.is_err() || bytes.len() > 2);
    }

    #[test]
    fn every_snapshot_reads_back_as_written(snapshot in samples::snapshot()) {
        prop_assert_eq!(decode(&encode(&snapshot)), Ok(snapshot));
    }
}
