//! What keeps failing, what is held for it, and what will release it.

use super::words::{ago, number, plan_link, quoted, ticket_link, tickets, until};
use domain::breaker::{Scope, State};
use domain::names::Version;
use domain::ports::Tripped;
use domain::time::Timestamp;
use maud::{Markup, html};

/// How much of what a breaker's tickets fail of a cell shows.
const VALUE_CHARS: usize = 200;
/// How much of a version's name is shown.
const VERSION_CHARS: usize = 20;
/// How many of the versions that failed a cell shows, the last ones.
const VERSIONS_SHOWN: usize = 3;

/// What somebody has to repair, if the breaker holds tickets for it.
pub(super) fn need(tripped: &Tripped, now: Timestamp) -> Option<Markup> {
    let breaker = &tripped.breaker;
    if !breaker.holds() {
        return None;
    }
    let stage = html! { a href={ "/s/" (tripped.stage) } { (tripped.stage) } };
    Some(html! {
        @match breaker.scope {
            Scope::Stage => strong { "Stage " (stage) " fails as a whole" },
            Scope::Signature(_) => strong {
                (tickets(tripped.held)) " of stage " (stage) " held: " (value(tripped))
            },
        }
        " on " (versions(&breaker.failed_on)) "; deploy a repair and they go on by themselves"
        @match &breaker.state {
            State::Open { next_probe: Some(at), .. } => { ", else one is tried " (until(*at, now)) },
            State::Probing { .. } => ", and one is being tried now",
            State::Open { next_probe: None, .. }
            | State::Closed { .. }
            | State::Releasing { .. } => "",
        }
    })
}

/// The breakers of a stage, each with a way to send its canary now.
pub(super) fn table(breakers: &[Tripped], form_token: &str, now: Timestamp) -> Markup {
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
                tbody { @for it in breakers { (row(it, form_token, now)) } }
            }
        }
    }
}

fn row(tripped: &Tripped, form_token: &str, now: Timestamp) -> Markup {
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
                    (next(tripped, now))
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
                @if matches!(breaker.state, State::Open { .. }) {
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
        @if versions.is_empty() { "every version so far" }
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
