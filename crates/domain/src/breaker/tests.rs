use super::*;
use crate::names::Version;
use crate::oops::Span;
use crate::outcome::OutcomeKind;
use crate::plan::{self, PlanId, Why};
use crate::ticket::{Attempt as Try, Name, TicketId};
use crate::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

mod ageing;
mod laws;
mod order;
mod rejected;
mod stopped;
mod strangers;
mod world;

const PROBE: Duration = Duration::from_secs(60);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_000_000_000_000 + seconds * 1_000_000)
}

fn version(name: &str) -> Version {
    Version::new(name).unwrap()
}

fn sig(n: u64) -> SignatureId {
    SignatureId::new(1, n)
}

fn of(n: u64) -> Scope {
    Scope::Signature(sig(n))
}

fn ticket(n: u32) -> TicketId {
    TicketId::from_bytes(u128::from(n).to_be_bytes())
}

fn plan_id(n: u128) -> PlanId {
    PlanId::new(Uuid::from_u128(n))
}

fn rules() -> Rules {
    Rules::new(5, PROBE).unwrap()
}

/// A board at a clock that is moved by hand, and the names of the next attempts.
struct Rig {
    board: Board,
    now: i64,
    tries: BTreeMap<u32, u32>,
}

impl Rig {
    fn new() -> Self {
        Self {
            board: Board::new(rules()),
            now: 0,
            tries: BTreeMap::new(),
        }
    }

    /// One whose stage is served by v1.
    fn on_v1() -> Self {
        let mut rig = Self::new();
        assert_eq!(rig.stands(&["v1"]), []);
        rig
    }

    /// One whose signature 7 has just opened, by tickets 1 to 5 on v1.
    fn open() -> Self {
        let mut rig = Self::on_v1();
        for n in 1..=5 {
            rig.fails(n, 7, "v1");
        }
        assert!(rig.board.holds(sig(7)));
        rig
    }

    fn next_name(&mut self, n: u32) -> Name {
        let tries = self.tries.entry(n).or_default();
        *tries += 1;
        Name {
            attempt: Try(*tries),
            ..Name::first(ticket(n))
        }
    }

    fn ended(&mut self, name: Name, on: &str, end: End) -> Fallout {
        let span = Span {
            started_at: at(self.now - 1),
            ended_at: at(self.now),
        };
        let version = version(on);
        let attempt = Attempt {
            name,
            version,
            span,
            end,
        };
        self.board.ended(&attempt, at(self.now))
    }

    /// The next attempt at ticket `n` fails with this signature.
    fn fails(&mut self, n: u32, signature: u64, on: &str) -> Fallout {
        let name = self.next_name(n);
        self.now += 1;
        self.ended(name, on, End::Failed(Some(sig(signature))))
    }

    fn lands(&mut self, n: u32, on: &str) -> Fallout {
        let name = self.next_name(n);
        self.now += 1;
        self.ended(name, on, End::Landed)
    }

    fn stands(&mut self, here: &[&str]) -> Vec<Action> {
        let here = here.iter().map(|it| version(it)).collect();
        self.board.versions(&here, at(self.now))
    }

    fn pass(&mut self, seconds: i64) -> Vec<Action> {
        self.now += seconds;
        self.board.tick(at(self.now))
    }

    /// Lets time pass until the next probe and sends ticket `n` as its canary.
    fn probes_with(&mut self, scope: Scope, n: u32) -> Name {
        let next = self.board.breaker(scope).unwrap().until().unwrap();
        self.now = (next.as_micros() - at(0).as_micros()) / 1_000_000;
        let actions = self.board.tick(next);
        self.sends(&actions, scope, n)
    }

    /// Answers the only action, a probe, with ticket `n`.
    fn sends(&mut self, actions: &[Action], scope: Scope, n: u32) -> Name {
        let probe = only_probe(actions);
        assert_eq!(probe.scope, scope);
        let name = self.next_name(n);
        self.board.sent(scope, probe.number, name);
        self.now += 1;
        name
    }

    /// The canary lands on v2 and a plan is made.
    fn released(&mut self) -> PlanId {
        let actions = self.stands(&["v2"]);
        let canary = self.sends(&actions, of(7), 1);
        let fallout = self.ended(canary, "v2", End::Landed);
        assert!(matches!(fallout.actions[..], [Action::StartPlan { .. }]));
        self.board.plan_made(of(7), plan_id(1));
        self.now += 2;
        plan_id(1)
    }

