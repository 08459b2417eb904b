//! The release plans, as a table, and the page that lists them.

use super::frame::{Page, PageProblem};
use super::words::{ago, number, plan_link, quoted};
use crate::site::Site;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use domain::plan::{Plan, Source};
use domain::time::Timestamp;
use maud::{Markup, html};

/// How many plans a page lists, the newest; the API lists them all.
const PLANS_SHOWN: usize = 50;

pub(super) async fn show(site: Data<Site>) -> Result<HttpResponse, PageProblem> {
    let plans = site.parts.plans.plans().await?;
    let body = html! {
        div.headline { h1 { "Release plans" } }
        section.card {
            div #plans data-live { (table(&plans, site.now())) }
        }
    };
    Ok(Page::of(&site, "Release plans", body).answer(StatusCode::OK))
}

/// The newest of these plans.
pub(super) fn table(plans: &[Plan], now: Timestamp) -> Markup {
    html! {
        @if plans.is_empty() {
            p.empty {
                "No release plan. One is made by itself when what was held lands again; of any "
                "waiting tickets you make one by " code { "goaround plan make" } "."
            }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Release plans" {
                table {
                    caption.hidden { "Release plans, the newest first" }
                    thead { tr {
                        th scope="col" { "Plan" }
                        th scope="col" { "Of" }
                        th scope="col" { "State" }
                        th.num scope="col" { "Tickets" }
                        th.num scope="col" { "Left" }
                        th.num scope="col" { "Out" }
                        th.num scope="col" { "Landed" }
                        th.num scope="col" { "Failed" }
                        th scope="col" { "Made" }
                    } }
                    tbody { @for plan in plans.iter().take(PLANS_SHOWN) { (row(plan, now)) } }
                }
            }
            @if plans.len() > PLANS_SHOWN {
                p.muted.more {
                    "The newest " (PLANS_SHOWN) "; "
                    a href="/api/v1/plans?limit=1000" { "the API" } " lists more."
                }
            }
        }
    }
}

fn row(plan: &Plan, now: Timestamp) -> Markup {
    let counts = &plan.counts;
    html! {
        tr {
            th scope="row" { (plan_link(plan.id)) }
            td.wide {
                (about(plan))
                @if let Some(why) = plan.why() { span.note { (why) } }
            }
            td { (badge(plan)) }
            (sum("Tickets", counts.total))
            (sum("Left", counts.left()))
            (sum("Out", counts.out()))
            (sum("Landed", counts.landed))
            (sum("Failed", counts.failed))
            td data-label="Made" {
                @if let Some(deed) = plan.trail.deeds.first() { (ago(deed.at, now)) }
            }
        }
    }
}

fn sum(label: &str, count: u64) -> Markup {
    html! { td.num.muted[count == 0] data-label=(label) { (number(count)) } }
}

/// What a plan does, as a badge.
pub(super) fn badge(plan: &Plan) -> Markup {
    html! { span class={ "badge " (plan.state.as_str()) } { (plan.state.as_str()) } }
}

/// Which tickets, in words.
pub(super) fn about(plan: &Plan) -> Markup {
    let selection = &plan.selection;
    html! {
        @match selection.source {
            Source::Waiting(reason) => (reason.as_str().replace('_', " ")),
            Source::AnyWait => "waiting",
            Source::Queue => "in the queue",
        }
        @if let Some(stage) = &selection.stage { " at " a href={ "/s/" (stage) } { (stage) } }
        @if let Some(signature) = selection.signature { ", " code { (signature) } }
        @if !selection.filter.is_empty() { ", " (quoted(&selection.filter, 80)) }
    }
}
