use super::*;
use crate::samples;
use domain::names::{Kind, StageName, Version};
use domain::ticket::{Attempt, Generation, Hop, Lineage, Name, Payload, Ticket, TicketId};
use domain::time::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const NOW: Timestamp = Timestamp::from_micros(1_795_269_802_120_000);
const ID: &str = "0197f1a2-3b4c-7d5e-8f60-718293a4b5c6";
const OTHER: &str = "0197f1a2-3b4c-7d5e-8f60-000000000001";

fn id(text: &str) -> TicketId {
    text.parse().unwrap()
}

fn build() -> StageName {
    StageName::new("build").unwrap()
}

fn read(envelope: Envelope<'_>) -> Unpacked {
    unpack(envelope, &build(), NOW)
}

fn text(text: &str) -> Header<'_> {
    Header::Text(Cow::Borrowed(text))
}

/// A message with an id and these headers.
fn with<'a>(headers: &[(&'a str, Header<'a>)]) -> Envelope<'a> {
    let headers = headers.iter();
    Envelope {
        message_id: Some(ID.into()),
        headers: headers
            .map(|(name, header)| (Cow::Borrowed(*name), header.clone()))
            .collect(),
        ..Envelope::default()
    }
}

/// What becomes of a message with an id and nothing else that makes sense.
fn bare() -> Ticket {
    Ticket {
        name: Name::first(id(ID)),
        kind: Kind::unnamed(),
        flow: None,
        stage: build(),
        key: None,
        payload: Payload::default(),
        deadline: None,
        created_at: NOW,
        lineage: Lineage::root(id(ID)),
        trace: None,
    }
}

fn full() -> Ticket {
    Ticket {
        name: Name {
            ticket: id(ID),
            generation: Generation(2),
            hop: Hop(3),
            attempt: Attempt(4),
        },
        kind: Kind::new("package").unwrap(),
        flow: Some("release".parse().unwrap()),
        stage: build(),
        key: Some("lib €".parse().unwrap()),
        payload: Payload::json("{}"),
        deadline: Some(Timestamp::from_micros(1_795_269_862_120_000)),
        created_at: NOW,
        lineage: Lineage {
            root: id(OTHER),
            parent: Some(id(OTHER)),
            depth: 1,
        },
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    }
}

#[test]
fn a_message_with_nothing_at_all_is_a_ticket_without_an_identity() {
    let mut unpacked = read(Envelope {
        body: "hi".into(),
        ..Envelope::default()
    });
    assert!(!unpacked.has_identity && !unpacked.booked);
    assert_eq!(unpacked.oddities, [""; 0]);
    unpacked.identify(id(ID));
    let expected = Ticket {
        payload: Payload::untyped("hi"),
        ..bare()
    };
    assert_eq!(unpacked.ticket, expected);
}

#[test]
fn an_id_that_is_not_a_uuid_is_none_and_told() {
    let cases = [
        (
            "order 7",
            r#"message_id: ticket id: expected a UUID, got "order 7"; left out"#,
        ),
        (
            "",
            r#"message_id: ticket id: expected a UUID, got ""; left out"#,
        ),
        (
            "00000000-0000-0000-0000-000000000000",
            "message_id: the nil UUID is nobody's; left out",
        ),
    ];
    for (message_id, why) in cases {
        let unpacked = read(Envelope {
            message_id: Some(message_id.into()),
            headers: vec![
                (name::BOOKED.into(), Header::Bool(true)),
                (name::GENERATION.into(), Header::Int(5)),
                (name::ROOT.into(), text(OTHER)),
            ],
            ..Envelope::default()
        });
        assert!(!unpacked.has_identity && !unpacked.booked, "{message_id}");
        assert_eq!(unpacked.oddities, [why]);
        assert_eq!(unpacked.ticket.name.generation, Generation(1));
        assert_eq!(unpacked.ticket.lineage.root, unpacked.ticket.id());
    }
}

#[test]
fn a_ticket_that_came_with_an_id_keeps_it() {
    let mut unpacked = read(with(&[]));
    unpacked.identify(id(OTHER));
    assert!(unpacked.has_identity);
    assert_eq!(unpacked.ticket, bare());
}

