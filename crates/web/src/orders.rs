//! What an operator wants to happen to a ticket.

use crate::body::{self, FORM_BYTES_MAX, Patience};
use crate::problem::{Kind, Problem};
use crate::routes::{JSON, Route, Verb};
use crate::site::Site;
use crate::tickets::{id_of, no_such};
use actix_web::http::header::HeaderName;
use actix_web::web::{self, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::books::Entry;
use domain::names::Holder;
use domain::ports::{Action, Answer, Order};
use domain::ticket::TicketId;
use wire::json::{DropJson, Extent, TicketJson};

/// Who gives an order, in the request's own words.
const BY: HeaderName = HeaderName::from_static("goaround-by");

const fn orders(
    path: &'static str,
    does: &'static str,
    takes: &'static [(&'static str, &'static str)],
    serve: fn() -> actix_web::Route,
) -> Route {
    Route {
        verb: Verb::Post,
        path,
        does,
        query: &[],
        takes,
        gives: (200, JSON, "Ticket"),
        also: &[],
        serve,
    }
}

pub(crate) const ROUTES: &[Route] = &[
    orders(
        "/api/v1/tickets/{id}/retry",
        "Runs a waiting ticket now rather than when its wait ends.",
        &[],
        || web::to(retry),
    ),
    orders(
        "/api/v1/tickets/{id}/cancel",
        "Stops a ticket wherever it is; it ends as dropped.",
        &[],
        || web::to(cancel),
    ),
    orders(
        "/api/v1/tickets/{id}/drop",
        "Gives a ticket up; it ends as dropped with this reason.",
        &[(JSON, "Drop")],
        || web::to(give_up),
    ),
];

async fn retry(
    site: Data<Site>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    answer(&site, &request, (id_of(&id)?, Action::Retry)).await
}

async fn cancel(
    site: Data<Site>,
    id: Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    answer(&site, &request, (id_of(&id)?, Action::Cancel)).await
}

async fn give_up(
    site: Data<Site>,
    id: Path<String>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    let ticket = id_of(&id)?;
    let text = body::whole(&request, body, small(&site)).await?;
    let DropJson { reason } = DropJson::parse(&text).map_err(Problem::bad_request)?;
    answer(&site, &request, (ticket, Action::Drop(reason))).await
}

pub(crate) fn small(site: &Site) -> Patience {
    Patience {
        bytes_max: FORM_BYTES_MAX,
        pause_max: site.config.limits.body_pause,
    }
}

/// Carries an order out and shows the ticket as it then is.
pub(crate) async fn answer(
    site: &Site,
    request: &HttpRequest,
    (ticket, action): (TicketId, Action),
) -> Result<HttpResponse, Problem> {
    let by = by(request)?;
    let entry = carry_out(site, ticket, action, by).await?;
    Ok(HttpResponse::Ok().json(TicketJson::new(&entry, Extent::Whole)))
}

pub(crate) fn by(request: &HttpRequest) -> Result<String, Problem> {
    let Some(value) = request.headers().get(BY) else {
        return Ok("api".into());
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    // Who gives an order is written into the books like who holds a ticket.
    let name = Holder::new(text.trim()).map_err(|bad| {
        Problem::bad_request(format!(
            "Goaround-By: expected {}, got {:?}",
            bad.expected, bad.got
        ))
    })?;
    Ok(name.to_string())
}

/// What cannot be carried out, and what would make it possible.
pub(crate) fn refused(why: String, remedy: String) -> Problem {
    Problem::new(Kind::Refused, format!("{why}; {remedy}"))
        .with("why", why)
        .with("remedy", remedy)
}

/// Carries an order out.
pub(crate) async fn carry_out(
    site: &Site,
    ticket: TicketId,
    action: Action,
    by: String,
) -> Result<Entry, Problem> {
    let order = Order {
        ticket,
        action,
        by,
        at: site.now(),
    };
    let mut answers = site.parts.desk.carry_out(vec![order]).await?;
    match answers.pop() {
        Some(Answer::Done(entry)) => Ok(*entry),
        Some(Answer::NotFound) => Err(no_such(ticket)),
        Some(Answer::Refused { why, remedy }) => Err(refused(why, remedy)),
        None => Err(Problem::new(Kind::Internal, "the desk gave no answer")),
    }
}
