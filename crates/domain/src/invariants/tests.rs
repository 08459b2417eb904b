use super::*;
use crate::names::Version;
use crate::oops::OopsId;
use crate::outcome::OutcomeKind;
use crate::wait::Reason;
use std::ops::Range;
use std::time::Duration;

fn stage() -> StageName {
    StageName::new("build").unwrap()
}

fn first(n: u8) -> Name {
    Name::first(TicketId::from_bytes([n; 16]))
}

fn accepted(name: Name) -> Event {
    Event::TicketAccepted {
        ticket: name.ticket,
        stage: stage(),
    }
}

fn started(name: Name) -> Event {
    Event::AttemptStarted {
        name,
        stage: stage(),
        waited: None,
    }
}

fn ended(name: Name, outcome: OutcomeKind) -> Event {
    Event::AttemptEnded {
        name,
        stage: stage(),
        outcome,
        took: Duration::ZERO,
    }
}

fn reported(name: Name) -> Event {
    Event::OopsRecorded {
        oops: OopsId::of(&name),
        name,
        stage: stage(),
    }
}

fn settled(name: Name, settled: SettledAs) -> Event {
    Event::TicketSettled {
        name,
        stage: stage(),
        settled,
    }
}

fn stale(name: Name) -> Event {
    Event::SettlementStale {
        name,
        stage: stage(),
    }
}

fn judged(name: Name, oops: Option<OopsId>) -> Event {
    Event::TicketJudged {
        name,
        stage: stage(),
        oops,
    }
}

fn ordered(name: Name, action: &'static str, ended: bool) -> Event {
    Event::OrderCarriedOut {
        ticket: name.ticket,
        action,
        ended,
    }
}

fn held() -> Event {
    Event::StageHeld {
        stage: stage(),
        reason: "it cannot be started".into(),
    }
}

fn unheld() -> Event {
    Event::StageUnheld {
        stage: stage(),
        version: Version::new("2").unwrap(),
    }
}

fn landed(name: Name) -> [Event; 3] {
    [
        started(name),
        ended(name, OutcomeKind::Done),
        settled(name, SettledAs::Finished),
    ]
}

const BACKOFF: SettledAs = SettledAs::Waiting(Reason::Backoff);
const SUSPECT: SettledAs = SettledAs::Waiting(Reason::Suspect);
const PENDING: SettledAs = SettledAs::Waiting(Reason::Pending);

fn tell(scope: Scope, events: &[Event]) -> Checker {
    let checker = Checker::new(scope);
    for event in events {
        checker.observe(Timestamp::EPOCH, event);
    }
    checker
}

/// Which invariants the events break, in this scope.
fn broken_in(scope: Scope, events: &[Event]) -> Vec<u8> {
    let checker = tell(scope, events);
    checker.violations().iter().map(|v| v.invariant).collect()
}

/// Which invariants the events break; both scopes must agree.
fn broken(events: &[Event]) -> Vec<u8> {
    let found = broken_in(Scope::Everything, events);
    assert_eq!(broken_in(Scope::InHand, events), found, "in production");
    found
}

#[test]
fn a_ticket_that_crashes_goes_around_and_lands_breaks_nothing() {
    let (one, two) = (first(1), first(1).charged());
    let next = two.handed_on();
    let mut events = vec![
        accepted(one),
        started(one),
        ended(one, OutcomeKind::Crashed),
        reported(one),
        settled(one, BACKOFF),
        Event::TicketsReleased { count: 1 },
        started(two),
        ended(two, OutcomeKind::Done),
        settled(two, SettledAs::Forwarded),
    ];
    events.extend(landed(next));
    assert_eq!(broken(&events), []);
    let balance = Balance {
        accepted: 1,
        done: 1,
        ..Balance::default()
    };
    let checker = tell(Scope::Everything, &events);
    checker.at_rest(&balance);
    assert_eq!(checker.violations(), []);
}

#[test]
fn one_an_ended_ticket_never_starts_again() {
    let name = first(1);
    let mut events = Vec::from(landed(name));
    events.push(started(name.renewed()));
    assert_eq!(broken(&events), [1]);

    let cancelled = [accepted(name), ordered(name, "cancel", true), started(name)];
    assert_eq!(broken_in(Scope::Everything, &cancelled), [1]);
}

#[test]
fn one_a_failure_is_not_settled_as_a_success() {
    let name = first(1);
    let events = [
        started(name),
        ended(name, OutcomeKind::Failed),
        reported(name),
        settled(name, SettledAs::Finished),
    ];
    assert_eq!(broken(&events), [1]);
}

