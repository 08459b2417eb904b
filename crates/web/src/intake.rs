//! Where tickets come in: one at a time, or a stream of lines in groups.

use crate::admission::{Admission, Refusal};
use crate::body::{self, Patience};
use crate::lines::{Line, Lines};
use crate::list::parameters;
use crate::problem::{Kind, Problem};
use crate::routes::{JSON, Route, Verb};
use crate::site::Site;
use actix_web::http::header;
use actix_web::web::{self, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use domain::ports::{Accepted, StoreError};
use domain::ticket::{Ticket, TicketId};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use serde::{Deserialize, Serialize};
use serde_json::json;

const LINES: &str = "application/x-ndjson";

pub(crate) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/api/v1/tickets",
    does: "Submits one ticket, or one a line. What is answered as accepted is durable. Lines that \
        cannot be read do not stop the others.",
    query: &["first_line"],
    takes: &[(JSON, "Submit"), (LINES, "Submit")],
    gives: (201, JSON, "Accepted"),
    serve: || web::post().to(submit),
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
        JSON => one(&site, &request, body).await,
        LINES | "application/jsonl" => many(&site, &request, body).await,
        _ => {
            let got: String = content_type.chars().take(80).collect();
            let detail = format!("content-type: expected {JSON} or {LINES}, got {got:?}");
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
    }
}

fn admission(site: &Site) -> Admission<'_> {
    Admission {
        flows: &site.parts.flows,
        clock: site.parts.clock.as_ref(),
        now: site.now(),
        payload_bytes_max: site.config.payload_bytes_max,
    }
}

async fn one(site: &Site, request: &HttpRequest, body: Payload) -> Result<HttpResponse, Problem> {
    let patience = Patience {
        bytes_max: site.config.submission_bytes_max(),
        pause_max: site.config.limits.body_pause,
    };
    let text = body::whole(request, body, patience).await?;
    let ticket = admission(site).read(&text)?;
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
            () = desk.one_ends(), if !desk.groups.is_empty() => {}
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
    while !desk.groups.is_empty() {
        desk.one_ends().await;
    }
    let InFlight { tally, .. } = desk;
    tally.answer(reader, broken)
}

/// Lines that become durable together.
#[derive(Default)]
struct Group {
    tickets: Vec<Ticket>,
    first: u64,
    last: u64,
}

/// Makes tickets of lines, and groups of tickets.
struct Reader<'a> {
    admission: Admission<'a>,
    site: &'a Site,
    line: u64,
    lines_left: u64,
    group: Group,
    full: Vec<Group>,
    errors: Vec<BadLine>,
    errors_more: u64,
}

/// A line, or lines, that did not become tickets.
#[derive(Debug, Serialize)]
struct BadLine {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_line: Option<u64>,
    error: String,
}

impl<'a> Reader<'a> {
    fn new(site: &'a Site, first_line: u64) -> Self {
        Self {
            admission: admission(site),
            site,
            line: first_line,
            lines_left: site.config.limits.lines_max,
            group: Group::default(),
            full: Vec::new(),
            errors: Vec::new(),
            errors_more: 0,
        }
    }

    fn read(&mut self, line: Line) {
        let at = self.line;
        self.line += 1;
        if self.lines_left == 0 {
            return self.too_many(at);
        }
        self.lines_left -= 1;
        let made = match line {
            Line::Text(text) if text.trim_ascii().is_empty() => return,
            Line::Text(text) => self.admission.read(text),
            Line::TooLong(size) => {
                Err(Refusal::TooLarge { size, limit: self.admission.payload_bytes_max })
            }
        };
        match made {
            Ok(ticket) => self.gather(ticket, at),
            Err(refusal) => self.complain(BadLine {
                line: at,
                last_line: None,
                error: refusal.to_string(),
            }),
        }
    }

    fn gather(&mut self, ticket: Ticket, at: u64) {
        let lines_max = self.site.config.limits.group_lines;
        if self.group.tickets.is_empty() {
            self.group = Group { tickets: Vec::with_capacity(lines_max), first: at, last: at };
            self.admission.now = self.site.now();
        }
        self.group.last = at;
        self.group.tickets.push(ticket);
        if self.group.tickets.len() >= lines_max {
            self.full.push(std::mem::take(&mut self.group));
        }
    }

    fn complain(&mut self, bad: BadLine) {
        match self.errors.len() < self.site.config.limits.errors_max {
            true => self.errors.push(bad),
            false => self.errors_more += 1,
        }
    }

