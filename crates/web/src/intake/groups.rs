//! The groups of a bulk submission that are being made durable, and what came of those before.

use super::reader::{BadLine, Group, Reader};
use crate::problem::Problem;
use crate::site::Site;
use actix_web::HttpResponse;
use domain::ports::{Accepted, StoreError};
use domain::ticket::TicketId;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesOrdered;
use serde::Serialize;
use serde_json::json;

type Settled = (u64, u64, Result<Vec<Accepted>, StoreError>);

/// The groups that are being made durable, and what came of those before.
pub(super) struct InFlight<'a> {
    site: &'a Site,
    groups: FuturesOrdered<BoxFuture<'a, Settled>>,
    tally: Tally,
}

impl<'a> InFlight<'a> {
    /// What came of all lines, once nothing is out any more.
    pub(super) fn answer(
        self,
        reader: Reader,
        broken: Option<Problem>,
    ) -> Result<HttpResponse, Problem> {
        self.tally.answer(reader, broken)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn new(site: &'a Site) -> Self {
        Self {
            site,
            groups: FuturesOrdered::new(),
            tally: Tally::default(),
        }
    }

    /// Hands the full groups on, and the last one if it is the end; waits while too many are out.
    pub(super) async fn take(&mut self, reader: &mut Reader<'_>, is_end: bool) {
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
        let Group {
            tickets,
            first,
            last,
        } = group;
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

    pub(super) async fn one_ends(&mut self) {
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
            None => self.lost.push(BadLine {
                line: first,
                last_line: Some(last),
                error: why,
            }),
        }
        self.failed.get_or_insert(error);
    }

    fn answer(self, reader: Reader, broken: Option<Problem>) -> Result<HttpResponse, Problem> {
        let Self {
            accepted,
            known,
            ids,
            lost,
            failed,
        } = self;
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
