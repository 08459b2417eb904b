//! Feeding a file of tickets to the server: several requests in flight, memory bounded, every bad
//! line named, all others accepted.

mod lines;

pub(super) use lines::Lines;

use super::failure::{Code, Failure};
use super::output::as_text;
use super::submit::Told;
use super::terminal::Terminal;
use super::text::visible;
use crate::client::{Body, CallError, Client};
use domain::ticket::TicketId;
use indicatif::{ProgressBar, ProgressStyle};
use lines::Chunk;
use serde_json::{Value as Json, json};
use std::collections::VecDeque;
use std::io::Read;
use std::ops::RangeInclusive;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

/// How many requests are in flight: while one is made durable the next is on its way.
const IN_FLIGHT: usize = 2;
/// How many bad lines a program is told of; the others are counted.
const ERRORS_LISTED_MAX: usize = 1_000;
/// How many bad lines an answer of the server lists; of more nobody knows which they are.
const ERRORS_ANSWERED_MAX: u64 = 1_000;
/// How many ids the JSON sum lists, at about eighty bytes each; the others are counted.
const IDS_LISTED_MAX: usize = 1_000_000;
/// How many ids are remembered to wait for, at sixteen bytes each.
const WAITED_MAX: usize = 4_000_000;

/// Feeds lines to the server.
pub(super) struct Feed<'a> {
    client: &'a Client,
    terminal: &'a Terminal<'a>,
    told: Told,
    keeps_ids: bool,
    progress: ProgressBar,
    name: String,
    fed: Fed,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Fed {
    /// The tickets, if somebody wants to wait for them.
    pub(super) ids: Vec<TicketId>,
    accepted: u64,
    known: u64,
    bad: u64,
    errors: Vec<Json>,
    listed: Vec<Json>,
    listed_more: u64,
    name: String,
}

impl Fed {
    /// Whether all lines were accepted.
    ///
    /// # Errors
    /// When a line was not.
    pub(super) fn verdict(self, told: Told) -> Result<(), Failure> {
        match self.bad {
            0 => Ok(()),
            bad => {
                let good = self.accepted + self.known;
                let message = format!("{}: {bad} lines were not accepted, {good} were", self.name);
                let failure = Failure::new(Code::Failed, message);
                Err(match told {
                    Told::Jsonl => failure.with_errors(self.errors),
                    // The sum on standard output has them.
                    Told::Json | Told::Name => failure,
                })
            }
        }
    }
}

type Answer = (Chunk, Result<Json, CallError>);

/// A thread that sends chunks, one after the other.
struct Sender {
    chunks: SyncSender<Chunk>,
    answers: Receiver<Answer>,
}

