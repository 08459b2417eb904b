//! Where tickets come in: one at a time, or a stream of lines in groups.

mod groups;
mod reader;

use self::groups::InFlight;
use self::reader::Reader;
use crate::admission::Admission;
use crate::body::{self, Patience};
use crate::lines::Lines;
use crate::list::parameters;
use crate::problem::{Kind, Problem};
use crate::routes::{JSON, Route, Verb};
use crate::site::Site;
use actix_web::http::header;
use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::ports::Accepted;
use serde::Deserialize;
use serde_json::json;

const LINES: &str = "application/x-ndjson";
/// What `curl -d` says when nobody says otherwise; nothing else in it is a form.
const CURL: &str = "application/x-www-form-urlencoded";

pub(crate) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/api/v1/tickets",
    does: "Submits one ticket, which is answered with 201, or one a line, which is answered with \
        200 and the sum. What is answered as accepted is durable. Lines that cannot be read do not \
        stop the others. A body without a content type, or with the one that \
        curl -d sends, is read as one JSON ticket.",
    query: &["first_line"],
    takes: &[(JSON, "Submit"), (LINES, "Submit")],
    gives: (201, JSON, "Accepted"),
    also: &[(200, JSON, "Bulk")],
    serve: || web::to(submit),
}];

async fn submit(
    site: Data<Site>,
    request: HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Problem> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|it| it.to_str().ok()).unwrap_or(JSON);
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        "" | JSON | CURL => one(&site, &request, body).await,
        LINES | "application/jsonl" => many(&site, &request, body).await,
        _ => {
            let got: String = content_type.chars().take(80).collect();
            let detail = format!("content-type: expected {JSON} or {LINES}, got {got:?}");
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
    }
}

async fn one(site: &Site, request: &HttpRequest, body: Payload) -> Result<HttpResponse, Problem> {
    let patience = Patience {
        bytes_max: site.config.submission_bytes_max(),
        pause_max: site.config.limits.body_pause,
    };
    let text = body::whole(request, body, patience).await?;
    let ticket = Admission::of(site).read(&text)?;
    let answers = site.parts.desk.submit(vec![ticket]).await?;
    let (id, how) = match answers.first() {
        Some(Accepted::New(id)) => (id, "new"),
        Some(Accepted::Known(id)) => (id, "known"),
        None => return Err(Problem::new(Kind::Internal, "the desk gave no answer")),
    };
    let id = id.to_string();
    let location = format!("/api/v1/tickets/{id}");
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .json(json!({ "id": id, "accepted": how })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default = "first")]
    first_line: u64,
}

const fn first() -> u64 {
    1
}

async fn many(
    site: &Site,
    request: &HttpRequest,
    mut body: Payload,
) -> Result<HttpResponse, Problem> {
    let Asked { first_line } = parameters(request)?;
    let mut lines = Lines::new(site.config.submission_bytes_max());
    let mut reader = Reader::new(site, first_line);
    let mut desk = InFlight::new(site);
    let pause = site.config.limits.body_pause;
    let broken = loop {
        tokio::select! {
            () = desk.one_ends(), if !desk.is_empty() => {}
            piece = body::piece(&mut body, pause) => match piece {
                Ok(Some(piece)) => {
                    lines.feed(&piece, |line| reader.read(line));
                    desk.take(&mut reader, false).await;
                }
                Ok(None) => break None,
                Err(problem) => break Some(problem),
            }
        }
    };
    if broken.is_none() {
        lines.finish(|line| reader.read(line));
    }
    desk.take(&mut reader, true).await;
    while !desk.is_empty() {
        desk.one_ends().await;
    }
    desk.answer(reader, broken)
}
