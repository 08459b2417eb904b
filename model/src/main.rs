//! Checks the protocol under every budget of faults, then each mutant, and prints what was found.

use model::faults::Faults;
use model::mutant::CASES;
use model::protocol::Protocol;
use model::story::{check, tell};
use std::process::ExitCode;

/// Enough for every budget below to be looked at as a whole.
const STATES_MAX: usize = 20_000_000;

const NONE: Faults = Faults::NONE;

/// The budgets: each names the faults that may strike, at any moment, in any order.
const BUDGETS: [Faults; 9] = [
    NONE,
    Faults { crashes: 1, ..NONE },
    Faults { cuts: 1, ..NONE },
    Faults { doubts: 1, ..NONE },
    Faults { failures: 2, ..NONE },
    Faults {
        successions: 1,
        ..NONE
    },
    Faults { resets: 1, ..NONE },
    Faults {
        crashes: 1,
        failures: 1,
        ..NONE
    },
    Faults {
        cuts: 1,
        doubts: 1,
        ..NONE
    },
];

fn main() -> ExitCode {
    let mut is_sound = true;
    println!("the protocol, under these faults:");
    for faults in BUDGETS {
        for claims in [false, true] {
            let mut protocol = Protocol::sound(faults);
            protocol.claims = claims;
            let finding = check(protocol, STATES_MAX);
            let claims = if claims { "with claims" } else { "" };
            let verdict = match (&finding.broken, finding.is_complete) {
                (Some((law, _)), _) => format!("BROKEN: {law}"),
                (None, true) => "every law holds".into(),
                (None, false) => "no law broken so far; cut off".into(),
            };
            println!(
                "{faults:<40} {claims:<12} {:>10} states, {:>3} deep, {:>6.1} s: {verdict}",
                finding.states,
                finding.depth,
                finding.took.as_secs_f64(),
            );
            if let Some((_, story)) = &finding.broken {
                println!("{}", tell(story));
                is_sound = false;
            }
        }
    }
    println!("\none rule left out at a time:");
    for mutant in CASES {
        let finding = check(mutant, STATES_MAX);
        let name = mutant.mutant.map(|rule| format!("{rule:?}"));
        let name = name.unwrap_or_default();
        match finding.broken {
            Some((law, story)) => {
                println!("{name}: caught in {} steps: {law}\n{}", story.len(), tell(&story));
            }
            None => {
                println!("{name}: NOT caught in {} states", finding.states);
                is_sound = false;
            }
        }
    }
    if is_sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
