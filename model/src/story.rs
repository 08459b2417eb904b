//! What a check found, for people.

use crate::protocol::Protocol;
use crate::step::Step;
use stateright::{Checker, HasDiscoveries, Model};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// What a check came to.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The first law that was broken, and the shortest story of how.
    pub broken: Option<(&'static str, Vec<Step>)>,
    /// How many different states were seen.
    pub states: usize,
    /// How many steps the longest of the stories had.
    pub depth: usize,
    /// Whether there are no others.
    pub is_complete: bool,
    /// How long it took.
    pub took: Duration,
}

/// Looks at every state that can be reached, breadth first; stops after about `states_max` of
/// them, repeats counted, or at the first law that is broken, with the shortest story of it.
pub fn check(protocol: Protocol, states_max: usize) -> Finding {
    let mut finding = look(protocol, states_max, None);
    // The checker looks at a block of states at a time, so that its first story may be a step
    // longer than the shortest.
    while let Some((_, story)) = &finding.broken {
        let shorter = look(protocol, states_max, Some(story.len()));
        match shorter.broken {
            None => break,
            Some(broken) => finding.broken = Some(broken),
        }
    }
    finding
}

fn look(protocol: Protocol, states_max: usize, steps_max: Option<usize>) -> Finding {
    let begun = Instant::now();
    let mut checker = protocol.checker();
    if let Some(steps) = steps_max {
        // Counted in states, of which there is one more than steps.
        checker = checker.target_max_depth(steps + 1);
    }
    // Only one thread finds the shortest story.
    let threads = match protocol.mutant {
        None => available_parallelism().map_or(1, usize::from),
        Some(_) => 1,
    };
    let checker = checker
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(states_max)
        .spawn_bfs()
        .join();
    let broken = checker.discoveries().into_iter();
    let broken = broken.map(|(law, path)| (law, path.into_actions()));
    let broken = broken.min_by_key(|(law, story)| (story.len(), *law));
    Finding {
        is_complete: broken.is_none() && checker.state_count() < states_max,
        broken,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: begun.elapsed(),
    }
}

/// The story, a line a step.
pub fn tell(steps: &[Step]) -> String {
    let lines = steps
        .iter()
        .zip(1..)
        .map(|(step, n)| format!("{n:>6}. {step:?}\n"));
    lines.collect()
}
