//! `goaround ticket`: what tickets there are, why they are where they are, and what may be done.

mod history;

use super::act::{Action, Selection};
use super::failure::{Code, Failure};
use super::list::List;
use super::output::{Column, Form, as_text, member, print_facts};
use super::plan::{self, Terms};
use super::table::Table;
use super::terminal::Terminal;
use super::text::visible_lines;
use crate::client::Client;
use clap::{Args, Subcommand};
use domain::filter::Rows;
use domain::ticket::TicketId;
use history::History;
use serde_json::Value as Json;
use std::process::ExitCode;

/// Look at tickets, and act on them
#[derive(Args)]
#[command(before_help = "Example:\n  goaround ticket list --filter is:waiting")]
#[command(disable_help_subcommand = true)]
pub(super) struct Tickets {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Tickets that match
    #[command(before_help = "Example:\n  goaround ticket list --filter 'is:waiting stage:build'")]
    List(List),
    /// One ticket, with all that is known of it
    #[command(before_help = EXAMPLE_SHOW)]
    Show(One),
    /// Why a ticket is where it is, and what happens next
    #[command(before_help = EXAMPLE_EXPLAIN)]
    Explain(One),
    /// Everything that happened to a ticket, oldest first
    #[command(before_help = EXAMPLE_HISTORY)]
    History(History),
    /// Try again now, whatever the ticket waits for; many at a time by a release plan
    #[command(before_help = EXAMPLE_RETRY)]
    Retry(Retry),
    /// Take back: it is not worked on any more
    #[command(before_help = EXAMPLE_CANCEL)]
    Cancel(Selection),
    /// Give up, with a reason that is kept
    #[command(before_help = EXAMPLE_DROP)]
    Drop(Drop),
}

const EXAMPLE_SHOW: &str =
    "Example:\n  goaround ticket show 0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f -o json";
const EXAMPLE_EXPLAIN: &str =
    "Example:\n  goaround ticket explain 0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";
const EXAMPLE_HISTORY: &str =
    "Example:\n  goaround ticket history 0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";
const EXAMPLE_RETRY: &str =
    "Example:\n  goaround ticket retry --filter 'is:parked stage:build' --rate 10/s";
const EXAMPLE_CANCEL: &str =
    "Example:\n  goaround ticket cancel 0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";
const EXAMPLE_DROP: &str = "Example:\n  goaround ticket drop --reason 'sent twice' \
                            0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";

