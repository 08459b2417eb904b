use super::*;
use crate::samples::{self, hex};
use domain::breaker::Scope;
use domain::names::StageName;
use domain::plan::{
    By, Choice, Draft, Facet, Group, GroupName, Groups, PlanId, Ramp, Release, Selection, Source,
    StopRule, Terms, TicketEnd,
};
use domain::signature::SignatureId;
use domain::wait::Reason;
use proptest::prelude::*;

const AT: Timestamp = Timestamp::from_micros(1_795_269_802_120_000);
const BY: By<'static> = By { who: "ana", at: AT };

/// A plan that has released its first ticket, which landed.
fn one() -> Plan {
    let signature = SignatureId::new(1, 0x0f3a_9c5e_77b2_d104);
    let selection = Selection {
        source: Source::Waiting(Reason::Held),
        stage: Some(StageName::new("build").unwrap()),
        signature: Some(signature),
        filter: "kind:rust".into(),
        cutoff: AT,
        count: 500,
    };
    let terms = Terms {
        rate: Some("300/m".parse().unwrap()),
        stop: StopRule {
            same: Some(signature),
            ..StopRule::default()
        },
        ..Terms::default()
    };
    let id = PlanId::from_u128(5);
    let mut draft = Draft::repairing(id, Scope::Signature(signature), selection, terms);
    draft.groups = Groups::of(vec![Group {
        name: "kind=rust".parse().unwrap(),
        count: 500,
    }]);
    let mut plan = Plan::new(draft, BY);
    let everything = Release {
        choice: Choice::Everything,
        count: 500,
        terms: None,
    };
    plan.release(everything, BY).unwrap();
    plan.released(1, AT).unwrap();
    plan.ended(&TicketEnd::Landed, AT);
    // In words of our own, so that the golden bytes do not move with those of the rules.
    let deed = Deed {
        at: AT,
        by: "ana".into(),
        what: "released everything".into(),
    };
    plan.trail = Trail {
        deeds: vec![deed],
        left_out: 3,
    };
    plan
}

/// One in each state, and stopped for each reason.
fn all() -> Vec<Plan> {
    let whys = [
        Why::Person("ana".into()),
        Why::Share { failed: 6, of: 20 },
        Why::Returned(SignatureId::new(1, 2)),
        Why::Barren { released: 10 },
        Why::StageFails,
        Why::Superseded(PlanId::from_u128(6)),
        Why::Unawaited,
    ];
    let states = [State::Ready, State::Running, State::Paused, State::Done];
    let states = states.into_iter().chain(whys.map(State::Stopped));
    states.map(|state| Plan { state, ..one() }).collect()
}

/// What makes a good row a bad one.
type Change = fn(&mut proto::Plan);

fn refusal(change: Change) -> String {
    let mut row = proto::Plan::decode(encode(&one())).unwrap();
    change(&mut row);
    decode(&row.encode_to_vec()).unwrap_err().to_string()
}

#[test]
fn a_plan_that_was_cut_anywhere_is_refused() {
    for plan in all() {
        let whole = encode(&plan);
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "{plan:?} cut at {cut}");
        }
    }
}

#[test]
fn what_must_be_there_and_is_not_is_named() {
    let unknown = "expected one that this version knows, got none of them";
    let missing = "expected one, got none";
    let cases: [(String, Change); 13] = [
        (format!("id: {missing}"), |it| it.id = None),
        (format!("selection: {missing}"), |it| it.selection = None),
        (format!("terms: {missing}"), |it| it.terms = None),
        (format!("counts: {missing}"), |it| it.counts = None),
        (format!("state: {unknown}"), |it| it.state = None),
        (format!("why: {unknown}"), |it| {
            it.state = Some(StateField::Stopped(proto::Stopped { why: None }));
        }),
        (format!("source: {unknown}"), |it| {
            it.selection = Some(proto::Selection::default());
        }),
        (format!("reason: {unknown}"), |it| {
            let source = proto::selection::Source::Waiting(99);
            it.selection.as_mut().unwrap().source = Some(source);
        }),
        (format!("facet: {unknown}"), |it| {
            it.groups[0].name.as_mut().unwrap().facet = 99;
        }),
        (format!("group: {missing}"), |it| it.groups[0].name = None),
        (format!("order: {unknown}"), |it| {
            it.terms.as_mut().unwrap().order = None;
        }),
        (format!("choice: {unknown}"), |it| {
            it.goals[0].choice = Some(proto::Choice { of: None });
        }),
        (format!("step: {missing}"), |it| it.goals[0].step = None),
    ];
    for (why, change) in cases {
        assert_eq!(refusal(change), format!("plan: {why}"));
    }
}

