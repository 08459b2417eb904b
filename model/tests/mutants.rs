//! Each rule is needed: left out, a law is broken.

use model::mutant::{CASES, Mutant};
use model::story::check;

/// More than it takes to catch any of them.
const STATES_MAX: usize = 4_000_000;

/// This one takes a minute: `make model` catches it.
const SLOW: [Mutant; 1] = [Mutant::ExpectsNobody];

#[test]
fn every_rule_that_is_left_out_breaks_a_law() {
    let quick = |mutant| !SLOW.contains(&mutant);
    for protocol in CASES {
        if protocol.mutant.is_some_and(quick) {
            let finding = check(protocol, STATES_MAX);
            assert!(finding.broken.is_some(), "{:?} survives", protocol.mutant);
        }
    }
}

#[test]
fn no_mutant_is_left_out_here() {
    let mut mutants: Vec<_> = CASES
        .iter()
        .map(|case| format!("{:?}", case.mutant))
        .collect();
    mutants.sort_unstable();
    mutants.dedup();
    assert_eq!(mutants.len(), CASES.len());
}
