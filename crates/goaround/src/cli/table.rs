//! Rows and columns: fitted for a person, plain and whole for a program.

use super::output::Column;
use super::terminal::Terminal;
use super::text::visible;
use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Width, presets};
use domain::oops::OopsId;
use domain::signature::SignatureId;
use domain::ticket::TicketId;
use serde_json::Value as Json;

/// The longest cell on a terminal, in characters.
const CELL_CHARS_MAX: usize = 120;

/// The longest word that is never broken over two lines.
const WORD_CHARS_WHOLE: usize = 12;

/// The space between columns.
const GAP: u16 = 2;

/// A table to be shown.
pub(super) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heads: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            heads: heads.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// The table with these columns of these rows.
    pub(super) fn of(rows: &[Json], columns: &[Column], terminal: &Terminal<'_>) -> Self {
        let mut table = Self::new(columns.iter().map(|column| column.head));
        for row in rows {
            table.row(columns.iter().map(|column| (column.cell)(row, terminal)));
        }
        table
    }

    /// Adds a row; text from outside is made safe to look at.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells = cells.into_iter().map(|cell| match cell.as_str() {
            "" => "-".into(),
            text => visible(text),
        });
        self.rows.push(cells.collect());
    }

    /// The table as text, without a line end.
    pub(super) fn render(&self, terminal: &Terminal<'_>) -> String {
        if terminal.is_for_person() {
            self.fitted(terminal)
        } else {
            self.plain()
        }
    }

    fn plain(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        table.force_no_tty();
        table.set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(self.heads.clone());
        table.add_rows(self.rows.clone());
        unpadded(&mut table)
    }

    fn fitted(&self, terminal: &Terminal<'_>) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if let Some(width) = terminal.width() {
            table.set_width(width);
        }
        let bold = |head: &&'static str| match terminal.is_coloured() {
            true => Cell::new(head).add_attribute(Attribute::Bold),
            false => Cell::new(head),
        };
        if terminal.is_coloured() {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(self.heads.iter().map(bold));
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| shortened(cell)));
        }
        for (at, column) in table.column_iter_mut().enumerate() {
            // The library counts the space between columns as theirs.
            let width = self.least_width(at).saturating_add(GAP);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width)));
        }
        unpadded(&mut table)
    }

    /// How narrow a column may become: its words stay whole, as far as they are short, and ids
    /// always, so that they can be copied. Rather is a line longer than the terminal is wide.
    fn least_width(&self, at: usize) -> u16 {
        let heads = self.heads.get(at).copied().into_iter();
        let cells = self.rows.iter().filter_map(|row| row.get(at));
        let words = heads.chain(cells.flat_map(|cell| cell.split(' ')));
        let wanted = |word: &str| match word.chars().count() {
            length if is_id(word) => length,
            length => length.min(WORD_CHARS_WHOLE),
        };
        let widest = words.map(wanted).max().unwrap_or(0);
        u16::try_from(widest).unwrap_or(u16::MAX)
    }
}

/// Whether a word is the id of a ticket, a plan, a report or a failure.
fn is_id(word: &str) -> bool {
    word.parse::<TicketId>().is_ok()
        || word.parse::<OopsId>().is_ok()
        || word.parse::<SignatureId>().is_ok()
}

/// Two spaces between columns, none before the first.
fn unpadded(table: &mut comfy_table::Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

fn shortened(cell: &str) -> String {
    match cell.char_indices().nth(CELL_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &cell[..at]),
        None => cell.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::terminal::tests::world;
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["ID", "VALUE"]);
        table.row(["1".into(), "\x1b[31mred\nnext".into()]);
        table.row(["2".into(), String::new()]);
        table.row(["3".into(), "word ".repeat(40)]);
        table
    }

    #[test]
    fn a_program_gets_whole_rows_without_borders() {
        let world = world("goaround", false);
        let text = table().render(&Terminal::new(&world));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], "ID  VALUE");
        assert_eq!(lines[1], "1   \\x1b[31mred\\nnext");
        assert_eq!(lines[2], "2   -");
        assert_eq!(lines[3].len(), 4 + "word ".repeat(40).trim_end().len());
    }

    #[test]
    fn a_person_gets_what_fits_the_terminal() {
        let mut world = world("goaround", true);
        world.variables.insert("NO_COLOR".into(), "1".into());
        let text = table().render(&Terminal::new(&world));
        assert!(
            text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
        assert!(text.contains('…') && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn on_a_narrow_terminal_ids_and_words_stay_whole() {
        const TICKET: &str = "0192f0c1-7a1b-7c3d-8e4f-5a6b7c8d9e0f";
        let mut world = world("goaround", true);
        world.variables.insert("NO_COLOR".into(), "1".into());
        world.variables.insert("COLUMNS".into(), "40".into());
        let mut table = Table::new(["ID", "STATE", "ATTEMPT", "KEY"]);
        let state = "waiting (backoff)".into();
        table.row([TICKET.into(), state, "1".into(), "k".repeat(30)]);
        let text = table.render(&Terminal::new(&world));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("{:36}  STATE      ATTEMPT  KEY", "ID"));
        let key = "k".repeat(12);
        assert_eq!(lines[1], format!("{TICKET}  waiting    1        {key}"));
        assert_eq!(lines[2], format!("{:36}  (backoff)           {key}", ""));
        assert_eq!(lines.len(), 4, "{text}");
    }
}