    fn state(&self, scope: Scope) -> &'static str {
        let breaker = self.board.breaker(scope);
        breaker.map_or("closed", |it| it.state.as_str())
    }
}

fn only_probe(actions: &[Action]) -> Probe {
    match actions {
        [Action::Probe(probe)] => probe.clone(),
        other => panic!("expected one probe, got {other:?}"),
    }
}

fn only_plan(actions: &[Action]) -> (Vec<Version>, plan::Terms) {
    match actions {
        [Action::StartPlan { avoid, terms, .. }] => (avoid.clone(), terms.clone()),
        other => panic!("expected one plan, got {other:?}"),
    }
}

fn is_hold(action: &Action, of: Scope) -> bool {
    matches!(action, Action::Hold { scope, .. } if *scope == of)
}

#[test]
fn an_attempt_that_is_told_twice_counts_once() {
    let mut rig = Rig::on_v1();
    for n in 1..=4 {
        rig.fails(n, 7, "v1");
    }
    let name = Name {
        attempt: Try(1),
        ..Name::first(ticket(4))
    };
    for _ in 0..10 {
        let fallout = rig.ended(name, "v1", End::Failed(Some(sig(7))));
        assert_eq!(fallout, Fallout::default());
    }
    let fallout = rig.fails(5, 7, "v1");
    assert_eq!(fallout.held_by, Some(sig(7)), "the one that opens it waits");
    let [Action::Hold { scope, why }] = &fallout.actions[..] else {
        panic!("{fallout:?}");
    };
    assert_eq!(*scope, of(7));
    assert_eq!(
        why,
        "v1-0000000000000007 happened 5 times in a row on version v1"
    );
}

#[test]
fn failures_of_long_ago_do_not_count() {
    let mut rig = Rig::on_v1();
    for n in 1..=4 {
        rig.fails(n, 7, "v1");
    }
    rig.now += 3_601;
    for n in 5..=8 {
        assert_eq!(rig.fails(n, 7, "v1"), Fallout::default());
    }
    assert_eq!(rig.fails(9, 7, "v1").held_by, Some(sig(7)));
}

#[test]
fn healthy_neighbours_do_not_hide_a_failure() {
    let mut rig = Rig::on_v1();
    for n in 1..=5 {
        rig.fails(1, 7, "v1");
        rig.lands(100 + n, "v1");
    }
    assert_eq!(rig.state(of(7)), "open", "one ticket alone opens it");
    assert_eq!(rig.fails(2, 8, "v1"), Fallout::default(), "others go on");
}

#[test]
fn a_failure_that_passes_by_itself_does_not_open() {
    let mut rig = Rig::on_v1();
    for n in 1..=20 {
        rig.fails(n, 7, "v1");
        rig.lands(n, "v1");
    }
    assert!(rig.board.is_quiet());
}

#[test]
fn one_poison_ticket_never_holds_its_stage() {
    let mut rig = Rig::on_v1();
    for _ in 0..100 {
        rig.fails(1, 7, "v1");
    }
    assert!(rig.board.holds(sig(7)));
    assert!(!rig.board.holds_stage());
}

#[test]
fn tickets_that_fail_again_in_a_known_way_do_not_hold_the_stage() {
    let mut rig = Rig::on_v1();
    for n in 0..25 {
        rig.lands(1_000, "v1");
        rig.fails(n, 7, "v1");
    }
    let canary = rig.probes_with(of(7), 1);
    rig.ended(canary, "v1", End::Landed);
    assert_eq!(rig.state(of(7)), "releasing");
    for n in 0..25 {
        rig.fails(n, 7, "v1");
    }
    assert!(!rig.board.holds_stage());
    for n in 0..20 {
        rig.fails(n, u64::from(n) + 100, "v1");
    }
    assert!(
        rig.board.holds_stage(),
        "in ways that nobody deals with they do"
    );
}

#[test]
fn canaries_that_fail_do_not_hold_the_stage() {
    let mut rig = Rig::open();
    for n in 0..100 {
        let canary = rig.probes_with(of(7), 1_000 + n);
        rig.ended(canary, "v1", End::Failed(Some(sig(7))));
    }
    assert!(!rig.board.holds_stage());
}

