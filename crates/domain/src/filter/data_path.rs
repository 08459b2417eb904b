//! Values inside the JSON that a ticket carries: `data.build.arch:s390x`.
//!
//! Read in one pass and without a tree: a list looks at many payloads for one value of each. What
//! is no JSON has no values.

use std::borrow::Cow;
use std::fmt;

/// Where in the JSON of a payload: names of members from the outside in, and numbers of elements
/// from 0. A name that stands where an array is means that of each element; an array at the end
/// has each of its elements as a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataPath(Vec<String>);

impl DataPath {
    /// The most names and numbers in a path.
    pub const PARTS_MAX: usize = 8;
    /// The most values of one payload that are looked at: the first.
    pub const VALUES_MAX: usize = 1_000;

    /// Reads names with full stops between them; `None` when one is empty or there are too many.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
        let is_good = parts.len() <= Self::PARTS_MAX && parts.iter().all(|it| !it.is_empty());
        is_good.then_some(Self(parts))
    }

    /// The texts, numbers and truth values there, as text; objects and null are none.
    pub fn values_in<'a>(&self, json: &'a [u8]) -> Vec<Cow<'a, str>> {
        let Ok(text) = std::str::from_utf8(json) else {
            return Vec::new();
        };
        let mut reader = Reader {
            text,
            at: 0,
            found: Vec::new(),
        };
        match reader.value(&self.0) {
            Some(()) => reader.found,
            None => Vec::new(),
        }
    }
}

impl fmt::Display for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Reads JSON from the left to the right; each step is `None` where it is none.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    found: Vec<Cow<'a, str>>,
}

impl<'a> Reader<'a> {
    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let spaces = rest.iter().take_while(|byte| is_space(**byte)).count();
        self.at += spaces;
        rest.get(spaces).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// Finds what is at the path below the value that begins here. Goes no deeper than the path is
    /// long: what a payload nests must not use up the stack.
    fn value(&mut self, path: &[String]) -> Option<()> {
        match (self.peek()?, path) {
            (b'{', [name, rest @ ..]) => self.member(name, rest),
            (b'[', [part, rest @ ..]) => match part.parse::<usize>() {
                Ok(wanted) => self.elements(|reader, index| match index == wanted {
                    true => reader.value(rest),
                    false => reader.skip(),
                }),
                Err(_) => self.elements(|reader, _| match reader.peek()? {
                    b'{' => reader.member(part, rest),
                    _ => reader.skip(),
                }),
            },
            (b'[', []) => self.elements(|reader, _| match reader.peek()? {
                b'{' | b'[' => reader.skip(),
                _ => reader.scalar(),
            }),
            (b'{', []) | (_, [_, ..]) => self.skip(),
            (_, []) => self.scalar(),
        }
    }

    /// Goes through an object and looks into the members of this name.
    fn member(&mut self, name: &str, path: &[String]) -> Option<()> {
        self.eat(b'{').then_some(())?;
        if self.eat(b'}') {
            return Some(());
        }
        loop {
            let is_it = self.string()? == name;
            self.eat(b':').then_some(())?;
            match is_it {
                true => self.value(path)?,
                false => self.skip()?,
            }
            if !self.eat(b',') {
                return self.eat(b'}').then_some(());
            }
        }
    }

    fn elements(&mut self, look: impl Fn(&mut Self, usize) -> Option<()>) -> Option<()> {
        self.eat(b'[').then_some(())?;
        if self.eat(b']') {
            return Some(());
        }
        for index in 0.. {
            look(self, index)?;
            if !self.eat(b',') {
                break;
            }
        }
        self.eat(b']').then_some(())
    }