#[test]
fn a_header_of_a_wrong_type_is_left_out_and_told() {
    let cases = [
        (name::GENERATION, text("2"), "an integer"),
        (name::DEADLINE, Header::Bool(true), "an integer"),
        (name::CREATED, Header::Other, "an integer"),
        (name::DEPTH, text("1"), "an integer"),
        (name::FLOW, Header::Int(1), "text"),
        (name::KEY, Header::Other, "text"),
        (name::ROOT, Header::Int(1), "text"),
        (name::PARENT, Header::Bool(false), "text"),
        (name::TRACE, Header::Other, "text"),
        (name::CONTENT_TYPE, Header::Int(1), "text"),
        (name::BOOKED, Header::Int(1), "a truth value"),
        (name::BOOKED, Header::Texts(Vec::new()), "a truth value"),
        (name::DEPTH, Header::Texts(Vec::new()), "an integer"),
        (name::KEY, Header::Texts(Vec::new()), "text"),
        (name::AVOID, text("1"), "a list of texts"),
        (name::AVOID, Header::Other, "a list of texts"),
    ];
    for (name, header, expected) in cases {
        let unpacked = read(with(&[(name, header)]));
        let read = (&unpacked.ticket, unpacked.booked, &*unpacked.avoid);
        assert_eq!(read, (&bare(), false, &[][..]));
        let why = format!("{name}: expected {expected}, got another type; left out");
        assert_eq!(unpacked.oddities, [why]);
    }
}

#[test]
fn a_header_with_a_bad_value_is_left_out_and_told() {
    let long = "x".repeat(TRACE_BYTES_MAX + 1);
    let cases = [
        (name::GENERATION, Header::Int(0)),
        (name::GENERATION, Header::Int(-1)),
        (name::GENERATION, Header::Int(i64::MAX)),
        (name::GENERATION, Header::Int((1 << 30) + 1)),
        (name::DEPTH, Header::Int(-1)),
        (name::DEADLINE, Header::Int(i64::MIN)),
        (name::CREATED, Header::Int(MILLIS_MAX + 1)),
        (name::FLOW, text("two words")),
        (name::KEY, text("")),
        (name::ROOT, text("me")),
        (name::PARENT, text("you")),
        (name::TRACE, text("a\0b")),
        (name::TRACE, text(&long)),
        (name::CONTENT_TYPE, text("\n")),
    ];
    for (name, header) in cases {
        let unpacked = read(with(&[(name, header.clone())]));
        assert_eq!(unpacked.ticket, bare(), "{name} {header:?}");
        assert_eq!(unpacked.oddities.len(), 1, "{name} {header:?}");
        assert!(unpacked.oddities[0].starts_with(name));
    }
}

fn versions(range: std::ops::Range<usize>) -> Vec<Version> {
    let version = |n: usize| Version::new(&n.to_string()).unwrap();
    range.map(version).collect()
}

#[test]
fn a_message_says_which_versions_must_not_run_it() {
    let ticket = full();
    let avoid = versions(0..AVOID_MAX + 3);
    for count in [0, 1, AVOID_MAX, AVOID_MAX + 3] {
        let unpacked = read(pack(&ticket, true).avoiding(&avoid[..count]));
        assert_eq!(unpacked.avoid, avoid[..count.min(AVOID_MAX)]);
        assert_eq!(unpacked.ticket, ticket);
        assert_eq!(unpacked.oddities, [""; 0]);
    }
}

#[test]
fn a_message_says_that_its_ticket_is_on_trial() {
    let ticket = full();
    assert!(read(pack(&ticket, true).alone()).alone);
    let plain = read(pack(&ticket, true));
    assert!(!plain.alone);
    let bad = read(with(&[(name::ALONE, Header::Int(1))]));
    assert!(!bad.alone && bad.oddities.len() == 1, "{:?}", bad.oddities);
}

#[test]
fn versions_that_make_no_sense_are_left_out_and_the_others_count() {
    let bad = Header::Texts(["1", "", "a\0b", "2"].map(Cow::from).into());
    let unpacked = read(with(&[(name::AVOID, bad)]));
    assert_eq!(unpacked.avoid, versions(1..3));
    assert_eq!(unpacked.oddities.len(), 2, "{:?}", unpacked.oddities);
    let many = (0..50_000).map(|n| n.to_string().into());
    let unpacked = read(with(&[(name::AVOID, Header::Texts(many.collect()))]));
    assert_eq!(unpacked.avoid, versions(0..AVOID_MAX));
    let why = "goaround-avoid: expected at most 16, got 50000, the last ones; left out";
    assert_eq!(unpacked.oddities, [why]);
}

#[test]
fn a_bad_hop_or_attempt_leaves_the_generation_as_it_is() {
    let unpacked = read(with(&[
        (name::GENERATION, Header::Int(2)),
        (name::HOP, Header::Int(-1)),
        (name::ATTEMPT, Header::Int(0)),
    ]));
    assert_eq!(unpacked.ticket.name, Name::first(id(ID)).renewed());
    assert_eq!(
        unpacked.oddities,
        [
            "goaround-hop: expected 0 to 1073741824, got -1; left out",
            "goaround-attempt: expected 1 to 1073741824, got 0; left out",
        ]
    );
}

