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

/// As while a new leader has not heard everybody.
#[test]
fn versions_that_were_met_before_anybody_announced_one_are_no_news_when_they_are() {
    for announced in [&["v1"][..], &["v1", "v2"], &["v2"]] {
        let mut rig = Rig::new();
        for n in 1..=5 {
            rig.fails(n, 7, "v1");
        }
        let canary = rig.probes_with(of(7), 1);
        rig.ended(canary, "v2", End::Failed(Some(sig(7))));
        assert_eq!(
            rig.stands(announced),
            [],
            "{announced:?}: it has had its canary"
        );
        assert_eq!(rig.stands(&["v2"]), [], "{announced:?}");
    }
}
