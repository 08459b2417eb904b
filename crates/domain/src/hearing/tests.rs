mod trials;

use super::*;
use crate::control::Hold;
use crate::names::{Holder, Kind, StageName, Version};
use crate::oops::Scene;
use crate::record::Started;
use crate::ticket::{Attempt, Generation, Hop, Lineage, Payload, Ticket, TicketId};
use crate::time::Timestamp;
use crate::wait::{Condition, Wait};
use std::sync::Arc;

fn first() -> Name {
    Name::first(TicketId::from_bytes([1; 16]))
}

fn stage(name: &str) -> StageName {
    StageName::new(name).unwrap()
}

fn ticket(name: Name) -> Ticket {
    Ticket {
        name,
        kind: Kind::unnamed(),
        flow: None,
        stage: stage("build"),
        key: None,
        payload: Payload::default(),
        deadline: None,
        created_at: Timestamp::EPOCH,
        lineage: Lineage::root(name.ticket),
        trace: None,
    }
}

fn at(name: Name, spot: Spot) -> Position {
    Position { name, spot }
}

fn started(name: Name) -> Said {
    let scene = Scene {
        holder: Holder::new("w1").unwrap(),
        hostname: "host".into(),
        version: Version::new("1").unwrap(),
    };
    Said::Started(Box::new(Started {
        name,
        stage: stage("build"),
        scene: Arc::new(scene),
        ticket: None,
        claimed: false,
    }))
}

fn claimed(name: Name) -> Said {
    let Said::Started(mut started) = started(name) else {
        unreachable!()
    };
    started.claimed = true;
    started.ticket = Some(Box::new(ticket(name)));
    Said::Started(started)
}

fn suspect(name: Name) -> Said {
    Said::Suspect(Box::new(ticket(name)))
}

fn arrived(name: Name, to: Name, condition: Condition) -> Arrived {
    Arrived {
        ticket: ticket(name),
        name: to,
        wait: Wait {
            condition,
            since: Timestamp::EPOCH,
            because: "a test".into(),
            oops: None,
        },
    }
}

fn ended(name: Name, to: Fate) -> Said {
    Said::Ended(Box::new(Parted {
        name,
        stage: stage("build"),
        ended: None,
        to,
        emits: Vec::new(),
    }))
}

fn forwarded(name: Name) -> Said {
    ended(name, Fate::Forwarded(stage("test")))
}

fn failed(name: Name) -> Said {
    let until = Timestamp::EPOCH;
    let arrived = arrived(name, name.charged(), Condition::Backoff { until });
    ended(name, Fate::Waits(Box::new(arrived)))
}

/// Its process died at it: charged when that was laid to it, else only renewed.
fn died(name: Name, to: Name) -> Said {
    let until = Timestamp::EPOCH;
    let arrived = arrived(name, to, Condition::Trial { until });
    ended(name, Fate::Waits(Box::new(arrived)))
}

fn pending(name: Name) -> Said {
    let until = Timestamp::EPOCH;
    let condition = Condition::Pending {
        until,
        once_started: None,
    };
    let arrived = arrived(name, name, condition);
    ended(name, Fate::Waits(Box::new(arrived)))
}

fn doubted(name: Name, copies: &[Name]) -> Said {
    let copies = copies.iter().map(|name| ticket(*name)).collect();
    ended(name, Fate::Doubted(copies))
}

fn passed(name: Name) -> Heard {
    Heard::Stale(Stale::Passed(name.hop, name.attempt))
}

fn moves(name: Name, spot: Spot) -> Heard {
    Heard::Moves(at(name, spot))
}

/// Every word that a holder of this name can say.
fn words(name: Name) -> Vec<Said> {
    let until = Timestamp::EPOCH;
    let unclaimed = arrived(name, name.renewed(), Condition::Unclaimed);
    let put_off = arrived(name, name.renewed(), Condition::NotNow { until });
    vec![
        Said::Arrived(Box::new(unclaimed)),
        started(name),
        claimed(name),
        forwarded(name),
        ended(name, Fate::Finished),
        failed(name),
        died(name, name.charged()),
        died(name, name.renewed()),
        pending(name),
        ended(name, Fate::Waits(Box::new(put_off))),
        doubted(name, &[name.handed_on()]),
        doubted(name, &[Name::first(TicketId::from_bytes([9; 16]))]),
        suspect(name),
        Said::Fenced {
            name,
            stage: stage("build"),
        },
    ]
}

