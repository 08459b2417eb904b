use super::*;
use crate::names::StageName;
use crate::wait::Reason;
use proptest::prelude::*;
use uuid::Uuid;

mod groups;
mod queue;
mod rejected;
mod told;

const ANN: &str = "ann";

fn at(ms: i64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000_000 + ms * 1_000)
}

fn by(ms: i64) -> By<'static> {
    By {
        who: ANN,
        at: at(ms),
    }
}

fn signature(n: u64) -> SignatureId {
    format!("v1-{n:016x}").parse().unwrap()
}

fn id(n: u128) -> PlanId {
    PlanId::new(Uuid::from_u128(n))
}

fn draft(count: u64, terms: Terms) -> Draft {
    let selection = Selection {
        source: Source::Waiting(Reason::Held),
        stage: Some(StageName::new("build").unwrap()),
        signature: Some(signature(7)),
        filter: String::new(),
        cutoff: at(0),
        count,
    };
    Draft {
        id: id(1),
        selection,
        groups: Groups::default(),
        terms,
        repairs: None,
    }
}

fn terms(ramp: &str) -> Terms {
    Terms {
        ramp: ramp.parse().unwrap(),
        ..Terms::default()
    }
}

fn group(text: &str) -> Choice {
    Choice::Group(text.parse().unwrap())
}

fn of(choice: Choice, count: u64) -> Release {
    Release {
        choice,
        count,
        terms: None,
    }
}

fn all(count: u64) -> Release {
    of(Choice::Everything, count)
}

/// A plan over so many tickets whose release has begun at 0 ms.
fn running(count: u64, terms: Terms) -> Plan {
    let mut plan = Plan::new(draft(count, terms), by(0));
    plan.release(all(count), by(0)).unwrap();
    plan
}

fn land(plan: &mut Plan, count: u64, ms: i64) {
    for _ in 0..count {
        plan.ended(&TicketEnd::Landed, at(ms));
    }
}

fn fail(plan: &mut Plan, count: u64, ms: i64) {
    for _ in 0..count {
        plan.ended(&TicketEnd::Failed(Some(signature(9))), at(ms));
    }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Refusal>) -> String {
    let refusal = answer.unwrap_err();
    assert!(!refusal.remedy().is_empty());
    refusal.to_string()
}

#[test]
fn nothing_goes_after_a_stop_not_even_the_next_one() {
    let mut plan = running(1_000, terms("all"));
    assert_eq!(plan.allow(at(1)), 1_000);
    plan.released(1, at(1)).unwrap();
    plan.stop(by(1)).unwrap();
    assert_eq!(plan.allow(at(1)), 0);
    assert_eq!(
        refused(plan.released(1, at(2))),
        "to be released: 1, but only 0 may go now"
    );
    assert_eq!(plan.counts.released, 1);
    assert_eq!(plan.next_at(), None);
    land(&mut plan, 1, 3);
    assert_eq!(plan.state, State::Stopped(Why::Person(ANN.into())));
    assert_eq!((plan.counts.landed, plan.counts.left()), (1, 999));
}

#[test]
fn whoever_releases_more_than_may_go_is_refused_and_nothing_is_counted() {
    let mut plan = running(1_000, terms("1,10"));
    assert!(plan.released(2, at(1)).is_err());
    assert_eq!(plan.counts.released, 0);
    plan.released(1, at(1)).unwrap();
    assert!(plan.released(1, at(1)).is_err(), "the step is used up");
}

#[test]
fn what_fails_as_before_stops_it_at_the_first() {
    let mut with_same = terms("1,10");
    with_same.stop.same = Some(signature(7));
    let mut plan = running(500, with_same);
    plan.released(1, at(1)).unwrap();
    land(&mut plan, 1, 2);
    plan.released(10, at(3)).unwrap();
    land(&mut plan, 8, 4);
    plan.ended(&TicketEnd::Failed(Some(signature(7))), at(5));
    assert_eq!(plan.state, State::Stopped(Why::Returned(signature(7))));
    assert_eq!(plan.allow(at(6)), 0);
    let deed = plan.trail.deeds.last().unwrap();
    assert_eq!((deed.by.as_str(), deed.at), (RULE, at(5)));
    assert!(deed.what.ends_with("happened again"), "{}", deed.what);
}

