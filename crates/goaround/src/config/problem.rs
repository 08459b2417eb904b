//! What is wrong with a configuration: where, which key, what was expected, what was found.

use super::path::Path;
use std::fmt;

/// The most problems that are written out; a file that is not a configuration has thousands.
const SHOWN_MAX: usize = 50;
/// The longest piece of a value that is repeated in a message, in characters.
const GOT_CHARS_MAX: usize = 80;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A line of the file.
    File {
        /// The file as the user named it.
        file: String,
        /// The line, from 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line: 0 } => f.write_str(file),
            Self::File { file, line } => write!(f, "{file}:{line}"),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it is.
    pub source: Source,
    /// Expectation, value, and what to do; begins with the key if there is one.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.what)
    }
}

/// Everything that is wrong with a configuration; at least one problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BadConfig {
    /// All of them, in the order of the file.
    pub problems: Vec<Problem>,
}

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().take(SHOWN_MAX).enumerate() {
            let end_of_last = if i == 0 { "" } else { "\n" };
            write!(f, "{end_of_last}{problem}")?;
        }
        match self.problems.len().checked_sub(SHOWN_MAX) {
            None | Some(0) => Ok(()),
            Some(more) => write!(f, "\nand {more} more problems"),
        }
    }
}

/// A value as it may be repeated in a message: one line, not too long, control characters visible.
pub(super) fn got(text: &str) -> String {
    let line: String = text
        .chars()
        .take(GOT_CHARS_MAX)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(GOT_CHARS_MAX).is_some() {
        format!("{line}…")
    } else {
        line
    }
}

/// A value of this key as [`got`] repeats it, unless it could be a secret.
pub(super) fn shown(path: &Path, text: &str) -> String {
    match may_be_secret(path, text) {
        true => "(hidden)".into(),
        false => got(text),
    }
}

/// Whether the value is, or has in it, what must not be repeated in a message or a log. A key that
/// nobody knows is looked at as what it was meant to be.
fn may_be_secret(path: &Path, text: &str) -> bool {
    const WORDS: [&str; 3] = ["token", "password", "secret"];
    let meant = path.nearest().unwrap_or_default();
    let names = |word: &str| path.to_string().to_lowercase().contains(word) || meant.contains(word);
    let names_a_secret = WORDS.into_iter().any(names);
    // A password stands in a URL, also in one that is not spelt well: after a colon and before the
    // @, or in the query. In a file a whole table may be the value.
    let has_user = match text.split_once('@') {
        Some((before, _)) => text.contains("://") || before.contains(':'),
        None => false,
    };
    let has_query = WORDS.iter().any(|word| text.contains(&format!("{word}=")));
    names_a_secret || has_user || has_query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_problems_are_counted_and_not_all_written() {
        let problem = Problem {
            source: Source::Flag("--listen"),
            what: "x".into(),
        };
        let bad = BadConfig {
            problems: vec![problem; 1_000],
        };
        let said = bad.to_string();
        assert_eq!(said.lines().count(), SHOWN_MAX + 1);
        assert!(said.ends_with("and 950 more problems"));
    }

    #[test]
    fn what_could_be_a_secret_is_not_repeated() {
        for (path, text) in [
            (&["http", "token"][..], "x"),
            (&["http", "tokn"], "x"),
            (&["broker", "pasword_file"], "x"),
            (&["broker", "ulr"], "amqp//ana:x@rabbit"),
            (&["broker", "address"], "amqp://ana:x@rabbit"),
            (&["store", "address"], "postgres://books/ci?password=x"),
            (&["stage", "build", "env", "API_SECRET"], "x"),
        ] {
            assert_eq!(shown(&Path::of(path), text), "(hidden)", "{path:?}");
        }
        for (path, text) in [
            (&["broker", "ulr"][..], "embeded"),
            (&["stage", "build", "concurency"], "2"),
            (&["stage", "build", "kind"], "f42@updates"),
        ] {
            assert_eq!(shown(&Path::of(path), text), text, "{path:?}");
        }
    }

    #[test]
    fn a_long_value_is_cut_to_one_readable_line() {
        assert_eq!(got("a\nb"), "a b");
        assert_eq!(got(&"x".repeat(200)).chars().count(), GOT_CHARS_MAX + 1);
    }
}