const SPOTS: [Spot; 8] = [
    Spot::Publishing,
    Spot::Runnable,
    Spot::Running,
    Spot::Waiting(Reason::Backoff),
    Spot::Waiting(Reason::Suspect),
    Spot::Waiting(Reason::Trial),
    Spot::Done,
    Spot::Dropped,
];

#[test]
fn a_word_of_an_older_generation_changes_nothing() {
    let now = first().renewed();
    for word in words(first()) {
        let heard = hear(Some(&at(now, Spot::Runnable)), &word);
        assert_eq!(
            heard,
            Heard::Stale(Stale::Generation(now.generation)),
            "{word:?}"
        );
    }
}

#[test]
fn a_word_of_a_lower_hop_changes_nothing() {
    let now = first().handed_on();
    for word in words(first()) {
        assert_eq!(
            hear(Some(&at(now, Spot::Runnable)), &word),
            passed(now),
            "{word:?}"
        );
    }
}

#[test]
fn a_word_of_an_earlier_attempt_changes_nothing() {
    let now = first().charged();
    for word in words(first()) {
        assert_eq!(
            hear(Some(&at(now, Spot::Running)), &word),
            passed(now),
            "{word:?}"
        );
    }
}

#[test]
fn done_and_dropped_are_for_ever() {
    for (spot, state) in [(Spot::Done, State::Done), (Spot::Dropped, State::Dropped)] {
        for name in [
            first(),
            first().handed_on(),
            first().charged(),
            first().renewed(),
        ] {
            for word in words(name) {
                let heard = hear(Some(&at(first(), spot)), &word);
                assert_eq!(heard, Heard::Stale(Stale::Terminal(state)), "{word:?}");
            }
        }
    }
}

#[test]
fn a_late_suspect_of_a_done_ticket_does_not_reopen_it() {
    let finished = ended(first(), Fate::Finished);
    let after = hear(Some(&at(first(), Spot::Running)), &finished);
    assert_eq!(after, moves(first(), Spot::Done));
    let late = hear(Some(&at(first(), Spot::Done)), &suspect(first()));
    assert_eq!(late, Heard::Stale(Stale::Terminal(State::Done)));
}

#[test]
fn done_after_suspect_is_still_done() {
    let books = at(first(), Spot::Waiting(Reason::Suspect));
    assert_eq!(
        hear(Some(&books), &ended(first(), Fate::Finished)),
        moves(first(), Spot::Done)
    );
    assert_eq!(
        hear(Some(&books), &forwarded(first())),
        moves(first().handed_on(), Spot::Runnable)
    );
}

#[test]
fn a_start_that_comes_after_its_suspect_is_noted_and_the_ticket_stays_suspect() {
    let books = at(first(), Spot::Waiting(Reason::Suspect));
    assert_eq!(hear(Some(&books), &started(first())), Heard::Noted);
    assert_eq!(hear(Some(&books), &claimed(first())), Heard::Noted);
}

#[test]
fn a_start_that_is_read_again_is_noted_once_more() {
    let books = at(first(), Spot::Running);
    assert_eq!(hear(Some(&books), &started(first())), Heard::Noted);
}

#[test]
fn a_start_that_is_read_again_does_not_end_a_pending_wait() {
    let books = at(first(), Spot::Waiting(Reason::Pending));
    assert_eq!(hear(Some(&books), &started(first())), passed(first()));
    assert_eq!(hear(Some(&books), &suspect(first())), passed(first()));
    assert_eq!(hear(Some(&books), &pending(first())), passed(first()));
}

#[test]
fn a_start_at_the_next_stage_proves_the_hand_off_before_it() {
    let next = first().handed_on();
    let books = at(first(), Spot::Running);
    assert_eq!(
        hear(Some(&books), &started(next)),
        moves(next, Spot::Running)
    );
    assert_eq!(
        hear(Some(&at(next, Spot::Running)), &forwarded(first())),
        passed(next)
    );
}

