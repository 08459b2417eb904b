use super::*;
use crate::books::{Entry, Place};
use crate::names::{Holder, Key, Kind, StageName, Version};
use crate::oops::{Report, Scene, Span};
use crate::outcome::{Failure, OutcomeKind};
use crate::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use crate::time::Timestamp;
use crate::wait::{Condition, Wait};
use proptest::prelude::*;

mod keys;
mod meant;

const ID: &str = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-03T12:00:00Z")
}

fn ticket() -> Ticket {
    let id: TicketId = ID.parse().unwrap();
    Ticket {
        name: Name::first(id).charged().charged(),
        kind: Kind::new("f42 update").unwrap(),
        flow: None,
        stage: StageName::new("test").unwrap(),
        key: Some(Key::new("rust").unwrap()),
        payload: Payload::untyped("The Payload"),
        deadline: None,
        created_at: at("2026-11-03T11:30:00.120Z"),
        lineage: Lineage::root(id),
        trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
    }
}

fn waiting() -> Entry {
    let since = at("2026-11-03T11:59:00Z");
    let wait = Wait {
        condition: Condition::Backoff { until: now() },
        since,
        because: String::new(),
        oops: None,
    };
    Entry {
        ticket: ticket(),
        place: Place::Waiting(wait),
        version: Some(Version::new("1.10.0").unwrap()),
        oopses: vec![],
    }
}

fn report() -> Report {
    let scene = Scene {
        holder: Holder::new("w-1").unwrap(),
        hostname: "node-7".into(),
        version: Version::new("1.4.2").unwrap(),
    };
    let span = Span {
        started_at: at("2026-11-01T10:00:00Z"),
        ended_at: at("2026-11-01T23:59:59.500Z"),
    };
    let failure = Failure {
        log_tail: "Cannot open the Runway".into(),
        ..Failure::new("sqlx::Error", "connection refused (os error 111)")
    };
    Report::new(&ticket(), OutcomeKind::Crashed, failure, &scene, span)
}

