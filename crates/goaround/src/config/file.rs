//! The file's layer: TOML to settings, with the line of each value and all problems at once.

use super::key::Key;
use super::mask;
use super::path::{Path, Target};
use super::problem::{Problem, Source};
use super::settings::Settings;
use super::value::{Kind, Raw};
use domain::names::{FlowName, StageName};
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest file that is read: far more than any person writes.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// What came of reading a file.
pub(super) struct Reading {
    /// What is wrong in it.
    pub(super) problems: Vec<Problem>,
    /// Whether it is not even TOML, so that what is missing in it says nothing.
    pub(super) is_torn: bool,
}

/// Reads the text of a file into `settings`; what cannot be read becomes problems.
pub(super) fn read(file: &str, text: &str, settings: &mut Settings) -> Reading {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader {
        file,
        text,
        settings,
        problems: Vec::new(),
    };
    reader.walk(&Path::default(), document.get_ref());
    let misread = reader.problems;
    let torn: Vec<Problem> = errors
        .iter()
        .map(|error| syntax(file, text, error))
        .collect();
    // What the parser made of a torn line is its guess; only its own word about the line counts.
    let torn_lines: BTreeSet<Source> = torn.iter().map(|problem| problem.source.clone()).collect();
    let misread = misread
        .into_iter()
        .filter(|problem| !torn_lines.contains(&problem.source));
    let mut problems: Vec<Problem> = torn.iter().cloned().chain(misread).collect();
    problems.sort();
    problems.dedup_by(|a, b| torn_lines.contains(&a.source) && a.source == b.source);
    Reading {
        is_torn: !torn.is_empty(),
        problems,
    }
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    settings: &'a mut Settings,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn walk(&mut self, at: &Path, table: &DeTable<'_>) {
        for (name, value) in table {
            let path = at.then(name.get_ref());
            match path.target() {
                // What can be switched off is switched on by naming its keys.
                Target::Key(Key {
                    kind: Kind::Switch(_),
                    ..
                }) if value.get_ref().is_table() => self.section(path, name.span(), value),
                Target::Key(key) => self.leaf(key, path, value),
                Target::Section => self.section(path, name.span(), value),
                Target::Later => self.problem(
                    name.span(),
                    format!("{path}: not available in this version; remove it"),
                ),
                Target::Nowhere => self.unknown(&path, name.span(), value),
            }
        }
    }

    fn leaf(&mut self, key: &Key, path: Path, value: &Spanned<DeValue<'_>>) {
        let source = self.source(value.span());
        match key.kind.read(Raw::Toml(value.get_ref())) {
            Ok(read) => self.settings.set(path, read, source),
            Err(expected) => {
                let got = self.got(&path, value);
                self.problem(
                    value.span(),
                    format!("{path}: expected {expected}, got {got}"),
                );
                self.settings.misread(path, source);
            }
        }
    }

    fn section(&mut self, path: Path, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        let source = self.source(span.clone());
        if let Some(bad) = bad_name(&path) {
            self.problem(span, format!("{path}: {bad}"));
            return;
        }
        self.settings.open(&path, &source);
        match value.get_ref() {
            DeValue::Table(table) => self.walk(&path, table),
            _ => {
                let got = self.got(&path, value);
                let what = format!("{path}: expected a table such as [{path}], got {got}");
                self.problem(span, what);
            }
        }
    }

    fn unknown(&mut self, path: &Path, span: Range<usize>, value: &Spanned<DeValue<'_>>) {
        let got = match value.get_ref() {
            DeValue::Table(_) => "a section".into(),
            _ => self.got(path, value),
        };
        let meant = match path.nearest() {
            Some(name) => format!("; did you mean {name}?"),
            None => String::new(),
        };
        let expected = path.siblings().join(", ");
        let what = format!("{path}: unknown key, expected one of {expected}; got {got}{meant}");
        self.problem(span, what);
    }

    /// As much of the value as may be shown, as it stands in the file.
    fn got(&self, path: &Path, value: &Spanned<DeValue<'_>>) -> String {
        mask::of_file(path, value, self.text)
    }

    fn source(&self, span: Range<usize>) -> Source {
        source(self.file, self.text, span)
    }

    fn problem(&mut self, span: Range<usize>, what: String) {
        let source = self.source(span);
        self.problems.push(Problem { source, what });
    }
}

fn source(file: &str, text: &str, span: Range<usize>) -> Source {
    let before = text.as_bytes().get(..span.start).unwrap_or_default();
    Source::File {
        file: file.into(),
        line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
    }
}

fn syntax(file: &str, text: &str, error: &toml::de::Error) -> Problem {
    let span = error.span().unwrap_or_default();
    let source = source(file, text, span.clone());
    let found = text.get(span).unwrap_or_default();
    let what = match (error.message(), found) {
        ("duplicate key", key) => {
            let place = place_at(text, error.span().unwrap_or_default().start, key);
            format!(
                "{}: expected each key and section once, got it twice",
                mask::line(&place)
            )
        }
        (message, found) => {
            let message = message.replace('\n', "; ");
            mask::of_torn(found).map_or(message.clone(), |sign| format!("{message}, got {sign}"))
        }
    };
    Problem { source, what }
}

/// The key with its section, which the parser does not say.
fn place_at(text: &str, at: usize, key: &str) -> String {
    let upto = text.get(..at).unwrap_or_default();
    let rest = text.get(at..).unwrap_or_default();
    let line = upto.rfind('\n').map_or(0, |end| end + 1);
    let end = at + rest.find('\n').unwrap_or(rest.len());
    if let Some(name) = section_of(&text[line..end]) {
        return name.into();
    }
    match upto.lines().rev().find_map(section_of) {
        Some(section) => format!("{section}.{key}"),
        None => key.into(),
    }
}

/// The name of the section that begins at this line.
fn section_of(line: &str) -> Option<&str> {
    let name = line.trim().strip_prefix('[')?;
    Some(name.trim_start_matches('[').split(']').next()?.trim())
}

/// Why the name that the user chose for a stage or flow cannot be one.
fn bad_name(path: &Path) -> Option<String> {
    let bad = match path.segments()[..] {
        ["stage", name] => StageName::new(name).err(),
        ["flow", name] => FlowName::new(name).err(),
        _ => None,
    };
    bad.map(|bad| format!("expected a name of {}, got {:?}", bad.expected, bad.got))
}
