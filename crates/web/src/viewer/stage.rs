//! The page of a stage: what it does, what keeps failing there, and what is being released.

use super::frame::{Page, PageProblem, Said, status_of, told};
use super::login::form;
use super::words::{ago, fact, known, number, quoted};
use super::{breakers, plans, stages as stage_table};
use crate::breakers::ask;
use crate::list::parameters;
use crate::problem::Problem;
use crate::site::Site;
use crate::stages::{self, StageView};
use crate::stalled::Stalled;
use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::breaker::Scope;
use domain::control::Reach;
use domain::flow::Stage;
use domain::names::Kind;
use domain::plan::Plan;
use domain::ports::Tripped;
use domain::signature::SignatureId;
use domain::time::{Timestamp, show_duration};
use maud::{Markup, html};
use serde::Deserialize;
use std::collections::BTreeSet;

/// How many workers are named that do not keep to the newest desired state.
const BEHIND_SHOWN: usize = 20;

#[derive(Deserialize)]
struct Asked {
    ordered: Option<String>,
}

pub(super) async fn show(
    site: Data<Site>,
    name: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, PageProblem> {
    let Asked { ordered } = parameters(&request)?;
    let said = match ordered.as_deref() {
        Some("probe") => Some(Said::CarriedOut("One ticket is being tried.")),
        _ => None,
    };
    Ok(page(&site, &name, said).await?)
}

#[derive(Deserialize)]
struct Sent {
    form_token: String,
    signature: Option<String>,
}

/// Sends the canary of a breaker now.
pub(super) async fn probe(
    site: Data<Site>,
    name: Path<String>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, PageProblem> {
    let sent: Sent = form(&site, &request, body).await?;
    site.gate.check_form(&sent.form_token)?;
    let view = stages::view(&site, &name).await?;
    let scope = match &sent.signature {
        None => Scope::Stage,
        Some(text) => {
            let signature = text.parse::<SignatureId>();
            Scope::Signature(signature.map_err(Problem::bad_request)?)
        }
    };
    match ask(&site, &view.name, scope).await {
        Ok(_) => Ok(to(&format!("/s/{}?ordered=probe", view.name))),
        Err(problem) => Ok(page(&site, &name, Some(Said::Refused(&problem))).await?),
    }
}

/// Leads from the address of an order to its stage.
pub(super) async fn lead_back(
    site: Data<Site>,
    name: Path<String>,
) -> Result<HttpResponse, PageProblem> {
    let view = stages::view(&site, &name).await?;
    Ok(to(&format!("/s/{}", view.name)))
}

fn to(place: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, place))
        .finish()
}

async fn page(site: &Site, name: &str, said: Option<Said<'_>>) -> Result<HttpResponse, Problem> {
    let view = stages::view(site, name).await?;
    let tripped = site.parts.plans.tripped(Some(view.name.clone())).await?;
    let stalled = Stalled::of(site, &tripped).await?;
    let mut plans = site.parts.plans.plans().await?;
    plans.retain(|plan| {
        plan.selection
            .stage
            .as_ref()
            .is_none_or(|it| *it == view.name)
    });
    let body = html! {
        div.headline {
            p.muted { "Stage" }
            h1 { (view.name) }
            p.badges { span #state data-live { (stage_table::state(site, &view, &tripped)) } }
        }
        (told(said.as_ref()))
        (failing(site, &tripped, &stalled))
        (releases(&plans, site.now()))
        (facts(site, &view, &tripped))
    };
    let title = format!("Stage {}", view.name);
    Ok(Page::of(site, &title, body).answer(status_of(said.as_ref())))
}

fn failing(site: &Site, tripped: &[Tripped], stalled: &Stalled) -> Markup {
    html! {
        section.card aria-labelledby="breakers-title" {
            h2 #breakers-title { "What keeps failing" }
            div #breakers data-live {
                @if tripped.is_empty() {
                    p.empty { "Nothing has failed here lately." }
                } @else {
                    (breakers::table((tripped, stalled), site.gate.form_token(), site.now()))
                    p.muted.more {
                        "A new version of the handler is tried at once; when one ticket lands, \
                         the others follow by a release plan."
                    }
                }
            }
        }
    }
}

fn releases(plans: &[Plan], now: Timestamp) -> Markup {
    html! {
        section.card aria-labelledby="plans-title" {
            h2 #plans-title { "Release plans" }
            div #plans data-live { (plans::table(plans, now)) }
        }
    }
}

