//! The forms that data may be printed in.

use super::failure::Failure;
use super::table::Table;
use super::terminal::Terminal;
use super::text::visible;
use clap::ValueEnum;
use serde_json::Value as Json;

/// The forms of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Columns for people.
    Table,
    /// One JSON document.
    Json,
    /// A JSON document a line.
    Jsonl,
    /// Comma-separated values with a head line.
    Csv,
    /// Only the names or ids, one a line.
    Name,
}

/// The forms of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// Text for people.
    Table,
    /// One JSON document.
    Json,
}

/// A column of a list.
pub(super) struct Column {
    /// Its head.
    pub(super) head: &'static str,
    /// What stands in it.
    pub(super) cell: fn(&Json, &Terminal<'_>) -> String,
}

/// Prints a list.
///
/// # Errors
/// [`Failure::Unread`] when nobody reads it any more.
pub(super) fn print_list(
    items: &[Json],
    columns: &[Column],
    format: Format,
    terminal: &Terminal<'_>,
) -> Result<(), Failure> {
    match format {
        Format::Json => terminal.print(&Json::from(items).to_string()),
        Format::Jsonl => items
            .iter()
            .try_for_each(|item| terminal.print(&item.to_string())),
        Format::Name => items
            .iter()
            .filter_map(|item| columns.first().map(|column| (column.cell)(item, terminal)))
            .try_for_each(|name| terminal.print(&visible(&name))),
        Format::Csv => {
            terminal.print(&csv(columns.iter().map(|column| column.head.to_owned())))?;
            items.iter().try_for_each(|item| {
                let cells = columns.iter().map(|column| (column.cell)(item, terminal));
                terminal.print(&csv(cells))
            })
        }
        Format::Table => terminal.print(&Table::of(items, columns, terminal).render(terminal)),
    }
}

/// The items of a list that the server gave.
pub(super) fn items(answer: &Json) -> &[Json] {
    answer["items"].as_array().map_or(&[], Vec::as_slice)
}

/// A member as text: texts as they are, numbers and the like as JSON, nothing as nothing.
pub(super) fn member(item: &Json, name: &str) -> String {
    as_text(&item[name])
}

/// A value as text.
pub(super) fn as_text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Array(values) => values.iter().map(as_text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A value as the texts that are in it: those of a list, one, or none.
pub(super) fn texts(value: &Json) -> Vec<String> {
    match value {
        Json::Null => Vec::new(),
        Json::Array(values) => values.iter().map(as_text).collect(),
        value => vec![as_text(value)],
    }
}

/// One record of RFC 4180.
fn csv(cells: impl Iterator<Item = String>) -> String {
    let quoted = cells.map(|cell| {
        if cell.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell
        }
    });
    quoted.collect::<Vec<_>>().join(",")
}

/// Prints lines of `name  value`, the values below each other.
///
/// # Errors
/// [`Failure::Unread`] when nobody reads it any more.
pub(super) fn print_facts(
    facts: &[(&str, String)],
    terminal: &Terminal<'_>,
) -> Result<(), Failure> {
    let facts = facts.iter().filter(|(_, value)| !value.is_empty());
    let width = facts.clone().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in facts {
        terminal.print(&format!("{name:width$}  {}", visible(value)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_with_a_comma_or_a_line_end_is_quoted() {
        let cells = ["plain", "a,b", "say \"x\"", "two\nlines", ""].map(str::to_owned);
        assert_eq!(
            csv(cells.into_iter()),
            "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\","
        );
    }
}