#[test]
fn without_a_generation_it_is_the_first_copy() {
    let unpacked = read(with(&[
        (name::HOP, Header::Int(7)),
        (name::ATTEMPT, Header::Int(7)),
    ]));
    assert_eq!(unpacked.ticket, bare());
}

#[test]
fn properties_that_make_no_sense_are_left_out_and_told() {
    let unpacked = read(Envelope {
        kind: Some("a\u{7}".into()),
        content_type: Some("naïve".into()),
        timestamp: Some(u64::MAX),
        ..with(&[])
    });
    assert_eq!(unpacked.ticket, bare());
    let places = unpacked.oddities.iter();
    let places: Vec<_> = places.map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(places, ["type", "content_type", "timestamp"]);
}

#[test]
fn properties_that_some_clients_send_empty_are_as_if_not_there() {
    let unpacked = read(Envelope {
        kind: Some("".into()),
        content_type: Some("".into()),
        timestamp: Some(0),
        ..with(&[])
    });
    assert_eq!(unpacked.ticket, bare());
    assert_eq!(unpacked.oddities, [""; 0]);
}

#[test]
fn a_stranger_cannot_fill_the_log() {
    let long = "\u{1}€".repeat(50_000);
    let names = [
        name::FLOW,
        name::KEY,
        name::ROOT,
        name::PARENT,
        name::TRACE,
        name::CONTENT_TYPE,
        name::GENERATION,
        name::DEPTH,
        name::DEADLINE,
        name::BOOKED,
    ];
    let unpacked = read(Envelope {
        kind: Some(long.as_str().into()),
        content_type: Some(long.as_str().into()),
        ..with(&names.map(|name| (name, text(&long))))
    });
    assert_eq!(unpacked.oddities.len(), 8);
    let lines = &unpacked.oddities;
    assert!(lines.iter().all(|line| line.chars().count() <= 201));
    assert!(lines.iter().all(|line| !line.contains(char::is_control)));
}

#[test]
fn a_foreign_message_keeps_what_it_says() {
    let unpacked = read(Envelope {
        message_id: Some("0197F1A23B4C7D5E8F60718293A4B5C6".into()),
        kind: Some("order".into()),
        content_type: Some("text/plain".into()),
        timestamp: Some(1_700_000_000),
        headers: vec![
            ("x-death".into(), Header::Other),
            (name::KEY.into(), text("first")),
            (name::KEY.into(), text("second")),
            (name::PARENT.into(), text(OTHER)),
        ],
        body: "hi".into(),
    });
    let expected = Ticket {
        kind: Kind::new("order").unwrap(),
        key: Some("first".parse().unwrap()),
        payload: Payload {
            bytes: "hi".into(),
            content_type: Some("text/plain".into()),
        },
        created_at: Timestamp::from_micros(1_700_000_000_000_000),
        lineage: Lineage {
            root: id(OTHER),
            parent: Some(id(OTHER)),
            depth: 1,
        },
        ..bare()
    };
    assert_eq!(unpacked.ticket, expected);
    assert_eq!(unpacked.oddities, [""; 0]);
}

#[test]
fn a_body_is_passed_through_and_not_copied() {
    let mut ticket = bare();
    ticket.payload = Payload::untyped(vec![7; 100 * 1024 * 1024]);
    let there = ticket.payload.bytes.as_ptr();
    let unpacked = read(pack(&ticket, false));
    assert_eq!(unpacked.ticket.payload.bytes.as_ptr(), there);
}

#[test]
fn a_content_type_that_is_too_long_for_the_property_is_a_header() {
    let mut ticket = bare();
    for length in [PROPERTY_BYTES_MAX, PROPERTY_BYTES_MAX + 1] {
        ticket.payload.content_type = Some("a".repeat(length));
        let envelope = pack(&ticket, false);
        let is_property = envelope.content_type.is_some();
        assert_eq!(is_property, length <= PROPERTY_BYTES_MAX, "{length}");
        assert_eq!(read(envelope).ticket, ticket);
    }
}