/// What its gate says of a stage.
fn failed(view: &StageView, tripped: &[Tripped]) -> &'static str {
    match stage_table::is_let_in(view, tripped) {
        true => "Failed as a whole",
        false => "Fails as a whole",
    }
}

fn facts(site: &Site, view: &StageView, tripped: &[Tripped]) -> Markup {
    let now = site.now();
    let rules = site.parts.flows.stage(&view.name);
    let handler = view.handler.as_ref();
    html! {
        section.card #facts data-live aria-labelledby="facts-title" {
            h2 #facts-title { "Facts" }
            dl.facts {
                @if let Some(obstacle) = stage_table::obstacle(view, now) {
                    (fact("Held up by", &obstacle))
                }
                (known(failed(view, tripped), view.gate.as_ref(), |gate| html! {
                    (ago(gate.since, now)) ": " (quoted(&gate.reason, 300))
                }))
                (known("Version", handler, |it| quoted(it.version.as_str(), 128)))
                (served(view))
                (known("Desired state", view.reach.as_ref(), applied))
                (sums(view, now))
                (known("Done a second", site.parts.live.rate(&view.name, now), |rate| {
                    stage_table::rate(Some(rate))
                }))
                @if let Some(rules) = rules { (kept(rules)) }
            }
        }
    }
}

/// The workers elsewhere that serve it; one that is part of this process is its handler.
fn served(view: &StageView) -> Markup {
    let all = view.counts.iter().flat_map(|counts| &counts.served);
    html! {
        @for served in all {
            (fact("Served by", &html! {
                (number(served.workers)) " worker" @if served.workers != 1 { "s" }
                " with version "
                (quoted(served.version.as_str(), 128))
                @if let Some(kinds) = &served.kinds {
                    ", only the kinds " (list(kinds))
                }
            }))
        }
    }
}

/// By how many of its workers the newest desired state is applied, and who lags.
fn applied(reach: &Reach) -> Markup {
    let named = reach.behind.iter().take(BEHIND_SHOWN);
    let more = reach.behind.len().saturating_sub(BEHIND_SHOWN);
    html! {
        "revision " (reach.revision)
        @if reach.of == 0 {
            ", no worker that serves it is heard"
        } @else {
            ", applied by " (reach.by()) " of " (reach.of) " worker" @if reach.of != 1 { "s" }
        }
        @for (worker, revision) in named {
            "; " (quoted(worker.as_str(), 128)) " still keeps to " (revision)
        }
        @if more > 0 { "; and " (more) " more" }
    }
}

fn sums(view: &StageView, now: Timestamp) -> Markup {
    let Some(counts) = &view.counts else {
        return html! {};
    };
    let waiting = counts.waiting.iter().filter(|(_, count)| **count > 0);
    html! {
        (fact("Ready", &html! {
            (number(counts.ready))
            @if let Some(at) = counts.oldest_ready {
                ", the oldest for " (show_duration(now.since(at)))
            }
        }))
        (fact("Running", &html! { (number(counts.running)) }))
        @for (reason, count) in waiting {
            (fact(&format!("Waiting: {}", reason.as_str().replace('_', " ")), &html! {
                a href={ "/?filter=is:" (reason) "%20stage:" (view.name) "#tickets-title" } {
                    (number(*count))
                }
            }))
        }
        (fact("Done", &html! { (number(counts.done)) }))
        (fact("Failed attempts", &html! { (number(counts.failed)) }))
        (fact("Tickets", &html! {
            a href={ "/?filter=stage:" (view.name) "#tickets-title" } { "show them" }
        }))
    }
}

fn list(kinds: &BTreeSet<Kind>) -> Markup {
    html! {
        @for (i, kind) in kinds.iter().enumerate() {
            @if i > 0 { ", " }
            (quoted(kind.as_str(), 128))
        }
    }
}

fn kept(rules: &Stage) -> Markup {
    html! {
        (known("Takes only", rules.kinds.as_ref(), list))
        (fact("At once", &html! { (rules.concurrency) }))
        (fact("Deadline", &html! { (show_duration(rules.deadline)) }))
        (fact("Held after", &html! {
            @match &rules.breaker {
                Some(breaker) => {
                    (breaker.failures()) " failures alike; one is tried every "
                    (show_duration(breaker.probe()))
                },
                None => "never: its breaker is off",
            }
        }))
    }
}