#[test]
fn a_stage_on_which_many_tickets_in_a_row_fail_is_held_however_they_fail() {
    let mut rig = Rig::on_v1();
    for n in 1..=19 {
        rig.fails(n, u64::from(n), "v1");
    }
    rig.lands(50, "v1");
    for n in 1..=19 {
        rig.fails(100 + n, u64::from(100 + n), "v1");
    }
    let fallout = rig.fails(200, 200, "v1");
    assert!(is_hold(&fallout.actions[0], Scope::Stage), "{fallout:?}");
    assert!(rig.board.holds_stage());
    assert_eq!(fallout.held_by, None, "it backs off; the stage is held");
}

#[test]
fn a_canary_goes_when_its_time_has_come_and_no_sooner() {
    let mut rig = Rig::open();
    let opened = rig.now;
    assert_eq!(rig.board.next_at(), Some(at(opened + 60)));
    assert_eq!(rig.pass(59), []);
    let probe = only_probe(&rig.pass(1));
    assert_eq!(probe.wants, Some(version("v1")));
    assert_eq!(probe.avoid, []);
}

#[test]
fn a_canary_that_fails_is_followed_by_the_next_one_an_interval_later() {
    let mut rig = Rig::open();
    let canary = rig.probes_with(of(7), 1);
    rig.now += 30;
    let fallout = rig.ended(canary, "v1", End::Failed(Some(sig(7))));
    assert_eq!(fallout.held_by, Some(sig(7)));
    assert_eq!(fallout.actions, []);
    assert_eq!(rig.pass(59), []);
    only_probe(&rig.pass(1));
}

#[test]
fn other_failures_of_an_open_signature_are_held_and_move_no_probe() {
    let mut rig = Rig::open();
    let next = rig.board.next_at();
    assert_eq!(rig.fails(6, 7, "v1").held_by, Some(sig(7)));
    assert_eq!(rig.board.next_at(), next);
    rig.probes_with(of(7), 1);
    assert_eq!(rig.fails(8, 7, "v1").held_by, Some(sig(7)));
    assert_eq!(rig.state(of(7)), "probing");
}

#[test]
fn a_newer_version_sends_the_canary_at_once_and_a_bad_one_costs_exactly_one() {
    let mut rig = Rig::open();
    let actions = rig.stands(&["v2"]);
    assert_eq!(only_probe(&actions).wants, Some(version("v2")));
    assert_eq!(only_probe(&actions).avoid, [version("v1")]);
    let canary = rig.sends(&actions, of(7), 1);
    rig.ended(canary, "v2", End::Failed(Some(sig(7))));
    for _ in 0..59 {
        assert_eq!(rig.pass(1), []);
        assert_eq!(rig.stands(&["v2"]), []);
    }
    only_probe(&rig.pass(1));
    let breaker = rig.board.breaker(of(7)).unwrap();
    assert_eq!(breaker.failed_on, [version("v1"), version("v2")]);
}

#[test]
fn a_bad_version_that_fails_in_another_way_costs_exactly_one_too() {
    let mut rig = Rig::open();
    let actions = rig.stands(&["v2"]);
    let canary = rig.sends(&actions, of(7), 1);
    let fallout = rig.ended(canary, "v2", End::Failed(Some(sig(8))));
    assert_eq!(fallout.held_by, Some(sig(7)), "it goes back in line");
    assert_eq!(rig.pass(59), []);
    only_probe(&rig.pass(1));
}

#[test]
fn the_other_way_opens_as_well_when_the_canaries_of_several_intervals_fail_so() {
    let mut rig = Rig::open();
    for n in 1..=5 {
        let canary = rig.probes_with(of(7), n);
        let fallout = rig.ended(canary, "v1", End::Failed(Some(sig(8))));
        let holder = if n < 5 { sig(7) } else { sig(8) };
        assert_eq!(fallout.held_by, Some(holder), "after {n}");
    }
}

#[test]
fn a_version_that_comes_while_a_canary_is_out_waits_for_its_end_and_no_longer() {
    let mut rig = Rig::open();
    let canary = rig.probes_with(of(7), 1);
    assert_eq!(rig.stands(&["v1", "v2"]), []);
    let fallout = rig.ended(canary, "v1", End::Failed(Some(sig(7))));
    assert_eq!(only_probe(&fallout.actions).wants, Some(version("v2")));
}

#[test]
fn a_version_that_is_there_already_is_tried_as_soon_as_the_older_one_is_held() {
    let mut rig = Rig::on_v1();
    rig.stands(&["v1", "v2"]);
    for n in 1..=4 {
        rig.fails(n, 7, "v1");
    }
    let fallout = rig.fails(5, 7, "v1");
    let [hold, Action::Probe(probe)] = &fallout.actions[..] else {
        panic!("{fallout:?}");
    };
    assert!(is_hold(hold, of(7)));
    assert_eq!(probe.wants, Some(version("v2")));
}

