//! Of those whose process died only the one that did it is charged; each rule of that is needed.

use model::trials::{Mutant, Trials};
use stateright::{Checker, HasDiscoveries, Model};

/// More than it takes to be beside somebody, alone, and one of those that are left.
const TICKETS: u8 = 4;

/// The laws that do not hold.
fn broken(trials: Trials) -> Vec<&'static str> {
    let checker = trials.checker().finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    println!("{trials:?}: {} states", checker.unique_state_count());
    checker.discoveries().into_keys().collect()
}

#[test]
fn only_the_killer_is_charged_and_everybody_else_lands() {
    for tickets in 1..=TICKETS {
        let broken = broken(Trials::sound(tickets));
        assert!(broken.is_empty(), "{tickets} tickets: {broken:?}");
    }
}

#[test]
fn every_rule_of_trials_that_is_left_out_breaks_a_law() {
    for mutant in Mutant::ALL {
        let trials = Trials {
            mutant: Some(mutant),
            ..Trials::sound(TICKETS)
        };
        assert!(!broken(trials).is_empty(), "{mutant:?} survives");
    }
}

/// That of each stage one at a time goes out does not keep two of different stages apart.
#[test]
fn a_process_of_two_stages_has_to_try_one_at_a_time_itself() {
    let trials = Trials::sound(2).of_two_stages();
    assert!(broken(trials).contains(&"T1 no bystander is charged"));
    // Then it does no harm either who else is out: a canary, one that was handed back or retried.
    let many = Trials {
        mutant: Some(Mutant::TriesManyOfAStage),
        ..Trials::sound(3)
    };
    for trials in [trials, many] {
        let broken = broken(trials.serial());
        assert!(broken.is_empty(), "{trials:?}: {broken:?}");
    }
}