    fn scalar(&mut self) -> Option<()> {
        let value: Cow<'a, str> = match self.peek()? {
            b'"' => self.string()?,
            _ => match self.word()? {
                "null" => return Some(()),
                word => word.into(),
            },
        };
        if self.found.len() < DataPath::VALUES_MAX {
            self.found.push(value);
        }
        Some(())
    }

    /// Passes over a value, however deep. What is inside may be out of order: it is not looked at.
    fn skip(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                b'"' => self.pass_string()?,
                _ => {
                    self.word()?;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// A number, true, false or null.
    fn word(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let is_end = |c: char| matches!(c, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r');
        let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        let is_number = word.starts_with(|c: char| c == '-' || c.is_ascii_digit())
            && word.parse::<f64>().is_ok();
        self.at += word.len();
        (is_number || matches!(word, "true" | "false" | "null")).then_some(word)
    }

    fn pass_string(&mut self) -> Option<()> {
        self.eat(b'"').then_some(())?;
        loop {
            match self.until_mark()?.1 {
                b'"' => return Some(()),
                _ => self.at += self.text[self.at..].chars().next()?.len_utf8(),
            }
        }
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.eat(b'"').then_some(())?;
        let (plain, mark) = self.until_mark()?;
        if mark == b'"' {
            return Some(plain.into());
        }
        let mut text = plain.to_owned();
        text.push(self.escaped()?);
        loop {
            let (plain, mark) = self.until_mark()?;
            text.push_str(plain);
            match mark {
                b'"' => return Some(text.into()),
                _ => text.push(self.escaped()?),
            }
        }
    }

    /// The text up to the next quote or backslash, and which it is; both are passed.
    fn until_mark(&mut self) -> Option<(&'a str, u8)> {
        let rest = &self.text[self.at..];
        let end = rest.find(['"', '\\'])?;
        self.at += end + 1;
        Some((&rest[..end], rest.as_bytes()[end]))
    }

    /// What stands after a backslash.
    fn escaped(&mut self) -> Option<char> {
        let next = self.text[self.at..].chars().next()?;
        self.at += next.len_utf8();
        Some(match next {
            '"' | '\\' | '/' => next,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => self.unicode()?,
            _ => return None,
        })
    }

    /// A character that is written as one or two numbers; half a pair stands for none.
    fn unicode(&mut self) -> Option<char> {
        let first = self.hex()?;
        if let Some(whole) = char::from_u32(first) {
            return Some(whole);
        }
        let back = self.at;
        if self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            if let Some(second @ 0xdc00..0xe000) = self.hex()
                && first < 0xdc00
            {
                return char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            }
            self.at = back;
        }
        Some(char::REPLACEMENT_CHARACTER)
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.at += 4;
        is_hex.then(|| u32::from_str_radix(digits, 16).ok())?
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(path: &str, json: &str) -> Vec<String> {
        let path = DataPath::parse(path).unwrap();
        let found = path.values_in(json.as_bytes());
        found.into_iter().map(Cow::into_owned).collect()
    }

    #[test]
    fn a_value_is_found_by_its_path() {
        let json = r#" { "a" : {"b":[1, "x", {"c":true}, [2], null], "d\n\u00e9\ud83d\ude00":-1.50},
            "list":[{"n":"one"}, 7, {"n":"two"},{"n":["three","four"]}], "a" : "again" } "#;
        for (path, expected) in [
            ("a", vec!["again"]),
            ("a.b", vec!["1", "x"]),
            ("a.b.0", vec!["1"]),
            ("a.b.1", vec!["x"]),
            ("a.b.2.c", vec!["true"]),
            ("a.b.c", vec!["true"]),
            ("a.b.3", vec!["2"]),
            ("a.b.4", vec![]),
            ("a.b.9", vec![]),
            ("a.d\né😀", vec!["-1.50"]),
            ("list.n", vec!["one", "two", "three", "four"]),
            ("list.2.n", vec!["two"]),
            ("list", vec!["7"]),
            ("nowhere", vec![]),
            ("a.b.c.d.e", vec![]),
        ] {
            assert_eq!(values(path, json), expected, "{path}");
        }
    }

    #[test]
    fn what_is_no_json_has_no_values() {
        for json in [
            "",
            "work",
            "{",
            r#"{"a""#,
            r#"{"a":"#,
            r#"{"a":1"#,
            r#"{"a":1,}"#,
            r#"{"a":nan}"#,
            r#"{"a":"\x"}"#,
            r#"{"a":"\u12"#,
            r#"{a:1}"#,
            r#"[1}"#,
            r#"{"b":[}"#,
            "\"a\"",
        ] {
            assert_eq!(values("a", json), Vec::<String>::new(), "{json}");
        }
        let path = DataPath::parse("a").unwrap();
        assert!(path.values_in(b"{\"a\":\"\xff\"}").is_empty());
        assert_eq!(values("a", r#"{"a":"\ud800x"}"#), ["\u{fffd}x"]);
    }

    #[test]
    fn what_nests_deep_or_is_long_costs_no_more_than_its_length() {
        let deep = "[".repeat(200_000);
        assert!(values("a.b", &format!("{{\"a\":{deep}")).is_empty());
        let closed = format!("{{\"x\":{deep}{},\"a\":1}}", "]".repeat(200_000));
        assert_eq!(values("a", &closed), ["1"]);
        let many = format!("{{\"a\":[{}1]}}", "1,".repeat(5_000));
        assert_eq!(values("a", &many).len(), DataPath::VALUES_MAX);
    }

    #[test]
    fn a_path_has_names_between_its_full_stops_and_not_too_many() {
        for text in ["", ".", "a.", ".a", "a..b", "a.b.c.d.e.f.g.h.i"] {
            assert_eq!(DataPath::parse(text), None, "{text}");
        }
        assert_eq!(DataPath::parse("a.0.b").unwrap().to_string(), "a.0.b");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[{}\\[\\]\":,\\\\u0a e1-]{0,40}|\\PC{0,40}") {
            for path in ["a", "a.0.e", "0"] {
                values(path, &text);
            }
        }
    }
}
