//! Ends that are heard of in another order than they came in.

use super::*;
use proptest::prelude::*;

impl Rig {
    /// It is heard now that ticket `n` ended then, so.
    fn hears(&mut self, n: u32, ended: i64, end: End) -> Fallout {
        self.hears_on("v1", (n, ended), end)
    }

    fn hears_on(&mut self, on: &str, (n, ended): (u32, i64), end: End) -> Fallout {
        let name = self.next_name(n);
        self.now = self.now.max(ended);
        let span = Span {
            started_at: at(ended - 1),
            ended_at: at(ended),
        };
        let attempt = Attempt {
            name,
            version: version(on),
            span,
            end,
        };
        self.board.ended(&attempt, at(self.now))
    }

    /// One ticket has failed and landed and another has failed, so that the board is told of
    /// everything that happens.
    fn awake() -> Self {
        let mut rig = Self::on_v1();
        rig.fails(5_000, 1, "v1");
        rig
    }
}

/// Each in a way of its own, so that no signature opens.
fn failed(n: u32) -> End {
    End::Failed(Some(sig(100 + u64::from(n))))
}

#[test]
fn what_failed_before_a_landing_that_was_heard_of_does_not_hold_the_stage() {
    let mut rig = Rig::awake();
    rig.hears(1_000, 200, End::Landed);
    for n in 1..=100 {
        let fallout = rig.hears(n, 100 + i64::from(n) - 1, failed(n));
        assert_eq!(fallout.actions, [], "{n}");
    }
    assert!(!rig.board.holds_stage());
    for n in 101..120 {
        assert_eq!(rig.hears(n, 200 + i64::from(n), failed(n)).actions, []);
    }
    let fallout = rig.hears(120, 320, failed(120));
    assert!(is_hold(&fallout.actions[0], Scope::Stage), "{fallout:?}");
}

#[test]
fn a_landing_that_is_heard_of_late_does_not_turn_time_back() {
    let mut rig = Rig::awake();
    rig.hears(1_000, 200, End::Landed);
    rig.hears(1_001, 50, End::Landed);
    for n in 1..=30 {
        rig.hears(n, 150, failed(n));
    }
    assert!(!rig.board.holds_stage());
}

#[test]
fn a_worker_whose_clock_is_ahead_does_not_keep_its_stage_from_being_held() {
    let mut rig = Rig::awake();
    let name = rig.next_name(1_000);
    let span = Span {
        started_at: at(rig.now),
        ended_at: at(rig.now + 3_600),
    };
    let attempt = Attempt {
        name,
        version: version("v1"),
        span,
        end: End::Landed,
    };
    rig.board.ended(&attempt, at(rig.now));
    for n in 1..=20 {
        rig.fails(n, 100 + u64::from(n), "v1");
    }
    assert!(rig.board.holds_stage());
}

#[test]
fn while_a_stage_is_released_what_failed_before_a_landing_does_not_count_either() {
    let mut rig = held_stage();
    let actions = rig.stands(&["v2"]);
    let canary = rig.sends(&actions, Scope::Stage, 100);
    rig.ended(canary, "v2", End::Landed);
    rig.board.plan_made(Scope::Stage, plan_id(1));
    let from = rig.now;
    rig.hears_on("v2", (1_000, from + 200), End::Landed);
    for n in 200..300 {
        rig.hears_on("v2", (n, from + 100), failed(n));
    }
    assert_eq!(rig.state(Scope::Stage), "releasing");
}

#[test]
fn a_ticket_that_fails_as_before_counts_for_its_signature_whatever_landed_meanwhile() {
    let mut rig = Rig::awake();
    rig.hears(1_000, 200, End::Landed);
    for n in 1..=5 {
        rig.hears(n, 100, End::Failed(Some(sig(7))));
    }
    assert!(rig.board.holds(sig(7)));
}

#[test]
fn the_newest_landing_is_kept_beside_what_fails_and_not_on_a_healthy_stage() {
    let mut rig = Rig::on_v1();
    rig.board.changes();
    rig.hears(1_000, 100, End::Landed);
    assert_eq!(rig.board.changes(), Changes::default());
    for n in 1..=5 {
        rig.hears(n, 101, End::Failed(Some(sig(7))));
    }
    rig.hears(1_001, 200, End::Landed);
    let kept = rig.board.changes().breakers;
    let breakers: Vec<Breaker> = rig.board.breakers().cloned().chain(kept).collect();
    let roster = rig.board.roster().clone();
    rig.board = Board::recalled(rules(), roster, breakers);
    for n in 11..=40 {
        rig.hears(n, 199, failed(n));
    }
    assert!(!rig.board.holds_stage(), "as the store has it");
}

#[test]
fn the_newest_failure_is_remembered_wherever_its_ticket_is() {
    let mut rig = Rig::open();
    let last = |rig: &Rig| rig.board.breaker(of(7)).and_then(|it| it.last_failed);
    let fifth = Name::first(ticket(5)).charged();
    assert_eq!(
        last(&rig),
        Some(Name {
            attempt: Try(1),
            ..fifth
        })
    );
    rig.fails(5, 7, "v1");
    assert_eq!(
        last(&rig),
        Some(Name {
            attempt: Try(2),
            ..fifth
        })
    );
    rig.released();
    assert_eq!(
        last(&rig),
        Some(Name {
            attempt: Try(2),
            ..fifth
        })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Of tickets of which every other one lands, in whatever order they are heard of as long as
    /// the landings come in theirs, no row is so long that it holds the stage.
    #[test]
    fn a_stage_where_every_other_ticket_lands_is_never_held(
        lags in prop::collection::vec(0..60i64, 400)
    ) {
        let mut rig = Rig::awake();
        let mut heard: Vec<(i64, i64)> = lags.iter().zip(10..)
            .map(|(lag, ended)| match ended % 2 {
                0 => (ended, ended),
                _ => (ended + lag, ended),
            })
            .collect();
        heard.sort_unstable();
        for (at, ended) in heard {
            rig.now = at;
            let n = u32::try_from(ended).unwrap();
            let end = if ended % 2 == 0 { End::Landed } else { failed(n) };
            rig.hears(n, ended, end);
            prop_assert!(!rig.board.holds_stage());
        }
    }
}

#[test]
fn a_landing_that_is_heard_of_late_ends_a_hold_that_should_not_have_been() {
    let mut rig = Rig::awake();
    for n in 1..=20 {
        rig.hears(n, 200 + i64::from(n), failed(n));
    }
    assert!(rig.board.holds_stage());
    // It ended before the first of them: nothing is known of what came after it.
    assert_eq!(rig.hears(1_000, 0, End::Landed).actions, []);
    assert!(rig.board.holds_stage());
    // It ended between two of them: they were not in a row.
    let fallout = rig.hears(1_001, 210, End::Landed);
    let scope = Scope::Stage;
    assert_eq!(fallout.actions, [Action::Close { scope }]);
    assert!(!rig.board.holds_stage());
}
