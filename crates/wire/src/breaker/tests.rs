use super::*;
use crate::samples::{self, hex};
use domain::plan::PlanId;
use domain::signature::SignatureId;
use domain::ticket::TicketId;
use proptest::prelude::*;

const AT: Timestamp = Timestamp::from_micros(1_795_269_802_120_000);

fn clue() -> Clue {
    Clue {
        name: Name::first(TicketId::from_bytes([9; 16])).charged(),
        at: AT,
    }
}

fn breaker(state: BreakerState) -> Breaker {
    Breaker {
        scope: Scope::Signature(SignatureId::new(1, 0x0f3a_9c5e_77b2_d104)),
        state,
        failed_on: vec![Version::new("1.1").unwrap(), Version::new("1.2").unwrap()],
        failures: 300,
        tried: 2,
        probes: 7,
        haste: Haste {
            since: AT,
            count: 1,
        },
        last_failed: None,
        landed_at: None,
        row_since: None,
    }
}

/// One in each state, and the one of a stage.
fn all() -> Vec<Breaker> {
    let clues = vec![clue()];
    let quiet = Breaker {
        scope: Scope::Stage,
        ..breaker(BreakerState::quiet())
    };
    let canary = Canary {
        number: 7,
        name: Some(clue().name),
        wants: Some(Version::new("1.3").unwrap()),
        sent_at: AT,
        asked_at: AT,
    };
    let states = [
        BreakerState::Closed {
            clues: clues.clone(),
        },
        BreakerState::Open {
            since: AT,
            next_probe: None,
        },
        BreakerState::Open {
            since: AT,
            next_probe: Some(AT),
        },
        BreakerState::Probing { since: AT, canary },
        BreakerState::Releasing {
            since: AT,
            proof: Proof::Repaired,
            proven_at: AT,
            plan: Some(PlanId::from_u128(5)),
            clues,
        },
    ];
    states.map(breaker).into_iter().chain([quiet]).collect()
}

fn roster() -> Roster {
    let announced = |number, is_here| Announced {
        version: Version::new(&format!("1.{number}")).unwrap(),
        number,
        at: AT,
        is_here,
    };
    Roster {
        versions: vec![announced(1, false), announced(2, true)],
    }
}

#[test]
fn a_breaker_that_was_cut_anywhere_is_refused() {
    for one in all() {
        let whole = encode(&one);
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "{one:?} cut at {cut}");
        }
    }
    let said = decode(b"").unwrap_err().to_string();
    assert_eq!(
        said,
        "breaker: expected the mark at its end, got none: it was cut"
    );
}

#[test]
fn a_roster_that_was_cut_anywhere_is_refused() {
    let whole = encode_roster(&roster());
    for cut in 0..whole.len() {
        assert!(decode_roster(&whole[..cut]).is_err(), "cut at {cut}");
    }
}

/// What makes a good row a bad one.
type Change = fn(&mut proto::Breaker);

#[test]
fn what_must_be_there_and_is_not_is_named() {
    let unknown = "expected one that this version knows, got none of them";
    let cases: [(String, Change); 8] = [
        ("scope: expected one, got none".into(), |it| it.scope = None),
        (format!("scope: {unknown}"), |it| {
            it.scope = Some(proto::Scope { of: None });
        }),
        (format!("state: {unknown}"), |it| it.state = None),
        ("name: expected one, got none".into(), |it| {
            let clues = vec![proto::Clue::default()];
            it.state = Some(StateField::Closed(proto::BreakerClosed { clues }));
        }),
        ("canary: expected one, got none".into(), |it| {
            it.state = Some(StateField::Probing(proto::BreakerProbing::default()));
        }),
        ("proof: expected one, got none".into(), |it| {
            it.state = Some(StateField::Releasing(proto::BreakerReleasing::default()));
        }),
        (format!("proof: {unknown}"), |it| {
            it.state = Some(StateField::Releasing(proto::BreakerReleasing {
                proof: 99,
                ..proto::BreakerReleasing::default()
            }));
        }),
        (
            "version: expected 1 to 128 bytes without control characters, got \"\"".into(),
            |it| it.failed_on = vec![String::new()],
        ),
    ];
    for (why, change) in cases {
        let mut row = proto::Breaker::decode(encode(&all()[0])).unwrap();
        change(&mut row);
        let said = decode(&row.encode_to_vec()).unwrap_err().to_string();
        assert_eq!(said, format!("breaker: {why}"));
    }
}

