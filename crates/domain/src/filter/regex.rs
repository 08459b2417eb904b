//! Regular expressions in filters. They are run here and not in SQL, so that there is one dialect
//! whichever the store: that of the `regex` crate, without look-around and back-references, whose
//! time is linear in the text.

use std::fmt;

/// A regular expression, compiled. It finds its match anywhere in a value: `^` and `$` hold it to
/// the ends, `(?i)` makes case not matter.
#[derive(Clone)]
pub struct Regex(::regex::Regex);

impl Regex {
    /// The longest expression, in bytes.
    pub const BYTES_MAX: usize = 256;
    /// How much of a value is looked at, in bytes: its beginning. Messages of reports are no
    /// longer.
    pub const TEXT_BYTES_MAX: usize = 16 * 1024;

    /// The most that one takes when it is compiled. What makes one large also makes it slow: at
    /// this size the worst expressions look at a value for some milliseconds.
    const COMPILED_BYTES_MAX: usize = 256 * 1024;
    /// The most that it remembers of what it has seen, to be fast.
    const CACHE_BYTES_MAX: usize = 256 * 1024;
    /// How deep its groups may nest.
    const DEPTH_MAX: u32 = 32;

    /// Compiles the expression.
    ///
    /// # Errors
    /// What was expected instead, in words.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > Self::BYTES_MAX {
            return Err(format!(
                "at most {} bytes in a regular expression",
                Self::BYTES_MAX
            ));
        }
        ::regex::RegexBuilder::new(text)
            .size_limit(Self::COMPILED_BYTES_MAX)
            .dfa_size_limit(Self::CACHE_BYTES_MAX)
            .nest_limit(Self::DEPTH_MAX)
            .build()
            .map(Self)
            .map_err(|error| expected(&error))
    }

    /// The expression as it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it finds something in the text.
    pub fn finds(&self, text: &str) -> bool {
        let near = text.floor_char_boundary(Self::TEXT_BYTES_MAX);
        self.0.is_match(&text[..near])
    }
}

fn expected(error: &::regex::Error) -> String {
    match error {
        ::regex::Error::CompiledTooBig(_) => format!(
            "a smaller regular expression: compiled, this one takes more than {} KiB, most of it \
             for repeats such as {{50}} and for \\w and \\d",
            Regex::COMPILED_BYTES_MAX / 1024
        ),
        other => {
            // It draws a picture; the last line has the words.
            let said = other.to_string();
            let last = said.lines().last().unwrap_or_default();
            let why = last.strip_prefix("error: ").unwrap_or(last);
            format!("a regular expression that can be read ({why})")
        }
    }
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Regex {}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.as_str())
    }
}
