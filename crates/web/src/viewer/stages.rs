//! The stages in the order of the flows, and what holds them up.

use super::words::{ago, line, number, oops_link, quoted};
use crate::site::Site;
use crate::stages::{STAGES_SHOWN, StageView};
use domain::books::StageCounts;
use domain::breaker::{Scope, State};
use domain::control::Hold;
use domain::names::StageName;
use domain::ports::{Listing, Tripped};
use domain::time::{Timestamp, show_duration};
use maud::{Markup, html};
use std::collections::BTreeSet;

pub(super) fn section(site: &Site, views: &[StageView], tripped: &[Tripped]) -> Markup {
    let shown: Vec<&StageView> = views
        .iter()
        .filter(|view| view.matters(site))
        .take(STAGES_SHOWN)
        .collect();
    let more = views.len() - shown.len();
    html! {
        section.card aria-labelledby="stages-title" {
            div.head {
                h2 #stages-title { "Stages" }
                a href="/p" { "Release plans" }
            }
            div #stages data-live {
                @if views.is_empty() {
                    p.empty {
                        "No stage is configured. Name one in " code { "goaround.toml" }
                        " and start again; " code { "goaround init" } " writes an example."
                    }
                } @else { (flows(site)) (table(site, &shown, tripped)) }
                @if more > 0 { (others(more)) }
            }
        }
    }
}

/// What is not shown, and where it is.
fn others(more: usize) -> Markup {
    html! {
        p.muted.more {
            (number(more as u64)) " more, not configured; "
            a href={ "/api/v1/stages?limit=" (Listing::LIMIT_MAX) } { "the API" } " lists them."
        }
    }
}

/// What a person has to know before the numbers: this stage does not move, and why. A gate is told
/// by its breaker, which knows more.
pub(super) fn obstacle(view: &StageView, now: Timestamp) -> Option<Markup> {
    if let Some(hold) = &view.hold {
        return Some(held(&view.name, hold, now));
    }
    let obstacle = view.handler.as_ref()?.obstacle.as_deref()?;
    Some(html! {
        strong { "The handler of stage " (view.name) " cannot be started: " }
        (quoted(obstacle, 300))
    })
}

fn held(stage: &StageName, hold: &Hold, now: Timestamp) -> Markup {
    html! {
        strong { "Stage " a href={ "/s/" (stage) } { (stage) } " takes no tickets: " }
        (quoted(&hold.reason, 300)) " (" (quoted(&hold.by, 60)) ", " (ago(hold.since, now)) ")"
        @if let Some(oops) = hold.oops { " " (oops_link(oops)) }
        "; it goes on by itself when its handler changes"
    }
}

fn flows(site: &Site) -> Markup {
    html! {
        @for (flow, stops) in site.parts.flows.flows() {
            p.flow {
                span.label { (flow) }
                @for (at, stop) in stops.iter().enumerate() {
                    @if at > 0 { span.arrow aria-hidden="true" { "→" } }
                    span.stop { (stop) }
                }
            }
        }
    }
}

fn table(site: &Site, views: &[&StageView], tripped: &[Tripped]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Stages" {
            table {
                caption.hidden { "Stages in the order of the flows" }
                thead { tr {
                    th scope="col" { "Stage" }
                    th scope="col" { "State" }
                    th.num scope="col" { "Ready" }
                    th.num scope="col" { "Running" }
                    th.num scope="col" { "Waiting" }
                    th.num scope="col" { "Done" }
                    th.num scope="col" { "Failed" }
                    th.num scope="col" {
                        abbr title="done a second, over the last 10 seconds" { "Rate/s" }
                    }
                    th.num scope="col" { "Oldest ready" }
                    th scope="col" { "Version" }
                } }
                tbody { @for view in views { (row(site, view, tripped)) } }
            }
        }
    }
}

fn row(site: &Site, view: &StageView, tripped: &[Tripped]) -> Markup {
    let now = site.now();
    let count = |of: fn(&StageCounts) -> u64| view.counts.as_ref().map_or(0, of);
    let slots = site
        .parts
        .flows
        .stage(&view.name)
        .map(|rules| rules.concurrency);
    let oldest = view.counts.as_ref().and_then(|counts| counts.oldest_ready);
    let name = &view.name;
    html! {
        tr {
            th scope="row" { a href={ "/s/" (name) } { (name) } }
            td { (state(site, view, tripped)) }
            (sum("Ready", count(|counts| counts.ready)))
            td.num data-label="Running" {
                (number(count(|counts| counts.running)))
                @if let Some(slots) = slots { span.muted { " of " (slots) } }
            }
            (sum("Waiting", count(|counts| counts.waiting.values().sum())))
            (sum("Done", count(|counts| counts.done)))
            (sum("Failed", count(|counts| counts.failed)))
            td.num data-label="Rate/s" { (rate(site.parts.live.rate(name, now))) }
            td.num.none[oldest.is_none()] data-label="Oldest ready" {
                @if let Some(at) = oldest { (show_duration(now.since(at))) }
                @else { span.muted { "–" } }
            }
            td data-label="Version" { (version(view)) }
        }
    }
}

/// A sum, paler when there is nothing to it.
fn sum(label: &str, count: u64) -> Markup {
    html! { td.num.muted[count == 0] data-label=(label) { (number(count)) } }
}

/// Whether the stage works again and its queue is let in in steps; its gate stays until the last.
pub(super) fn is_let_in(view: &StageView, tripped: &[Tripped]) -> bool {
    let mut of_stage = tripped.iter().filter(|it| it.stage == view.name);
    let is_released = |it: &Tripped| {
        let state = &it.breaker.state;
        it.breaker.scope == Scope::Stage && matches!(state, State::Releasing { .. })
    };
    view.gate.is_some() && of_stage.any(is_released)
}

/// What a stage does, as a badge.
pub(super) fn state(site: &Site, view: &StageView, tripped: &[Tripped]) -> Markup {
    let is_stuck = view
        .handler
        .as_ref()
        .is_some_and(|handler| handler.obstacle.is_some());
    let is_running = view
        .counts
        .as_ref()
        .is_some_and(|counts| counts.running > 0);
    let is_configured = site.parts.flows.stage(&view.name).is_some();
    let (class, word) = match (&view.hold, is_configured) {
        (Some(_), _) => ("held", "held"),
        (None, _) if is_let_in(view, tripped) => ("releasing", "releasing"),
        (None, _) if view.gate.is_some() => ("held", "fails"),
        (None, false) => ("unclaimed", "not configured"),
        (None, true) if is_stuck => ("held", "cannot start"),
        (None, true) if is_running => ("running", "running"),
        (None, true) => ("idle", "idle"),
    };
    html! { span class={ "badge " (class) } { (word) } }
}

pub(super) fn rate(rate: Option<f64>) -> Markup {
    html! {
        @match rate {
            None => span.muted { "–" },
            Some(rate) if rate < 0.05 => span.muted { "0" },
            Some(rate) if rate < 10.0 => (format!("{rate:.1}")),
            Some(rate) => (number(rate.round() as u64)),
        }
    }
}

/// That of the handler here, or those with which workers elsewhere serve it.
fn version(view: &StageView) -> Markup {
    let elsewhere = view.counts.iter().flat_map(|counts| &counts.served);
    let versions: BTreeSet<&str> = match &view.handler {
        Some(handler) => BTreeSet::from([handler.version.as_str()]),
        None => elsewhere.map(|served| served.version.as_str()).collect(),
    };
    let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
    html! {
        @if versions.is_empty() { span.muted { "–" } }
        @else { bdi title=(line(&versions, 512)) { (line(&versions, 20)) } }
    }
}