#[test]
fn a_suspect_at_the_next_stage_proves_the_hand_off_before_it() {
    let next = first().handed_on();
    for spot in [Spot::Running, Spot::Waiting(Reason::Suspect)] {
        let heard = hear(Some(&at(first(), spot)), &suspect(next));
        assert_eq!(heard, moves(next, Spot::Waiting(Reason::Suspect)));
    }
}

#[test]
fn the_second_waiting_of_the_same_name_is_stale() {
    for word in [failed(first()), pending(first()), forwarded(first())] {
        let Heard::Moves(books) = hear(Some(&at(first(), Spot::Running)), &word) else {
            panic!("{word:?} did not move the ticket");
        };
        assert!(
            matches!(hear(Some(&books), &word), Heard::Stale(_)),
            "{word:?}"
        );
    }
}

#[test]
fn any_word_that_moved_a_ticket_moves_it_no_further_when_it_is_read_again() {
    for word in words(first()) {
        for spot in SPOTS {
            if let Heard::Moves(books) = hear(Some(&at(first(), spot)), &word) {
                let again = hear(Some(&books), &word);
                assert!(
                    !matches!(again, Heard::Moves(_)),
                    "{spot:?} {word:?} {again:?}"
                );
            }
        }
    }
}

#[test]
fn the_second_suspect_of_the_same_name_is_stale() {
    let books = at(first(), Spot::Waiting(Reason::Suspect));
    assert_eq!(hear(Some(&books), &suspect(first())), passed(first()));
}

#[test]
fn a_suspect_does_not_disturb_a_ticket_that_waits_for_something_else() {
    for reason in [
        Reason::Backoff,
        Reason::NotNow,
        Reason::Pending,
        Reason::Parked,
        Reason::Trial,
    ] {
        let books = at(first(), Spot::Waiting(reason));
        assert_eq!(
            hear(Some(&books), &suspect(first())),
            passed(first()),
            "{reason}"
        );
    }
}

#[test]
fn doubt_about_the_next_copy_raises_its_generation() {
    let next = first().handed_on();
    let word = doubted(first(), &[next]);
    let waiting = Spot::Waiting(Reason::NotNow);
    let heard = hear(Some(&at(first(), Spot::Running)), &word);
    assert_eq!(heard, moves(next.renewed(), waiting));
    let books = at(next.renewed(), waiting);
    assert!(matches!(
        hear(Some(&books), &started(next)),
        Heard::Stale(Stale::Generation(_))
    ));
}

#[test]
fn doubt_about_a_copy_that_has_spoken_since_is_no_doubt() {
    let next = first().handed_on();
    let word = doubted(first(), &[next]);
    assert_eq!(hear(Some(&at(next, Spot::Running)), &word), passed(next));
}

#[test]
fn doubt_about_what_a_finished_ticket_sent_leaves_it_finished() {
    let child = Name::first(TicketId::from_bytes([9; 16]));
    let word = doubted(first(), &[child]);
    assert_eq!(
        hear(Some(&at(first(), Spot::Running)), &word),
        moves(first(), Spot::Done)
    );
}

#[test]
fn a_found_ticket_in_doubt_goes_on_under_a_new_generation_unless_it_has_spoken() {
    let waiting = Spot::Waiting(Reason::NotNow);
    assert_eq!(
        found(None, first(), true),
        moves(first().renewed(), waiting)
    );
    assert_eq!(
        found(Some(&at(first(), Spot::Running)), first(), true),
        passed(first())
    );
    let renewed = at(first().renewed(), waiting);
    assert!(matches!(
        found(Some(&renewed), first(), true),
        Heard::Stale(_)
    ));
}

#[test]
fn a_found_ticket_is_runnable_unless_it_is_known() {
    assert_eq!(found(None, first(), false), moves(first(), Spot::Runnable));
    for spot in SPOTS {
        let heard = found(Some(&at(first(), spot)), first(), false);
        assert!(matches!(heard, Heard::Stale(_)), "{spot:?}");
    }
}

