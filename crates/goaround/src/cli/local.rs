//! Lists whose rows come whole from the server, because there are few, and are picked here: by the
//! one grammar, with the words and keys of their noun.

use super::failure::Failure;
use super::output::{Column, Format, items, print_list};
use super::table::Table;
use super::terminal::Terminal;
use super::terms::Terms;
use crate::client::Client;
use clap::{Args, ValueEnum};
use domain::filter::{Facts, Field, Query};
use domain::ports::Listing;
use domain::time::Timestamp;
use serde_json::Value as Json;
use std::borrow::Cow;
use std::marker::PhantomData;

/// A noun with few rows; it stands for the orders in which they may come.
pub(super) trait Noun: ValueEnum + Copy + Send + Sync + 'static {
    /// What may be asked of a row.
    const TERMS: Terms;
    /// A filter for the help.
    const EXAMPLE: &'static str;
    /// The columns for programs.
    const COLUMNS: &'static [Column];
    /// The order when nobody says.
    const FIRST: Self;
    /// How many rows are shown when nobody says.
    const LIMIT: u64;
    /// What to say when there is no row at all.
    const NONE: &'static str;

    /// The order as it is typed.
    fn word(self) -> String {
        let word = self.to_possible_value();
        word.map_or_else(String::new, |word| word.get_name().to_owned())
    }
    /// What a row has of a key: texts, numbers and times as JSON writes them.
    fn values(row: &Json, field: Field) -> Vec<String>;
    /// Where free text is looked for.
    fn texts(row: &Json) -> Vec<String>;
    /// Brings the rows, which are as the server gave them, into this order.
    fn sort(self, rows: &mut [Json]);

    /// Shows the rows to a person.
    ///
    /// # Errors
    /// [`Failure::Unread`] when nobody reads it any more.
    fn show(rows: &[Json], terminal: &Terminal<'_>) -> Result<(), Failure> {
        terminal.print(&Table::of(rows, Self::COLUMNS, terminal).render(terminal))
    }
}

/// The flags of such a list.
#[derive(Args)]
pub(super) struct Local<N: Noun> {
    /// The form of the output
    #[arg(short, long, value_enum, default_value_t = Format::Table, value_name = "FORM")]
    output: Format,
    #[arg(
        long,
        value_name = "QUERY",
        allow_hyphen_values = true,
        value_parser = filter::<N>,
        help = format!("Only what matches, for example '{}'", N::EXAMPLE)
    )]
    filter: Option<Query>,
    // Not `default_value_t`: what it makes is one for all nouns.
    #[arg(
        long,
        value_name = "N",
        help = format!("How many at most [default: {}]", N::LIMIT),
        value_parser = clap::value_parser!(u64).range(1..=Listing::LIMIT_MAX as u64)
    )]
    limit: Option<u64>,
    #[arg(long, value_enum, help = format!("Which first [default: {}]", N::FIRST.word()))]
    sort: Option<N>,
}

fn filter<N: Noun>(text: &str) -> Result<Query, String> {
    N::TERMS.read(text)
}

impl<N: Noun> Local<N> {
    /// Gets what is at this path and prints what is asked for.
    pub(super) fn run(
        &self,
        path: &str,
        client: &Client,
        terminal: &Terminal<'_>,
    ) -> Result<(), Failure> {
        let answer = client.get(path)?;
        let all = items(&answer);
        let mut picked = self.pick(all, terminal.now());
        let matching = picked.len();
        let limit = self.limit.unwrap_or(N::LIMIT);
        picked.truncate(usize::try_from(limit).unwrap_or(Listing::LIMIT_MAX));
        match self.output {
            Format::Table if terminal.is_for_person() => N::show(&picked, terminal)?,
            format => print_list(&picked, N::COLUMNS, format, terminal)?,
        }
        let (noun, shown) = (N::TERMS.noun, picked.len());
        if self.output == Format::Table && shown == 0 {
            match all.is_empty() {
                true => terminal.note(N::NONE),
                false => terminal.note(&format!("no {noun} match")),
            }
        }
        if matching > shown {
            terminal.note(&format!(
                "these are {shown} of {matching}; --limit shows more, --filter fewer"
            ));
        }
        if answer["more"] == Json::Bool(true) {
            let seen = all.len();
            terminal.note(&format!(
                "only the first {seen} {noun} were looked at; there are more"
            ));
        }
        Ok(())
    }

    fn pick(&self, rows: &[Json], now: Timestamp) -> Vec<Json> {
        let query = self.filter.clone().unwrap_or_default();
        let is_asked = |row: &&Json| query.matches(&Asked::<N>(row, PhantomData), now);
        let mut picked: Vec<Json> = rows.iter().filter(is_asked).cloned().collect();
        self.sort.unwrap_or(N::FIRST).sort(&mut picked);
        picked
    }
}

/// A row that a filter looks at.
struct Asked<'a, N>(&'a Json, PhantomData<N>);

impl<N: Noun> Asked<'_, N> {
    fn first<T: std::str::FromStr>(&self, field: Field) -> Option<T> {
        N::values(self.0, field).first()?.parse().ok()
    }
}

impl<N: Noun> Facts for Asked<'_, N> {
    fn values(&self, field: Field) -> Vec<Cow<'_, str>> {
        let values = N::values(self.0, field).into_iter();
        values.map(Cow::Owned).collect()
    }

    fn number(&self, field: Field) -> Option<f64> {
        self.first(field)
    }

    fn time(&self, field: Field) -> Option<Timestamp> {
        self.first(field)
    }

    fn has_text(&self, needle_lowercase: &str) -> bool {
        let mut texts = N::texts(self.0).into_iter();
        texts.any(|text| text.to_lowercase().contains(needle_lowercase))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The rows that a filter picks, in this order, at the time of the examples.
    pub(in crate::cli) fn picked<N: Noun>(rows: &[Json], filter: &str, sort: N) -> Vec<Json> {
        let list = Local {
            output: Format::Json,
            filter: Some(super::filter::<N>(filter).unwrap()),
            limit: None,
            sort: Some(sort),
        };
        list.pick(rows, super::super::terminal::tests::now())
    }
}