#[test]
fn a_good_query_is_printed_in_its_one_spelling() {
    for (text, printed) in [
        ("", ""),
        ("  \t ", ""),
        (
            "is:waiting  stage:build,test",
            "is:waiting stage:build,test",
        ),
        ("-is:done -(a OR b c)", "-is:done -(a OR b c)"),
        ("( a   b OR -c )", "(a b OR -c)"),
        ("--x", "--x"),
        ("type:sqlx::*", "type:sqlx::*"),
        ("value:\"a b\"* key:*", "value:\"a b\"* key:*"),
        (r#"value:"a \"b\" \\ \c""#, r#"value:"a \"b\" \ \c""#),
        (r#"value:"a\\" key:"\\\"""#, r#"value:"a\\" key:"\\\"""#),
        (r#"value:"a\\\\b""#, r#"value:"a\\\b""#),
        (
            r#"value:~"^\d+ \"x\"$",b -frame:~"a|b""#,
            r#"value:~"^\d+ \"x\"$",b -frame:~"a|b""#,
        ),
        ("pipeline:ci queue:build", "flow:ci stage:build"),
        (
            "signature:V1-0F3A9C5E77B2D104 group:V1*",
            "group:v1-0f3a9c5e77b2d104 group:v1*",
        ),
        (
            "data.a.0.b:x,y* -data.size:>=10 data.n:1..2",
            "data.a.0.b:x,y* -data.size:>=10 data.n:1..2",
        ),
        ("\"is:done\"", "\"is:done\""),
        ("\"plain\"", "plain"),
        ("or \"OR\" ORB", "\"or\" \"OR\" ORB"),
        ("key:a..b", "key:\"a..b\""),
        ("attempts:>=3 attempts:2..5", "attempts:>=3 attempts:2..5"),
        (
            "version:>=1.4.0 version:1.4.*",
            "version:>=1.4.0 version:1.4.*",
        ),
        ("seen:2026-11-01..2026-11-03", "seen:2026-11-01..2026-11-03"),
        ("since:>\"-2h 30m\"", "since:>\"-2h 30m\""),
        (
            "id:0192F0C17A1B7C3D8E4F5A6B7C8D9E0F",
            "id:0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f",
        ),
        ("id:oops-01kb*,0192F0*", "id:OOPS-01KB*,0192f0*"),
        ("köln 50% it's", "köln \"50%\" \"it's\""),
    ] {
        let query: Query = text.parse().unwrap();
        assert_eq!(query.to_string(), printed, "{text}");
        assert_eq!(printed.parse::<Query>().unwrap(), query, "{text}");
    }
    assert_eq!("".parse::<Query>().unwrap(), Query::everything());
}

/// A query, and what is said about it.
const BAD: &[(&str, &str)] = &[
    (
        "is:done stgae:build",
        "byte 8: expected one of the keys is, id, ticket, group, stage, flow, kind, key, type, \
             value, frame, file, version, host, worker, trace, attempts, created, since, seen, \
             parked, by, src, data.<path>, or quotes around text with a colon, got \"stgae:\"; \
             did you mean \"stage\"?",
    ),
    (
        "src:wroker",
        "byte 4: expected one of worker, supervisor, launcher, controller, got \"wroker\"; did you mean \
             \"worker\"?",
    ),
    (
        "a \"b c",
        "byte 2: expected a closing quote for this one, got \"\\\"b c\"",
    ),
    (
        "a (b OR c",
        "byte 2: expected a closing parenthesis for this one, got \"(b OR c\"",
    ),
    (
        "a) b",
        "byte 1: expected an opening parenthesis before the closing one, got \")\"",
    ),
    ("()", "byte 1: expected a condition, got \")\""),
    ("(a OR)", "byte 5: expected a condition, got \")\""),
    ("(OR a)", "byte 1: expected a condition, got \"OR\""),
    (
        "a OR b",
        "byte 2: expected parentheses around alternatives: (a OR b), got \"OR\"",
    ),
    (
        "stage:",
        "byte 6: expected a value for stage, got \"the end\"",
    ),
    (
        "stage:a, b",
        "byte 8: expected a value for stage, got \"b\"",
    ),
    (
        "stage:\"\"",
        "byte 6: expected text between the quotes, got \"\\\"\\\"\"",
    ),
    (
        "- a",
        "byte 1: expected a condition right after -, got \"a\"",
    ),
    (
        "a ~\"a.*\"",
        "byte 2: expected a key before a regular expression, as in value:~\"timed? out\", got \
             \"~\\\"a.*\\\"\"",
    ),
    (
        "type:~a.*",
        "byte 5: expected quotes around a regular expression, as in ~\"timed? out\", or around \
             text that begins with ~, got \"~a.*\"",
    ),
    (
        "type:a,~\"a(b\"",
        "byte 7: expected a regular expression that can be read (unclosed group), got \
             \"~\\\"a(b\\\"\"",
    ),
    (
        "value:~\"(a)\\1\"",
        "byte 6: expected a regular expression that can be read (backreferences are not \
             supported), got \"~\\\"(a)\\\\1\\\"\"",
    ),
    (
        "value:~\"\\w{50}\"",
        "byte 6: expected a smaller regular expression: compiled, this one takes more than 256 \
             KiB, most of it for repeats such as {50} and for \\w and \\d, got \
             \"~\\\"\\\\w{50}\\\"\"",
    ),
    (
        "attempts:~\"1\"",
        "byte 9: expected a number such as 3, or a range such as 2..5, got \"~\\\"1\\\"\"",
    ),
    (
        "group:v1",
        "byte 6: expected a whole signature such as v1-0f3a9c5e77b2d104, or its beginning and \
             *, got \"v1\"",
    ),
    (
        "data.a..b:x",
        "byte 0: expected data. and at most 8 names with full stops between them, got \
             \"data.a..b:\"",
    ),
    (
        "data.size:>many",
        "byte 11: expected a number such as 3, or a range such as 2..5, got \"many\"",
    ),
    (
        "stage:>build",
        "byte 0: expected stage:value; < and > are for numbers, times and versions, got \
             \"stage:>\"",
    ),
    (
        "attempts:many",
        "byte 9: expected a number such as 3, or a range such as 2..5, got \"many\"",
    ),
    (
        "created:yesterday",
        "byte 8: expected a time such as -1h, 2026-11-01 or 2026-11-01T14:03:22Z, or a range \
             of two, got \"yesterday\"",
    ),
    (
        "key:a*b",
        "byte 4: expected * only at the end of a value, or in quotes to stand for itself, got \
             \"a*b\"",
    ),
    (
        "version:>1.*",
        "byte 9: expected a single value after < or >, got \"1.*\"",
    ),
    (
        "id:42",
        "byte 3: expected the whole id of a ticket or report, or its beginning and *, got \
             \"42\"",
    ),
    (
        "type:f(x)",
        "byte 6: expected a space between conditions, or quotes around text with quotes or \
             parentheses, got \"(x)\"",
    ),
];

#[test]
fn a_bad_query_says_where_what_was_expected_and_what_was_found() {
    for (text, said) in BAD {
        let error = text.parse::<Query>().unwrap_err();
        assert_eq!(error.to_string(), format!("filter, {said}"), "{text}");
    }
}

#[test]
fn the_names_of_a_tickets_json_lead_to_the_key_that_asks_for_them() {
    for (text, nearest) in [
        ("state:waiting", "is:waiting"),
        ("reason:backoff", "is:backoff"),
        ("(reason:held OR stage:a)", "is:held"),
        ("state:what", "is:waiting"),
        ("state:", "is:waiting"),
    ] {
        let error = text.parse::<Query>().unwrap_err();
        assert_eq!(error.nearest.as_deref(), Some(nearest), "{text}");
    }
}

#[test]
fn an_unknown_state_names_the_nearest_one() {
    let error = "is:wating".parse::<Query>().unwrap_err();
    assert_eq!(error.nearest.as_deref(), Some("waiting"));
    assert_eq!(
        error.expected,
        "one of runnable, running, waiting, done, dropped, live, ended, backoff, not_now, pending, \
         parked, held, unclaimed, suspect, unique, trial, rejected, failed, crashed, timed_out, \
         unstartable, panic, handled"
    );
    let error = "is:xyzzy".parse::<Query>().unwrap_err();
    assert_eq!(error.nearest, None);
}

#[test]
fn what_is_read_can_be_read_again_from_how_it_is_kept() {
    let value = format!("https://h/?id=7{}", "x".repeat(51));
    let of = |count| format!("data.url:{}", vec![value.as_str(); count].join(","));
    let (short, long) = (of(40), of(60));
    assert!(long.len() <= Query::BYTES_MAX, "{}", long.len());
    let refused = long.parse::<Query>().unwrap_err().to_string();
    assert!(refused.contains("with quotes around values"), "{refused}");
    let kept = short.parse::<Query>().unwrap().to_string();
    assert_eq!(kept.parse::<Query>().unwrap().to_string(), kept);
}

#[test]
fn a_query_is_bounded_in_length_number_and_depth() {
    let long = "a".repeat(Query::BYTES_MAX);
    assert!(long.parse::<Query>().is_ok());
    let said = format!("{long}a").parse::<Query>().unwrap_err().to_string();
    assert_eq!(
        said,
        "filter, byte 4096: expected at most 4096 bytes, got \"4097 bytes\""
    );

    let many = vec!["1"; Query::TERMS_MAX];
    assert!(many.join(" ").parse::<Query>().is_ok());
    assert!(
        format!("attempts:{}", many.join(","))
            .parse::<Query>()
            .is_ok()
    );
    let said = format!("{} 1", many.join(" "))
        .parse::<Query>()
        .unwrap_err()
        .to_string();
    assert_eq!(
        said,
        "filter, byte 128: expected at most 64 conditions, each value counted, got \"one more\""
    );

    let deep = format!("{}a", "-".repeat(Query::DEPTH_MAX));
    assert!(deep.parse::<Query>().is_ok());
    let said = format!("-{deep}").parse::<Query>().unwrap_err().to_string();
    assert_eq!(
        said,
        "filter, byte 8: expected negations and groups nested at most 8 deep, got \"-a\""
    );
}

#[test]
fn a_ticket_is_picked_by_what_it_is() {
    let entry = waiting();
    for (text, expected) in [
        ("", true),
        ("is:waiting is:backoff is:live", true),
        ("is:ended", false),
        ("-is:ended", true),
        ("is:done,waiting", true),
        (
            "id:0192F0C1-7A1B-7C3D-8E4F-5A6B7C8D9E0F ticket:0192f0*",
            true,
        ),
        ("stage:build,test", true),
        ("stage:Test", false),
        ("stage:te*", true),
        ("flow:*", false),
        ("key:*", true),
        ("kind:\"f42 update\"", true),
        ("kind:\"f42 u\"*", true),
        ("attempts:3", true),
        ("attempts:>3", false),
        ("attempts:2..3", true),
        ("attempts:<10", true),
        ("version:>1.9", true),
        ("version:>=1.10", true),
        ("version:1.9..1.11", true),
        ("version:1.10.*", true),
        ("version:1.10", false),
        ("created:-1h", true),
        ("created:-10m", false),
        ("created:<-10m", true),
        ("created:-1h..-10m", true),
        ("created:2026-11-03", true),
        ("created:>2026-11-03", false),
        ("created:>=2026-11-03", true),
        ("created:2026-11-01..2026-11-02", false),
        ("created:2026-11-03T11:30:00Z", true),
        ("created:2026-11-03T11:30:00.120Z", true),
        ("created:2026-11-03T11:30:00.12Z", true),
        ("created:2026-11-03T11:30:00.121Z", false),
        ("since:-2m seen:-2m", true),
        ("trace:4bf92f3577b34da6a3ce929d0e0e4736", true),
        ("type:*", false),
        ("payload RUST F42", true),
        ("nowhere", false),
        ("(nowhere OR payload)", true),
        ("(nowhere OR payload is:done)", false),
    ] {
        let query: Query = text.parse().unwrap();
        assert_eq!(query.matches(&entry, now()), expected, "{text}");
    }
}

#[test]
fn a_report_is_picked_by_what_went_wrong() {
    let report = report();
    let by_id = format!("id:{}", report.id.to_string().to_lowercase());
    for (text, expected) in [
        (by_id.as_str(), true),
        ("is:crashed", true),
        ("is:failed", false),
        ("type:sqlx::* value:connection*", true),
        ("version:<1.10", true),
        ("host:node-7 worker:w-1 src:worker", true),
        ("src:supervisor", false),
        ("seen:2026-11-01", true),
        ("seen:>2026-11-01", false),
        ("seen:<=2026-11-01", true),
        ("created:-100d", false),
        ("attempts:>=3", true),
        ("runway", true),
        ("\"os error 111\"", true),
        ("payload", false),
    ] {
        let query: Query = text.parse().unwrap();
        assert_eq!(query.matches(&report, now()), expected, "{text}");
    }
}

#[test]
fn a_group_without_alternatives_holds_for_nothing() {
    let query = Query {
        all: vec![Term::Any(vec![])],
    };
    assert!(!query.matches(&waiting(), now()));
}

#[test]
fn versions_compare_by_their_numbers_where_both_have_them() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    for (a, b, expected) in [
        ("1.9", "1.10", Less),
        ("v2", "1.10.3", Greater),
        ("1.4", "1.4.0", Equal),
        ("1.4.0-rc1", "1.4.0", Less),
        ("1.4.0-rc.2", "1.4.0-rc.10", Less),
        ("1.4.0-2", "1.4.0-rc", Less),
        ("1.4.0-rc", "1.4-rc.1", Less),
        ("1.4.1-rc", "1.4.0", Greater),
        ("1.4.0+a", "1.4.0+b", Equal),
        ("1.4.0-rc+a", "1.4-rc", Equal),
        ("nightly-1", "1.4.0-1", Greater),
        ("sha256:aa", "1.4.0", Greater),
    ] {
        assert_eq!(version_order(a, b), expected, "{a} {b}");
    }
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9.:-]{1,8}",
        "\\PC{1,8}",
        "[ \"\\\\(),*~<>=:ORa.-]{1,8}"
    ]
}