#[derive(Args)]
struct One {
    /// The ticket
    #[arg(value_name = "ID")]
    id: TicketId,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

#[derive(Args)]
struct Retry {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Args)]
struct Drop {
    #[command(flatten)]
    selection: Selection,
    /// Why; kept in the books
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// The columns of the list.
pub(super) const COLUMNS: &[Column] = &[
    Column {
        head: "ID",
        cell: |ticket, _| member(ticket, "id"),
    },
    Column {
        head: "KIND",
        cell: |ticket, _| member(ticket, "kind"),
    },
    Column {
        head: "STAGE",
        cell: |ticket, _| member(ticket, "stage"),
    },
    Column {
        head: "STATE",
        cell: |ticket, _| state(ticket),
    },
    Column {
        head: "ATTEMPT",
        cell: |ticket, _| member(ticket, "attempt"),
    },
    Column {
        head: "SINCE",
        cell: |ticket, terminal| terminal.when(&member(ticket, "since")),
    },
    Column {
        head: "KEY",
        cell: |ticket, _| member(ticket, "key"),
    },
];

/// The state, with the reason if it waits.
pub(super) fn state(ticket: &Json) -> String {
    let (state, reason) = (member(ticket, "state"), member(ticket, "reason"));
    match (state.as_str(), reason.as_str()) {
        ("waiting", reason) if !reason.is_empty() => format!("waiting ({reason})"),
        _ => state,
    }
}

/// Why it was given up, if it was. The reason of one that waits stands beside its state.
fn end(ticket: &Json) -> String {
    match member(ticket, "state").as_str() {
        "dropped" => member(ticket, "reason"),
        _ => String::new(),
    }
}

impl Tickets {
    pub(super) fn run(self, client: &Client, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        match self.verb {
            Verb::List(list) => list.run(Rows::Tickets, COLUMNS, client, terminal)?,
            Verb::Show(one) => one.print("", show, client, terminal)?,
            Verb::Explain(one) => one.print("/explain", explain, client, terminal)?,
            Verb::History(history) => history.run(client, terminal)?,
            Verb::Retry(retry) => retry.run(client, terminal)?,
            Verb::Cancel(selection) => selection.run(&Action::Cancel, client, terminal)?,
            Verb::Drop(drop) if drop.reason.trim().is_empty() => {
                let message = "--reason: expected a reason, got an empty text";
                return Err(Failure::new(Code::Usage, message));
            }
            Verb::Drop(drop) => {
                let action = Action::Drop {
                    reason: drop.reason,
                };
                drop.selection.run(&action, client, terminal)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Retry {
    /// Those that are named at once, and those that match by a plan, which keeps to a rate and can
    /// be stopped.
    fn run(&self, client: &Client, terminal: &Terminal<'_>) -> Result<(), Failure> {
        match self.selection.filter() {
            None if self.terms.is_said() => Err(Failure::new(
                Code::Usage,
                "--rate, --ramp, --order and --stop-…: expected --filter beside them, got tickets \
                 by id",
            )),
            None => self.selection.run(&Action::Retry, client, terminal),
            Some(filter) => plan::retry((filter, &self.terms), &self.selection, client, terminal),
        }
    }
}

type Print = fn(&Json, &Terminal<'_>) -> Result<(), Failure>;

impl One {
    fn print(
        &self,
        part: &str,
        print: Print,
        client: &Client,
        terminal: &Terminal<'_>,
    ) -> Result<(), Failure> {
        let answer = client.get(&format!("tickets/{}{part}", self.id))?;
        match self.output {
            Form::Json => terminal.print(&answer.to_string()),
            Form::Table => print(&answer, terminal),
        }
    }
}

fn show(ticket: &Json, terminal: &Terminal<'_>) -> Result<(), Failure> {
    let text = |name| member(ticket, name);
    let when = |name| terminal.when(&member(ticket, name));
    print_facts(
        &[
            ("id", text("id")),
            ("kind", text("kind")),
            ("flow", text("flow")),
            ("stage", text("stage")),
            ("state", state(ticket)),
            ("reason", end(ticket)),
            ("because", text("because")),
            ("since", when("since")),
            ("until", when("until")),
            ("deadline", when("deadline")),
            ("hop", text("hop")),
            ("attempt", text("attempt")),
            ("generation", text("generation")),
            ("key", text("key")),
            ("version", text("version")),
            ("created", when("created_at")),
            ("parent", as_text(&ticket["lineage"]["parent"])),
            ("oopses", text("oopses")),
            ("content type", text("content_type")),
        ],
        terminal,
    )?;
    let payload = text("payload");
    if payload.is_empty() {
        return Ok(());
    }
    terminal.print(&format!("\n{}", visible_lines(&payload)))
}

fn explain(answer: &Json, terminal: &Terminal<'_>) -> Result<(), Failure> {
    let text = |name| member(answer, name);
    let when = |name| terminal.when(&member(answer, name));
    print_facts(
        &[
            ("state", state(answer)),
            ("since", when("since")),
            ("waits for", text("waits_for")),
            ("until", when("until")),
            ("then", text("then")),
            ("who may change", text("who_may_change")),
        ],
        terminal,
    )?;
    let events = answer["last_events"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if events.is_empty() {
        return Ok(());
    }
    terminal.print("")?;
    terminal.print(&Table::of(events, history::COLUMNS, terminal).render(terminal))
}