    /// One error for all lines past the bound; it is listed even when the list is full.
    fn too_many(&mut self, at: u64) {
        let max = self.site.config.limits.lines_max;
        let error = format!("not read: expected at most {max} lines in one request; send the rest in another");
        match self.errors.last_mut().filter(|bad| bad.error == error) {
            Some(bad) => bad.last_line = Some(at),
            None => self.errors.push(BadLine { line: at, last_line: None, error }),
        }
    }
}

type Settled = (u64, u64, Result<Vec<Accepted>, StoreError>);

/// The groups that are being made durable, and what came of those before.
struct InFlight<'a> {
    site: &'a Site,
    groups: FuturesOrdered<BoxFuture<'a, Settled>>,
    tally: Tally,
}

impl<'a> InFlight<'a> {
    fn new(site: &'a Site) -> Self {
        Self { site, groups: FuturesOrdered::new(), tally: Tally::default() }
    }

    /// Hands the full groups on, and the last one if it is the end; waits while too many are out.
    async fn take(&mut self, reader: &mut Reader<'_>, is_end: bool) {
        if is_end && !reader.group.tickets.is_empty() {
            reader.full.push(std::mem::take(&mut reader.group));
        }
        for group in std::mem::take(&mut reader.full) {
            while self.groups.len() >= self.site.config.limits.groups_in_flight {
                self.one_ends().await;
            }
            self.hand_on(group);
        }
    }

    /// After the first group that is not durable none is tried: the client is told which are not.
    fn hand_on(&mut self, group: Group) {
        let Group { tickets, first, last } = group;
        match &self.tally.failed {
            Some(error) => self.tally.lose(first, last, error.clone()),
            None => {
                let desk = &self.site.parts.desk;
                self.groups.push_back(Box::pin(async move {
                    (first, last, desk.submit(tickets).await)
                }));
            }
        }
    }

    async fn one_ends(&mut self) {
        match self.groups.next().await {
            Some((_, _, Ok(answers))) => self.tally.count(&answers),
            Some((first, last, Err(error))) => self.tally.lose(first, last, error),
            None => {}
        }
    }
}

/// What came of the lines.
#[derive(Default)]
struct Tally {
    accepted: u64,
    known: u64,
    ids: Vec<TicketId>,
    lost: Vec<BadLine>,
    failed: Option<StoreError>,
}

impl Tally {
    fn count(&mut self, answers: &[Accepted]) {
        for answer in answers {
            match answer {
                Accepted::New(id) => {
                    self.accepted += 1;
                    self.ids.push(*id);
                }
                Accepted::Known(id) => {
                    self.known += 1;
                    self.ids.push(*id);
                }
            }
        }
    }

    /// Neighbouring lines that were lost for one reason are one entry.
    fn lose(&mut self, first: u64, last: u64, error: StoreError) {
        let why = format!("not accepted: {error}");
        match self.lost.last_mut().filter(|bad| bad.error == why) {
            Some(bad) => bad.last_line = Some(last),
            None => self.lost.push(BadLine { line: first, last_line: Some(last), error: why }),
        }
        self.failed.get_or_insert(error);
    }

    fn answer(self, reader: Reader, broken: Option<Problem>) -> Result<HttpResponse, Problem> {
        let Self { accepted, known, ids, lost, failed } = self;
        let errors: Vec<BadLine> = lost.into_iter().chain(reader.errors).collect();
        let answer = Bulk {
            accepted,
            known,
            ids: ids.iter().map(ToString::to_string).collect(),
            errors,
            errors_more: reader.errors_more,
            last_line: reader.line - 1,
        };
        match failed.map(Problem::from).or(broken) {
            None => Ok(HttpResponse::Ok().json(answer)),
            Some(problem) => Err(answer.inside(problem)),
        }
    }
}

/// The answer to a stream of lines.
#[derive(Serialize)]
struct Bulk {
    accepted: u64,
    known: u64,
    ids: Vec<String>,
    errors: Vec<BadLine>,
    errors_more: u64,
    last_line: u64,
}

impl Bulk {
    /// What was accepted before the problem stays accepted, so the problem tells it too.
    fn inside(self, problem: Problem) -> Problem {
        problem
            .with("accepted", self.accepted)
            .with("known", self.known)
            .with("ids", self.ids)
            .with("errors", json!(self.errors))
            .with("errors_more", self.errors_more)
            .with("last_line", self.last_line)
    }
}