#[test]
fn a_roll_back_is_an_announcement_and_a_restart_is_none() {
    let mut rig = Rig::on_v1();
    rig.stands(&["v2"]);
    for n in 1..=5 {
        rig.fails(n, 7, "v2");
    }
    assert_eq!(rig.stands(&[]), [], "v2 is away");
    assert_eq!(rig.stands(&["v2"]), [], "and back");
    let probe = only_probe(&rig.stands(&["v1"]));
    assert_eq!(probe.wants, Some(version("v1")));
    assert_eq!(probe.avoid, [version("v2")]);
}

#[test]
fn a_fleet_that_restarts_with_two_versions_has_not_rolled_back() {
    let mut rig = Rig::on_v1();
    rig.stands(&["v1", "v2"]);
    rig.stands(&[]);
    rig.stands(&["v1", "v2"]);
    let wanted = rig.board.roster().wanted().unwrap();
    assert_eq!((&wanted.version, wanted.number), (&version("v2"), 2));
}

#[test]
fn versions_that_come_and_go_with_every_crash_do_not_make_it_spin() {
    let mut rig = Rig::open();
    let mut probes = 0;
    for n in 0..30 {
        let on = if n % 2 == 0 { "v2" } else { "v1" };
        let actions = rig.stands(&[on]);
        if !actions.is_empty() {
            let canary = rig.sends(&actions, of(7), 1);
            rig.ended(canary, on, End::Failed(Some(sig(7))));
            probes += 1;
        }
    }
    assert_eq!(probes, Breaker::HASTE_MAX);
    rig.now += 60;
    only_probe(&rig.pass(0));
}

#[test]
fn a_landing_on_an_old_version_that_fails_proves_nothing_of_the_new_one() {
    let mut rig = Rig::open();
    let actions = rig.stands(&["v1", "v2"]);
    let canary = rig.sends(&actions, of(7), 1);
    let fallout = rig.ended(canary, "v1", End::Landed);
    assert_eq!(fallout, Fallout::default());
    assert_eq!(rig.state(of(7)), "open");
    assert_eq!(rig.pass(59), []);
    let probe = only_probe(&rig.pass(1));
    assert_eq!(probe.wants, Some(version("v2")));
}

#[test]
fn a_landing_on_the_version_that_failed_closes_it_when_there_is_no_newer_one() {
    let mut rig = Rig::open();
    let canary = rig.probes_with(of(7), 1);
    let fallout = rig.ended(canary, "v1", End::Landed);
    let (avoid, terms) = only_plan(&fallout.actions);
    assert_eq!(avoid, []);
    assert_eq!((terms.stop.same, terms.stop.percent_max), (None, 50));
}

#[test]
fn a_canary_that_lands_starts_the_plan_away_from_the_versions_that_fail() {
    let mut rig = Rig::open();
    let actions = rig.stands(&["v1", "v2"]);
    let canary = rig.sends(&actions, of(7), 1);
    let fallout = rig.ended(canary, "v2", End::Landed);
    let (avoid, terms) = only_plan(&fallout.actions);
    assert_eq!(avoid, [version("v1")]);
    assert_eq!(terms.ramp.to_string(), "1,10,100,all");
    assert_eq!(terms.stop.same, Some(sig(7)));
    assert_eq!(fallout.held_by, None);
    assert_eq!(rig.board.next_at(), None);
}

#[test]
fn an_outcome_shows_what_the_handler_did() {
    assert_eq!(End::of(OutcomeKind::Rejected, Some(sig(7))), End::Rejected);
    assert_eq!(End::of(OutcomeKind::Rejected, None), End::NotRun);
    assert_eq!(End::of(OutcomeKind::TimedOut, None), End::Nothing);
    assert_eq!(End::of(OutcomeKind::Pending, None), End::Landed);
    assert_eq!(
        End::of(OutcomeKind::TimedOut, Some(sig(7))),
        End::Failed(Some(sig(7)))
    );
    assert_eq!(End::of(OutcomeKind::Abandoned, None), End::Nothing);
}