#[test]
fn what_arrives_unknown_is_taken_in() {
    let word = arrived(first(), first().renewed(), Condition::Unclaimed);
    let heard = hear(None, &Said::Arrived(Box::new(word)));
    assert_eq!(
        heard,
        moves(first().renewed(), Spot::Waiting(Reason::Unclaimed))
    );
}

#[test]
fn what_arrives_known_and_runnable_waits_from_now_on() {
    let word = Said::Arrived(Box::new(arrived(
        first(),
        first().renewed(),
        Condition::Unclaimed,
    )));
    for spot in [Spot::Publishing, Spot::Runnable] {
        let heard = hear(Some(&at(first(), spot)), &word);
        assert_eq!(
            heard,
            moves(first().renewed(), Spot::Waiting(Reason::Unclaimed))
        );
    }
}

#[test]
fn what_arrived_under_its_own_name_and_is_out_already_does_not_arrive_again() {
    let until = Timestamp::EPOCH;
    let word = Said::Arrived(Box::new(arrived(
        first(),
        first(),
        Condition::NotNow { until },
    )));
    assert_eq!(
        hear(None, &word),
        moves(first(), Spot::Waiting(Reason::NotNow))
    );
    for spot in SPOTS {
        let again = hear(Some(&at(first(), spot)), &word);
        assert!(matches!(again, Heard::Stale(_)), "{spot:?} {again:?}");
    }
}

#[test]
fn a_claimed_start_runs_whether_the_books_know_the_ticket_or_not() {
    assert_eq!(hear(None, &claimed(first())), moves(first(), Spot::Running));
    for spot in [Spot::Publishing, Spot::Runnable] {
        let heard = hear(Some(&at(first(), spot)), &claimed(first()));
        assert_eq!(heard, moves(first(), Spot::Running));
    }
}

#[test]
fn any_word_of_a_ticket_that_is_being_published_proves_that_it_landed() {
    let books = at(first(), Spot::Publishing);
    assert_eq!(
        hear(Some(&books), &started(first())),
        moves(first(), Spot::Running)
    );
    assert_eq!(
        hear(Some(&books), &suspect(first())),
        moves(first(), Spot::Waiting(Reason::Suspect))
    );
    assert_eq!(
        hear(Some(&books), &ended(first(), Fate::Finished)),
        moves(first(), Spot::Done)
    );
}

#[test]
fn no_word_takes_a_ticket_back() {
    let held = Name {
        generation: Generation(3),
        hop: Hop(2),
        attempt: Attempt(2),
        ..first()
    };
    let lower = [
        first(),
        held.handed_on(),
        held,
        held.charged(),
        held.renewed(),
    ];
    for name in lower {
        for spot in SPOTS {
            for word in words(name) {
                if let Heard::Moves(to) = hear(Some(&at(held, spot)), &word) {
                    assert!(to.name >= held, "{spot:?} {word:?}");
                }
            }
        }
    }
}

#[test]
fn a_copy_below_the_fence_and_words_about_no_ticket_move_nothing() {
    let fenced = Said::Fenced {
        name: first(),
        stage: stage("build"),
    };
    assert_eq!(hear(None, &fenced), Heard::Noted);
    let hold = Hold {
        since: Timestamp::EPOCH,
        reason: "broken".into(),
        by: "w1".into(),
        version: None,
        oops: None,
    };
    for word in [
        Said::Marker(1),
        Said::Hold(stage("build"), Box::new(hold)),
        Said::Unhold(stage("build")),
    ] {
        assert_eq!(hear(Some(&at(first(), Spot::Running)), &word), Heard::Noted);
    }
}

#[test]
fn words_about_an_unknown_ticket_say_where_it_is() {
    assert_eq!(hear(None, &started(first())), moves(first(), Spot::Running));
    assert_eq!(
        hear(None, &forwarded(first())),
        moves(first().handed_on(), Spot::Runnable)
    );
    assert_eq!(
        hear(None, &ended(first(), Fate::Finished)),
        moves(first(), Spot::Done)
    );
    assert_eq!(
        hear(None, &failed(first())),
        moves(first().charged(), Spot::Waiting(Reason::Backoff))
    );
    assert_eq!(
        hear(None, &suspect(first())),
        moves(first(), Spot::Waiting(Reason::Suspect))
    );
}
