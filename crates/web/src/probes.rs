//! What machines ask: do you live, are you ready, how much of what.

use crate::routes::{Route, shows};
use crate::site::Probes;
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{self, Data};

const TEXT: &str = "text/plain; charset=utf-8";
/// The text format that Prometheus reads.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(crate) const ROUTES: &[Route] = &[
    Route {
        gives: (200, "text/plain", ""),
        ..shows("/livez", "Says whether the process lives.", "", || {
            web::to(live)
        })
    },
    Route {
        gives: (200, "text/plain", ""),
        ..shows(
            "/readyz",
            "Says whether requests can be served; 503 and why not.",
            "",
            || web::to(ready),
        )
    },
    Route {
        gives: (200, "text/plain", ""),
        ..shows("/metrics", "Shows the metrics.", "", || web::to(metrics))
    },
];

async fn live() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, TEXT))
        .body("ok\n")
}

async fn ready(probes: Data<Probes>) -> HttpResponse {
    let (mut response, said) = match (probes.ready)() {
        Ok(()) => (HttpResponse::Ok(), "ok\n".to_owned()),
        Err(why) => (
            HttpResponse::ServiceUnavailable(),
            format!("not ready: {why}\n"),
        ),
    };
    response
        .insert_header((header::CONTENT_TYPE, TEXT))
        .body(said)
}

async fn metrics(probes: Data<Probes>) -> HttpResponse {
    let page = (probes.metrics)().await;
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, METRICS))
        .body(page)
}