#[test]
fn a_step_of_which_nothing_landed_stops_it() {
    let mut plan = running(500, terms("1,10"));
    plan.released(1, at(1)).unwrap();
    fail(&mut plan, 1, 2);
    assert_eq!(plan.state, State::Stopped(Why::Barren { released: 1 }));

    let mut plan = running(500, terms("2,10"));
    plan.released(2, at(1)).unwrap();
    fail(&mut plan, 1, 2);
    land(&mut plan, 1, 3);
    assert_eq!(plan.allow(at(4)), 10, "one of two is not nothing");
}

#[test]
fn a_step_that_decided_nothing_does_not_stop_it() {
    let mut plan = running(500, terms("1,10"));
    plan.released(1, at(1)).unwrap();
    plan.ended(&TicketEnd::Undecided, at(2));
    assert_eq!(plan.allow(at(3)), 10);
}

#[test]
fn too_large_a_share_of_failures_stops_it_but_not_before_there_is_a_sample() {
    let mut plan = running(1_000, terms("all"));
    plan.released(1_000, at(1)).unwrap();
    fail(&mut plan, 2, 2);
    land(&mut plan, 17, 3);
    assert_eq!(plan.state, State::Running, "2 of 19");
    land(&mut plan, 1, 4);
    let why = Why::Share { failed: 2, of: 20 };
    assert_eq!(plan.state, State::Stopped(why));
}

#[test]
fn only_the_last_hundred_ends_are_judged() {
    let mut plan = running(1_000, terms("all"));
    plan.released(1_000, at(1)).unwrap();
    land(&mut plan, 100, 2);
    for _ in 0..5 {
        fail(&mut plan, 1, 3);
        land(&mut plan, 10, 3);
    }
    assert_eq!(plan.state, State::Running, "5 of 100");
    land(&mut plan, 100, 4);
    fail(&mut plan, 5, 5);
    assert_eq!(plan.state, State::Running, "5 of 100, the first 5 are past");
    fail(&mut plan, 1, 5);
    let why = Why::Share { failed: 6, of: 100 };
    assert_eq!(plan.state, State::Stopped(why));
}

#[test]
fn a_step_begins_only_when_all_of_the_one_before_have_ended() {
    let mut plan = running(500, terms("1,10,100"));
    plan.released(1, at(1)).unwrap();
    assert_eq!(plan.allow(at(1)), 0);
    land(&mut plan, 1, 2);
    assert_eq!(plan.allow(at(2)), 10);
    plan.released(4, at(2)).unwrap();
    land(&mut plan, 4, 3);
    assert_eq!(plan.allow(at(3)), 6, "the rest of the step");
    plan.released(6, at(3)).unwrap();
    land(&mut plan, 5, 4);
    assert_eq!(plan.allow(at(4)), 0, "one is still out");
    land(&mut plan, 1, 5);
    assert_eq!(plan.allow(at(5)), 100);
    plan.released(100, at(5)).unwrap();
    land(&mut plan, 100, 6);
    assert_eq!(plan.allow(at(6)), 389);
    plan.released(389, at(6)).unwrap();
    assert_eq!(plan.state, State::Running);
    land(&mut plan, 389, 7);
    assert_eq!(plan.state, State::Done);
    assert_eq!((plan.counts.landed, plan.counts.out()), (500, 0));
}

#[test]
fn a_rate_is_never_exceeded_in_any_second() {
    let rate: Rate = "50/s".parse().unwrap();
    let mut plan = running(
        10_000,
        Terms {
            rate: Some(rate),
            ..terms("all")
        },
    );
    let mut gone = Vec::new();
    for ms in 0..5_000 {
        let count = plan.allow(at(ms));
        plan.released(count, at(ms)).unwrap();
        gone.push(count);
    }
    let worst = gone.windows(1_000).map(|s| s.iter().sum::<u64>()).max();
    assert!(worst <= Some(55), "{worst:?} in one second");
    let total: u64 = gone.iter().sum();
    assert!((245..=255).contains(&total), "{total} in five seconds");
}

