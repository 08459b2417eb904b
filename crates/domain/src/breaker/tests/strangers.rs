//! Versions that nobody has announced: somebody ran on them once.

use super::*;

#[test]
fn an_attempt_of_a_version_that_serves_nothing_calls_no_canary() {
    let mut rig = Rig::open();
    let late = rig.fails(50, 9, "gone");
    assert_eq!(late.actions, [], "nobody could run a canary on it");
    let roster = rig.board.roster();
    assert_eq!(roster.wanted().unwrap().version, version("v1"));
    let canary = rig.probes_with(of(7), 1);
    let fallout = rig.ended(canary, "v1", End::Landed);
    let (avoid, _) = only_plan(&fallout.actions);
    assert_eq!(avoid, [], "what has passed is not held against the version");
}

#[test]
fn a_version_that_was_met_before_it_announced_itself_is_tried_at_once() {
    let mut rig = Rig::open();
    assert_eq!(rig.lands(50, "v2").actions, []);
    let probe = only_probe(&rig.stands(&["v2"]));
    assert_eq!(probe.wants, Some(version("v2")));
}
