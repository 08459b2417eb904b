//! The protocol keeps its laws under small budgets of faults. `make model` has the larger ones.

use model::faults::Faults;
use model::protocol::Protocol;
use model::story::{check, tell};
use stateright::Model;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// More than any of these checks has.
const STATES_MAX: usize = 2_000_000;

const NONE: Faults = Faults::NONE;
const CRASH: Faults = Faults { crashes: 1, ..NONE };
const CUT: Faults = Faults { cuts: 1, ..NONE };
const DOUBT: Faults = Faults { doubts: 1, ..NONE };
const FAILURE: Faults = Faults {
    failures: 1,
    ..NONE
};
const SUCCESSION: Faults = Faults {
    successions: 1,
    ..NONE
};
const SENTENCE: Faults = Faults {
    sentences: 1,
    ..NONE
};
const RESET: Faults = Faults { resets: 1, ..NONE };
const PAUSE: Faults = Faults { pauses: 1, ..NONE };

/// Without claims and with them.
fn holds(protocol: Protocol) {
    for protocol in [protocol, protocol.claiming()] {
        let finding = check(protocol, STATES_MAX);
        if let Some((law, story)) = &finding.broken {
            panic!("{protocol:?} breaks {law}:\n{}", tell(story));
        }
        assert!(
            finding.is_complete,
            "{protocol:?} has more states than {STATES_MAX}"
        );
    }
}

#[test]
fn the_laws_survive_a_crash() {
    holds(Protocol::sound(CRASH).dwindling());
    holds(Protocol::sound(CRASH).dwindling().lapsing());
}

#[test]
fn the_laws_survive_a_crash_and_the_process_that_comes_after_it() {
    holds(Protocol::sound(CRASH));
}

#[test]
fn the_laws_survive_a_cut_connection() {
    holds(Protocol::sound(CUT));
}

#[test]
fn the_laws_survive_a_publish_in_doubt() {
    holds(Protocol::sound(DOUBT));
}

#[test]
fn the_laws_survive_another_controller() {
    holds(Protocol::sound(SUCCESSION));
}

#[test]
fn the_laws_survive_a_wrong_death_sentence() {
    holds(Protocol::sound(SENTENCE));
}

#[test]
fn the_laws_survive_a_reset() {
    holds(Protocol::sound(RESET));
}

#[test]
fn the_laws_survive_a_pause() {
    holds(Protocol::sound(PAUSE));
}

#[test]
fn the_laws_survive_failures_and_a_crash_among_them() {
    holds(Protocol::sound(FAILURE));
    holds(
        Protocol::sound(Faults {
            failures: 1,
            ..CRASH
        })
        .dwindling(),
    );
}

#[test]
fn the_laws_survive_a_controller_that_reads_beats_late() {
    for faults in [NONE, FAILURE, SENTENCE, CRASH] {
        let mut protocol = Protocol::sound(faults).dwindling();
        protocol.is_prompt = false;
        holds(protocol);
    }
}

#[test]
fn two_tickets_do_not_get_in_each_others_way() {
    holds(Protocol::sound(NONE).with(2));
}

#[test]
fn no_story_goes_in_circles() {
    for faults in [NONE, CRASH, DOUBT, FAILURE, SENTENCE, RESET] {
        let protocol = Protocol::sound(faults).dwindling();
        assert!(!goes_in_circles(&protocol), "{faults}");
    }
}

fn print(state: &model::state::State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Depth first; a state that is met again on the path to itself is a circle.
fn goes_in_circles(protocol: &Protocol) -> bool {
    let mut is_over = BTreeMap::new();
    let mut path: Vec<(u64, Vec<model::state::State>)> = Vec::new();
    path.push((0, protocol.init_states()));
    while let Some((print_of, open)) = path.last_mut() {
        let Some(state) = open.pop() else {
            is_over.insert(*print_of, true);
            path.pop();
            continue;
        };
        let print = print(&state);
        match is_over.get(&print) {
            Some(true) => continue,
            Some(false) => return true,
            None => {}
        }
        is_over.insert(print, false);
        path.push((print, protocol.next_states(&state)));
    }
    false
}