#[test]
fn a_rate_that_was_not_used_is_not_saved_up() {
    let rate = Rate::per_second(10).unwrap();
    let mut plan = running(
        10_000,
        Terms {
            rate: Some(rate),
            ..terms("all")
        },
    );
    plan.pause(by(0)).unwrap();
    assert_eq!(plan.allow(at(60_000)), 0);
    plan.resume(by(60_000)).unwrap();
    assert_eq!(plan.allow(at(60_000)), 1);
}

#[test]
fn the_time_of_the_next_release_is_known() {
    let rate = Rate::per_second(10).unwrap();
    let mut plan = running(
        3,
        Terms {
            rate: Some(rate),
            ..terms("all")
        },
    );
    for n in 0..3 {
        let due = plan.next_at().unwrap().max(at(0));
        assert_eq!(due, at(n * 100));
        assert_eq!(plan.allow(due), 1);
        plan.released(1, due).unwrap();
    }
    let count = plan.next_at().unwrap();
    assert_eq!(
        count,
        at(200).plus(COUNT_EVERY),
        "then the books are counted"
    );
    land(&mut plan, 3, 300);
    assert_eq!(plan.next_at(), None);
}

#[test]
fn a_ticket_whose_end_nobody_told_does_not_hold_the_ramp_for_ever() {
    let mut plan = running(500, terms("10"));
    plan.released(10, at(1)).unwrap();
    land(&mut plan, 9, 2);
    assert_eq!(plan.allow(at(3)), 0);
    plan.counted(490, 1, at(60_000));
    assert_eq!(plan.allow(at(60_000)), 0, "it is still out");
    plan.counted(490, 0, at(120_000));
    assert_eq!(plan.allow(at(120_000)), 490);
    assert_eq!(plan.counts.undecided, 1);
}

#[test]
fn tickets_that_others_moved_do_not_keep_it_from_its_end() {
    let mut plan = running(100, terms("all"));
    plan.released(60, at(1)).unwrap();
    plan.gone(30, at(2));
    assert_eq!(plan.allow(at(3)), 10);
    plan.exhausted(at(3));
    assert_eq!(plan.allow(at(3)), 0);
    land(&mut plan, 60, 4);
    assert_eq!(plan.state, State::Done);
    assert_eq!(plan.counts.gone, 40);
}

#[test]
fn a_plan_of_nothing_is_done_before_it_begins() {
    let mut plan = Plan::new(draft(0, Terms::default()), by(0));
    assert_eq!(plan.state, State::Done);
    let said = refused(plan.release(all(0), by(1)));
    assert_eq!(said, "the plan is done: none of its tickets is left");
}

#[test]
fn an_end_that_nobody_waits_for_changes_nothing() {
    let mut plan = running(5, terms("all"));
    let before = plan.clone();
    fail(&mut plan, 3, 1);
    assert_eq!(plan, before);
}

#[test]
fn groups_are_released_one_after_the_other_and_each_takes_the_ramp() {
    let mut plan = Plan::new(draft(30, terms("1")), by(0));
    plan.release(of(group("kind=a"), 20), by(0)).unwrap();
    plan.release(of(group("kind=b"), 5), by(1)).unwrap();
    assert_eq!(plan.current().unwrap().choice, group("kind=a"));
    plan.released(1, at(2)).unwrap();
    land(&mut plan, 1, 3);
    plan.released(19, at(4)).unwrap();
    assert_eq!(plan.allow(at(5)), 0, "the first group has not ended");
    land(&mut plan, 19, 6);
    assert_eq!(plan.current().unwrap().choice, group("kind=b"));
    assert_eq!(plan.allow(at(7)), 1);
    plan.released(1, at(7)).unwrap();
    land(&mut plan, 1, 8);
    plan.released(4, at(9)).unwrap();
    land(&mut plan, 4, 10);
    assert_eq!(plan.state, State::Ready, "five are in neither group");
    assert_eq!(plan.counts.left(), 5);
}

