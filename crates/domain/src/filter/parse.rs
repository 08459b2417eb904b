//! Reads a query, or says where it stopped making sense and what would have.

mod value;

use super::check::{Asked, check, nearest};
use super::{DataPath, Field, Op, Pattern, Query, Term};
use std::fmt;
use std::str::FromStr;

/// Text that is not a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadQuery {
    /// Where it stopped making sense, in bytes from the start.
    pub position: usize,
    /// What would have made sense there.
    pub expected: String,
    /// What was found, cut to a readable length.
    pub got: String,
    /// The known word that is most like it, if one is.
    pub nearest: Option<String>,
}

impl fmt::Display for BadQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            position,
            expected,
            got,
            nearest,
        } = self;
        write!(
            f,
            "filter, byte {position}: expected {expected}, got {got:?}"
        )?;
        match nearest {
            Some(nearest) => write!(f, "; did you mean {nearest:?}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BadQuery {}

impl FromStr for Query {
    type Err = BadQuery;

    fn from_str(text: &str) -> Result<Self, BadQuery> {
        if text.len() > Self::BYTES_MAX {
            return Err(BadQuery {
                position: Self::BYTES_MAX,
                expected: format!("at most {} bytes", Self::BYTES_MAX),
                got: format!("{} bytes", text.len()),
                nearest: None,
            });
        }
        let mut parser = Parser {
            text,
            at: 0,
            conditions: 0,
            regexes: 0,
            depth: 0,
        };
        let query = parser.query()?;
        match parser.peek() {
            // It is kept as it is printed, and must be read again from there.
            None if query.to_string().len() > Self::BYTES_MAX => Err(BadQuery {
                position: 0,
                expected: format!(
                    "at most {} bytes, with quotes around values",
                    Self::BYTES_MAX
                ),
                got: format!("{} bytes", query.to_string().len()),
                nearest: None,
            }),
            None => Ok(query),
            Some(')') => Err(parser.bad("an opening parenthesis before the closing one")),
            Some(_) => Err(parser.bad("parentheses around alternatives: (a OR b)")),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    conditions: usize,
    regexes: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        let is_there = self.rest().starts_with(token);
        if is_there {
            self.at += token.len();
        }
        is_there
    }

    fn skip_spaces(&mut self) {
        self.take_until(|c| !c.is_whitespace());
    }

    fn take_until(&mut self, is_end: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        self.at += taken.len();
        taken
    }

    /// An error here; it shows the text up to the next space.
    fn bad(&self, expected: impl Into<String>) -> BadQuery {
        let word = self.rest().split_whitespace().next().unwrap_or_default();
        self.bad_at(self.at, expected, word)
    }

    fn bad_at(&self, position: usize, expected: impl Into<String>, got: &str) -> BadQuery {
        let got = match got {
            "" => "the end".into(),
            text => text.chars().take(80).collect(),
        };
        BadQuery {
            position,
            expected: expected.into(),
            got,
            nearest: None,
        }
    }

    fn is_at_or(&self) -> bool {
        let after = self.rest().strip_prefix("OR");
        after.is_some_and(|after| !after.starts_with(|c: char| !ends_free(c)))
    }

    fn query(&mut self) -> Result<Query, BadQuery> {
        let (mut all, mut starts) = (Vec::new(), Vec::new());
        self.skip_spaces();
        while self.peek().is_some_and(|c| c != ')') && !self.is_at_or() {
            starts.push(self.at);
            all.push(self.term()?);
            let follows_well = |c: char| c.is_whitespace() || c == ')';
            if !self.peek().is_none_or(follows_well) {
                return Err(self.bad(
                    "a space between conditions, or quotes around text with quotes or parentheses",
                ));
            }
            self.skip_spaces();
        }
        let is_bare = |at: &usize| !self.text[starts[*at]..].starts_with('"');
        let foreign = misread(&all).find(is_bare);
        match foreign {
            Some(at) => Err(self.foreign_word(starts[at])),
            None => Ok(Query { all }),
        }
    }

    fn term(&mut self) -> Result<Term, BadQuery> {
        match self.peek() {
            Some('-') => self.nested(Self::negation),
            Some('(') => self.nested(Self::group),
            Some('"') => {
                self.count(self.at)?;
                Ok(Term::Free(self.quoted()?))
            }
            _ => self.word_term(),
        }
    }

    fn nested(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<Term, BadQuery>,
    ) -> Result<Term, BadQuery> {
        if self.depth == Query::DEPTH_MAX {
            return Err(self.bad(format!(
                "negations and groups nested at most {} deep",
                Query::DEPTH_MAX
            )));
        }
        self.depth += 1;
        let term = inner(self)?;
        self.depth -= 1;
        Ok(term)
    }

    fn negation(&mut self) -> Result<Term, BadQuery> {
        self.eat("-");
        if self.peek().is_none_or(|c| c.is_whitespace() || c == ')') {
            return Err(self.bad("a condition right after -"));
        }
        Ok(Term::Not(Box::new(self.term()?)))
    }

    fn group(&mut self) -> Result<Term, BadQuery> {
        let start = self.at;
        self.eat("(");
        let mut alternatives = Vec::new();
        loop {
            let query = self.query()?;
            if query.all.is_empty() && self.peek().is_some() {
                return Err(self.bad("a condition"));
            }
            alternatives.push(query);
            if self.eat(")") {
                return Ok(Term::Any(alternatives));
            }
            if !self.eat("OR") {
                let opened = &self.text[start..];
                return Err(self.bad_at(start, "a closing parenthesis for this one", opened));
            }
        }
    }

    fn word_term(&mut self) -> Result<Term, BadQuery> {
        let start = self.at;
        if self.rest().starts_with("~\"") {
            return Err(self.bad("a key before a regular expression, as in value:~\"timed? out\""));
        }
        let word = self.take_until(|c| c == ':' || ends_free(c));
        if self.eat(":") {
            return self.field(start, word);
        }
        if word.ends_with('*') {
            let expected = "text without *: free text is found anywhere, also inside words; \
                 in quotes, * stands for itself";
            return Err(self.bad_at(start, expected, word));
        }
        if let "AND" | "NOT" = word {
            return Err(self.foreign_word(start));
        }
        self.count(start)?;
        Ok(Term::Free(word.into()))
    }

    /// A word here that other grammars know.
    fn foreign_word(&self, start: usize) -> BadQuery {
        let word = self.text[start..].split(ends_free).next();
        let word = word.unwrap_or_default();
        let expected = match word.eq_ignore_ascii_case("or") {
            true => {
                "capital letters and parentheses for alternatives, (a OR b); in quotes, the word \
                 stands for itself"
            }
            false => {
                "conditions side by side, which must all hold, and - before one that must not; in \
                 quotes, the word stands for itself"
            }
        };
        self.bad_at(start, expected, word)
    }

    fn field(&mut self, start: usize, key: &str) -> Result<Term, BadQuery> {
        let asked = self.asked(start, key)?;
        let op = self.op();
        if op != Op::Is && !asked.scale().is_ordered() {
            let expected = format!("{key}:value; < and > are for numbers, times and versions");
            let got = &self.text[start..self.at];
            return Err(self.bad_at(start, expected, got));
        }
        let mut values = vec![self.value(&asked, op)?];
        while self.eat(",") {
            values.push(self.value(&asked, op)?);
        }
        Ok(match asked {
            Asked::Field(field) => Term::Field { field, op, values },
            Asked::Data(path) => Term::Data { path, op, values },
        })
    }

    fn asked(&self, start: usize, key: &str) -> Result<Asked, BadQuery> {
        let Some(path) = key.strip_prefix("data.") else {
            let field = Field::parse(key).ok_or_else(|| self.unknown_key(start, key))?;
            return Ok(Asked::Field(field));
        };
        DataPath::parse(path).map(Asked::Data).ok_or_else(|| {
            let expected = format!(
                "data. and at most {} names with full stops between them",
                DataPath::PARTS_MAX
            );
            self.bad_at(start, expected, &format!("{key}:"))
        })
    }

    fn unknown_key(&self, start: usize, key: &str) -> BadQuery {
        let keys = Field::ALL.map(Field::key);
        let expected = format!(
            "one of the keys {}, data.<path>, or quotes around text with a colon",
            keys.join(", ")
        );
        let nearest = match key {
            "state" | "reason" => Some(self.as_is()),
            "pod" | "node" => Some("host".into()),
            "revision" => Some("version".into()),
            "first" | "last" => Some("seen".into()),
            "data" => Some("data.<path>".into()),
            _ => nearest(key, &keys),
        };
        BadQuery {
            nearest,
            ..self.bad_at(start, expected, &format!("{key}:"))
        }
    }

    /// The condition that a member of a ticket's JSON stands for: `state:waiting` is `is:waiting`.
    fn as_is(&self) -> String {
        let value = self.rest().split(|c| c == ',' || ends_free(c)).next();
        let value = value.unwrap_or_default();
        match check(
            &Asked::Field(Field::Is),
            Op::Is,
            Pattern::Exact(value.into()),
        ) {
            Ok(_) => format!("is:{value}"),
            Err(_) => "is:waiting".into(),
        }
    }

    fn count(&mut self, position: usize) -> Result<(), BadQuery> {
        self.conditions += 1;
        if self.conditions <= Query::TERMS_MAX {
            return Ok(());
        }
        let expected = format!(
            "at most {} conditions, each value counted",
            Query::TERMS_MAX
        );
        Err(self.bad_at(position, expected, "one more"))
    }
}

/// Where a word outside quotes ends; a value also ends at a comma.
fn ends_free(c: char) -> bool {
    c.is_whitespace() || matches!(c, '(' | ')' | '"')
}

/// Where `or`, `and` or `not` stands as free text while nothing beside it is text: nobody looks for
/// these words there, which almost everything has somewhere.
fn misread(all: &[Term]) -> impl Iterator<Item = usize> {
    let is_condition = |term: &Term| !matches!(term, Term::Free(_));
    (0..all.len()).filter(move |at| {
        let before = at.checked_sub(1).and_then(|before| all.get(before));
        let stands_before = all.get(at + 1).is_some_and(is_condition);
        match &all[*at] {
            Term::Free(word) if word.eq_ignore_ascii_case("not") => {
                stands_before && before.is_none_or(is_condition)
            }
            Term::Free(word) if is_joint(word) => stands_before && before.is_some_and(is_condition),
            _ => false,
        }
    })
}

fn is_joint(word: &str) -> bool {
    word.eq_ignore_ascii_case("or") || word.eq_ignore_ascii_case("and")
}

/// Whether a word means something else than itself, at least in some places.
pub(super) fn is_foreign(word: &str) -> bool {
    is_joint(word) || word.eq_ignore_ascii_case("not")
}