#[test]
fn one_the_sums_agree_with_what_publishers_were_told() {
    let checker = tell(Scope::Everything, &[accepted(first(1)), accepted(first(2))]);
    checker.at_rest(&Balance {
        accepted: 2,
        runnable: 1,
        ..Balance::default()
    });
    checker.at_rest(&Balance {
        accepted: 1,
        runnable: 1,
        ..Balance::default()
    });
    let told: Vec<String> = checker.violations().iter().map(|v| v.to_string()).collect();
    assert!(told[0].starts_with("invariant 1: the books do not balance"));
    assert_eq!(
        told[1],
        "invariant 1: 2 tickets were told accepted, the books have 1"
    );
}

#[test]
fn one_a_process_that_died_may_have_done_more_than_it_told_but_not_less() {
    let checker = tell(Scope::Everything, &[accepted(first(1))]);
    checker.process_died();
    let done = |accepted| Balance {
        accepted,
        done: accepted,
        ..Balance::default()
    };
    checker.at_rest(&done(2));
    assert_eq!(checker.violations(), []);
    checker.at_rest(&done(0));
    assert_eq!(checker.counts()[&1], 1);
}

#[test]
fn one_a_ticket_at_work_was_accepted_before_the_end() {
    let checker = tell(Scope::Everything, &landed(first(1)));
    checker.at_rest(&Balance {
        done: 1,
        accepted: 1,
        ..Balance::default()
    });
    assert_eq!(checker.counts()[&1], 2);
}

#[test]
fn two_a_failure_is_settled_only_after_its_oops_is_durable() {
    let name = first(1);
    let events = [
        started(name),
        ended(name, OutcomeKind::TimedOut),
        settled(name, BACKOFF),
    ];
    assert_eq!(broken(&events), [2]);
}

#[test]
fn two_nothing_is_settled_before_its_handler_has_let_go() {
    let name = first(1);
    assert_eq!(
        broken(&[started(name), settled(name, SettledAs::Finished)]),
        [2]
    );
}

#[test]
fn two_nothing_is_settled_that_was_not_started() {
    assert_eq!(broken(&[settled(first(1), SettledAs::Forwarded)]), [2]);
    assert_eq!(broken(&[settled(first(1), BACKOFF)]), [2]);
    let suspect_and_unreadable = [
        settled(first(1), SUSPECT),
        reported(first(2)),
        settled(first(2), SettledAs::Waiting(Reason::Parked)),
    ];
    assert_eq!(broken(&suspect_and_unreadable), []);
}

#[test]
fn two_the_next_attempt_waits_until_the_last_is_settled() {
    let name = first(1);
    let events = [
        started(name),
        ended(name, OutcomeKind::NotNow),
        started(name.renewed()),
    ];
    assert_eq!(broken(&events), [2]);
}

#[test]
fn three_what_went_well_has_no_oops() {
    let name = first(1);
    let events = [
        started(name),
        ended(name, OutcomeKind::Done),
        reported(name),
    ];
    assert_eq!(broken(&events), [3]);
}

#[test]
fn three_a_running_attempt_has_no_oops() {
    let name = first(1);
    assert_eq!(broken(&[started(name), reported(name)]), [3]);
}

#[test]
fn three_one_that_blocks_its_thread_is_reported_while_it_runs_and_has_timed_out() {
    let name = first(1);
    let told = |outcome| {
        let stage = stage();
        let blocked = Event::AttemptBlocked { name, stage };
        broken(&[started(name), blocked, reported(name), ended(name, outcome)])
    };
    assert_eq!(told(OutcomeKind::TimedOut), []);
    assert_eq!(told(OutcomeKind::Done), [3]);
}

#[test]
fn three_an_oops_is_about_its_own_attempt() {
    let name = first(1);
    let wrong = Event::OopsRecorded {
        oops: OopsId::of(&name.charged()),
        name,
        stage: stage(),
    };
    assert_eq!(
        broken(&[started(name), ended(name, OutcomeKind::Failed), wrong]),
        [3]
    );
}

#[test]
fn three_a_death_without_an_oops_is_noticed() {
    let name = first(1);
    let events = [started(name), settled(name, SUSPECT), judged(name, None)];
    assert_eq!(broken(&events), [3]);
}

#[test]
fn three_a_failure_that_came_too_late_still_has_its_oops() {
    let name = first(1);
    let events = [started(name), ended(name, OutcomeKind::Failed), stale(name)];
    assert_eq!(broken(&events), [3]);
}