#[test]
fn a_row_over_the_limit_is_refused_unread() {
    let bytes = vec![0; BYTES_MAX + 1];
    let said = decode(&bytes).unwrap_err().to_string();
    assert_eq!(said, "breaker: expected at most 65536 bytes, got 65537");
    let said = decode_roster(&bytes).unwrap_err().to_string();
    assert_eq!(said, "roster: expected at most 65536 bytes, got 65537");
}

#[test]
fn the_largest_that_the_rules_make_is_far_below_the_limit() {
    use domain::breaker::Rules;
    let long = Version::new(&"v".repeat(128)).unwrap();
    let clues = vec![clue(); Rules::FAILURES_MAX as usize];
    let largest = Breaker {
        failed_on: vec![long.clone(); Breaker::VERSIONS_MAX],
        ..breaker(BreakerState::Closed { clues })
    };
    assert!(encode(&largest).len() * 4 < BYTES_MAX);
    let announced = Announced {
        version: long,
        ..roster().versions[0].clone()
    };
    let largest = Roster {
        versions: vec![announced; Roster::VERSIONS_MAX],
    };
    assert!(encode_roster(&largest).len() * 4 < BYTES_MAX);
}

#[test]
fn a_field_of_a_newer_version_is_passed_over() {
    let one = &all()[0];
    let newer = [&encode(one)[..], b"\xa2\x06\x03new"].concat();
    assert_eq!(decode(&newer).as_ref(), Ok(one));
    let newer = [&encode_roster(&roster())[..], b"\xa2\x06\x03new"].concat();
    assert_eq!(decode_roster(&newer), Ok(roster()));
}

#[test]
fn what_was_written_before_there_were_times_of_landings_is_read_without_them() {
    let old = encode(&all()[0]);
    let newer = Breaker {
        last_failed: Some(clue().name),
        landed_at: Some(AT),
        row_since: Some(AT),
        ..all()[0].clone()
    };
    let written = encode(&newer);
    assert_eq!(decode(&written).as_ref(), Ok(&newer));
    assert!(written.len() > old.len());
    let read = decode(&old).unwrap();
    assert_eq!((read.last_failed, read.landed_at), (None, None));
}

#[test]
fn the_bytes_of_breakers_are_those_of_the_first_release() {
    let rows = all()
        .into_iter()
        .map(|it| encode(&it))
        .chain([encode_roster(&roster())]);
    let written: Vec<String> = rows.map(|row| hex(&row)).collect();
    let golden = include_str!("../../golden/breakers.hex");
    assert_eq!(written.join("\n"), golden.trim_end());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_but_never_panic(bytes: Vec<u8>) {
        prop_assert!(decode(&bytes).is_err());
        let read = decode_roster(&bytes);
        prop_assert!(read.is_err() || bytes.len() > 2);
    }

    #[test]
    fn what_is_read_of_a_damaged_row_can_be_written_again(
        breaker in samples::breaker(), at: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = encode(&breaker).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&read)), Ok(read));
        }
    }

    #[test]
    fn every_breaker_reads_back_as_written(breaker in samples::breaker()) {
        prop_assert_eq!(decode(&encode(&breaker)), Ok(breaker));
    }

    #[test]
    fn every_roster_reads_back_as_written(roster in samples::roster()) {
        prop_assert_eq!(decode_roster(&encode_roster(&roster)), Ok(roster));
    }
}
