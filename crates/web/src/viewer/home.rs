//! The page that shows everything at a glance: the books, the stages, recent tickets and reports.

use super::frame::{Page, PageProblem, as_of_line};
use super::needs::{self, Facts};
use super::recent;
use super::stages as stage_table;
use super::words::{named, number, plain};
use crate::list::{self, parameters};
use crate::problem::Problem;
use crate::site::Site;
use crate::stages;
use crate::stalled::Stalled;
use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use domain::books::{Balance, Entry};
use domain::filter::{Query, Rows};
use domain::oops::OopsId;
use domain::ports::{Listing, Sort};
use domain::ticket::TicketId;
use maud::{Markup, html};
use serde::Deserialize;

/// How many recent tickets the page shows.
const TICKETS_SHOWN: usize = 20;
/// How many recent reports the page shows; each takes more room.
const OOPSES_SHOWN: usize = 10;

#[derive(Deserialize)]
struct Asked {
    filter: Option<String>,
    fragment: Option<String>,
}

pub(super) async fn show(
    site: Data<Site>,
    request: HttpRequest,
) -> Result<HttpResponse, PageProblem> {
    let Asked { filter, fragment } = parameters(&request)?;
    let filter = filter.unwrap_or_default();
    let filter = filter.trim();
    if let Some(place) = jump(filter) {
        return Ok(HttpResponse::SeeOther()
            .insert_header((header::LOCATION, place))
            .finish());
    }
    let live = live_parts(&site, filter).await?;
    if fragment.is_some() {
        let body = html! { (as_of_line(site.now())) (live) };
        return Ok(HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"))
            .body(body.into_string()));
    }
    let body = html! {
        h1.hidden { "Overview" }
        (live)
    };
    Ok(Page::of(&site, "Overview", body).answer(StatusCode::OK))
}

/// A pasted id leads straight to what it names.
fn jump(text: &str) -> Option<String> {
    if let Ok(id) = text.parse::<TicketId>() {
        return Some(format!("/t/{id}"));
    }
    let id = text.parse::<OopsId>().ok()?;
    Some(format!("/o/{id}"))
}

async fn live_parts(site: &Site, filter: &str) -> Result<Markup, Problem> {
    let balance = site.parts.catalog.balance(None).await?;
    let views = stages::views(site).await?;
    let tripped = site.parts.plans.tripped(None).await?;
    let stalled = Stalled::of(site, &tripped).await?;
    let facts = Facts {
        balance: &balance,
        views: &views,
        tripped: &tripped,
        stalled: &stalled,
    };
    let tickets = tickets(site, filter).await?;
    let reports = site
        .parts
        .oopses
        .list(newest(Query::default(), OOPSES_SHOWN, site))
        .await?;
    let now = site.now();
    Ok(html! {
        (needs::section(site, &facts))
        (tiles(&balance))
        (stage_table::section(site, &views, &tripped))
        section.card aria-labelledby="tickets-title" {
            div.head {
                h2 #tickets-title { "Tickets" }
                (search(filter))
            }
            @match &tickets {
                Ok((rows, more)) => (recent::tickets(rows, *more, filter, now)),
                Err(bad) => (mistake(bad)),
            }
        }
        section.card aria-labelledby="oopses-title" {
            h2 #oopses-title { "OOPSes" }
            (recent::oopses(&reports.rows, reports.more, now))
        }
    })
}

fn newest(query: Query, limit: usize, site: &Site) -> Listing {
    Listing {
        query,
        limit,
        sort: Sort::NewestFirst,
        now: site.now(),
    }
}

type Found = (Vec<Entry>, bool);

/// The tickets that match; a filter that cannot be read is the reader's mistake, not the page's.
async fn tickets(site: &Site, filter: &str) -> Result<Result<Found, Problem>, Problem> {
    let query = match list::query(filter, Rows::Tickets) {
        Ok(query) => query,
        Err(bad) => return Ok(Err(bad)),
    };
    let page = site
        .parts
        .catalog
        .tickets(newest(query, TICKETS_SHOWN, site))
        .await?;
    Ok(Ok((page.rows, page.more)))
}

fn mistake(bad: &Problem) -> Markup {
    html! {
        div #tickets data-live {
            p.said.bad role="alert" { (plain(bad.detail())) }
            p.muted {
                "Try " code { "is:waiting" } ", " code { "stage:test -is:done" } ", "
                code { "kind:build since:-1h" }
                " or a word; a pasted ticket or OOPS id leads straight to it."
            }
        }
    }
}

pub(super) fn search(filter: &str) -> Markup {
    html! {
        form.search role="search" method="get" action="/" {
            label.hidden for="filter" { "Filter tickets, or paste an id" }
            input #filter type="search" name="filter" value=(plain(filter)) autocomplete="off"
                spellcheck="false" placeholder="is:waiting stage:test … or an id";
            button { "Search" }
            @if !filter.is_empty() { a.clear href="/" { "Clear" } }
        }
    }
}

fn tiles(balance: &Balance) -> Markup {
    let waiting = balance.waiting.iter().filter(|(_, count)| **count > 0);
    html! {
        section.tiles #books data-live aria-label="The books" {
            (tile("runnable", balance.runnable, html! { "in the queues" }))
            (tile("running", balance.running, html! { "with workers" }))
            (tile("waiting", balance.waiting_total(), html! {
                @for (at, (reason, count)) in waiting.enumerate() {
                    @if at > 0 { ", " }
                    a href={ "/?filter=is:" (reason) "#tickets-title" } {
                        (number(*count)) " " (named(*reason))
                    }
                }
                @if balance.waiting_total() == 0 { "nothing waits" }
            }))
            (tile("done", balance.done, html! { "for good" }))
            (tile("dropped", balance.dropped, html! { "by name and reason" }))
            (balance_tile(balance))
        }
    }
}

fn tile(state: &str, count: u64, more: Markup) -> Markup {
    html! {
        div class={ "tile " (state) } {
            a.label href={ "/?filter=is:" (state) "#tickets-title" } { (state) }
            span.count { (number(count)) }
            span.more { (more) }
        }
    }
}

fn balance_tile(balance: &Balance) -> Markup {
    let is_balanced = balance.is_balanced();
    html! {
        div class={ "tile " (if is_balanced { "good" } else { "bad" }) } {
            span.label { "accepted" }
            span.count { (number(balance.accepted)) }
            span.more {
                @if is_balanced { "✓ the books balance" }
                @else { "✗ the books do not balance; run " code { "goaround doctor" } }
            }
        }
    }
}
