//! The values that were set, each with where it was set; later layers cover earlier ones.

use super::backend::Backend;
use super::key::{KEYS, Preset};
use super::path::{Path, Target};
use super::problem::Source;
use super::secret::Secret;
use super::value::{Raw, Value, Variable};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A value, and where it was set.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Where it was set.
    pub source: Source,
}

/// All values that were set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    values: BTreeMap<Path, Setting>,
    /// The sections that the user named, such as `[stage.build]`, with where.
    sections: BTreeMap<Path, Source>,
    /// What was set to something that it cannot be; so it is wrong, but not missing.
    misread: BTreeSet<Path>,
}

impl Settings {
    pub(super) fn set(&mut self, path: Path, value: Value, source: Source) {
        self.open(&path, &source);
        self.values.insert(path, Setting { value, source });
    }

    /// Notes that the user set this to something that it cannot be.
    pub(super) fn misread(&mut self, path: Path, source: Source) {
        self.open(&path, &source);
        self.misread.insert(path);
    }

    /// Whether nobody tried to set it.
    pub(super) fn is_missing(&self, segments: &[&str]) -> bool {
        let path = Path::of(segments);
        !self.values.contains_key(&path) && !self.misread.contains(&path)
    }

    /// Notes that the user named this section, or the one that the key is in.
    pub(super) fn open(&mut self, path: &Path, source: &Source) {
        if let ["stage" | "flow", name, ..] = path.segments()[..] {
            let section = Path::of(&[path.segments()[0], name]);
            self.sections
                .entry(section)
                .or_insert_with(|| source.clone());
        }
    }

    /// The names of the sections of this noun, such as all stages.
    pub(super) fn names(&self, noun: &str) -> Vec<&str> {
        let names = self
            .sections
            .keys()
            .filter_map(|path| match path.segments()[..] {
                [first, name] if first == noun => Some(name),
                _ => None,
            });
        names.collect()
    }

    /// Where a value or a section was set.
    pub(super) fn source(&self, segments: &[&str]) -> Source {
        let path = Path::of(segments);
        let value = self.values.get(&path).map(|setting| &setting.source);
        let section = || {
            let section = segments.get(..2).map(Path::of);
            section.and_then(|section| self.sections.get(&section))
        };
        value.or_else(section).cloned().unwrap_or(Source::Default)
    }

    /// Every value that holds, defaults too, in the order of the table. Of what can be turned off
    /// it is either that it is, or what its keys say, so that a file may have all of it.
    pub fn all(&self) -> Vec<(Path, Setting)> {
        let mut all = Vec::new();
        for key in KEYS {
            let pattern: Vec<&str> = key.path.split('.').collect();
            let names = match pattern[..] {
                [noun, "*", ..] => self.names(noun),
                _ => vec![""],
            };
            for name in names {
                let segments = pattern
                    .iter()
                    .map(|part| if *part == "*" { name } else { part });
                let segments: Vec<&str> = segments.collect();
                let setting = self.get(&segments);
                if let Some(setting) = setting.filter(|it| self.is_told(&segments, it)) {
                    all.push((Path::of(&segments), setting));
                }
            }
        }
        all
    }

    fn is_told(&self, segments: &[&str], setting: &Setting) -> bool {
        let above = segments.split_last().map_or(&[][..], |(_, above)| above);
        setting.value != Value::Switch(true) && self.switch(above) != Some(false)
    }

    /// The value that holds for a key: the one that was set, else the default.
    fn get(&self, segments: &[&str]) -> Option<Setting> {
        let path = Path::of(segments);
        if let Some(setting) = self.values.get(&path) {
            return Some(setting.clone());
        }
        let Target::Key(key) = path.target() else {
            return None;
        };
        match key.preset {
            Preset::Is(text) => Some(Setting {
                value: key.kind.read(Raw::Text(text)).ok()?,
                source: Source::Default,
            }),
            Preset::Nothing(_) | Preset::Required => None,
        }
    }
}

/// Reads a value of the type that the key's kind promises; `None` when it is not set.
macro_rules! reader {
    ($name:ident, $variant:ident, $type:ty) => {
        pub(super) fn $name(&self, segments: &[&str]) -> Option<$type> {
            match self.get(segments)?.value {
                Value::$variant(value) => Some(value),
                _ => None,
            }
        }
    };
}

impl Settings {
    reader!(text, Text, String);
    reader!(switch, Switch, bool);
    reader!(integer, Integer, u64);
    reader!(number, Number, f64);
    reader!(duration, Duration, Duration);
    reader!(size, Size, u64);
    reader!(address, Address, SocketAddr);
    reader!(path, Path, PathBuf);
    reader!(list, List, Vec<String>);
    reader!(environment, Environment, BTreeMap<String, Variable>);
    reader!(secret, Secret, Secret);
    reader!(backend, Backend, Backend);
}
