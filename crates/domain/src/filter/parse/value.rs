//! Reads what stands after a key.

use super::{BadQuery, Parser, ends_free};
use crate::filter::check::{Asked, check};
use crate::filter::{Op, Pattern, Query, Regex};

impl Parser<'_> {
    pub(super) fn op(&mut self) -> Op {
        // The longer ones first, since they begin like the shorter ones.
        for (token, op) in [
            (">=", Op::AtLeast),
            ("<=", Op::AtMost),
            (">", Op::Over),
            ("<", Op::Under),
        ] {
            if self.eat(token) {
                return op;
            }
        }
        Op::Is
    }

    pub(super) fn value(&mut self, asked: &Asked, op: Op) -> Result<Pattern, BadQuery> {
        let start = self.at;
        self.count(start)?;
        let pattern = match self.peek() {
            Some('"') => {
                let text = self.quoted()?;
                match self.eat("*") {
                    true => Pattern::Prefix(text),
                    false => Pattern::Exact(text),
                }
            }
            Some('~') => self.regex()?,
            _ => self.word_value(asked)?,
        };
        let shown = &self.text[start..self.at];
        check(asked, op, pattern).map_err(|mistake| BadQuery {
            nearest: mistake.nearest,
            ..self.bad_at(start, mistake.expected, shown)
        })
    }

    fn word_value(&mut self, asked: &Asked) -> Result<Pattern, BadQuery> {
        let start = self.at;
        let word = self.take_until(|c| c == ',' || ends_free(c));
        if word.is_empty() {
            return Err(self.bad(format!("a value for {}", asked.key())));
        }
        let is_ordered = asked.scale().is_ordered();
        let pattern = match (word.strip_suffix('*'), word.split_once("..")) {
            (Some(start), _) => Pattern::Prefix(start.into()),
            (None, Some((low, high))) if is_ordered => Pattern::Range(low.into(), high.into()),
            (None, _) => Pattern::Exact(word.into()),
        };
        if word.trim_end_matches('*').contains('*') || word.ends_with("**") {
            let expected = "* only at the end of a value, or in quotes to stand for itself";
            return Err(self.bad_at(start, expected, word));
        }
        Ok(pattern)
    }

    fn regex(&mut self) -> Result<Pattern, BadQuery> {
        let start = self.at;
        self.eat("~");
        if self.peek() != Some('"') {
            let expected = "quotes around a regular expression, as in ~\"timed? out\", or around \
                 text that begins with ~";
            let word = self.text[start..].split(ends_free).next();
            return Err(self.bad_at(start, expected, word.unwrap_or_default()));
        }
        let text = self.quoted()?;
        let shown = &self.text[start..self.at];
        self.regexes += 1;
        if self.regexes > Query::REGEXES_MAX {
            let max = Query::REGEXES_MAX;
            let expected = format!("at most {max} regular expressions");
            return Err(self.bad_at(start, expected, shown));
        }
        let regex = Regex::new(&text);
        regex
            .map(Pattern::Regex)
            .map_err(|expected| self.bad_at(start, expected, shown))
    }

    pub(super) fn quoted(&mut self) -> Result<String, BadQuery> {
        let start = self.at;
        self.eat("\"");
        let mut text = String::new();
        loop {
            text.push_str(self.take_until(|c| c == '"' || c == '\\'));
            if self.eat("\\\"") {
                text.push('"');
            } else if self.eat("\\\\") || self.eat("\\") {
                text.push('\\');
            } else if self.eat("\"") {
                break;
            } else {
                let opened = &self.text[start..];
                return Err(self.bad_at(start, "a closing quote for this one", opened));
            }
        }
        if text.is_empty() {
            return Err(self.bad_at(start, "text between the quotes", "\"\""));
        }
        Ok(text)
    }
}