fn patterns(field: Field, op: Op) -> BoxedStrategy<Pattern> {
    let text = prop_oneof![
        texts().prop_map(Pattern::Exact),
        texts().prop_map(Pattern::Prefix),
        Just(Pattern::Prefix(String::new())),
    ];
    let exact = |texts: &'static [&'static str]| {
        prop::sample::select(texts)
            .prop_map(|text| Pattern::Exact(text.into()))
            .boxed()
    };
    let range = |low: &str, high: &str| Just(Pattern::Range(low.into(), high.into()));
    let text = match field.scale() {
        Scale::Text | Scale::Versions => prop_oneof![4 => text, 1 => regexes()].boxed(),
        _ => text.boxed(),
    };
    match (field.scale(), op) {
        (Scale::Words, _) if field == Field::Src => exact(&["worker", "controller"]),
        (Scale::Words, _) => exact(&["done", "not_now", "live", "timed_out"]),
        (Scale::Ids, _) if field == Field::Group => exact(&["v1-0f3a9c5e77b2d104"]),
        (Scale::Ids, _) => prop_oneof![exact(&[ID]), Just(Pattern::Prefix("0192f".into()))].boxed(),
        (Scale::Text | Scale::Data, _) => text,
        (Scale::Versions, Op::Is) => prop_oneof![text, range("1.0", "v2.x")].boxed(),
        (Scale::Versions, _) => texts().prop_map(Pattern::Exact).boxed(),
        (Scale::Numbers, Op::Is) => prop_oneof![exact(&["3", "1.5"]), range("1", "2")].boxed(),
        (Scale::Numbers, _) => exact(&["3", "1e3"]),
        (Scale::Times, Op::Is) => {
            prop_oneof![exact(&["-2h 30m", "2026-11-01"]), range("-2h", "-1h")].boxed()
        }
        (Scale::Times, _) => exact(&["-1h", "2026-11-01T10:00:00Z"]),
    }
}

