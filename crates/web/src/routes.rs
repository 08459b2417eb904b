//! The one table of what is served. The router and the OpenAPI document are both made from it.

use crate::problem::{Kind, Problem};
use crate::{
    books, breakers, callbacks, doctor, events, intake, later, oopses, openapi, orders, plans,
    probes, stages, tickets, viewer,
};
use actix_web::guard::{self, Guard};
use actix_web::http::header;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError as _};
use std::collections::BTreeMap;

/// How a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
}

impl Verb {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
        }
    }

    /// Whoever may GET may ask for the head alone.
    fn guard(self) -> Box<dyn Guard> {
        match self {
            Self::Get => Box::new(guard::Any(guard::Get()).or(guard::Head())),
            Self::Post => Box::new(guard::Post()),
        }
    }

    const fn allow(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
        }
    }
}

/// The status, content type and schema of an answer; no schema is free text.
pub(crate) type Answer = (u16, &'static str, &'static str);

/// Something that is served.
pub(crate) struct Route {
    pub(crate) verb: Verb,
    pub(crate) path: &'static str,
    /// What it does, for the document.
    pub(crate) does: &'static str,
    /// The names of its query parameters.
    pub(crate) query: &'static [&'static str],
    /// The schema of its body, by content type.
    pub(crate) takes: &'static [(&'static str, &'static str)],
    /// Its good answer.
    pub(crate) gives: Answer,
    /// Its other good answers, each of another status.
    pub(crate) also: &'static [Answer],
    /// The handler.
    pub(crate) serve: fn() -> actix_web::Route,
}

/// A route that answers 200 with JSON of this schema and takes nothing.
pub(crate) const fn shows(
    path: &'static str,
    does: &'static str,
    schema: &'static str,
    serve: fn() -> actix_web::Route,
) -> Route {
    Route {
        verb: Verb::Get,
        path,
        does,
        query: &[],
        takes: &[],
        gives: (200, JSON, schema),
        also: &[],
        serve,
    }
}

pub(crate) const JSON: &str = "application/json";

/// Everything that is served.
pub(crate) fn all() -> impl Iterator<Item = &'static Route> {
    let tables: [&[Route]; 15] = [
        intake::ROUTES,
        tickets::ROUTES,
        orders::ROUTES,
        callbacks::ROUTES,
        oopses::ROUTES,
        stages::ROUTES,
        breakers::ROUTES,
        plans::ROUTES,
        books::ROUTES,
        events::ROUTES,
        doctor::ROUTES,
        later::ROUTES,
        openapi::ROUTES,
        probes::ROUTES,
        viewer::ROUTES,
    ];
    tables.into_iter().flatten()
}

/// Whether something is served at this path that is no part of the API: the probes, the metrics,
/// the API's own description, the first page. What other pages show has better calls in the API.
pub fn is_beside_api(path: &str) -> bool {
    all().any(|route| route.path == path && !path.starts_with("/api/"))
}

/// Puts the whole table into the router.
pub(crate) fn configure(service: &mut ServiceConfig) {
    put(all(), service);
}

/// Puts the probes alone into the router.
pub(crate) fn configure_probes(service: &mut ServiceConfig) {
    put(probes::ROUTES.iter(), service);
}

fn put(routes: impl Iterator<Item = &'static Route>, service: &mut ServiceConfig) {
    let mut by_path: BTreeMap<&str, Vec<&'static Route>> = BTreeMap::new();
    for route in routes {
        by_path.entry(route.path).or_default().push(route);
    }
    for (path, routes) in by_path {
        let allow: Vec<&str> = routes.iter().map(|route| route.verb.allow()).collect();
        let allow = allow.join(", ");
        let refuse = move |request: HttpRequest| {
            let allow = allow.clone();
            async move { not_so(&request, &allow) }
        };
        let mut resource = web::resource(path).default_service(web::route().to(refuse));
        for route in routes {
            resource = resource.route((route.serve)().guard(Held(route.verb.guard())));
        }
        service.service(resource);
    }
}

struct Held(Box<dyn Guard>);

impl Guard for Held {
    fn check(&self, context: &guard::GuardContext<'_>) -> bool {
        self.0.check(context)
    }
}

fn not_so(request: &HttpRequest, allow: &str) -> HttpResponse {
    let method: String = request.method().as_str().chars().take(20).collect();
    let detail = format!("expected {allow} at {}, got {method}", request.path());
    let problem = Problem::new(Kind::MethodNotAllowed, detail);
    let page = crate::viewer::refusal(request, &problem);
    let mut response = page.unwrap_or_else(|| problem.error_response());
    if let Ok(value) = header::HeaderValue::from_str(allow) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}