#[test]
fn the_message_of_a_ticket_is_that_of_the_first_release() {
    let ticket = full();
    let envelope = pack(&ticket, true);
    assert_eq!(envelope.message_id.as_deref(), Some(ID));
    assert_eq!(envelope.kind.as_deref(), Some("package"));
    assert_eq!(envelope.content_type.as_deref(), Some("application/json"));
    assert_eq!(envelope.timestamp, Some(1_795_269_802));
    assert_eq!(envelope.body, "{}");
    let headers = [
        ("goaround-generation", Header::Int(2)),
        ("goaround-hop", Header::Int(3)),
        ("goaround-attempt", Header::Int(4)),
        ("goaround-created", Header::Int(1_795_269_802_120)),
        ("goaround-flow", text("release")),
        ("goaround-key", text("lib €")),
        ("goaround-deadline", Header::Int(1_795_269_862_120)),
        (
            "traceparent",
            text("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ),
        ("goaround-booked", Header::Bool(true)),
        ("goaround-root", text(OTHER)),
        ("goaround-depth", Header::Int(1)),
        ("goaround-parent", text(OTHER)),
    ];
    let headers = headers.map(|(name, header)| (Cow::Borrowed(name), header));
    assert_eq!(envelope.headers, headers);
    assert_eq!(envelope.headers.capacity(), 13);
}

fn header() -> impl Strategy<Value = Header<'static>> {
    prop_oneof![
        any::<i64>().prop_map(Header::Int),
        (0..10_i64).prop_map(Header::Int),
        ".*".prop_map(|text| Header::Text(text.into())),
        Just(text(OTHER)),
        any::<bool>().prop_map(Header::Bool),
        vec(".*".prop_map(Cow::from), 0..3).prop_map(Header::Texts),
        Just(Header::Other),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope<'static>> {
    let names = prop::sample::select(&[
        name::GENERATION,
        name::HOP,
        name::ATTEMPT,
        name::FLOW,
        name::KEY,
        name::DEADLINE,
        name::CREATED,
        name::ROOT,
        name::PARENT,
        name::DEPTH,
        name::CONTENT_TYPE,
        name::BOOKED,
        name::TRACE,
        name::AVOID,
    ]);
    let any_text = || option::of(".*".prop_map(Cow::from));
    let id = option::of(prop_oneof![".*".prop_map(Cow::from), Just(ID.into())]);
    let headers = vec((names.prop_map(Cow::from), header()), 0..14);
    let parts = (
        id,
        any_text(),
        any_text(),
        option::of(any::<u64>()),
        headers,
    );
    parts.prop_map(
        |(message_id, kind, content_type, timestamp, headers)| Envelope {
            message_id,
            kind,
            content_type,
            timestamp,
            headers,
            body: Bytes::new(),
        },
    )
}

/// The ticket, as far as a message can carry it: with times that are whole milliseconds of ten
/// thousand years, with counters that happen, and with texts that are kept.
fn carried(mut ticket: Ticket) -> Ticket {
    let whole = |at: Timestamp| Timestamp::from_micros(at.as_millis() % MILLIS_MAX * 1_000);
    ticket.stage = build();
    ticket.created_at = whole(ticket.created_at);
    ticket.deadline = ticket.deadline.map(whole);
    ticket.name.generation.0 = ticket.name.generation.0 % 1_000 + 1;
    ticket.name.hop.0 %= 1_000;
    ticket.name.attempt.0 = ticket.name.attempt.0 % 1_000 + 1;
    ticket.lineage.depth %= 1_000;
    let content_type = ticket.payload.content_type.take();
    ticket.payload.content_type = content_type.filter(|text| is_content_type(text));
    ticket.trace = ticket.trace.filter(|text| is_trace(text));
    ticket
}

proptest! {
    #[test]
    fn any_message_is_a_ticket_that_can_travel_on(envelope in envelope()) {
        let unpacked = read(envelope);
        prop_assert!(unpacked.oddities.len() <= 8);
        let again = read(pack(&unpacked.ticket, unpacked.booked));
        prop_assert_eq!(again.has_identity, unpacked.has_identity);
        if unpacked.has_identity {
            prop_assert_eq!(again.oddities, Vec::<String>::new());
            prop_assert_eq!(again.booked, unpacked.booked);
            prop_assert_eq!(again.ticket, unpacked.ticket);
        }
    }

    #[test]
    fn every_ticket_reads_back_as_packed(ticket in samples::ticket(), booked: bool) {
        let ticket = carried(ticket);
        let unpacked = read(pack(&ticket, booked));
        prop_assert_eq!(&unpacked.oddities, &Vec::<String>::new());
        prop_assert_eq!(unpacked.ticket, ticket);
        prop_assert_eq!((unpacked.booked, unpacked.has_identity), (booked, true));
    }
}