fn regexes() -> impl Strategy<Value = Pattern> {
    let texts = [
        "a",
        "\\",
        "\\\\\"",
        "^\"\\d+\\\\$",
        "(?i)a|b,c \\",
        "a\\.b\\",
    ];
    let good = texts.map(|text| match Regex::new(text) {
        Ok(regex) => Pattern::Regex(regex),
        Err(_) => Pattern::Exact(text.into()),
    });
    prop::sample::select(good.to_vec())
}

fn data() -> impl Strategy<Value = Term> {
    let path = prop::sample::select(vec!["a", "a.0", "size.é-_"]);
    let path = path.prop_map(|path| DataPath::parse(path).unwrap());
    let pattern = prop_oneof![texts().prop_map(Pattern::Exact), regexes()];
    let is = (path.clone(), prop::collection::vec(pattern, 1..3));
    let is = is.prop_map(|(path, values)| Term::Data {
        path,
        op: Op::Is,
        values,
    });
    let over = path.prop_map(|path| Term::Data {
        path,
        op: Op::Over,
        values: vec![Pattern::Exact("-1.5".into())],
    });
    prop_oneof![is, over]
}

fn fields() -> impl Strategy<Value = Term> {
    let ops = [Op::Over, Op::AtLeast, Op::Under, Op::AtMost];
    let field = prop::sample::select(Field::ALL.to_vec());
    (field, prop::option::of(prop::sample::select(ops.to_vec()))).prop_flat_map(|(field, op)| {
        let op = op.filter(|_| field.scale().is_ordered()).unwrap_or(Op::Is);
        let values = prop::collection::vec(patterns(field, op), 1..4);
        values.prop_map(move |values| Term::Field { field, op, values })
    })
}

