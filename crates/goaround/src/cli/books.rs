//! `goaround books`: whether every accepted ticket is in exactly one place.

use super::failure::{Code, Failure};
use super::output::{Form, member, print_facts};
use super::terminal::Terminal;
use crate::client::Client;
use clap::Args;
use serde_json::Value as Json;
use std::process::ExitCode;

/// The balance: accepted = runnable + running + waiting + done + dropped; exit 1 when it does not
#[derive(Args)]
#[command(before_help = "Example:\n  goaround books -o json")]
pub(super) struct Books {
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

impl Books {
    pub(super) fn run(self, client: &Client, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        let books = client.get("books")?;
        match self.output {
            Form::Json => terminal.print(&books.to_string())?,
            Form::Table => print(&books, terminal)?,
        }
        if books["balanced"] == Json::Bool(true) {
            return Ok(ExitCode::SUCCESS);
        }
        let message = "the books do not balance: a ticket is in no place, or in two";
        Err(Failure::new(Code::Failed, message)
            .with_remedy("goaround doctor says more; keep the data folder as it is"))
    }
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