impl Sender {
    /// Starts the thread; it ends when nobody hands it chunks or wants its answers any more.
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, client: &'scope Client) -> Self {
        let (chunks, to_send) = sync_channel::<Chunk>(1);
        let (answered, answers) = sync_channel(1);
        scope.spawn(move || {
            for chunk in to_send {
                let answer = send(client, &chunk);
                if answered.send((chunk, answer)).is_err() {
                    return;
                }
            }
        });
        Self { chunks, answers }
    }
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        client: &'a Client,
        terminal: &'a Terminal<'a>,
        told: Told,
        keeps_ids: bool,
    ) -> Self {
        Self {
            client,
            terminal,
            told,
            keeps_ids,
            progress: ProgressBar::hidden(),
            name: String::new(),
            fed: Fed::default(),
        }
    }

    /// Feeds all lines, and prints the ids in the order of the file.
    pub(super) fn run<R: Read>(mut self, mut lines: Lines<R>) -> Result<Fed, Failure> {
        self.name.clone_from(&lines.name);
        self.fed.name.clone_from(&lines.name);
        if self.terminal.draws_progress() {
            self.progress = progress(lines.size);
        }
        let client = self.client;
        if self.keeps_errors() {
            lines.keep_to(ERRORS_ANSWERED_MAX);
        }
        let fed = std::thread::scope(|scope| {
            let senders = (0..IN_FLIGHT).map(|_| Sender::start(scope, client));
            let senders: Vec<Sender> = senders.collect();
            self.feed(&mut lines, &senders)
        });
        self.progress.finish_and_clear();
        self.sum_up()?;
        match fed {
            Ok(()) => Ok(self.fed),
            Err(failure) if self.told == Told::Jsonl => Err(failure.with_errors(self.fed.errors)),
            Err(failure) => Err(failure),
        }
    }

    /// Whether bad lines are told together at the end: a program reads one document, not lines
    /// for people.
    fn keeps_errors(&self) -> bool {
        matches!(self.told, Told::Json | Told::Jsonl)
    }

    /// Chunk `n` goes to sender `n % IN_FLIGHT`, after that sender's last answer was taken; so
    /// answers come in the order of the file, and never more are held than are in flight.
    fn feed<R: Read>(&mut self, lines: &mut Lines<R>, senders: &[Sender]) -> Result<(), Failure> {
        let mut in_flight = VecDeque::with_capacity(IN_FLIGHT);
        let mut failed = None;
        for sender in senders.iter().cycle() {
            if in_flight.len() == IN_FLIGHT {
                failed = self.take(&mut in_flight)?;
            }
            if failed.is_some() {
                break;
            }
            match lines.chunk() {
                Ok(Some(chunk)) => sender.chunks.send(chunk).map_err(|_| lost())?,
                Ok(None) => break,
                Err(error) => {
                    let message = format!("{}: {error}", lines.name);
                    failed = Some(Failure::new(Code::Failed, message));
                    break;
                }
            }
            in_flight.push_back(sender);
        }
        // What is in flight is not abandoned: its tickets may be accepted.
        while !in_flight.is_empty() {
            let later = self.take(&mut in_flight)?;
            failed = failed.or(later);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Tells what came of the oldest chunk in flight; the failure is why no further one can be
    /// sent.
    fn take(&mut self, in_flight: &mut VecDeque<&Sender>) -> Result<Option<Failure>, Failure> {
        let Some(sender) = in_flight.pop_front() else {
            return Ok(None);
        };
        let (chunk, answer) = sender.answers.recv().map_err(|_| lost())?;
        for (line, why) in &chunk.unsent {
            self.complain(*line, *line, why);
        }
        let failure = match answer {
            Ok(answer) => {
                self.count(&answer, &chunk)?;
                None
            }
            Err(error) => Some(self.broken(error, &chunk)?),
        };
        self.progress.inc(chunk.size);
        let (accepted, known) = (self.fed.accepted, self.fed.known);
        self.progress
            .set_message(format!("{} accepted", accepted + known));
        Ok(failure)
    }

    fn count(&mut self, answer: &Json, chunk: &Chunk) -> Result<(), Failure> {
        self.fed.accepted += answer["accepted"].as_u64().unwrap_or(0);
        self.fed.known += answer["known"].as_u64().unwrap_or(0);
        let list = |name: &str| answer[name].as_array().map_or(&[][..], Vec::as_slice);
        self.tell(list("ids"))?;
        let mut bad: Vec<RangeInclusive<u64>> = Vec::new();
        for error in list("errors") {
            let first = error["line"].as_u64().unwrap_or(chunk.first);
            let last = error["last_line"].as_u64().unwrap_or(first);
            bad.push(first..=last);
            self.complain(first, last, &as_text(&error["error"]));
        }
        if self.told == Told::Json {
            self.list(list("ids"), &bad, chunk);
        }
        if let Some(more @ 1..) = answer["errors_more"].as_u64() {
            self.fed.bad += more;
            let lines = format!("{}:{}..{}", self.name, chunk.first, chunk.last);
            self.note(&format!("{lines}: {more} more lines were not accepted"));
        }
        Ok(())
    }

    /// Lists the id of each line that is no blank one, nothing for one that was not accepted.
    fn list(&mut self, ids: &[Json], bad: &[RangeInclusive<u64>], chunk: &Chunk) {
        let mut ids = ids.iter();
        for (number, line) in (chunk.first..).zip(chunk.bytes.split_inclusive(|it| *it == b'\n')) {
            // A line that could not be sent is blank by now.
            let is_unsent = chunk.unsent.iter().any(|(unsent, _)| *unsent == number);
            if line.trim_ascii().is_empty() && !is_unsent {
                continue;
            }
            let is_bad = is_unsent || bad.iter().any(|range| range.contains(&number));
            let id = match is_bad {
                true => Json::Null,
                false => match ids.next() {
                    Some(id) => id.clone(),
                    // The request ended in the middle, and nobody knows what became of the rest.
                    None => return,
                },
            };
            match self.fed.listed.len() {
                ..IDS_LISTED_MAX => self.fed.listed.push(id),
                _ => self.fed.listed_more += 1,
            }
        }
    }

    /// What was accepted before the request failed is told all the same.
    fn broken(&mut self, error: CallError, chunk: &Chunk) -> Result<Failure, Failure> {
        let is_unsure = matches!(
            error,
            CallError::Unanswered { .. } | CallError::TimedOut { .. }
        );
        if let CallError::Problem(problem) = &error {
            self.count(&problem.members.clone(), chunk)?;
        }
        let lines = format!("{}:{}..{}", self.name, chunk.first, chunk.last);
        let so_far = match is_unsure {
            true => "these lines may or may not have been accepted",
            false => "these lines were not all accepted",
        };
        let failure = Failure::from(error);
        let Failure::Told {
            code,
            message,
            remedy,
            ..
        } = failure
        else {
            return Ok(failure);
        };
        let advice = "lines with an id of their own may be sent again without harm";
        let remedy = remedy.map_or(advice.to_owned(), |remedy| format!("{remedy}; {advice}"));
        let message = format!("{lines}: {message}; {so_far}, those before them were");
        Ok(Failure::new(code, message).with_remedy(remedy))
    }

    fn tell(&mut self, ids: &[Json]) -> Result<(), Failure> {
        let texts = || ids.iter().filter_map(Json::as_str);
        if self.keeps_ids && self.fed.ids.len() < WAITED_MAX {
            self.fed
                .ids
                .extend(texts().filter_map(|id| id.parse::<TicketId>().ok()));
        }
        let lines: Vec<String> = match self.told {
            Told::Name => texts().map(visible).collect(),
            Told::Jsonl => texts().map(|id| json!({ "id": id }).to_string()).collect(),
            Told::Json => Vec::new(),
        };
        if lines.is_empty() {
            return Ok(());
        }
        self.progress
            .suspend(|| self.terminal.print(&lines.join("\n")))
    }

    fn complain(&mut self, first: u64, last: u64, why: &str) {
        self.fed.bad += last - first + 1;
        if self.keeps_errors() {
            if self.fed.errors.len() < ERRORS_LISTED_MAX {
                let error = json!({ "line": first, "last_line": last, "error": why });
                self.fed.errors.push(error);
            }
            return;
        }
        let range = if first == last {
            first.to_string()
        } else {
            format!("{first}..{last}")
        };
        self.note(&format!("{}:{range}: {}", self.name, visible(why)));
    }

    fn note(&self, text: &str) {
        self.progress.suspend(|| self.terminal.note(text));
    }

    fn sum_up(&self) -> Result<(), Failure> {
        let Fed {
            accepted,
            known,
            bad,
            errors,
            listed,
            listed_more,
            ..
        } = &self.fed;
        if self.told == Told::Json {
            let sum = json!({
                "accepted": accepted, "known": known, "refused": bad, "ids": listed,
                "ids_more": listed_more, "errors": errors,
            });
            return self.terminal.print(&sum.to_string());
        }
        if self.told == Told::Name {
            self.terminal.note(&format!(
                "{}: {accepted} accepted, {known} known already, {bad} not accepted",
                self.name
            ));
        }
        Ok(())
    }
}

fn send(client: &Client, chunk: &Chunk) -> Result<Json, CallError> {
    let path = format!("tickets?first_line={}", chunk.first);
    client.post(&path, Body::Lines(&chunk.bytes))
}

/// A sender only ends early by a panic, which has been told already.
fn lost() -> Failure {
    Failure::new(Code::Failed, "a thread that sends lines has died")
}

fn progress(size: Option<u64>) -> ProgressBar {
    let (progress, template) = match size {
        Some(size) => (
            ProgressBar::new(size),
            "{bar:30} {percent:>3}%  {msg}  {elapsed}, {eta} left",
        ),
        None => (ProgressBar::new_spinner(), "{bytes}  {msg}  {elapsed}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => progress.with_style(style),
        Err(_) => progress,
    }
}