#[test]
fn what_is_being_released_is_neither_released_again_nor_dropped() {
    let mut plan = Plan::new(draft(30, Terms::default()), by(0));
    plan.release(of(group("kind=a"), 20), by(0)).unwrap();
    let again = plan.release(of(group("kind=a"), 20), by(1));
    assert_eq!(refused(again), "kind=a is being released already");
    let drop = plan.drop_of(&group("key=rust"), "old", by(1));
    assert_eq!(refused(drop), "kind=a is being released already");
    assert!(plan.drop_of(&group("kind=b"), "old", by(1)).is_ok());
    plan.stop(by(2)).unwrap();
    assert!(plan.drop_of(&Choice::Everything, "old", by(3)).is_ok());
}

#[test]
fn a_drop_needs_a_reason_and_counts_what_was_given_up() {
    let mut plan = Plan::new(draft(30, Terms::default()), by(0));
    let said = refused(plan.drop_of(&group("verdict=changed"), "  ", by(1)));
    assert!(said.starts_with("a drop needs a reason"), "{said}");
    plan.drop_of(&group("verdict=changed"), "out of scope", by(1))
        .unwrap();
    plan.dropped(12, at(1));
    assert_eq!((plan.counts.dropped, plan.counts.left()), (12, 18));
    let deed = plan.trail.deeds.last().unwrap();
    assert_eq!(deed.what, "dropped verdict=changed: out of scope");
    plan.dropped(18, at(2));
    assert_eq!(plan.state, State::Done);
}

#[test]
fn every_refusal_says_why_in_the_state_that_it_is_in() {
    let mut plan = Plan::new(draft(3, Terms::default()), by(0));
    let idle = |answer| refused::<()>(answer);
    assert_eq!(
        idle(plan.pause(by(1))),
        "the plan is ready: there is nothing to pause"
    );
    assert_eq!(
        idle(plan.resume(by(1))),
        "the plan is ready: there is nothing to resume"
    );
    assert_eq!(
        idle(plan.release(of(group("kind=a"), 0), by(1))),
        "no ticket of kind=a is left in the plan"
    );
    plan.release(all(3), by(1)).unwrap();
    plan.pause(by(2)).unwrap();
    assert_eq!(idle(plan.release(all(3), by(3))), "the plan is paused");
    plan.stop(by(4)).unwrap();
    assert_eq!(
        idle(plan.stop(by(5))),
        "the plan is stopped: there is nothing to stop"
    );
    plan.halt(Why::Superseded(id(2)), by(6)).unwrap();
    let said = idle(plan.release(all(3), by(7)));
    assert!(said.ends_with("are in plan 00000000-0000-0000-0000-000000000002 now"));
}

#[test]
fn a_stopped_plan_goes_on_where_it_was_when_it_is_released_again() {
    let mut plan = running(100, terms("1,10"));
    plan.released(1, at(1)).unwrap();
    fail(&mut plan, 1, 2);
    assert_eq!(plan.state.as_str(), "stopped");
    plan.release(all(plan.counts.left()), by(3)).unwrap();
    assert_eq!(plan.allow(at(3)), 1, "from the first step of the ramp");
    plan.released(1, at(3)).unwrap();
    land(&mut plan, 1, 4);
    assert_eq!(plan.allow(at(4)), 10);
}

#[test]
fn a_pause_outlasts_whatever_ends_in_it() {
    let mut plan = running(100, terms("1,10"));
    plan.released(1, at(1)).unwrap();
    plan.pause(by(2)).unwrap();
    land(&mut plan, 1, 3);
    assert_eq!((&plan.state, plan.allow(at(4))), (&State::Paused, 0));
    plan.resume(by(5)).unwrap();
    assert_eq!(plan.allow(at(5)), 10);
}

#[test]
fn the_end_is_estimated_from_the_rate_or_from_what_was_seen() {
    let plan = running(500, terms("1,10"));
    assert_eq!(plan.estimate(at(0)), None, "nobody can tell yet");
    let rate = Rate::per_second(50).unwrap();
    let plan = running(
        500,
        Terms {
            rate: Some(rate),
            ..terms("1,10")
        },
    );
    assert_eq!(plan.estimate(at(0)), Some(at(10_000)));
    let mut plan = running(500, terms("all"));
    plan.released(100, at(0)).unwrap();
    land(&mut plan, 100, 2_000);
    assert_eq!(plan.estimate(at(2_000)), Some(at(10_000)));
}

