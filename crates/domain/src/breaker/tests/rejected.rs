//! A handler that refuses tickets works; whether it is a repair is another question.

use super::*;

#[test]
fn a_version_that_refuses_its_canary_repairs_nothing() {
    let mut rig = Rig::open();
    let actions = rig.stands(&["v2"]);
    let canary = rig.sends(&actions, of(7), 1);
    let fallout = rig.ended(canary, "v2", End::Rejected);
    assert_eq!(
        fallout,
        Fallout::default(),
        "it is through, the others wait on"
    );
    assert_eq!(rig.state(of(7)), "open");
    assert_eq!(rig.pass(59), []);
    let next = rig.probes_with(of(7), 2);
    let fallout = rig.ended(next, "v2", End::Landed);
    only_plan(&fallout.actions);
}

#[test]
fn a_stage_that_refuses_tickets_is_at_work() {
    let mut rig = Rig::on_v1();
    for n in 1..=19 {
        rig.fails(n, 100 + u64::from(n), "v1");
    }
    let name = rig.next_name(50);
    rig.now += 1;
    rig.ended(name, "v1", End::Rejected);
    for n in 21..=39 {
        rig.fails(n, 100 + u64::from(n), "v1");
    }
    assert!(!rig.board.holds_stage(), "they were not in a row");
    rig.fails(40, 140, "v1");
    assert!(rig.board.holds_stage());
    let canary = rig.probes_with(Scope::Stage, 60);
    let fallout = rig.ended(canary, "v1", End::Rejected);
    only_plan(&fallout.actions);
}
