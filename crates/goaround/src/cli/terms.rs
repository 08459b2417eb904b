//! Filters of what the command line looks through itself: plans and stages have words and keys of
//! their own, in the grammar of all filters.

use super::text::visible;
use crate::config::nearest;
use domain::filter::{Field, Query};

/// The field under which the grammar carries the words of `is:` here; it knows only those of
/// tickets. Neither plans nor stages have a trace.
pub(super) const STATE: Field = Field::Trace;

/// What may be asked of a noun.
pub(super) struct Terms {
    /// What the rows are called.
    pub(super) noun: &'static str,
    /// The keys that they have.
    pub(super) keys: &'static [Field],
    /// What they can be.
    pub(super) words: &'static [&'static str],
}

impl Terms {
    /// Reads a filter; what stands after `is:` is asked as [`STATE`].
    ///
    /// # Errors
    /// What was expected and what was found.
    pub(super) fn read(&self, text: &str) -> Result<Query, String> {
        let mut spoken = String::with_capacity(text.len() + 16);
        let (mut rest, mut is_quoted, mut begins) = (text, false, true);
        while let Some(c) = rest.chars().next() {
            if let Some((key, after)) = key(rest).filter(|_| begins && !is_quoted) {
                spoken.push_str(self.spoken(key, after)?);
                (rest, begins) = (after, false);
                continue;
            }
            // Inside quotes the one after a backslash ends nothing.
            let is_escape = is_quoted && c == '\\';
            let length = c.len_utf8();
            let escaped = rest[length..].chars().next().filter(|_| is_escape);
            let taken = length + escaped.map_or(0, char::len_utf8);
            is_quoted ^= c == '"';
            begins = c.is_whitespace() || c == '(' || (begins && c == '-');
            spoken.push_str(&rest[..taken]);
            rest = &rest[taken..];
        }
        spoken.parse::<Query>().map_err(|bad| bad.to_string())
    }

    fn lack(&self, key: &str) -> String {
        let mut keys = vec![Field::Is.key()];
        keys.extend(self.keys.iter().map(|field| field.key()));
        let shown: String = key.chars().take(80).collect();
        let said = format!(
            "filter: {} have no {}; expected one of {}",
            self.noun,
            visible(&shown),
            keys.join(", ")
        );
        match nearest(key, &keys) {
            Some(near) => format!("{said}; did you mean {near:?}?"),
            None => said,
        }
    }

    /// The key as the grammar is to read it, with its colon.
    fn spoken<'a>(&self, key: &'a str, after: &str) -> Result<&'a str, String> {
        let name = key.trim_end_matches(':');
        if name == Field::Is.key() {
            self.check(after)?;
            return Ok("trace:");
        }
        match Field::parse(name) {
            Some(field) if self.keys.contains(&field) => Ok(key),
            // The grammar would refuse one that nobody knows with the keys of tickets and reports.
            Some(_) | None => Err(self.lack(name)),
        }
    }

    fn check(&self, after: &str) -> Result<(), String> {
        let said = after.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')'));
        let said = said.take(1).flat_map(|values| values.split(','));
        match said.into_iter().find(|word| !self.words.contains(word)) {
            None => Ok(()),
            Some(word) => Err(format!(
                "filter: is: expected one of {}, got {word:?}; {} are nothing else",
                self.words.join(", "),
                self.noun
            )),
        }
    }
}

/// The key that the text begins with, with its colon, and what follows.
fn key(text: &str) -> Option<(&str, &str)> {
    let is_end = |c: char| c.is_whitespace() || matches!(c, ':' | '(' | ')' | '"');
    let colon = text.find(is_end).filter(|at| *at > 0)?;
    let is_key = text[colon..].starts_with(':') && !text.starts_with(['-', '~']);
    is_key.then(|| text.split_at(colon + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        noun: "plans",
        keys: &[Field::Id, Field::Stage],
        words: &["ready", "done"],
    };

    #[test]
    fn words_and_keys_are_those_of_the_noun() {
        for (text, says) in [
            ("is:parked", "one of ready, done, got \"parked\""),
            ("-(stage:a is:done,parked)", "got \"parked\""),
            ("is:", "got \"\""),
            ("is:>ready", "got \">ready\""),
            (
                "kind:f42",
                "plans have no kind; expected one of is, id, stage",
            ),
            ("trace:ready", "plans have no trace"),
            ("-data.a.b:x", "plans have no data.a.b"),
            ("parked:-1h", "plans have no parked"),
            (
                "stge:a",
                "plans have no stge; expected one of is, id, stage; did you mean \"stage\"?",
            ),
            (
                "bogus:x",
                "plans have no bogus; expected one of is, id, stage",
            ),
            ("(Stage:x OR is:done)", "plans have no Stage; expected"),
            ("--a_b.c:~\"x\"", "plans have no a_b.c; expected"),
            ("is:done a\u{1b}:x", "plans have no a\\x1b; expected"),
            (":x", "byte 0"),
            ("~\"a:b\"", "a key before a regular expression"),
            ("is:ready OR is:done", "(a OR b)"),
        ] {
            let said = TERMS.read(text).unwrap_err();
            assert!(said.contains(says), "{text}: {said}");
        }
    }

    #[test]
    fn everything_else_is_the_grammar_of_all_filters() {
        for (text, meant) in [
            ("", ""),
            ("is:ready", "trace:ready"),
            ("-is:ready,done stage:a", "-trace:ready,done stage:a"),
            (
                "(is:ready OR -stage:is:x)",
                "(trace:ready OR -stage:\"is:x\")",
            ),
            (
                r#"" is:x \" is:y" stage:" is:z""#,
                r#"" is:x \" is:y" stage:" is:z""#,
            ),
        ] {
            let read = TERMS.read(text);
            assert_eq!(read, Ok(meant.parse().unwrap()), "{text}");
        }
    }
}
