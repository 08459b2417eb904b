//! Lists whose rows the server picks: tickets and reports, of which there are many.

use super::failure::{Code, Failure};
use super::output::{Column, Format, items, print_list};
use super::terminal::Terminal;
use crate::client::{Client, encode};
use clap::{Args, ValueEnum};
use domain::filter::{BadQuery, Field, Query, Rows};
use domain::ports::Listing;
use serde_json::Value as Json;

/// How many rows a list shows when nobody says.
const LIMIT: &str = "100";

/// The flags of a list.
#[derive(Args)]
pub(super) struct List {
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORM")]
    pub(super) output: Format,
    /// Only what matches, for example 'is:waiting stage:build created:-1h'
    #[arg(
        long,
        value_name = "QUERY",
        allow_hyphen_values = true,
        value_parser = filter,
        long_help = filter_help()
    )]
    filter: Option<String>,
    /// How many at most
    #[arg(
        long,
        value_name = "N",
        default_value = LIMIT,
        value_parser = clap::value_parser!(u64).range(1..=Listing::LIMIT_MAX as u64)
    )]
    limit: u64,
    /// Which first
    #[arg(long, value_enum, default_value_t = Sort::Newest)]
    sort: Sort,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// The newest first.
    Newest,
    /// The oldest first.
    Oldest,
}

impl List {
    /// Gets the list and prints it.
    pub(super) fn run(
        &self,
        rows: Rows,
        columns: &[Column],
        client: &Client,
        terminal: &Terminal<'_>,
    ) -> Result<(), Failure> {
        if let Some(text) = &self.filter {
            fit(text, rows).map_err(|bad| Failure::new(Code::Usage, bad))?;
        }
        let noun = match rows {
            Rows::Tickets => "tickets",
            Rows::Reports => "oopses",
        };
        let sort = match self.sort {
            Sort::Newest => "newest",
            Sort::Oldest => "oldest",
        };
        let path = query(noun, self.filter.as_deref(), self.limit, sort);
        let answer = client.get(&path)?;
        print_list(items(&answer), columns, self.output, terminal)?;
        let is_table = self.output == Format::Table;
        if is_table && items(&answer).is_empty() {
            terminal.note(&format!("no {noun} match"));
        }
        if answer["more"] == Json::Bool(true) {
            terminal.note(&format!(
                "these are {} of more; --limit shows up to {}, --filter fewer",
                items(&answer).len(),
                Listing::LIMIT_MAX
            ));
        }
        Ok(())
    }
}

/// The grammar in a few lines, for `--help`.
pub(super) fn filter_help() -> String {
    let keys = |rows: Rows| {
        let keys = Field::ALL.into_iter().filter(|field| rows.have(*field));
        keys.map(Field::key).collect::<Vec<_>>().join(", ")
    };
    format!(
        "Only what matches, for example 'is:waiting stage:build created:-1h'\n\n\
         All conditions must hold; - before one that must not; (a OR b) for one of several; a \
         word without a key is text that occurs somewhere. Values: key:a,b for either; key:a* for \
         a beginning; key:~\"…\" for a regular expression; attempts:>3, created:-1h and \
         version:1.4..1.6 for what has an order.\n\n\
         Keys of tickets: {}, data.<path> (a value in the JSON that it carries)\n\n\
         Keys of reports: {}",
        keys(Rows::Tickets),
        keys(Rows::Reports)
    )
}

/// Looks whether a filter can be read, so that a mistake is told without a server.
fn filter(text: &str) -> Result<String, BadQuery> {
    text.parse::<Query>().map(|_| text.into())
}

/// The same, of tickets.
pub(super) fn filter_of_tickets(text: &str) -> Result<String, String> {
    fit(text, Rows::Tickets)
}

fn fit(text: &str, rows: Rows) -> Result<String, String> {
    let query: Query = text.parse().map_err(|bad: BadQuery| bad.to_string())?;
    match query.unfit(rows) {
        None => Ok(text.into()),
        Some(unfit) => Err(unfit.to_string()),
    }
}

/// The path of a list.
pub(super) fn query(noun: &str, filter: Option<&str>, limit: u64, sort: &str) -> String {
    let filter = filter.map_or(String::new(), |filter| {
        format!("filter={}&", encode(filter))
    });
    format!("{noun}?{filter}limit={limit}&sort={sort}")
}