#[test]
fn three_nothing_stays_unexplained_at_rest() {
    let (live, suspect) = (first(1), first(2));
    let events = [
        accepted(live),
        accepted(suspect),
        started(live),
        started(suspect),
        settled(suspect, SUSPECT),
    ];
    let checker = tell(Scope::Everything, &events);
    checker.at_rest(&Balance {
        accepted: 2,
        running: 2,
        ..Balance::default()
    });
    assert_eq!(checker.counts()[&3], 2);
}

#[test]
fn three_an_overdue_call_back_is_reported_about_the_attempt_that_waits() {
    let name = first(1);
    let events = [
        started(name),
        ended(name, OutcomeKind::Pending),
        settled(name, PENDING),
        reported(name),
        judged(name, Some(OopsId::of(&name))),
        started(name.renewed().charged()),
    ];
    assert_eq!(broken(&events), []);
}

#[test]
fn four_an_attempt_starts_once_under_one_name() {
    let name = first(1);
    let events = [
        started(name),
        ended(name, OutcomeKind::NotNow),
        settled(name, SettledAs::Waiting(Reason::NotNow)),
        started(name),
    ];
    assert_eq!(broken(&events), [4]);
}

#[test]
fn four_nothing_is_settled_twice() {
    let name = first(1);
    let events = [
        started(name),
        ended(name, OutcomeKind::Done),
        settled(name, SettledAs::Forwarded),
        settled(name, SettledAs::Forwarded),
    ];
    assert_eq!(broken(&events), [4]);
}

#[test]
fn four_a_generation_that_was_judged_changes_nothing_any_more() {
    let name = first(1);
    let mut events = vec![
        started(name),
        settled(name, SUSPECT),
        reported(name),
        judged(name, Some(OopsId::of(&name))),
        ended(name, OutcomeKind::Done),
    ];
    let mut applied = events.clone();
    applied.push(settled(name, SettledAs::Forwarded));
    assert_eq!(broken(&applied), [4]);
    events.push(stale(name));
    assert_eq!(broken(&events), []);
}

#[test]
fn four_an_older_name_does_not_start_after_a_newer_one() {
    let newer = first(1).renewed();
    let events = [
        started(newer),
        ended(newer, OutcomeKind::NotNow),
        settled(newer, SettledAs::Waiting(Reason::NotNow)),
        started(first(1).charged()),
    ];
    assert_eq!(broken(&events), [4]);
}

#[test]
fn four_a_cancelled_ticket_takes_no_result() {
    let name = first(1);
    let mut events = vec![
        accepted(name),
        started(name),
        ordered(name, "cancel", true),
        ended(name, OutcomeKind::Abandoned),
    ];
    let mut applied = events.clone();
    applied.push(settled(name, SettledAs::Waiting(Reason::NotNow)));
    assert_eq!(broken_in(Scope::Everything, &applied), [4]);
    events.push(stale(name));
    assert_eq!(broken(&events), []);
}

#[test]
fn four_a_retried_ticket_takes_no_word_of_before() {
    let name = first(1);
    let events = [
        accepted(name),
        started(name),
        ended(name, OutcomeKind::Pending),
        settled(name, PENDING),
        ordered(name, "retry", false),
        started(name.charged()),
    ];
    assert_eq!(broken_in(Scope::Everything, &events), [4]);
}

#[test]
fn five_a_ticket_has_one_live_attempt() {
    let name = first(1);
    assert_eq!(broken(&[started(name), started(name.renewed())]), [5]);
}

#[test]
fn five_a_suspect_is_judged_before_it_starts_again() {
    let name = first(1);
    let events = [
        started(name),
        settled(name, SUSPECT),
        started(name.charged()),
    ];
    assert_eq!(broken(&events), [5]);
}

#[test]
fn a_verdict_of_another_process_is_not_missed_here() {
    let name = first(1);
    let checker = Checker::new(Scope::InHand);
    for event in [
        started(name),
        settled(name, SUSPECT),
        started(name.renewed()),
    ] {
        assert_eq!(checker.judge(&event), vec![]);
    }
}

#[test]
fn five_a_ghost_that_was_called_dead_too_early_is_noticed() {
    let (name, next) = (first(1), first(1).renewed().charged());
    let events = [
        started(name),
        settled(name, SUSPECT),
        reported(name),
        judged(name, Some(OopsId::of(&name))),
        started(next),
        ended(name, OutcomeKind::Done),
    ];
    assert_eq!(broken(&events), [5]);
}

