//! What the interface promises and this version does not have yet. A client learns so by its own
//! problem type instead of by a 404 that it might take for a wrong id.

use crate::problem::{Kind, Problem};
use crate::routes::{JSON, Route, Verb};
use actix_web::web;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};

const fn later(verb: Verb, path: &'static str) -> Route {
    Route {
        verb,
        path,
        does: "Not available in this version: answers 501.",
        query: &[],
        takes: &[],
        gives: (501, JSON, "Problem"),
        also: &[],
        serve: || web::to(refuse),
    }
}

pub(crate) const ROUTES: &[Route] = &[
    later(Verb::Post, "/api/v1/tickets/{id}/reset"),
    later(Verb::Get, "/api/v1/groups"),
    later(Verb::Get, "/api/v1/groups/{id}"),
    later(Verb::Post, "/api/v1/groups/{id}/{action}"),
    later(Verb::Post, "/api/v1/stages/{stage}/pause"),
    later(Verb::Post, "/api/v1/stages/{stage}/resume"),
    later(Verb::Post, "/api/v1/stages/{stage}/limit"),
    later(Verb::Get, "/api/v1/incidents"),
    later(Verb::Get, "/api/v1/incidents/{id}"),
    later(Verb::Post, "/api/v1/incidents/{id}/{action}"),
    later(Verb::Post, "/api/v1/settle"),
];

async fn refuse(request: HttpRequest) -> HttpResponse {
    let path: String = request.path().chars().take(200).collect();
    let detail = format!(
        "{} {path} is not available in this version",
        request.method()
    );
    Problem::new(Kind::NotAvailable, detail).error_response()
}
