//! The protocol keeps its laws under small budgets of faults, and every mutant breaks one.

use model::faults::Faults;
use model::mutant::CASES;
use model::protocol::Protocol;
use model::story::{check, tell};

const STATES_MAX: usize = 3_000_000;
const NONE: Faults = Faults::NONE;

fn holds(faults: Faults) {
    for claims in [false, true] {
        let mut protocol = Protocol::sound(faults);
        protocol.claims = claims;
        let finding = check(protocol, STATES_MAX);
        if let Some((law, story)) = &finding.broken {
            panic!("{faults}, claims {claims}: {law}\n{}", tell(story));
        }
        assert!(finding.is_complete, "{faults}: {} states", finding.states);
    }
}

#[test]
fn without_faults_every_law_holds() {
    holds(NONE);
}

#[test]
fn every_law_holds_when_a_worker_crashes_at_any_moment() {
    holds(Faults { crashes: 1, ..NONE });
}

#[test]
fn every_law_holds_when_a_connection_is_cut_at_any_moment() {
    holds(Faults { cuts: 1, ..NONE });
}

#[test]
fn every_law_holds_when_nobody_knows_whether_a_ticket_landed() {
    holds(Faults { doubts: 1, ..NONE });
}

#[test]
fn every_law_holds_when_handlers_fail() {
    holds(Faults { failures: 2, ..NONE });
}

#[test]
fn every_rule_that_is_left_out_breaks_a_law() {
    let mut survivors = Vec::new();
    for mutant in CASES {
        if check(mutant, STATES_MAX).broken.is_none() {
            survivors.push(format!("{:?} under {}", mutant.mutant, mutant.faults));
        }
    }
    assert!(survivors.is_empty(), "not caught: {survivors:?}");
}
