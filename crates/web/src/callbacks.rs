//! How an outside event ends a pending wait.

use crate::body::{self, Patience};
use crate::orders;
use crate::problem::{Kind, Problem};
use crate::routes::{JSON, Route, Verb};
use crate::site::Site;
use crate::tickets::id_of;
use actix_web::web::{self, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::outcome::Outcome;
use domain::ports::Action;
use domain::ticket::Generation;
use wire::json::CallbackJson;

pub(crate) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/api/v1/callbacks/{ticket}/{generation}",
    does: "Ends a ticket's wait for an outside event. A call-back of an older generation changes \
        nothing and is refused.",
    query: &[],
    takes: &[(JSON, "Callback")],
    gives: (200, JSON, "Ticket"),
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
    let outcome = outcome(&text, site.config.payload_bytes_max)?;
    orders::answer(
        &site,
        &request,
        (ticket, Action::Complete(generation, outcome)),
    )
    .await
}

fn outcome(text: &[u8], limit: usize) -> Result<Outcome, Problem> {
    let callback = CallbackJson::parse(text).map_err(Problem::bad_request)?;
    let outcome = callback.outcome().map_err(Problem::bad_request)?;
    let size = match &outcome {
        Outcome::Done(done) => done
            .payload
            .as_ref()
            .map_or(0, |payload| payload.bytes.len()),
        _ => 0,
    };
    if size <= limit {
        return Ok(outcome);
    }
    let detail = format!("payload: expected at most {limit} bytes, got {size}");
    let problem = Problem::new(Kind::PayloadTooLarge, detail);
    Err(problem.with("limit", limit).with("size", size))
}
