//! `goaround oops`: the reports about attempts that went wrong.

use super::failure::Failure;
use super::list::List;
use super::output::{Column, Form, member, print_facts};
use super::terminal::Terminal;
use super::text::visible_lines;
use crate::client::{Client, encode};
use clap::{Args, Subcommand};
use domain::filter::Rows;
use domain::oops::OopsPrefix;
use serde_json::Value as Json;
use std::process::ExitCode;

/// Look at the reports about attempts that went wrong
#[derive(Args)]
#[command(before_help = "Example:\n  goaround oops list --filter stage:build")]
#[command(disable_help_subcommand = true)]
pub(super) struct Oopses {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Reports that match
    #[command(before_help = "Example:\n  goaround oops list --filter 'type:Signal since:-1h'")]
    List(List),
    /// One report, with all that it tells
    #[command(before_help = "Example:\n  goaround oops show OOPS-01J9CC2Q8VF3X8GM")]
    Show(Show),
}

#[derive(Args)]
struct Show {
    /// The report: its id in any spelling, or the first ten digits or more of it
    #[arg(value_name = "ID", value_parser = spelling)]
    id: String,
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Form::Table, value_name = "FORM")]
    output: Form,
}

fn spelling(text: &str) -> Result<String, domain::oops::BadOopsId> {
    text.parse::<OopsPrefix>()
        .map(|_| text.trim().to_uppercase())
}

const COLUMNS: &[Column] = &[
    Column {
        head: "ID",
        cell: |oops, _| member(oops, "id"),
    },
    Column {
        head: "TIME",
        cell: |oops, terminal| terminal.when(&member(oops, "time")),
    },
    Column {
        head: "STAGE",
        cell: |oops, _| member(oops, "stage"),
    },
    Column {
        head: "TICKET",
        cell: |oops, _| member(oops, "ticket"),
    },
    Column {
        head: "ATTEMPT",
        cell: |oops, _| member(oops, "attempt"),
    },
    Column {
        head: "TYPE",
        cell: |oops, _| member(oops, "type"),
    },
    Column {
        head: "VALUE",
        cell: |oops, _| member(oops, "value"),
    },
    Column {
        head: "VERSION",
        cell: |oops, _| member(oops, "version"),
    },
];

impl Oopses {
    pub(super) fn run(self, client: &Client, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        match self.verb {
            Verb::List(list) => list.run(Rows::Reports, COLUMNS, client, terminal)?,
            Verb::Show(show) => {
                let oops = client.get(&format!("oopses/{}", encode(&show.id)))?;
                match show.output {
                    Form::Json => terminal.print(&oops.to_string())?,
                    Form::Table => print(&oops, terminal)?,
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print(oops: &Json, terminal: &Terminal<'_>) -> Result<(), Failure> {
    let text = |name| member(oops, name);
    let duration = oops["duration"].as_f64().filter(|seconds| *seconds >= 0.0);
    print_facts(
        &[
            ("id", text("id")),
            ("type", text("type")),
            ("value", text("value")),
            ("time", terminal.when(&text("time"))),
            ("stage", text("stage")),
            ("flow", text("flow")),
            ("ticket", text("ticket")),
            ("kind", text("kind")),
            ("attempt", text("attempt")),
            ("outcome", text("outcome")),
            ("exit", text("exit")),
            ("signal", text("signal")),
            (
                "duration",
                duration.map_or(String::new(), |seconds| format!("{seconds:.3}s")),
            ),
            ("version", text("version")),
            ("host", text("hostname")),
            ("worker", text("worker")),
            ("told by", text("source")),
            ("peak memory", text("memory_bytes_max")),
            ("trace", text("trace_id")),
            ("signature", text("signature")),
        ],
        terminal,
    )?;
    for (head, part) in [("trace", text("tb_text")), ("log", text("log_tail"))] {
        if !part.trim().is_empty() {
            terminal.print(&format!("\n{head}:\n{}", visible_lines(&part)))?;
        }
    }
    Ok(())
}
