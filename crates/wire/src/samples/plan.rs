//! Any plan.

use super::repair::{plan_id, scope};
use super::{at, name, signature_id};
use domain::plan::{
    Choice, Counts, Deed, Facet, Goal, Group, GroupName, Groups, Order, Plan, Ramp, Rate, Sample,
    Selection, Source, State, Step, StopRule, Terms, Trail, Why,
};
use domain::wait::Reason;
use proptest::collection::{vec, vec_deque};
use proptest::option;
use proptest::prelude::*;

fn group_name() -> impl Strategy<Value = GroupName> {
    let facet = prop::sample::select(&Facet::ALL[..]);
    (facet, ".*").prop_map(|(facet, value)| GroupName { facet, value })
}

fn groups() -> impl Strategy<Value = Groups> {
    let group = (group_name(), any::<u64>()).prop_map(|(name, count)| Group { name, count });
    (vec(group, 0..4), any::<u64>()).prop_map(|(shown, left_out)| Groups { shown, left_out })
}

fn selection() -> impl Strategy<Value = Selection> {
    let source = prop_oneof![
        prop::sample::select(&Reason::ALL[..]).prop_map(Source::Waiting),
        Just(Source::AnyWait),
        Just(Source::Queue),
    ];
    let what = (option::of(name()), option::of(signature_id()), ".*");
    (source, what, at(), any::<u64>()).prop_map(
        |(source, (stage, signature, filter), cutoff, count)| Selection {
            source,
            stage,
            signature,
            filter,
            cutoff,
            count,
        },
    )
}

fn rate() -> impl Strategy<Value = Rate> {
    let unit = prop::sample::select(vec!["s", "m", "h"]);
    (1..=Rate::COUNT_MAX, unit).prop_map(|(count, unit)| format!("{count}/{unit}").parse().unwrap())
}

fn terms() -> impl Strategy<Value = Terms> {
    let order = prop_oneof![
        Just(Order::OldestFirst),
        Just(Order::NewestFirst),
        any::<u64>().prop_map(|seed| Order::Random { seed }),
    ];
    let ramp = vec(1u64.., 0..=Ramp::STEPS_MAX).prop_map(|steps| Ramp::of(&steps));
    let stop = (any::<u8>(), any::<u32>(), option::of(signature_id()));
    let stop = stop.prop_map(|(percent_max, sample_min, same)| StopRule {
        percent_max,
        sample_min,
        same,
    });
    (order, option::of(rate()), ramp, stop).prop_map(|(order, rate, ramp, stop)| Terms {
        order,
        rate,
        ramp,
        stop,
    })
}

fn choice() -> impl Strategy<Value = Choice> {
    prop_oneof![
        Just(Choice::Everything),
        group_name().prop_map(Choice::Group),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    (any::<usize>(), at(), any::<[u64; 4]>()).prop_map(|(number, began_at, numbers)| {
        let [released, landed, failed, ended] = numbers;
        Step {
            number,
            began_at,
            released,
            landed,
            failed,
            ended,
        }
    })
}

fn goal() -> impl Strategy<Value = Goal> {
    let sample = (any::<u128>(), any::<u32>()).prop_map(|(bits, len)| Sample { bits, len });
    let numbers = (any::<u64>(), any::<u64>());
    let parts = (choice(), terms(), numbers, step(), at(), sample);
    parts.prop_map(
        |(choice, terms, (count, released), step, paid_until, sample)| Goal {
            choice,
            terms,
            count,
            released,
            step,
            paid_until,
            sample,
        },
    )
}

fn why() -> impl Strategy<Value = Why> {
    prop_oneof![
        ".*".prop_map(Why::Person),
        (any::<u32>(), any::<u32>()).prop_map(|(failed, of)| Why::Share { failed, of }),
        signature_id().prop_map(Why::Returned),
        any::<u64>().prop_map(|released| Why::Barren { released }),
        Just(Why::StageFails),
        plan_id().prop_map(Why::Superseded),
    ]
}

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Ready),
        Just(State::Running),
        Just(State::Paused),
        why().prop_map(State::Stopped),
        Just(State::Done),
    ]
}

fn counts() -> impl Strategy<Value = Counts> {
    any::<[u64; 7]>().prop_map(|numbers| {
        let [total, released, landed, failed, undecided, dropped, gone] = numbers;
        Counts {
            total,
            released,
            landed,
            failed,
            undecided,
            dropped,
            gone,
        }
    })
}

fn trail() -> impl Strategy<Value = Trail> {
    let deed = (at(), ".*", ".*").prop_map(|(at, by, what)| Deed { at, by, what });
    (vec(deed, 0..4), any::<u64>()).prop_map(|(deeds, left_out)| Trail { deeds, left_out })
}

pub(crate) fn plan() -> impl Strategy<Value = Plan> {
    let made = (plan_id(), selection(), groups(), terms());
    let moved = (vec_deque(goal(), 0..3), counts(), trail(), at());
    (made, option::of(scope()), state(), moved).prop_map(|(made, repairs, state, moved)| {
        let (id, selection, groups, terms) = made;
        let (goals, counts, trail, moved_at) = moved;
        Plan {
            id,
            selection,
            groups,
            terms,
            repairs,
            state,
            goals,
            counts,
            trail,
            moved_at,
        }
    })
}
