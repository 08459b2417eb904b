//! What keeps failing, what is held for it, and what will release it.

use super::words::{ago, number, plan_link, quoted, ticket_link, tickets, until};
use crate::stalled::Stalled;
use domain::breaker::{Breaker, Scope, State};
use domain::names::{StageName, Version};
use domain::ports::Tripped;
use domain::time::Timestamp;
use maud::{Markup, html};

/// How much of what a breaker's tickets fail of a cell shows.
const VALUE_CHARS: usize = 200;
/// How much of a version's name is shown.
const VERSION_CHARS: usize = 20;
/// How many of the versions that failed a cell shows, the last ones.
const VERSIONS_SHOWN: usize = 3;

/// What somebody has to repair: one need for a stage that fails as a whole, whatever its tickets
/// fail of, else one for each way in which tickets fail that are held.
pub(super) fn needs(all: &[Tripped], now: Timestamp) -> Vec<Markup> {
    let is_held_as_a_whole = |stage: &StageName| {
        let mut of_stage = all.iter().filter(|it| it.stage == *stage);
        of_stage.any(|it| it.breaker.scope == Scope::Stage && it.breaker.holds())
    };
    let needed = all.iter().filter(|it| it.breaker.holds());
    let needed = needed.filter_map(|it| match it.breaker.scope {
        Scope::Stage => Some(stage_need(it, all, now)),
        Scope::Signature(_) if is_held_as_a_whole(&it.stage) => None,
        Scope::Signature(_) => Some(signature_need(it, now)),
    });
    needed.collect()
}

fn stage_need(tripped: &Tripped, all: &[Tripped], now: Timestamp) -> Markup {
    let is_of_stage = |it: &&Tripped| it.stage == tripped.stage;
    let is_signature = |it: &&Tripped| it.breaker.scope != Scope::Stage;
    let signatures = all.iter().filter(is_of_stage).filter(is_signature);
    let held: u64 = signatures.map(|it| it.held).sum();
    html! {
        strong {
            "Stage " (stage_link(&tripped.stage)) " fails as a whole"
            @if !tripped.value.is_empty() { ": " (quoted(&tripped.value, VALUE_CHARS)) }
        }
        (fails_on(&tripped.breaker.failed_on)) "; " (tickets(tripped.held))
        " in its queue, " (number(held)) " held"
        (way_out(&tripped.breaker.state, now))
    }
}

fn signature_need(tripped: &Tripped, now: Timestamp) -> Markup {
    html! {
        strong {
            (tickets(tripped.held)) " of stage " (stage_link(&tripped.stage)) " held: "
            (value(tripped))
        }
        (fails_on(&tripped.breaker.failed_on))
        (way_out(&tripped.breaker.state, now))
    }
}

/// What goes on only when somebody says so: repairs that landed, and whose release rests.
pub(super) fn stalled(all: &[Tripped], stalled: &Stalled) -> Vec<Markup> {
    let need = |it: &Tripped| {
        let rest = stalled.find(it)?;
        let plan = &rest.plan;
        Some(html! {
            strong {
                "Release plan " (plan_link(plan.id)) " of stage " (stage_link(&it.stage))
                " is " (plan.state.as_str())
            }
            "; " (tickets(plan.counts.left())) " left, and none goes until somebody "
            (rest.verb) "s it"
        })
    };
    all.iter().filter_map(need).collect()
}

fn stage_link(stage: &StageName) -> Markup {
    html! { a href={ "/s/" (stage) } { (stage) } }
}

/// On which versions, if any is known: what had passed by itself is held against none.
fn fails_on(failed_on: &[Version]) -> Markup {
    html! { @if !failed_on.is_empty() { " on " (versions(failed_on)) } }
}

fn way_out(state: &State, now: Timestamp) -> Markup {
    html! {
        "; deploy a repair and they go on by themselves"
        @match state {
            State::Open { next_probe: Some(at), .. } => { ", else one is tried " (until(*at, now)) },
            State::Probing { .. } => ", and one is being tried now",
            State::Open { next_probe: None, .. }
            | State::Closed { .. }
            | State::Releasing { .. } => "",
        }
    }
}

