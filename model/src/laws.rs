//! What must hold in every state, and where every story must end.

use crate::cast;
use crate::protocol::Protocol;
use crate::state::{Phase, State};
use crate::step::Step;
use domain::hearing::Spot;
use domain::ticket::Name;
use stateright::{Model, Property};

/// Every law.
pub fn laws() -> Vec<Property<Protocol>> {
    vec![
        Property::always("P1 nothing is lost", |_, state| nothing_is_lost(state)),
        Property::always(
            "P2 everything lands",
            |protocol: &Protocol, state: &State| {
                everything_has_landed(state) || !is_stuck(protocol, state)
            },
        ),
        Property::always("P3 nothing is done twice", |_, state: &State| {
            state.rows.iter().all(|row| row.dones <= 1)
        }),
        Property::always("P4 one attempt at a time", |_, state: &State| {
            !state.truth.wronged.is_empty() || runs_once(state, |_| true)
        }),
        Property::always("P4b one attempt that counts", |_, state: &State| {
            runs_once(state, |name| state.row(name).accepts(name))
        }),
        Property::always("P5 no report about a success", |_, state: &State| {
            state.oopses.iter().all(|name| may_be_reported(state, name))
        }),
    ]
}

/// Each ticket is done, or somebody has it: a row, an acceptable copy, or an acceptable record.
fn nothing_is_lost(state: &State) -> bool {
    let has = |n: usize| {
        let row = &state.rows[n];
        let counts = |name: Name| cast::index(&name) == n && row.accepts(&name);
        match row.at.spot {
            Spot::Done | Spot::Dropped | Spot::Waiting(_) | Spot::Publishing => true,
            Spot::Running if row.is_claimed => true,
            Spot::Runnable | Spot::Running => {
                state.copies.iter().any(|copy| counts(copy.name))
                    || state.journal.iter().any(|word| {
                        let is_last = word
                            .name()
                            .is_some_and(|name| crate::word::next(name).is_none());
                        (word.carries_ticket() || is_last) && word.name().is_some_and(counts)
                    })
            }
        }
    };
    (0..state.rows.len()).all(has)
}

/// Nothing can change any more. That time passes is not yet a change.
fn is_stuck(protocol: &Protocol, state: &State) -> bool {
    let mut steps = Vec::new();
    protocol.actions(state, &mut steps);
    let changes_nothing = |step| step == Step::Pass && protocol.next_state(state, step).is_none();
    steps.into_iter().all(changes_nothing)
}

/// All is done, nothing is left anywhere, and every death was told.
fn everything_has_landed(state: &State) -> bool {
    let is_done = state.rows.iter().all(|row| row.at.spot == Spot::Done);
    is_done
        && state.copies.is_empty()
        && state.late.is_empty()
        && state.journal.is_empty()
        && state.leader.sending.is_empty()
        && state.workers.iter().all(crate::state::Worker::is_idle)
        && state.truth.bad.is_subset(&state.oopses)
}

fn runs_once(state: &State, counts: impl Fn(&Name) -> bool) -> bool {
    let hands = state
        .workers
        .iter()
        .filter_map(|worker| worker.hand.as_ref());
    let running = hands.filter(|hand| hand.phase == Phase::Running && counts(&hand.name));
    let mut tickets: Vec<_> = running.map(|hand| hand.name.ticket).collect();
    tickets.sort_unstable();
    tickets.windows(2).all(|pair| pair[0] != pair[1])
}

/// What ended well is not reported, unless its holder was held to be dead.
fn may_be_reported(state: &State, name: &Name) -> bool {
    let is_wronged =
        |((at, who), _): (&(Name, cast::Who), _)| at == name && state.truth.wronged.contains(who);
    !state.truth.good.contains(name) || state.attempts.iter().any(is_wronged)
}