#[test]
fn the_trail_keeps_its_beginning_and_its_end() {
    let mut plan = running(10, terms("all"));
    for ms in 0..100 {
        plan.pause(by(ms)).unwrap();
        plan.resume(by(ms)).unwrap();
    }
    assert_eq!(plan.trail.deeds.len(), Trail::DEEDS_MAX);
    assert_eq!(plan.trail.left_out, 102);
    assert_eq!(plan.trail.deeds[0].what, "made it, of 10 tickets");
    assert_eq!(plan.trail.deeds.last().unwrap().at, at(99));
}

#[test]
fn rates_ramps_and_groups_are_read_as_they_are_written() {
    for text in ["10/s", "300/m", "5/h"] {
        assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
    }
    for text in ["0/s", "ten/s", "10", "10/day", "1000000/s", "-1/s"] {
        let said = text.parse::<Rate>().unwrap_err().to_string();
        assert!(said.starts_with("rate: expected 1 to 100000"), "{said}");
    }
    for (text, shown) in [
        ("1,10,100", "1,10,100,all"),
        ("5, all", "5,all"),
        ("all", "all"),
    ] {
        assert_eq!(text.parse::<Ramp>().unwrap().to_string(), shown);
        assert_eq!(shown.parse::<Ramp>().unwrap().to_string(), shown);
    }
    for text in [
        "",
        "0",
        "1,,2",
        "all,1",
        "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
    ] {
        assert!(text.parse::<Ramp>().is_err(), "{text}");
    }
    for text in ["kind=f42", "key=a=b", "verdict=changed"] {
        assert_eq!(text.parse::<GroupName>().unwrap().to_string(), text);
    }
    for text in ["kind", "kind=", "colour=red", "=x"] {
        assert!(text.parse::<GroupName>().is_err(), "{text}");
    }
    assert!("7".parse::<PlanId>().is_err());
    assert_eq!(id(3).to_string().parse::<PlanId>().unwrap(), id(3));
}

#[test]
fn the_largest_groups_are_shown_and_the_others_counted() {
    let groups = (0..300).map(|n| Group {
        name: format!("key={n:03}").parse().unwrap(),
        count: n,
    });
    let groups = Groups::of(groups.collect());
    assert_eq!(groups.shown.len(), Groups::SHOWN_MAX);
    assert_eq!(groups.shown[0].name.to_string(), "key=299");
    assert_eq!(groups.left_out, 44);
}