fn queries() -> impl Strategy<Value = Query> {
    let leaf = prop_oneof![fields(), data(), texts().prop_map(Term::Free)];
    let term = leaf.prop_recursive(3, 12, 3, |inner| {
        let query = prop::collection::vec(inner.clone(), 1..3).prop_map(|all| Query { all });
        prop_oneof![
            inner.prop_map(|term| Term::Not(Box::new(term))),
            prop::collection::vec(query, 1..3).prop_map(Term::Any),
        ]
    });
    prop::collection::vec(term, 0..4).prop_map(|all| Query { all })
}

proptest! {
    #[test]
    fn a_printed_query_reads_back_as_the_same_query(query in queries()) {
        let printed = query.to_string();
        prop_assert_eq!(printed.parse::<Query>(), Ok(query), "{}", printed);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}|[ \"\\\\(),*~<>=:ORa.-]{0,40}") {
        reads_back_or_is_refused(&text)?;
    }

    #[test]
    fn no_mutilated_query_makes_it_panic(query in queries(), cut in 0usize..80, more in texts()) {
        let mut text = query.to_string();
        let cut = text.floor_char_boundary(cut.min(text.len()));
        text.insert_str(cut, &more);
        reads_back_or_is_refused(&text)?;
    }
}

fn reads_back_or_is_refused(text: &str) -> Result<(), TestCaseError> {
    match text.parse::<Query>() {
        Ok(query) => {
            query.matches(&waiting(), now());
            query.matches(&report(), now());
            prop_assert_eq!(query.to_string().parse::<Query>(), Ok(query));
        }
        Err(error) => prop_assert!(text.is_char_boundary(error.position), "{}", error),
    }
    Ok(())
}

#[test]
fn since_is_the_first_moment_of_a_time() {
    for (text, expected) in [
        ("-1h", "2026-11-03T11:00:00Z"),
        ("-2h 30m", "2026-11-03T09:30:00Z"),
        ("2026-11-01", "2026-11-01T00:00:00Z"),
        ("2026-11-01T14:03:22Z", "2026-11-01T14:03:22Z"),
        ("2026-11-01T14:03:22.5+02:00", "2026-11-01T12:03:22.5Z"),
    ] {
        assert_eq!(parse_since(text, now()), Ok(at(expected)), "{text}");
    }
    for text in [
        "",
        "-",
        "1h",
        "yesterday",
        "-1h..-30m",
        "2026-13-01",
        "--1h",
    ] {
        let said = parse_since(text, now()).unwrap_err().to_string();
        let expected = format!(
            "expected a time such as -1h, 2026-11-01 or 2026-11-01T14:03:22Z, got {text:?}"
        );
        assert_eq!(said, expected);
    }
}
