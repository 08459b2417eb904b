//! What a list has rows of, and which conditions make sense for them.

use super::check::is_words;
use super::{DataPath, Field, Pattern, Query, Term};
use std::fmt;

/// What a list has rows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Tickets.
    Tickets,
    /// Reports.
    Reports,
}

impl Rows {
    /// The word for them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tickets => "tickets",
            Self::Reports => "reports",
        }
    }

    /// Whether they can have a value of this field at all.
    pub const fn have(self, field: Field) -> bool {
        match self {
            Self::Tickets => !matches!(
                field,
                Field::Type | Field::Value | Field::Frame | Field::File | Field::Host | Field::Src
            ),
            Self::Reports => !matches!(
                field,
                Field::Key | Field::Created | Field::Parked | Field::By
            ),
        }
    }
}

/// A condition that such rows never meet. It would hold for none of them, and its negation for
/// all, which nobody can have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    rows: Rows,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Key(Field),
    Data(DataPath),
    Word(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows.as_str();
        match &self.what {
            What::Key(field) => write!(f, "filter: {rows} have no {}; ", field.key())?,
            What::Data(path) => write!(f, "filter: {rows} have no data.{path}; ")?,
            What::Word(word) => {
                let words = is_words(self.rows).join(", ");
                return write!(f, "filter: is: {rows} are one of {words}, got {word:?}");
            }
        }
        let keys = Field::ALL.into_iter().filter(|it| self.rows.have(*it));
        let keys: Vec<&str> = keys.map(Field::key).collect();
        write!(f, "expected one of {}", keys.join(", "))?;
        match self.rows {
            Rows::Tickets => f.write_str(", data.<path>"),
            Rows::Reports => Ok(()),
        }
    }
}

impl std::error::Error for Unfit {}

impl Query {
    /// The first condition that such rows never meet.
    pub fn unfit(&self, rows: Rows) -> Option<Unfit> {
        self.all.iter().find_map(|term| term.unfit(rows))
    }
}

impl Term {
    fn unfit(&self, rows: Rows) -> Option<Unfit> {
        let what = match self {
            Self::Not(inner) => return inner.unfit(rows),
            Self::Any(queries) => return queries.iter().find_map(|query| query.unfit(rows)),
            Self::Field { field, .. } if !rows.have(*field) => What::Key(*field),
            Self::Field { field, values, .. } if *field == Field::Is => {
                What::Word(values.iter().find_map(|word| unknown(word, rows))?)
            }
            Self::Data { path, .. } if rows != Rows::Tickets => What::Data(path.clone()),
            Self::Field { .. } | Self::Data { .. } | Self::Free(_) => return None,
        };
        Some(Unfit { rows, what })
    }
}

/// The word, if such rows are never that.
fn unknown(word: &Pattern, rows: Rows) -> Option<String> {
    match word {
        Pattern::Exact(word) if !is_words(rows).contains(&word.as_str()) => Some(word.clone()),
        _ => None,
    }
}
