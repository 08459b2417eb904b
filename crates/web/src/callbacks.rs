//! What an outside event tells a pending wait: that it has started, or how it has ended.

use crate::body::{self, Patience};
use crate::orders;
use crate::problem::{Kind, Problem};
use crate::routes::{JSON, Route, Verb};
use crate::site::Site;
use crate::tickets::id_of;
use actix_web::web::{self, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::books::{Fact, Line, Place};
use domain::outcome::{Outcome, OutcomeKind};
use domain::ports::Action;
use domain::ticket::{Generation, Name, TicketId};
use wire::json::{CallbackJson, Called};

pub(crate) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/api/v1/callbacks/{ticket}/{generation}",
    does: "Ends a ticket's wait for an outside event, or says with the outcome `started` that the \
        event has begun, if that is waited for. A call-back of an older generation changes nothing \
        and is refused; one that comes before the attempt has ended is asked to come again.",
    query: &[],
    takes: &[(JSON, "Callback")],
    gives: (200, JSON, "Ticket"),
    also: &[],
    serve: || web::to(complete),
}];

async fn complete(
    site: Data<Site>,
    path: Path<(String, String)>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    let (ticket, generation) = path.into_inner();
    let ticket = id_of(&ticket)?;
    let generation = generation.parse().map(Generation).map_err(|_| {
        let got: String = generation.chars().take(40).collect();
        Problem::bad_request(format!("generation: expected a number, got {got:?}"))
    })?;
    let patience = Patience {
        bytes_max: site.config.submission_bytes_max(),
        pause_max: site.config.limits.body_pause,
    };
    let text = body::whole(&request, body, patience).await?;
    let action = match said(&text, site.config.payload_bytes_max)? {
        Called::Started => Action::Start(generation),
        Called::Ended(outcome) => Action::Complete(generation, outcome),
    };
    must_not_be_early(&site, ticket, generation).await?;
    orders::answer(&site, &request, (ticket, action)).await
}

/// Whoever was told of the call-back's address by a handler may be quicker than the end of its
/// attempt, and then comes again. Looked at before the order is given: an attempt that ends in
/// between makes it come once more than needed, and nothing worse.
async fn must_not_be_early(
    site: &Site,
    ticket: TicketId,
    generation: Generation,
) -> Result<(), Problem> {
    let Some(entry) = site.parts.catalog.ticket(ticket).await? else {
        return Ok(());
    };
    let is_at_work = matches!(entry.place, Place::Runnable { .. } | Place::Running { .. });
    if !is_at_work || entry.ticket.name.generation != generation {
        return Ok(());
    }
    let history = site.parts.catalog.history(ticket).await?;
    if history
        .iter()
        .any(|line| has_waited(line, &entry.ticket.name))
    {
        return Ok(());
    }
    let state = entry.place.state();
    Err(Problem::new(
        Kind::TooEarly,
        format!(
            "the call-back came too early: the attempt has not ended yet (the ticket is {state}); send it again"
        ),
    ))
}

/// Whether an attempt before this one has given the same address away and waited for its call-back,
/// which may have come twice. It must not be asked to come again, and end another's wait.
fn has_waited(line: &Line, now: &Name) -> bool {
    let outcome = match &line.fact {
        Fact::Attempted { outcome, .. } => Some(*outcome),
        Fact::Noted { .. } => None,
    };
    let before = (line.name.hop, line.name.attempt) < (now.hop, now.attempt);
    outcome == Some(OutcomeKind::Pending) && line.name.generation == now.generation && before
}

fn said(text: &[u8], limit: usize) -> Result<Called, Problem> {
    let callback = CallbackJson::parse(text).map_err(Problem::bad_request)?;
    let called = callback.says().map_err(Problem::bad_request)?;
    let size = match &called {
        Called::Ended(Outcome::Done(done)) => done
            .payload
            .as_ref()
            .map_or(0, |payload| payload.bytes.len()),
        _ => 0,
    };
    if size <= limit {
        return Ok(called);
    }
    let detail = format!("payload: expected at most {limit} bytes, got {size}");
    let problem = Problem::new(Kind::PayloadTooLarge, detail);
    Err(problem.with("limit", limit).with("size", size))
}
