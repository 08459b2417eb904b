//! `goaround submit`: one ticket, or one a line.

use super::failure::{Code, Failure};
use super::feed::{Feed, Lines};
use super::output::member;
use super::terminal::Terminal;
use super::text::visible;
use super::wait::Wait;
use crate::client::{Body, Client};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgGroup, Args, ValueEnum};
use domain::deadline::parse_deadline;
use domain::names::{FlowName, Key, Kind, StageName};
use domain::ticket::TicketId;
use domain::time::{BadTime, Timestamp, parse_duration};
use serde_json::{Map, Value as Json};
use std::fs::File;
use std::io::{Read, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The biggest payload that is read; no server takes more.
const PAYLOAD_BYTES_MAX: u64 = 64 << 20;

/// Submit a ticket, or one a line; prints the ids, which means that they are durable
#[derive(Args)]
#[command(before_help = "Example:\n  goaround submit --flow ci --payload hello --wait")]
#[command(groups = groups())]
pub(super) struct Submit {
    /// The flow that the ticket follows
    #[arg(long, value_name = "FLOW")]
    flow: Option<FlowName>,
    /// The stage it is for; with --flow, the one it begins at
    #[arg(long, value_name = "STAGE")]
    stage: Option<StageName>,
    /// What sort of work it is
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// What it is about
    #[arg(long, value_name = "KEY")]
    key: Option<Key>,
    /// Its id; submitting the same id again adds nothing
    #[arg(long, value_name = "UUID", conflicts_with = "jsonl")]
    id: Option<TicketId>,
    /// What it carries
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    payload: Option<String>,
    /// A file with what it carries
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// -: what it carries comes on standard input
    #[arg(value_name = "-", value_parser = ["-"])]
    stdin: Option<String>,
    /// What the payload is, for example application/json
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// By when its work must be done, after which it is worth nothing: a length of time from when
    /// it is accepted such as 30m, a date, whose whole day counts, or 2026-11-01T14:03:22Z
    #[arg(long, value_name = "TIME", value_parser = deadline)]
    deadline: Option<String>,
    /// A file with one ticket a line, as JSON; - reads standard input. Other flags fill what a
    /// line does not say
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// Wait until it has ended; exit 0 when done, 1 when dropped or parked, 6 on time-out
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Told::Name, value_name = "FORM")]
    output: Told,
}

/// The forms of what was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Told {
    /// Only the ids, one a line.
    Name,
    /// One JSON document.
    Json,
    /// A JSON document a line.
    Jsonl,
}

/// It must be said where a ticket goes, and what it carries can be said once.
fn groups() -> [ArgGroup; 2] {
    [
        ArgGroup::new("where")
            .args(["flow", "stage", "jsonl"])
            .multiple(true)
            .required(true),
        ArgGroup::new("what").args(["payload", "file", "stdin", "jsonl"]),
    ]
}

fn duration(text: &str) -> Result<Duration, BadTime> {
    parse_duration(text)
}

/// Looks whether a deadline can be read, so that a mistake is told without a server; what it means
/// is for the server to say, by the clock by which it is kept.
fn deadline(text: &str) -> Result<String, BadTime> {
    parse_deadline(text, Timestamp::EPOCH).map(|_| text.into())
}

impl Submit {
    pub(super) fn run(self, client: &Client, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        match &self.jsonl {
            Some(path) if path.as_os_str() == "-" => {
                self.many(Lines::new("stdin", stdin().lock(), None), client, terminal)?;
            }
            Some(path) => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|error| {
                    Failure::new(Code::Usage, format!("--jsonl: {name}: {error}"))
                })?;
                let size = file.metadata().ok().map(|metadata| metadata.len());
                self.many(Lines::new(&name, file, size), client, terminal)?;
            }
            None => self.one(client, terminal)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn one(&self, client: &Client, terminal: &Terminal<'_>) -> Result<(), Failure> {
        let mut ticket = self.said();
        if let Some(id) = self.id {
            ticket.insert("id".into(), id.to_string().into());
        }
        if let Some((field, payload)) = self.carried()? {
            ticket.insert(field.into(), payload.into());
        }
        let answer = client.post("tickets", Body::Json(&Json::Object(ticket).to_string()))?;
        let id = member(&answer, "id");
        match self.output {
            Told::Name => terminal.print(&id)?,
            Told::Json | Told::Jsonl => terminal.print(&answer.to_string())?,
        }
        if answer["accepted"] == "known" {
            terminal.note(&format!(
                "ticket {} was known already, so what was sent now was not taken; what it is: \
                 goaround ticket show {id}",
                visible(&id)
            ));
        }
        if !self.wait {
            return Ok(());
        }
        let mut wait = Wait::new(client, self.timeout);
        wait.until_ended(&id)?;
        wait.verdict()
    }

    fn many<R: Read>(
        &self,
        lines: Lines<R>,
        client: &Client,
        terminal: &Terminal<'_>,
    ) -> Result<(), Failure> {
        let feed = Feed::new(client, terminal, self.output, self.wait);
        let fed = feed.run(lines.filled(self.said()))?;
        if self.wait {
            let mut wait = Wait::new(client, self.timeout);
            for id in &fed.ids {
                wait.until_ended(&id.to_string())?;
            }
            wait.verdict()?;
        }
        fed.verdict(self.output)
    }

    /// What the flags say about every ticket.
    fn said(&self) -> Map<String, Json> {
        let said = [
            ("flow", self.flow.as_ref().map(ToString::to_string)),
            ("stage", self.stage.as_ref().map(ToString::to_string)),
            ("kind", self.kind.as_ref().map(ToString::to_string)),
            ("key", self.key.as_ref().map(ToString::to_string)),
            ("content_type", self.content_type.clone()),
            ("deadline", self.deadline.clone()),
        ];
        let said = said
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), Json::from(text?))));
        said.collect()
    }

    /// What the ticket carries, and as which field: bytes that are no text travel as base64.
    fn carried(&self) -> Result<Option<(&'static str, String)>, Failure> {
        let bytes = match (&self.payload, &self.file, &self.stdin) {
            (Some(text), ..) => text.clone().into_bytes(),
            (_, Some(path), _) => {
                let file = File::open(path);
                let read = file.and_then(|file| read(file, &path.display().to_string()));
                read.map_err(|error| {
                    Failure::new(Code::Usage, format!("--file: {}: {error}", path.display()))
                })?
            }
            (_, _, Some(_)) => read(stdin().lock(), "-")?,
            (None, None, None) => return Ok(None),
        };
        Ok(Some(match String::from_utf8(bytes) {
            Ok(text) => ("payload", text),
            Err(error) => ("payload_base64", STANDARD.encode(error.as_bytes())),
        }))
    }
}

fn read(from: impl Read, name: &str) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(PAYLOAD_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > PAYLOAD_BYTES_MAX {
        let message = format!("{name}: expected at most {PAYLOAD_BYTES_MAX} bytes, got more");
        return Err(std::io::Error::other(message));
    }
    Ok(bytes)
}