/// The breakers of a stage, each with a way to send its canary now.
pub(super) fn table(
    (breakers, stalled): (&[Tripped], &Stalled),
    form_token: &str,
    now: Timestamp,
) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Breakers" {
            table {
                caption.hidden { "What keeps failing, and what is held for it" }
                thead { tr {
                    th scope="col" { "Fails of" }
                    th scope="col" { "State" }
                    th.num scope="col" { "Held" }
                    th scope="col" { "Since" }
                    th scope="col" { "Fails on" }
                    th scope="col" { "Newest" }
                    th scope="col" { span.hidden { "What you can do" } }
                } }
                tbody {
                    @for it in breakers {
                        (row(it, (it.behind(breakers), stalled), (form_token, now)))
                    }
                }
            }
        }
    }
}

fn row(
    tripped: &Tripped,
    (behind, stalled): (Option<&Breaker>, &Stalled),
    (form_token, now): (&str, Timestamp),
) -> Markup {
    let breaker = &tripped.breaker;
    let signature = match breaker.scope {
        Scope::Stage => None,
        Scope::Signature(signature) => Some(signature.to_string()),
    };
    html! {
        tr {
            td.wide {
                (value(tripped))
                span.note {
                    @if let Some(signature) = &signature { code { (signature) } " · " }
                    @match behind {
                        Some(_) => "one is tried when the stage has landed",
                        None => {
                            (next(tripped, now))
                            @if let Some(rest) = stalled.find(tripped) {
                                ", which is " (rest.plan.state.as_str())
                            }
                        },
                    }
                    @if signature.is_none() && !tripped.value.is_empty() {
                        " · last: " (quoted(&tripped.value, VALUE_CHARS))
                    }
                }
            }
            td { span class={ "badge " (breaker.state.as_str()) } { (breaker.state.as_str()) } }
            td.num.muted[tripped.held == 0] data-label="Held" { (number(tripped.held)) }
            td.time data-label="Since" { (since(&breaker.state, now)) }
            td data-label="Fails on" { (versions(&breaker.failed_on)) }
            td data-label="Newest" {
                @match &tripped.newest {
                    Some(version) => (quoted(version.as_str(), VERSION_CHARS)),
                    None => span.muted { "–" },
                }
            }
            td {
                @if behind.is_none() && matches!(breaker.state, State::Open { .. }) {
                    form method="post" action={ "/s/" (tripped.stage) "/probe" } {
                        input type="hidden" name="form_token" value=(form_token);
                        @if let Some(signature) = &signature {
                            input type="hidden" name="signature" value=(signature);
                        }
                        button.quiet { "Try one now" }
                    }
                }
            }
        }
    }
}

fn value(tripped: &Tripped) -> Markup {
    html! {
        @match (tripped.breaker.scope, tripped.value.as_str()) {
            (Scope::Stage, _) => "the stage as a whole",
            (Scope::Signature(signature), "") => code { (signature) },
            (Scope::Signature(_), value) => (quoted(value, VALUE_CHARS)),
        }
    }
}

fn since(state: &State, now: Timestamp) -> Markup {
    html! {
        @match state {
            State::Closed { .. } => span.muted { "–" },
            State::Open { since, .. }
            | State::Probing { since, .. }
            | State::Releasing { since, .. } => (ago(*since, now)),
        }
    }
}

fn versions(versions: &[Version]) -> Markup {
    let from = versions.len().saturating_sub(VERSIONS_SHOWN);
    html! {
        @if versions.is_empty() { span.muted { "–" } }
        @for (at, version) in versions[from..].iter().enumerate() {
            @if at > 0 { ", " }
            (quoted(version.as_str(), VERSION_CHARS))
        }
        @if from > 0 { " and " (from) " older" }
    }
}

fn next(tripped: &Tripped, now: Timestamp) -> Markup {
    html! {
        @match &tripped.breaker.state {
            State::Closed { .. } => { (number(tripped.breaker.failures)) " failed lately; nothing is held" },
            State::Open { next_probe: Some(at), .. } => { "one is tried " (until(*at, now)) },
            State::Open { next_probe: None, .. } => "waits for a new version, or for you",
            State::Probing { canary, .. } => {
                @match canary.name {
                    Some(name) => { (ticket_link(name.ticket)) " is tried" },
                    None => "one is tried",
                }
                @if let Some(version) = &canary.wants {
                    " on " (quoted(version.as_str(), VERSION_CHARS))
                }
            },
            State::Releasing { plan: Some(plan), .. } => { "released by plan " (plan_link(*plan)) },
            State::Releasing { plan: None, .. } => "a release plan is being made",
        }
    }
}