#[test]
fn five_an_attempt_ends_once_and_not_before_it_started() {
    let name = first(1);
    assert_eq!(
        broken(&[
            started(name),
            ended(name, OutcomeKind::Done),
            ended(name, OutcomeKind::Done)
        ]),
        [5]
    );
    let mut events = Vec::from(landed(name));
    events.push(ended(name.handed_on(), OutcomeKind::Done));
    assert_eq!(broken(&events), [5]);
}

#[test]
fn six_nothing_starts_at_a_stage_on_hold() {
    assert_eq!(broken(&[held(), started(first(1))]), [6]);
    assert_eq!(broken(&[held(), unheld(), started(first(1))]), []);
}

#[test]
fn a_hand_off_may_be_told_after_its_successor_has_started() {
    let (name, next) = (first(1), first(1).handed_on());
    let mut events = vec![started(name), ended(name, OutcomeKind::Done)];
    events.push(started(next));
    events.push(settled(name, SettledAs::Forwarded));
    events.push(ended(next, OutcomeKind::Done));
    events.push(settled(next, SettledAs::Finished));
    assert_eq!(broken(&events), []);
    events.push(settled(name, SettledAs::Forwarded));
    assert_eq!(broken(&events), [4]);
}

#[test]
fn several_hand_offs_may_be_told_after_all_of_them_were_overtaken() {
    let name = first(1);
    let (second, third) = (name.handed_on(), name.handed_on().handed_on());
    let mut events = vec![started(name), ended(name, OutcomeKind::Done)];
    events.extend([started(second), ended(second, OutcomeKind::Done)]);
    events.extend(landed(third));
    events.push(settled(second, SettledAs::Forwarded));
    events.push(settled(name, SettledAs::Forwarded));
    assert_eq!(broken(&events), []);
    events.push(settled(second, SettledAs::Forwarded));
    assert_eq!(broken(&events), [4]);
}

#[test]
fn a_hand_off_may_be_told_after_many_others_were_settled() {
    let name = first(255);
    let checker = Checker::new(Scope::InHand);
    let tell = |event: &Event| assert_eq!(checker.judge(event), vec![], "{event:?}");
    tell(&started(name));
    tell(&ended(name, OutcomeKind::Done));
    landed(name.handed_on()).iter().for_each(tell);
    settle_others(&checker, 0..2 * Checker::RECENT_MAX);
    tell(&settled(name, SettledAs::Forwarded));
    settle_others(&checker, 2 * Checker::RECENT_MAX..3 * Checker::RECENT_MAX);
    assert_eq!(checker.book().hands.len(), Checker::RECENT_MAX);
}

fn settle_others(checker: &Checker, others: Range<usize>) {
    for n in others {
        let name = Name::first(TicketId::from_bytes((n as u128).to_be_bytes()));
        for event in landed(name) {
            checker.observe(Timestamp::EPOCH, &event);
        }
    }
}

#[test]
fn what_a_dead_process_left_unsaid_is_no_violation() {
    let (name, next) = (first(1), first(1).handed_on());
    let checker = tell(
        Scope::Everything,
        &[
            accepted(name),
            started(name),
            ended(name, OutcomeKind::Done),
        ],
    );
    checker.process_died();
    for event in landed(next) {
        checker.observe(Timestamp::EPOCH, &event);
    }
    checker.at_rest(&Balance {
        accepted: 1,
        done: 1,
        ..Balance::default()
    });
    assert_eq!(checker.violations(), []);
}

#[test]
fn in_production_memory_is_bounded_by_the_window() {
    let checker = Checker::new(Scope::InHand);
    let live = Name::first(TicketId::from_bytes([255; 16]));
    checker.observe(Timestamp::EPOCH, &started(live));
    settle_others(&checker, 0..2 * Checker::RECENT_MAX);
    assert_eq!(checker.book().hands.len(), Checker::RECENT_MAX + 1);
    checker.observe(Timestamp::EPOCH, &ended(live, OutcomeKind::Done));
    checker.observe(Timestamp::EPOCH, &settled(live, SettledAs::Finished));
    assert_eq!(checker.violations(), []);
}

#[test]
fn violations_are_all_counted_and_the_first_kept() {
    let checker = Checker::new(Scope::InHand);
    for n in 0..100 {
        let name = Name::first(TicketId::from_bytes([n; 16]));
        checker.observe(Timestamp::EPOCH, &settled(name, SettledAs::Forwarded));
    }
    assert_eq!(checker.counts()[&2], 100);
    assert_eq!(checker.counts()[&9], 0);
    assert_eq!(checker.violations().len(), Checker::KEPT_MAX);
}