#[test]
fn a_canary_of_which_nothing_is_heard_is_asked_for_and_not_doubled() {
    let mut rig = Rig::open();
    let canary = rig.probes_with(of(7), 1);
    for _ in 0..5 {
        rig.now += 60;
        let actions = rig.pass(0);
        let [Action::Check { scope, canary: out }] = &actions[..] else {
            panic!("{actions:?}");
        };
        assert_eq!((*scope, out.name), (of(7), Some(canary)));
        rig.board.still_out(*scope, out.number, at(rig.now));
    }
    assert_eq!(rig.stands(&["v2"]), [], "a new version waits as well");
    let actions = rig.board.lost(of(7), 1, at(rig.now));
    assert_eq!(only_probe(&actions).wants, Some(version("v2")));
}

#[test]
fn the_loss_of_an_earlier_canary_changes_nothing() {
    let mut rig = Rig::open();
    let first = rig.probes_with(of(7), 1);
    rig.ended(first, "v1", End::Failed(Some(sig(7))));
    rig.probes_with(of(7), 2);
    assert_eq!(rig.board.lost(of(7), 1, at(rig.now)), []);
    assert_eq!(rig.state(of(7)), "probing");
}

#[test]
fn a_canary_that_was_cancelled_or_put_off_does_not_block_for_ever() {
    let mut rig = Rig::open();
    rig.probes_with(of(7), 1);
    assert_eq!(rig.board.taken_away(ticket(1), at(rig.now)), []);
    assert_eq!(rig.pass(58), []);
    let actions = rig.pass(1);
    let canary = rig.sends(&actions, of(7), 2);
    let fallout = rig.ended(canary, "v1", End::Nothing);
    assert_eq!(fallout.held_by, Some(sig(7)), "else it would run again");
    rig.now += 60;
    only_probe(&rig.pass(0));
}

#[test]
fn a_canary_that_was_too_late_to_be_run_is_followed_at_once() {
    let mut rig = Rig::open();
    let mut canary = rig.probes_with(of(7), 1);
    for n in 2..100 {
        let fallout = rig.ended(canary, "v1", End::NotRun);
        canary = rig.sends(&fallout.actions, of(7), n);
    }
    let fallout = rig.ended(canary, "v1", End::Landed);
    assert_eq!(rig.state(of(7)), "releasing", "{fallout:?}");
}

#[test]
fn a_signature_that_holds_nobody_any_more_is_closed() {
    let mut rig = Rig::open();
    rig.now += 60;
    let probe = only_probe(&rig.pass(0));
    let actions = rig.board.nobody(of(7), probe.number, at(rig.now));
    assert_eq!(actions, [Action::Close { scope: of(7) }]);
    assert!(rig.board.breaker(of(7)).is_none());
}

#[test]
fn a_plan_that_is_done_closes_it_unless_others_were_held_meanwhile() {
    let mut rig = Rig::open();
    let plan = rig.released();
    let done = &plan::State::Done;
    let actions = rig.board.plan_is(of(7), (plan, done), 3, at(rig.now));
    assert!(matches!(actions[..], [Action::StartPlan { .. }]));
    let late = rig.board.plan_is(of(7), (plan, done), 0, at(rig.now));
    assert_eq!(late, [], "that plan is over");
    rig.board.plan_made(of(7), plan_id(2));
    let actions = rig.board.plan_is(of(7), (plan_id(2), done), 0, at(rig.now));
    assert_eq!(actions, [Action::Close { scope: of(7) }]);
    assert!(rig.board.is_quiet());
}

#[test]
fn a_failure_that_returns_stops_the_plan_and_holds_again() {
    let mut rig = Rig::open();
    let plan = rig.released();
    let fallout = rig.fails(2, 7, "v2");
    let why = Why::Returned(sig(7));
    assert_eq!(fallout.actions[0], Action::StopPlan { plan, why });
    assert!(is_hold(&fallout.actions[1], of(7)));
    assert_eq!((fallout.actions.len(), fallout.held_by), (2, Some(sig(7))));
    assert_eq!(rig.pass(59), []);
    only_probe(&rig.pass(1));
}

#[test]
fn failures_on_an_older_version_and_of_before_do_not_stop_the_plan() {
    let mut rig = Rig::open();
    rig.released();
    let fallout = rig.fails(2, 7, "v1");
    assert_eq!(fallout.held_by, Some(sig(7)), "it waits for the next plan");
    assert_eq!(fallout.actions, []);
    let name = rig.next_name(3);
    let span = Span {
        started_at: at(0),
        ended_at: at(rig.now),
    };
    let straggler = Attempt {
        name,
        version: version("v2"),
        span,
        end: End::Failed(Some(sig(7))),
    };
    let fallout = rig.board.ended(&straggler, at(rig.now));
    assert_eq!(fallout, Fallout::default(), "it backs off");
    assert_eq!(rig.state(of(7)), "releasing");
}