/// Something that happens to a plan.
#[derive(Clone, Debug)]
enum Step {
    Release { choice: u8, count: u64 },
    Pause,
    Resume,
    Stop,
    Go { share: u8 },
    Land,
    Fail { same: u8 },
    Undecided,
    Gone(u64),
    Drop { choice: u8, count: u64 },
    Exhausted,
    Counted { left: u64, out: u64 },
    Pass(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..3u8, 0..60u64).prop_map(|(choice, count)| Step::Release { choice, count }),
        1 => Just(Step::Pause),
        2 => Just(Step::Resume),
        1 => Just(Step::Stop),
        8 => (0..=4u8).prop_map(|share| Step::Go { share }),
        12 => Just(Step::Land),
        2 => (0..4u8).prop_map(|same| Step::Fail { same }),
        1 => Just(Step::Undecided),
        1 => (0..5u64).prop_map(Step::Gone),
        1 => (0..3u8, 0..5u64).prop_map(|(choice, count)| Step::Drop { choice, count }),
        1 => Just(Step::Exhausted),
        1 => (0..60u64, 0..60u64).prop_map(|(left, out)| Step::Counted { left, out }),
        4 => (1..2_000u16).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

fn choice(n: u8) -> Choice {
    match n {
        0 => Choice::Everything,
        n => group(&format!("kind={n}")),
    }
}

/// Takes a step, legal or not; returns how many tickets were released by it.
fn take(plan: &mut Plan, step: &Step, now: &mut i64) -> u64 {
    let released = plan.counts.released;
    let by = by(*now);
    match step {
        Step::Release { choice: n, count } => {
            let wanted = of(choice(*n), *count);
            plan.release(wanted, by).ok();
        }
        Step::Pause => drop(plan.pause(by)),
        Step::Resume => drop(plan.resume(by)),
        Step::Stop => drop(plan.stop(by)),
        Step::Go { share } => {
            let allowed = plan.allow(at(*now));
            // The last asks for more than it may.
            let count = match share {
                4 => allowed + 1,
                share => allowed * u64::from(*share) / 3,
            };
            assert_eq!(plan.released(count, at(*now)).is_ok(), count <= allowed);
        }
        Step::Land => plan.ended(&TicketEnd::Landed, at(*now)),
        Step::Fail { same } => {
            let signature = signature(u64::from(*same) + 5);
            plan.ended(&TicketEnd::Failed(Some(signature)), at(*now));
        }
        Step::Undecided => plan.ended(&TicketEnd::Undecided, at(*now)),
        Step::Gone(count) => plan.gone(*count, at(*now)),
        Step::Drop { choice: n, count } => {
            if plan.drop_of(&choice(*n), "why", by).is_ok() {
                plan.dropped(*count, at(*now));
            }
        }
        Step::Exhausted => plan.exhausted(at(*now)),
        Step::Counted { left, out } => plan.counted(*left, *out, at(*now)),
        Step::Pass(ms) => *now += i64::from(*ms),
    }
    plan.counts.released - released
}

proptest! {
    #[test]
    fn whatever_happens_the_sums_agree_and_nothing_goes_that_may_not(
        total in 0..200u64, rate in prop::option::of(1..100u32), steps in steps()
    ) {
        let mut terms = terms("1,10,50");
        terms.rate = rate.map(|rate| Rate::per_second(rate).unwrap());
        terms.stop.same = Some(signature(5));
        let mut plan = Plan::new(draft(total, terms), by(0));
        let mut now = 0;
        for step in &steps {
            let may = plan.state == State::Running;
            let out = plan.counts.out();
            let step_before = plan.current().map(|goal| goal.step.number);
            let released = take(&mut plan, step, &mut now);
            let counts = plan.counts;
            prop_assert!(released == 0 || may, "released while {}", plan.state.as_str());
            prop_assert!(counts.released + counts.dropped + counts.gone <= total);
            prop_assert!(counts.landed + counts.failed + counts.undecided <= counts.released);
            if plan.state != State::Running {
                prop_assert_eq!(plan.allow(at(now)), 0);
                prop_assert_eq!(plan.next_at(), None);
            }
            if plan.state == State::Done {
                prop_assert_eq!((counts.left(), counts.out()), (0, 0));
            }
            let step_after = plan.current().map(|goal| goal.step.number);
            if step_after > step_before && step_before.is_some() {
                prop_assert!(out <= 1 || counts.out() == 0, "{out} were out");
            }
            if plan.state == State::Running {
                prop_assert!(plan.next_at().is_some(), "a running plan knows what is next");
            }
        }
    }

    #[test]
    fn a_plan_that_is_left_alone_comes_to_its_end(
        total in 1..300u64, rate in prop::option::of(1..200u32), out_max in 1..50u64
    ) {
        let mut terms = terms("1,10,100");
        terms.rate = rate.map(|rate| Rate::per_second(rate).unwrap());
        let mut plan = running(total, terms);
        let mut now = at(0);
        for _ in 0..20_000 {
            let Some(next) = plan.next_at() else { break };
            now = now.max(next);
            let room = out_max - plan.counts.out();
            let count = plan.allow(now).min(room);
            plan.released(count, now).unwrap();
            if count == 0 || plan.counts.out() == out_max {
                plan.ended(&TicketEnd::Landed, now);
            }
        }
        prop_assert_eq!(&plan.state, &State::Done);
        prop_assert_eq!(plan.counts.landed, total);
        let needed = rate.map_or(0.0, |rate| (total as f64 - 20.0) / f64::from(rate));
        prop_assert!(now.since(at(0)).as_secs_f64() >= needed, "faster than its rate");
    }
}
