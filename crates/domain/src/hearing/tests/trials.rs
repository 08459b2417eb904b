//! Words about tickets that wait for their trial, or are on it.

use super::*;

#[test]
fn who_waits_for_its_trial_is_not_disturbed_by_what_was_said_before() {
    let trial = Spot::Waiting(Reason::Trial);
    for to in [first().renewed(), first().charged()] {
        // Its own word may come before the verdict, however often it is read.
        for spot in [Spot::Running, Spot::Waiting(Reason::Suspect)] {
            let heard = hear(Some(&at(first(), spot)), &died(first(), to));
            assert_eq!(heard, moves(to, trial));
        }
        for word in words(first()) {
            let heard = hear(Some(&at(to, trial)), &word);
            assert!(matches!(heard, Heard::Stale(_)), "{word:?} {heard:?}");
        }
    }
}

#[test]
fn after_a_verdict_the_dead_ones_own_word_is_too_late() {
    let books = at(first().charged().renewed(), Spot::Waiting(Reason::Trial));
    for word in [
        died(first(), first().charged()),
        died(first(), first().renewed()),
        ended(first(), Fate::Finished),
        forwarded(first()),
    ] {
        let heard = hear(Some(&books), &word);
        let stale = Heard::Stale(Stale::Generation(books.name.generation));
        assert_eq!(heard, stale, "{word:?}");
    }
}

#[test]
fn who_is_on_trial_starts_and_ends_like_any_other() {
    let name = first().renewed();
    let running = at(name, Spot::Running);
    for spot in [Spot::Publishing, Spot::Runnable] {
        let heard = hear(Some(&at(name, spot)), &started(name));
        assert_eq!(heard, Heard::Moves(running));
    }
    let finished = hear(Some(&running), &ended(name, Fate::Finished));
    assert_eq!(finished, moves(name, Spot::Done));
    let again = hear(Some(&running), &died(name, name.charged()));
    assert_eq!(again, moves(name.charged(), Spot::Waiting(Reason::Trial)));
}
