//! Writes a query so that it reads back as the same query.

use super::parse::is_foreign;
use super::{Pattern, Query, Term};
use std::fmt;

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_between(f, " ", &self.all)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Not(term) => write!(f, "-{term}"),
            Self::Any(alternatives) => {
                f.write_str("(")?;
                write_between(f, " OR ", alternatives)?;
                f.write_str(")")
            }
            Self::Field { field, op, values } => {
                write!(f, "{}{}", field.key(), op.as_str())?;
                write_between(f, ",", values)
            }
            Self::Data { path, op, values } => {
                write!(f, "data.{path}{}", op.as_str())?;
                write_between(f, ",", values)
            }
            Self::Free(text) if is_plain_free(text) => f.write_str(text),
            Self::Free(text) => write_quoted(f, text),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => write_value(f, text),
            Self::Prefix(text) if text.is_empty() => f.write_str("*"),
            Self::Prefix(text) => {
                write_value(f, text)?;
                f.write_str("*")
            }
            Self::Range(low, high) => write!(f, "{low}..{high}"),
            Self::Regex(regex) => {
                f.write_str("~")?;
                write_quoted(f, regex.as_str())
            }
        }
    }
}

fn write_between<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    separator: &str,
    items: &[T],
) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

fn write_value(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if is_plain_value(text) {
        f.write_str(text)
    } else {
        write_quoted(f, text)
    }
}

/// A backslash is doubled only where it would be read with what follows: an expression has many,
/// and what is printed must not outgrow [`Query::BYTES_MAX`].
fn write_quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' if matches!(rest.peek(), None | Some('"' | '\\')) => f.write_str("\\\\")?,
            c => write!(f, "{c}")?,
        }
    }
    f.write_str("\"")
}

/// Whether a value needs no quotes. Some texts get quotes that they could do without; none lacks
/// the quotes that it needs.
fn is_plain_value(text: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '@' | ':');
    !text.is_empty() && text.chars().all(is_plain) && !text.contains("..")
}

fn is_plain_free(text: &str) -> bool {
    is_plain_value(text) && !text.contains(':') && !text.starts_with('-') && !is_foreign(text)
}
