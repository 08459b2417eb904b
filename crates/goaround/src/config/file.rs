//! The file's layer: TOML to settings, with the line of each value and all problems at once.

use super::key::Key;
use super::path::{Path, Target};
use super::problem::{Problem, Source, got};
use super::settings::Settings;
use super::value::Raw;
use domain::names::{FlowName, StageName};
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The longest file that is read: far more than any person writes.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the text of a file into `settings`; what cannot be read becomes problems.
pub(super) fn read(file: &str, text: &str, settings: &mut Settings) -> Vec<Problem> {
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
    problems
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
        self.settings.open(&path, &source);
        match key.kind.read(Raw::Toml(value.get_ref())) {
            Ok(read) => self.settings.set(path, read, source),
            Err(expected) => {
                let got = self.got(&path, value);
                self.problem(value.span(), format!("{path}: expected {expected}, got {got}"));
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

    /// The value as it stands in the file, unless that could be a secret.
    fn got(&self, path: &Path, value: &Spanned<DeValue<'_>>) -> String {
        const SECRETS: [&str; 4] = ["token", "password", "secret", "url"];
        let path = path.to_string().to_lowercase();
        let text = self.text.get(value.span()).unwrap_or_default();
        let may_be_shown = !text.contains('@') && !text.contains("token");
        if SECRETS.iter().any(|word| path.ends_with(word)) && !may_be_shown
            || path.ends_with("token")
            || path.contains("password")
            || path.contains("secret")
        {
            return "(hidden)".into();
        }
        got(text)
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
        ("duplicate key", key) => format!("{}: expected each key once, got it twice", got(key)),
        (message, "") => message.replace('\n', "; "),
        (message, found) => format!("{}, got {}", message.replace('\n', "; "), got(found)),
    };
    Problem { source, what }
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