#[test]
fn a_plan_that_a_rule_stopped_is_probed_again_and_one_that_a_person_stopped_is_not() {
    let stopped = |why: Why| {
        let mut rig = Rig::open();
        let plan = rig.released();
        let state = plan::State::Stopped(why);
        let actions = rig.board.plan_is(of(7), (plan, &state), 0, at(rig.now));
        assert!(is_hold(&actions[0], of(7)));
        rig
    };
    let rig = stopped(Why::Share { failed: 9, of: 100 });
    assert_eq!(rig.board.next_at(), Some(at(rig.now + 60)));
    let mut rig = stopped(Why::Person("ann".into()));
    assert_eq!(rig.board.next_at(), None);
    assert_eq!(rig.pass(100_000), []);
    let then = rig.board.breaker(of(7)).unwrap().then();
    assert!(then.contains("stopped by hand"), "{then}");
    let mut asked = rig.board.clone();
    only_probe(&asked.ask(of(7), at(rig.now)));
    only_probe(&rig.stands(&["v3"]));
}

#[test]
fn a_failure_that_comes_and_goes_does_not_stop_its_release() {
    let mut rig = Rig::open();
    let canary = rig.probes_with(of(7), 1);
    rig.ended(canary, "v1", End::Landed);
    rig.board.plan_made(of(7), plan_id(1));
    rig.now += 2;
    for n in 2..=20 {
        assert_eq!(rig.fails(n, 7, "v1"), Fallout::default(), "it backs off");
    }
    let why = Why::Share {
        failed: 60,
        of: 100,
    };
    let stopped = plan::State::Stopped(why);
    let actions = rig
        .board
        .plan_is(of(7), (plan_id(1), &stopped), 0, at(rig.now));
    assert!(is_hold(&actions[0], of(7)));
}

/// A stage that was just held: tickets 1 to 20 failed on v1 with signature 7.
fn held_stage() -> Rig {
    let mut rig = Rig::on_v1();
    for n in 1..=20 {
        rig.fails(n, 7, "v1");
    }
    assert!(rig.board.holds_stage());
    rig
}

#[test]
fn while_the_stage_is_held_only_its_own_breaker_probes() {
    let mut rig = held_stage();
    let mut probes = 0;
    for _ in 0..600 {
        let actions = rig.pass(1);
        for action in &actions {
            let Action::Probe(probe) = action else {
                panic!("{action:?}");
            };
            assert_eq!(probe.scope, Scope::Stage);
            let canary = rig.next_name(100 + probes);
            rig.board.sent(Scope::Stage, probe.number, canary);
            rig.ended(canary, "v1", End::Failed(Some(sig(7))));
            probes += 1;
        }
    }
    assert_eq!(probes, 10, "in ten minutes");
}

#[test]
fn a_held_stage_goes_through_what_was_too_late_to_whatever_is_not() {
    let mut rig = held_stage();
    rig.now += 60;
    let mut actions = rig.pass(0);
    for n in 100..200 {
        let canary = rig.sends(&actions, Scope::Stage, n);
        actions = rig.ended(canary, "v1", End::NotRun).actions;
    }
    let canary = rig.sends(&actions, Scope::Stage, 200);
    rig.ended(canary, "v1", End::Landed);
    assert!(!rig.board.holds_stage());
}

#[test]
fn a_bad_version_costs_a_held_stage_exactly_one_attempt() {
    let mut rig = held_stage();
    let actions = rig.stands(&["v2"]);
    let canary = rig.sends(&actions, Scope::Stage, 100);
    let fallout = rig.ended(canary, "v2", End::Failed(Some(sig(7))));
    assert_eq!(fallout.actions, []);
    assert_eq!(rig.pass(59), []);
    assert_eq!(only_probe(&rig.pass(1)).scope, Scope::Stage);
}

