//! Failures that nothing follows: they are forgotten, and make room for what still fails.

use super::*;

const WINDOW: i64 = 3_600;

#[test]
fn what_does_not_fail_again_is_forgotten_by_itself() {
    let mut rig = Rig::on_v1();
    rig.fails(1, 7, "v1");
    rig.fails(1, 7, "v1");
    assert!(!rig.board.is_quiet());
    let last = rig.now;
    let next = rig.board.next_at().expect("time alone ends it");
    assert!(next <= at(last + WINDOW + 1), "{next:?}");
    rig.now = last + WINDOW + 1;
    assert_eq!(rig.pass(0), []);
    assert!(rig.board.is_quiet());
    assert_eq!(rig.board.next_at(), None);
}

#[test]
fn what_fails_now_takes_the_place_of_what_failed_longest_ago() {
    let mut rig = Rig::on_v1();
    let most = u64::try_from(Board::SIGNATURES_MAX).expect("a small number");
    for n in 0..most {
        let id = u32::try_from(n).expect("a small number");
        rig.fails(10_000 + id, 1_000 + n, "v1");
        rig.fails(10_000 + id, 1_000 + n, "v1");
        rig.lands(9_999, "v1");
    }
    // Two that come in turn must both be told apart, although both are new.
    for n in 1..=5 {
        rig.fails(n, 7, "v1");
        rig.fails(100 + n, 8, "v1");
        rig.lands(9_999, "v1");
    }
    assert!(rig.board.holds(sig(7)) && rig.board.holds(sig(8)));
}
