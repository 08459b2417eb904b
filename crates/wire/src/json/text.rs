//! Text inside a request; a copy only where its JSON has escapes in it.

use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;

/// Text inside a request. It reads like a `str`.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Text<'_> {
    /// The text on its own.
    pub(super) fn into_owned(self) -> String {
        self.0.into_owned()
    }

    #[cfg(test)]
    pub(super) fn is_borrowed(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