#[test]
fn a_stage_that_lands_is_released_in_steps_and_its_signatures_probe_again() {
    let mut rig = held_stage();
    let actions = rig.stands(&["v2"]);
    let canary = rig.sends(&actions, Scope::Stage, 100);
    let fallout = rig.ended(canary, "v2", End::Landed);
    let [Action::StartPlan { scope, terms, .. }, Action::Probe(probe)] = &fallout.actions[..]
    else {
        panic!("{fallout:?}");
    };
    assert_eq!((*scope, probe.scope), (Scope::Stage, of(7)));
    assert_eq!(terms.ramp.to_string(), "10,100,all");
    assert_eq!(probe.wants, Some(version("v2")));
    assert!(!rig.board.holds_stage());
    rig.board.plan_made(Scope::Stage, plan_id(1));
    rig.now += 2;
    for n in 1..20 {
        assert_eq!(rig.fails(200 + n, 50 + u64::from(n), "v2").actions, []);
    }
    let fallout = rig.fails(300, 90, "v2");
    let [Action::StopPlan { why, .. }, hold] = &fallout.actions[..] else {
        panic!("{fallout:?}");
    };
    assert_eq!(*why, Why::StageFails);
    assert!(is_hold(hold, Scope::Stage));
}

#[test]
fn what_began_before_its_stage_was_held_says_nothing_of_it() {
    let mut rig = held_stage();
    let name = rig.next_name(100);
    let span = Span {
        started_at: at(1),
        ended_at: at(rig.now),
    };
    let mut straggler = Attempt {
        name,
        version: version("v1"),
        span,
        end: End::Landed,
    };
    assert_eq!(rig.board.ended(&straggler, at(rig.now)).actions, []);
    assert!(rig.board.holds_stage());
    straggler.name = rig.next_name(101);
    straggler.span.started_at = at(rig.now);
    let fallout = rig.board.ended(&straggler, at(rig.now));
    assert!(matches!(fallout.actions[0], Action::StartPlan { .. }));
}

#[test]
fn the_canary_of_an_empty_stage_stays_out_until_a_ticket_comes() {
    let mut rig = held_stage();
    rig.now += 60;
    let probe = only_probe(&rig.pass(0));
    let actions = rig.board.nobody(Scope::Stage, probe.number, at(rig.now));
    assert_eq!(actions, []);
    assert_eq!(rig.state(Scope::Stage), "probing");
}

#[test]
fn a_permit_of_an_earlier_time_is_never_that_of_a_later_one() {
    let mut rig = held_stage();
    let actions = rig.stands(&["v2"]);
    let canary = rig.sends(&actions, Scope::Stage, 100);
    rig.ended(canary, "v2", End::Landed);
    rig.board.plan_made(Scope::Stage, plan_id(1));
    let done = (plan_id(1), &plan::State::Done);
    let actions = rig.board.plan_is(Scope::Stage, done, 0, at(rig.now));
    assert!(actions.contains(&Action::Close {
        scope: Scope::Stage
    }));
    for n in 0..20 {
        rig.fails(500 + n, 500 + u64::from(n), "v2");
    }
    rig.now += 60;
    let actions = rig.pass(0);
    let probe = actions.iter().find_map(|action| match action {
        Action::Probe(probe) if probe.scope == Scope::Stage => Some(probe.number),
        _ => None,
    });
    assert_eq!(probe, Some(2));
}

#[test]
fn more_ways_to_fail_than_can_be_told_apart_push_out_only_those_that_hold_nobody() {
    let mut rig = Rig::open();
    for n in 0..200 {
        rig.fails(1_000 + n, 1_000 + u64::from(n), "v1");
        rig.lands(1, "v1");
    }
    assert_eq!(rig.board.breakers().count(), Board::SIGNATURES_MAX);
    assert!(rig.board.holds(sig(7)));
    for breaker in rig.board.breakers() {
        assert!(breaker.failed_on.len() <= Breaker::VERSIONS_MAX);
    }
}

#[test]
fn when_all_that_are_told_apart_hold_tickets_another_way_to_fail_backs_off() {
    let mut rig = Rig::on_v1();
    for n in 0..64 {
        for m in 0..5 {
            rig.fails(n * 5 + m, u64::from(n), "v1");
        }
        rig.lands(1_000, "v1");
    }
    for n in 0..19 {
        assert_eq!(rig.fails(2_000 + n, 99, "v1").held_by, None);
    }
    assert!((0..64).all(|n| rig.board.holds(sig(n))));
    let fallout = rig.fails(3_000, 99, "v1");
    assert!(
        is_hold(&fallout.actions[0], Scope::Stage),
        "it still counts"
    );
}

#[test]
fn a_canary_goes_to_the_newest_version_that_is_there() {
    let mut rig = Rig::on_v1();
    let wanted = |rig: &Rig| rig.board.roster().wanted().unwrap().version.clone();
    rig.stands(&["v1", "v2"]);
    assert_eq!(wanted(&rig), version("v2"));
    rig.stands(&["v1"]);
    assert_eq!(wanted(&rig), version("v1"), "v2 is away");
    rig.stands(&[]);
    assert_eq!(wanted(&rig), version("v2"), "nobody is there to say more");
}

