//! `goaround books`: whether every accepted ticket is in exactly one place.

use super::failure::{Code, Failure};
use super::output::{Form, member, print_facts};
use super::terminal::Terminal;
use crate::client::{Client, encode};
use clap::Args;
use domain::filter::parse_since;
use domain::time::{BadTime, Timestamp};
use serde_json::Value as Json;
use std::process::ExitCode;

/// The balance: accepted = runnable + running + waiting + done + dropped; exit 1 when it does not
#[derive(Args)]
#[command(before_help = "Example:\n  goaround books -o json\n  goaround books --since -2h")]
pub(super) struct Books {
    /// Only over the tickets that were accepted since then and are not forgotten, for example -2h
    /// or 2026-11-01T14:03:22Z; they are counted one by one
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = time)]
    since: Option<String>,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

impl Books {
    pub(super) fn run(self, client: &Client, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        let since = self.since.as_deref().map(encode);
        let path = since.map_or("books".to_owned(), |since| format!("books?since={since}"));
        let books = client.get(&path)?;
        if self.since.is_some() && books["since"].is_null() {
            let message = "--since: the server does not know it, and counted all tickets";
            return Err(Failure::new(Code::Failed, message)
                .with_remedy("bring the server up to the version of this program"));
        }
        match self.output {
            Form::Json => terminal.print(&books.to_string())?,
            Form::Table => print(&books, terminal)?,
        }
        if books["balanced"] == Json::Bool(true) {
            return Ok(ExitCode::SUCCESS);
        }
        let message = "the books do not balance: a ticket is in no place, or in two";
        Err(Failure::new(Code::Failed, message)
            .with_remedy("goaround doctor --deep looks closer; keep the data as it is"))
    }
}

/// Looks whether a time can be read, so that a mistake is told without a server; what it means is
/// for the server to say, by its own clock.
fn time(text: &str) -> Result<String, BadTime> {
    parse_since(text, Timestamp::EPOCH).map(|_| text.into())
}

fn print(books: &Json, terminal: &Terminal<'_>) -> Result<(), Failure> {
    let waiting = books["waiting"].as_object();
    let reasons: Vec<(String, u64)> = waiting
        .into_iter()
        .flatten()
        .map(|(reason, count)| (format!("  {reason}"), count.as_u64().unwrap_or(0)))
        .collect();
    let total: u64 = reasons.iter().map(|(_, count)| count).sum();
    let mut facts = vec![
        ("since", member(books, "since")),
        ("accepted", member(books, "accepted")),
        ("runnable", member(books, "runnable")),
        ("running", member(books, "running")),
        ("waiting", total.to_string()),
    ];
    let shown = reasons.iter().filter(|(_, count)| *count > 0);
    facts.extend(shown.map(|(reason, count)| (reason.as_str(), count.to_string())));
    facts.push(("done", member(books, "done")));
    facts.push(("dropped", member(books, "dropped")));
    let is_balanced = books["balanced"] == Json::Bool(true);
    facts.push(("balanced", if is_balanced { "yes" } else { "NO" }.into()));
    print_facts(&facts, terminal)
}
