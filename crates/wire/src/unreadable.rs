//! Bytes that are not the message they were meant to be.

use std::fmt::Display;

/// Bytes that cannot be read; says where, what was expected and what was found. Nothing of the
/// message counts: it is to be kept aside, where a person or a newer version can look at it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl Unreadable {
    pub(crate) fn new(why: impl Display) -> Self {
        Self(why.to_string())
    }

    /// Something that must be there is not.
    pub(crate) fn missing(what: &str) -> Self {
        Self(format!("{what}: expected one, got none"))
    }

    /// A message that ends before its last field.
    pub(crate) fn cut() -> Self {
        Self("expected the mark at its end, got none: it was cut".into())
    }

    /// The same, said of something that is inside this place.
    pub(crate) fn within(self, place: impl Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

/// Checks a size against its bound.
pub(crate) fn bounded(bytes: &[u8], bytes_max: usize) -> Result<(), Unreadable> {
    if bytes.len() <= bytes_max {
        return Ok(());
    }
    Err(Unreadable::new(format!(
        "expected at most {bytes_max} bytes, got {}",
        bytes.len()
    )))
}