#[test]
fn terms_that_would_release_more_than_was_wanted_are_refused() {
    let cases: [(&str, Change); 4] = [
        (
            "ramp: expected at most 16 steps over 0, got 3 with 1 of 0",
            |it| it.terms.as_mut().unwrap().ramp = vec![1, 0, 100],
        ),
        (
            "ramp: expected at most 16 steps over 0, got 17 with 0 of 0",
            |it| it.terms.as_mut().unwrap().ramp = vec![1; Ramp::STEPS_MAX + 1],
        ),
        (
            "rate: expected 1 to 100000 tickets a second, minute or hour such as 10/s, got \"fast\"",
            |it| it.terms.as_mut().unwrap().rate = Some("fast".into()),
        ),
        (
            "stop: expected a share of at most 255 percent, got 256",
            |it| it.goals[0].terms.as_mut().unwrap().stop_percent_max = 256,
        ),
    ];
    for (why, change) in cases {
        assert_eq!(refusal(change), format!("plan: {why}"));
    }
}

#[test]
fn a_plan_over_the_limit_is_refused_unread() {
    let said = decode(&vec![0; BYTES_MAX + 1]).unwrap_err().to_string();
    assert_eq!(said, "plan: expected at most 2097152 bytes, got 2097153");
}

#[test]
fn the_largest_that_the_rules_make_is_far_below_the_limit() {
    let name = GroupName {
        facet: Facet::Signature,
        value: "é".repeat(GroupName::VALUE_BYTES_MAX / 2),
    };
    let mut largest = one();
    let deed = Deed {
        at: AT,
        by: "😀".repeat(Trail::BY_CHARS_MAX),
        what: "😀".repeat(Trail::WHAT_CHARS_MAX),
    };
    largest.trail.deeds = vec![deed; Trail::DEEDS_MAX];
    let count = u64::MAX;
    let group = Group {
        name: name.clone(),
        count,
    };
    largest.groups.shown = vec![group; Groups::SHOWN_MAX];
    let mut goal = largest.goals[0].clone();
    goal.choice = Choice::Group(name);
    goal.terms.ramp = Ramp::of(&[u64::MAX; Ramp::STEPS_MAX]);
    largest.goals = vec![goal; Plan::GOALS_MAX].into();
    largest.selection.filter = "x".repeat(domain::filter::Query::BYTES_MAX);
    let bytes = encode(&largest);
    assert!(bytes.len() * 4 < BYTES_MAX, "{}", bytes.len());
}

#[test]
fn a_field_of_a_newer_version_is_passed_over() {
    let newer = [&encode(&one())[..], b"\xaa\x06\x03new"].concat();
    assert_eq!(decode(&newer), Ok(one()));
}

#[test]
fn the_bytes_of_plans_are_those_of_the_first_release() {
    let written: Vec<String> = all().iter().map(|plan| hex(&encode(plan))).collect();
    let golden = include_str!("../../golden/plans.hex");
    assert_eq!(written.join("\n"), golden.trim_end());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_but_never_panic(bytes: Vec<u8>) {
        prop_assert!(decode(&bytes).is_err());
    }

    #[test]
    fn what_is_read_of_a_damaged_row_can_be_written_again(
        plan in samples::plan(), at: prop::sample::Index, byte: u8,
    ) {
        let mut bytes = encode(&plan).to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(read) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&read)), Ok(read));
        }
    }

    #[test]
    fn every_plan_reads_back_as_written(plan in samples::plan()) {
        prop_assert_eq!(decode(&encode(&plan)), Ok(plan));
    }
}