#[test]
fn versions_are_remembered_up_to_a_bound() {
    let mut rig = Rig::open();
    for n in 0..100 {
        let name = format!("w{n}");
        let actions = rig.stands(&[&name]);
        if let [Action::Probe(_)] = actions[..] {
            let canary = rig.sends(&actions, of(7), 1);
            rig.ended(canary, &name, End::Failed(Some(sig(7))));
        } else {
            rig.fails(2, 7, &name);
        }
    }
    let roster = rig.board.roster();
    assert_eq!(roster.versions.len(), Roster::VERSIONS_MAX);
    assert_eq!(roster.wanted().unwrap().version, version("w99"));
    let breaker = rig.board.breaker(of(7)).unwrap();
    assert_eq!(breaker.failed_on.len(), Breaker::VERSIONS_MAX);
}

#[test]
fn a_fleet_of_more_versions_than_are_remembered_announces_each_once() {
    let mut rig = Rig::new();
    let names: Vec<String> = (0..50).map(|n| format!("w{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    rig.stands(&names);
    let number = rig.board.roster().wanted().unwrap().number;
    rig.stands(&names);
    assert_eq!(rig.board.roster().wanted().unwrap().number, number);
}

#[test]
fn a_landing_on_a_healthy_stage_leaves_nothing_to_write() {
    let mut rig = Rig::on_v1();
    let roster = rig.board.changes().roster.unwrap();
    assert_eq!(roster.versions.len(), 1);
    rig.lands(1, "v1");
    rig.stands(&["v1"]);
    assert_eq!(rig.board.changes(), Changes::default());
    rig.fails(1, 7, "v1");
    let changes = rig.board.changes();
    let scopes: Vec<Scope> = changes.breakers.iter().map(|it| it.scope).collect();
    assert_eq!(scopes, [of(7), Scope::Stage]);
    rig.lands(1, "v1");
    let changes = rig.board.changes();
    assert_eq!(changes.forgotten, [of(7)]);
}

#[test]
fn rules_that_cannot_work_are_refused() {
    let said = |failures, probe| Rules::new(failures, probe).unwrap_err().to_string();
    assert_eq!(said(0, PROBE), "failures: expected 1..=100, got 0");
    assert_eq!(said(101, PROBE), "failures: expected 1..=100, got 101");
    assert_eq!(
        said(5, Duration::ZERO),
        "probe: expected a time over 0s, got 0s"
    );
    assert_eq!(Rules::default(), rules());
}

#[test]
fn everything_that_waits_can_say_for_what() {
    let mut rig = Rig::open();
    let breaker = |rig: &Rig| rig.board.breaker(of(7)).unwrap().clone();
    let open = breaker(&rig);
    let since = at(rig.now);
    assert_eq!(
        open.waits_for().unwrap(),
        format!(
            "failure v1-0000000000000007 to be repaired; it fails on version v1, held since {since}"
        )
    );
    assert_eq!(open.until(), Some(since.plus(PROBE)));
    assert_eq!(
        open.waits_for_repair_of("Broken: no").unwrap(),
        format!(
            "failure v1-0000000000000007 (Broken: no) to be repaired; it fails on version v1, \
             held since {since}"
        )
    );
    let stage = |rig: &Rig| rig.board.breaker(Scope::Stage).unwrap().clone();
    assert_eq!(open.then_behind(&stage(&rig)), None);
    let held = stage(&held_stage());
    let then = open.then_behind(&held).unwrap();
    assert!(then.starts_with("its stage fails as a whole"), "{then}");
    assert_eq!(held.then_behind(&held), None, "it is not behind itself");
    assert_eq!(
        held.waits_for_repair_of("Broken: no").unwrap(),
        format!(
            "its stage, which fails as a whole (Broken: no), to be repaired; it fails on version \
             v1, held since {}",
            at(20)
        )
    );
    rig.probes_with(of(7), 1);
    let probing = breaker(&rig);
    let canary = ticket(1);
    assert!(
        probing
            .then()
            .starts_with(&format!("ticket {canary} is being tried on v1;"))
    );
    let mut rig = Rig::open();
    let plan = rig.released();
    let said = breaker(&rig).waits_for().unwrap();
    assert_eq!(said, format!("its turn in release plan {plan}"));
}
