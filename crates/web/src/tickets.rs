//! Tickets, for reading.

use crate::list::{self, listing};
use crate::problem::Problem;
use crate::routes::{Route, shows};
use crate::site::Site;
use crate::stalled::Stalled;
use actix_web::web::{self, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use domain::books::{Entry, Line};
use domain::control::Snapshot;
use domain::deadline;
use domain::explain::{Explanation, explain, held_by};
use domain::filter::Rows;
use domain::ports::Tripped;
use domain::ticket::TicketId;
use serde::Serialize;
use serde_json::json;
use wire::json::{ExplainJson, Extent, LineJson, TicketJson};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        query: list::PARAMETERS,
        ..shows(
            "/api/v1/tickets",
            "Lists tickets; long payloads are cut.",
            "Tickets",
            || web::to(index),
        )
    },
    shows(
        "/api/v1/tickets/{id}",
        "Shows a ticket, whole.",
        "Ticket",
        || web::to(show),
    ),
    shows(
        "/api/v1/tickets/{id}/explain",
        "Says why a ticket is where it is, and what happens next.",
        "Explain",
        || web::to(why),
    ),
    shows(
        "/api/v1/tickets/{id}/history",
        "Lists what happened to a ticket, oldest first.",
        "History",
        || web::to(history),
    ),
];

/// A list, whose payloads stand in it letter by letter.
#[derive(Serialize)]
struct Shown {
    items: Vec<TicketJson>,
    more: bool,
}

async fn index(site: Data<Site>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let page = site
        .parts
        .catalog
        .tickets(listing(&request, Rows::Tickets, site.now())?)
        .await?;
    let items: Vec<TicketJson> = page
        .rows
        .iter()
        .map(|entry| TicketJson::new(entry, Extent::Cut))
        .collect();
    let more = page.more;
    Ok(HttpResponse::Ok().json(Shown { items, more }))
}

async fn show(site: Data<Site>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let entry = find(&site, &id).await?;
    Ok(HttpResponse::Ok().json(TicketJson::new(&entry, Extent::Whole)))
}

async fn why(site: Data<Site>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let entry = find(&site, &id).await?;
    let (explanation, _) = explained(&site, &entry).await?;
    Ok(HttpResponse::Ok().json(ExplainJson::new(&explanation)))
}

async fn history(site: Data<Site>, id: Path<String>) -> Result<HttpResponse, Problem> {
    let entry = find(&site, &id).await?;
    let lines = site.parts.catalog.history(entry.ticket.id()).await?;
    let items: Vec<LineJson> = lines.iter().map(LineJson::new).collect();
    Ok(HttpResponse::Ok().json(json!({ "items": items })))
}

/// Reads a ticket's id in any spelling.
pub(crate) fn id_of(text: &str) -> Result<TicketId, Problem> {
    text.parse().map_err(Problem::bad_request)
}

/// The ticket of this id.
pub(crate) async fn find(site: &Site, id: &str) -> Result<Entry, Problem> {
    let id = id_of(id)?;
    site.parts
        .catalog
        .ticket(id)
        .await?
        .ok_or_else(|| no_such(id))
}

pub(crate) fn no_such(id: TicketId) -> Problem {
    Problem::not_found(format!(
        "no ticket has the id {id}; it was never accepted here, or it ended so long ago that it \
        was forgotten"
    ))
}

/// Why a ticket is where it is, and its whole history.
pub(crate) async fn explained(
    site: &Site,
    entry: &Entry,
) -> Result<(Explanation, Vec<Line>), Problem> {
    let history = site.parts.catalog.history(entry.ticket.id()).await?;
    let snapshot = site.parts.catalog.snapshot().await?;
    let now = site.now();
    let mut explanation = explain(entry, &history, &site.parts.flows, &snapshot, now);
    // What a breaker knows is when its tickets are tried again: one that is too late is not.
    let is_tried_again =
        !entry.place.state().is_terminal() && !deadline::has_passed(&entry.ticket, now);
    if is_tried_again {
        let stage = Some(entry.ticket.stage.clone());
        let tripped = site.parts.plans.tripped(stage).await?;
        let stalled = Stalled::of(site, &tripped).await?;
        explanation = by_breakers(explanation, entry, (&snapshot, &tripped, &stalled));
    }
    Ok((explanation, history))
}

/// The same with what the breakers of its stage know of it.
fn by_breakers(
    explanation: Explanation,
    entry: &Entry,
    (snapshot, tripped, stalled): (&Snapshot, &[Tripped], &Stalled),
) -> Explanation {
    let ticket = entry.ticket.id();
    let is_tried = |it: &&Tripped| {
        let canary = it.breaker.canary().and_then(|canary| canary.name);
        canary.is_some_and(|name| name.ticket == ticket)
    };
    if let Some(it) = tripped.iter().find(is_tried) {
        return explanation.as_canary(&it.breaker);
    }
    let scope = held_by(entry, snapshot);
    let Some(it) = tripped.iter().find(|it| Some(it.breaker.scope) == scope) else {
        return explanation;
    };
    let explanation = explanation.with_breaker(&it.breaker, &it.value);
    match it.behind(tripped) {
        Some(stage) => explanation.behind(&it.breaker, stage),
        None => match stalled.find(it) {
            Some(rest) => rest.explain(explanation),
            None => explanation,
        },
    }
}
