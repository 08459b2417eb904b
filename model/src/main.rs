//! Checks the delivery protocol under larger budgets of faults than the tests have time for, and
//! shows for every mutant the shortest story of how it breaks. One argument: after how many states
//! a check is cut off.

use model::faults::Faults;
use model::mutant::CASES;
use model::protocol::{Notice, Protocol};
use model::story::{Finding, check, tell};
use std::process::ExitCode;

/// Keeps every check within minutes and within the memory of a small machine.
const STATES_MAX: usize = 3_000_000;

const NONE: Faults = Faults::NONE;

/// Crashes, cuts, doubts, failures, successions, wrong sentences, resets, pauses.
const fn faults(counts: [u8; 8]) -> Faults {
    let [
        crashes,
        cuts,
        doubts,
        failures,
        successions,
        sentences,
        resets,
        pauses,
    ] = counts;
    Faults {
        crashes,
        cuts,
        doubts,
        failures,
        successions,
        sentences,
        resets,
        pauses,
    }
}

const BUDGETS: [Faults; 23] = [
    NONE,
    faults([1, 0, 0, 0, 0, 0, 0, 0]),
    faults([0, 1, 0, 0, 0, 0, 0, 0]),
    faults([0, 0, 1, 0, 0, 0, 0, 0]),
    faults([0, 0, 0, 2, 0, 0, 0, 0]),
    faults([0, 0, 0, 0, 1, 0, 0, 0]),
    faults([0, 0, 0, 0, 0, 1, 0, 0]),
    faults([0, 0, 0, 0, 0, 0, 1, 0]),
    faults([0, 0, 0, 0, 0, 0, 0, 1]),
    faults([1, 0, 0, 1, 0, 0, 0, 0]),
    faults([1, 1, 0, 0, 0, 0, 0, 0]),
    faults([1, 0, 1, 0, 0, 0, 0, 0]),
    faults([1, 0, 0, 0, 0, 0, 1, 0]),
    faults([1, 0, 0, 0, 1, 0, 0, 0]),
    faults([0, 1, 1, 0, 0, 0, 0, 0]),
    faults([0, 1, 0, 0, 0, 1, 0, 0]),
    faults([0, 1, 0, 0, 0, 0, 1, 0]),
    faults([0, 1, 0, 0, 1, 0, 0, 0]),
    faults([0, 0, 1, 1, 0, 0, 0, 0]),
    faults([0, 0, 1, 0, 0, 0, 1, 0]),
    faults([0, 0, 1, 0, 1, 0, 0, 0]),
    faults([2, 0, 0, 0, 0, 0, 0, 0]),
    faults([1, 1, 1, 1, 1, 1, 0, 0]),
];

fn main() -> ExitCode {
    let asked = std::env::args().nth(1);
    let states_max = match asked.map(|text| text.parse()) {
        None => STATES_MAX,
        Some(Ok(states_max)) => states_max,
        Some(Err(error)) => {
            eprintln!("the number of states after which a check is cut off: {error}");
            return ExitCode::from(2);
        }
    };
    let are_sound = sound(states_max);
    let are_caught = mutants(states_max);
    match are_sound && are_caught {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The protocol as it is: no law is broken.
fn sound(states_max: usize) -> bool {
    println!(
        "{:<58} {:>9} {:>6} {:>8}  result",
        "faults", "states", "steps", "seconds"
    );
    let checks: Vec<Protocol> = BUDGETS.into_iter().flat_map(variants).collect();
    let mut are_sound = true;
    for protocol in checks {
        let finding = check(protocol, states_max);
        println!("{}", line(&title(&protocol), &finding));
        if let Some((_, story)) = &finding.broken {
            println!("{}", tell(story));
            are_sound = false;
        }
    }
    are_sound
}

/// The ways in which a budget is checked.
fn variants(faults: Faults) -> Vec<Protocol> {
    let plain = Protocol::sound(faults);
    let mut variants = match (faults.crashes, faults.total()) {
        (1, 1) => vec![plain, plain.lapsing(), plain.dwindling().with(2)],
        (1, _) => vec![plain.dwindling()],
        (_, 0) => vec![plain, plain.with(2)],
        _ => vec![plain],
    };
    let claiming: Vec<_> = variants.iter().map(|variant| variant.claiming()).collect();
    variants.extend(claiming);
    variants
}

fn title(protocol: &Protocol) -> String {
    let mut title = protocol.faults.to_string();
    let dies = protocol.faults.crashes > 0;
    let notes = [
        (protocol.tickets > 1, "two tickets"),
        (protocol.claims, "claims"),
        (dies && protocol.notice == Notice::Lapse, "silent"),
        (dies && !protocol.returns, "for good"),
    ];
    for (_, note) in notes.into_iter().filter(|(is_so, _)| *is_so) {
        title = format!("{title}, {note}");
    }
    title
}

fn line(title: &str, finding: &Finding) -> String {
    let result = match (&finding.broken, finding.is_complete) {
        (Some((law, story)), _) => format!("BROKEN after {} steps: {law}", story.len()),
        (None, true) => "every law holds".to_owned(),
        (None, false) => "every law holds so far; cut off".to_owned(),
    };
    let seconds = finding.took.as_secs_f64();
    let (states, depth) = (finding.states, finding.depth);
    format!("{title:<58} {states:>9} {depth:>6} {seconds:>8.1}  {result}")
}

/// The protocol with one rule left out: a law is broken.
fn mutants(states_max: usize) -> bool {
    println!("\nMutants\n");
    let mut are_caught = true;
    for protocol in CASES {
        let Some(mutant) = protocol.mutant else {
            continue;
        };
        let finding = check(protocol, states_max);
        let title = format!("{mutant:?}: {}", title(&protocol));
        println!("{}", line(&title, &finding));
        match &finding.broken {
            Some((_, story)) => println!("{}", tell(story)),
            None => are_caught = false,
        }
    }
    are_caught
}
