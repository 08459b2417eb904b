//! The server: routes behind the gate, and what every answer has in common.

use crate::config::Config;
use crate::gate::Gate;
use crate::problem::{Kind, Problem};
use crate::routes;
use crate::site::{Parts, Site};
use crate::viewer;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Server, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::{Compress, Next, from_fn};
use actix_web::web::{self, Data};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer, ResponseError as _};
use futures_util::FutureExt as _;
use std::io;
use std::net::TcpListener;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

/// Nothing but our own files, and nobody may put us into a frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    form-action 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Starts the server. It runs while the returned future is polled, and stops by its handle: no new
/// requests, then those at work have [`Limits::drain`](crate::Limits::drain) to end. Close
/// [`Parts::live`] first, so that live listeners do not make it wait.
///
/// # Errors
/// [`io::Error`] when the listener cannot be used.
pub async fn serve(listener: TcpListener, config: Config, parts: Parts) -> io::Result<Server> {
    let limits = config.limits.clone();
    let site = Data::new(Site::new(config, parts));
    let server = HttpServer::new(move || app(site.clone()))
        .workers(limits.threads)
        .max_connections(limits.connections_max)
        .client_request_timeout(limits.head_wait)
        .keep_alive(limits.keep_alive)
        .shutdown_timeout(limits.drain.as_secs())
        .disable_signals();
    Ok(server.listen(listener)?.run())
}

/// Everything that is served, behind the gate. Made once a thread.
pub(crate) fn app(
    site: Data<Site>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    App::new()
        .app_data(Data::from(Arc::clone(&site.gate)))
        .app_data(Data::new(site.parts.probes()))
        .app_data(site)
        .configure(routes::configure)
        .default_service(web::route().to(no_such_page))
        .wrap(from_fn(guard))
        .wrap(Compress::default())
}

async fn no_such_page(request: HttpRequest) -> HttpResponse {
    let path: String = request.path().chars().take(200).collect();
    let detail = format!("nothing is served at {path}; /openapi.json lists what is");
    let problem = Problem::not_found(detail);
    viewer::refusal(&request, &problem).unwrap_or_else(|| problem.error_response())
}

/// Asks the gate, keeps a panic from ending the connection without a word, and gives every answer
/// its headers.
pub(crate) async fn guard<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let gate = request.app_data::<Data<Gate>>().cloned();
    let admitted = match &gate {
        Some(gate) => gate.admit(request.request()),
        None => Err(Problem::new(Kind::Internal, "the server has no gate")),
    };
    let mut response = match admitted {
        Ok(()) => answered(request, next).await?,
        Err(problem) => {
            let refusal = viewer::refusal(request.request(), &problem)
                .unwrap_or_else(|| problem.error_response());
            request.into_response(refusal)
        }
    };
    protect(response.headers_mut());
    Ok(response)
}

async fn answered<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let path = request.path().to_owned();
    // What a panic leaves half done belongs to its request alone: the site only holds ports.
    match AssertUnwindSafe(next.call(request)).catch_unwind().await {
        Ok(response) => response.map(ServiceResponse::map_into_boxed_body),
        Err(_) => {
            tracing::error!(http.path = %path, "a request to {path} panicked and was answered 500");
            let why =
                "the request met a bug; nothing is known to have been changed, the log says more";
            Err(Problem::new(Kind::Internal, why).into())
        }
    }
}

pub(crate) fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is shown changes all the time and may be secret; only the named assets may be kept.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
