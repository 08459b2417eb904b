//! Releases that a person stopped: nothing but a canary, or a new release, begins them again.

use super::*;

/// A stage that is open, whose canary has landed and whose plan is made.
fn released_stage() -> (Rig, PlanId) {
    let mut rig = Rig::on_v1();
    for n in 1..=20 {
        rig.fails(n, 100 + u64::from(n), "v1");
    }
    assert!(rig.board.holds_stage());
    let actions = rig.stands(&["v2"]);
    let canary = rig.sends(&actions, Scope::Stage, 50);
    let fallout = rig.ended(canary, "v2", End::Landed);
    only_plan(&fallout.actions);
    rig.board.plan_made(Scope::Stage, plan_id(1));
    (rig, plan_id(1))
}

fn stop(rig: &mut Rig, (scope, plan): (Scope, PlanId)) -> Vec<Action> {
    let by_hand = plan::State::Stopped(Why::Person("ann".into()));
    rig.board.plan_is(scope, (plan, &by_hand), 0, at(rig.now))
}

fn landed(rig: &mut Rig, n: u32, (from, to): (i64, i64)) -> Vec<Action> {
    let name = rig.next_name(n);
    let span = Span {
        started_at: at(from),
        ended_at: at(to),
    };
    rig.now = rig.now.max(to);
    let landing = Attempt {
        name,
        version: version("v2"),
        span,
        end: End::Landed,
    };
    rig.board.ended(&landing, at(rig.now)).actions
}

#[test]
fn a_landing_that_is_heard_of_after_the_stop_of_a_stage_opens_nothing() {
    let (mut rig, plan) = released_stage();
    rig.now += 10;
    let actions = stop(&mut rig, (Scope::Stage, plan));
    assert!(is_hold(&actions[0], Scope::Stage));
    let stopped_at = rig.now;
    let before = landed(&mut rig, 60, (stopped_at - 3, stopped_at - 1));
    assert_eq!(before, [], "it ended before the stop");
    let after = landed(&mut rig, 61, (stopped_at + 1, stopped_at + 2));
    assert_eq!(after, [], "it had been handed out before the stop");
    assert_eq!(rig.state(Scope::Stage), "open");
    let asked = rig.board.ask(Scope::Stage, at(rig.now));
    let canary = rig.sends(&asked, Scope::Stage, 62);
    let fallout = rig.ended(canary, "v2", End::Landed);
    only_plan(&fallout.actions);
}

#[test]
fn a_plan_that_is_released_again_after_its_stop_ends_what_it_was_for() {
    let mut rig = Rig::open();
    let plan = rig.released();
    stop(&mut rig, (of(7), plan));
    let done = (plan, &plan::State::Done);
    let held = rig.board.clone().plan_is(of(7), done, 3, at(rig.now));
    assert_eq!(held, [], "what is held beside it waits on");
    let actions = rig.board.plan_is(of(7), done, 0, at(rig.now));
    assert_eq!(actions, [Action::Close { scope: of(7) }]);
    assert_eq!(rig.fails(99, 7, "v2"), Fallout::default(), "it backs off");
}

#[test]
fn why_a_release_was_stopped_is_why_its_tickets_are_held() {
    let why_after = |why: Why| {
        let mut rig = Rig::open();
        let plan = rig.released();
        let stopped = plan::State::Stopped(why);
        let actions = rig.board.plan_is(of(7), (plan, &stopped), 0, at(rig.now));
        match actions.into_iter().next() {
            Some(Action::Hold { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    };
    let why = why_after(Why::Person("ann".into()));
    assert_eq!(why, "its release was stopped: ann stopped it");
    let why = why_after(Why::Share { failed: 9, of: 20 });
    assert_eq!(why, "its release was stopped: 9 of the last 20 failed");
}
