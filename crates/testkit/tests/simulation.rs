//! The simulation itself, tried with an understudy: the smallest crew that keeps the rules.

mod understudy;

use testkit::faults::Fault;
use testkit::simulation::{Plan, play, simulate, simulate_all};
use understudy::{Flaw, Understudy};

#[test]
fn an_understudy_that_keeps_the_rules_comes_through_every_story() {
    let played = simulate_all(0..300, &Understudy::flawless());
    let struck = played.struck;
    assert_eq!(
        struck.len(),
        Fault::ALL.len(),
        "every fault has struck: {struck:?}"
    );
    assert!(played.deaths > 100, "{} processes have died", played.deaths);
    let sums = played.sums;
    assert!(sums.bystanders > 100, "died in company: {sums:?}");
    assert!(sums.trials > 100, "were tried alone: {sums:?}");
}

#[test]
fn the_same_seed_is_the_same_story_to_the_last_event() {
    for seed in 0..20 {
        let first = simulate(seed, &Understudy::flawless());
        let second = simulate(seed, &Understudy::flawless());
        assert!(first == second, "seed {seed} was told in two ways");
    }
}

#[test]
fn every_flaw_is_found_within_a_few_stories() {
    for flaw in Flaw::ALL {
        let is_found = |seed| play(&Plan::from_seed(seed), &Understudy::with(flaw)).is_err();
        assert!((0..60).any(is_found), "nobody noticed {flaw:?}");
    }
}
