//! Any breaker and any roster.

use super::{at, copy, signature_id, words};
use domain::breaker::{
    Announced, Breaker, Canary, Clue, Haste, Proof, Roster, Scope, State as BreakerState,
};
use domain::plan::PlanId;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

pub(super) fn plan_id() -> impl Strategy<Value = PlanId> {
    any::<u128>().prop_map(PlanId::from_u128)
}

pub(super) fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Stage),
        signature_id().prop_map(Scope::Signature),
    ]
}

fn clues() -> impl Strategy<Value = Vec<Clue>> {
    vec(
        (copy(), at()).prop_map(|(name, at)| Clue { name, at }),
        0..4,
    )
}

fn canary() -> impl Strategy<Value = Canary> {
    let whose = (option::of(copy()), option::of(words()));
    (any::<u64>(), whose, at(), at()).prop_map(|(number, (name, wants), sent_at, asked_at)| {
        Canary {
            number,
            name,
            wants,
            sent_at,
            asked_at,
        }
    })
}

fn state() -> impl Strategy<Value = BreakerState> {
    let proof = prop::sample::select(vec![Proof::Repaired, Proof::Healed]);
    let releasing = (at(), proof, at(), option::of(plan_id()), clues());
    prop_oneof![
        clues().prop_map(|clues| BreakerState::Closed { clues }),
        (at(), option::of(at()))
            .prop_map(|(since, next_probe)| BreakerState::Open { since, next_probe }),
        (at(), canary()).prop_map(|(since, canary)| BreakerState::Probing { since, canary }),
        releasing.prop_map(|(since, proof, proven_at, plan, clues)| {
            BreakerState::Releasing {
                since,
                proof,
                proven_at,
                plan,
                clues,
            }
        }),
    ]
}

pub(crate) fn breaker() -> impl Strategy<Value = Breaker> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    let haste = (at(), any::<u32>()).prop_map(|(since, count)| Haste { since, count });
    let ends = (option::of(copy()), option::of(at()));
    let parts = (scope(), state(), vec(words(), 0..4), numbers, haste, ends);
    parts.prop_map(
        |(scope, state, failed_on, (failures, tried, probes), haste, ends)| Breaker {
            scope,
            state,
            failed_on,
            failures,
            tried,
            probes,
            haste,
            last_failed: ends.0,
            landed_at: ends.1,
            row_since: ends.1,
        },
    )
}

pub(crate) fn roster() -> impl Strategy<Value = Roster> {
    let announced = (words(), any::<u64>(), at(), any::<bool>());
    let announced = announced.prop_map(|(version, number, at, is_here)| Announced {
        version,
        number,
        at,
        is_here,
    });
    vec(announced, 0..4).prop_map(|versions| Roster { versions })
}
