//! The names that tickets, stages and keys go by. Parsed at the edge; inside they are always valid.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Text that is not the name it was meant to be; says what was expected and what was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{noun}: expected {expected}, got {got:?}")]
pub struct BadName {
    /// What the text was meant to be, for example `stage`.
    pub noun: &'static str,
    /// The rule in words.
    pub expected: &'static str,
    /// What was found, cut to a readable length.
    pub got: String,
}

impl BadName {
    fn new(noun: &'static str, expected: &'static str, got: &str) -> Self {
        Self {
            noun,
            expected,
            got: got.chars().take(80).collect(),
        }
    }
}

/// What a name may look like. Stage and flow names become queue names and labels, so they are
/// narrow; kinds and keys belong to the user.
struct Rule {
    noun: &'static str,
    expected: &'static str,
    bytes_max: usize,
    allowed: fn(char) -> bool,
}

fn identifier(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn printable(c: char) -> bool {
    !c.is_control()
}

fn check(rule: &Rule, text: &str) -> Result<Arc<str>, BadName> {
    let fits = !text.is_empty() && text.len() <= rule.bytes_max && text.chars().all(rule.allowed);
    if fits {
        Ok(Arc::from(text))
    } else {
        Err(BadName::new(rule.noun, rule.expected, text))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Parses the name.
            ///
            /// # Errors
            /// [`BadName`] when it is empty, too long, or has a character that is not allowed.
            pub fn new(text: &str) -> Result<Self, BadName> {
                check(&$rule, text).map(Self)
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $type {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::new(text)
            }
        }
    };
}

name!(
    /// A stage of work: one queue, one handler, one concurrency limit.
    StageName,
    Rule {
        noun: "stage",
        expected: "1 to 64 of the characters a-z A-Z 0-9 _ - .",
        bytes_max: 64,
        allowed: identifier,
    }
);
name!(
    /// An ordered list of stages.
    FlowName,
    Rule {
        noun: "flow",
        expected: "1 to 64 of the characters a-z A-Z 0-9 _ - .",
        bytes_max: 64,
        allowed: identifier,
    }
);
name!(
    /// What sort of work a ticket is; the user's own word.
    Kind,
    Rule {
        noun: "kind",
        expected: "1 to 128 bytes without control characters",
        bytes_max: 128,
        allowed: printable,
    }
);
name!(
    /// What a ticket is about; tickets with the same key are about the same thing.
    Key,
    Rule {
        noun: "key",
        expected: "1 to 256 bytes without control characters",
        bytes_max: 256,
        allowed: printable,
    }
);
name!(
    /// Which process, with its incarnation, holds a ticket.
    Holder,
    Rule {
        noun: "holder",
        expected: "1 to 128 bytes without control characters",
        bytes_max: 128,
        allowed: printable,
    }
);
name!(
    /// The version of the component that handles a stage, as it announces itself.
    Version,
    Rule {
        noun: "version",
        expected: "1 to 128 bytes without control characters",
        bytes_max: 128,
        allowed: printable,
    }
);

impl Holder {
    /// Whoever had a ticket, as long as nobody has found out who that was.
    pub fn unknown() -> Self {
        Self(Arc::from("a worker not known yet"))
    }
}

impl Kind {
    /// The kind of a ticket that came without one.
    pub fn unnamed() -> Self {
        Self(Arc::from("ticket"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_name_is_narrow_and_a_key_is_wide() {
        assert!(StageName::new("build-1.x_y").is_ok());
        assert!(StageName::new("build it").is_err());
        assert!(StageName::new("").is_err());
        assert!(StageName::new(&"a".repeat(65)).is_err());
        assert!(Key::new("rust 1.95 – nightly").is_ok());
        assert!(Key::new("a\nb").is_err());
    }

    #[test]
    fn a_bad_name_says_what_was_expected_and_what_was_found() {
        let said = StageName::new("a b").unwrap_err().to_string();
        assert_eq!(
            said,
            "stage: expected 1 to 64 of the characters a-z A-Z 0-9 _ - ., got \"a b\""
        );
    }
}
