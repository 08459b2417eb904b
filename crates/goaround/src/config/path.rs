//! Where a value stands in the configuration: sections and key, as the user spells them.

use super::key::{KEYS, Key, LATER};
use super::value::Kind;
use std::fmt;

/// How alike two names must be, 0 to 1, for one to be offered for the other.
const ALIKE_MIN: f64 = 0.6;

/// Sections and key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Path(Vec<String>);

/// What a path leads to.
pub(super) enum Target {
    /// A key.
    Key(&'static Key),
    /// A section, with keys in it.
    Section,
    /// What this version does not have.
    Later,
    /// Nothing.
    Nowhere,
}

impl Path {
    /// The path with these segments.
    pub(super) fn of(segments: &[&str]) -> Self {
        Self(segments.iter().map(|&segment| segment.into()).collect())
    }

    /// One deeper.
    pub(super) fn then(&self, segment: &str) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment.into());
        Self(segments)
    }

    /// The segments.
    pub(super) fn segments(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }

    /// What it leads to.
    pub(super) fn target(&self) -> Target {
        let segments = self.segments();
        let begins = |pattern: &str| {
            let pattern: Vec<&str> = pattern.split('.').collect();
            pattern.len() >= segments.len() && pattern.iter().zip(&segments).all(fits)
        };
        let is = |pattern: &str| pattern.split('.').count() == segments.len() && begins(pattern);
        let is_in = |pattern: &str| {
            let pattern: Vec<&str> = pattern.split('.').collect();
            pattern.len() <= segments.len() && pattern.iter().zip(&segments).all(fits)
        };
        if let Some(key) = KEYS.iter().find(|key| is(key.path)) {
            Target::Key(key)
        } else if LATER.iter().any(|later| is_in(later)) {
            Target::Later
        } else if KEYS.iter().any(|key| begins(key.path)) {
            Target::Section
        } else {
            Target::Nowhere
        }
    }

    /// As much of it as is needed to lead nowhere; all of it, if it leads somewhere.
    pub(super) fn first_unknown(&self) -> Self {
        let lengths = 1..self.0.len();
        let mut parts = lengths.map(|length| Self(self.0[..length].to_vec()));
        let unknown = parts.find(|part| matches!(part.target(), Target::Nowhere));
        unknown.unwrap_or_else(|| self.clone())
    }

    /// Whether its last name stands where keys stand.
    pub(super) fn is_in_section(&self) -> bool {
        let parent = Self(self.0[..self.0.len().saturating_sub(1)].to_vec());
        parent.0.is_empty() || matches!(parent.target(), Target::Section)
    }

    /// The names that could stand in its last place, in the order of the table.
    pub(super) fn siblings(&self) -> Vec<&'static str> {
        let parent = self.segments();
        let parent = &parent[..parent.len().saturating_sub(1)];
        Self::of(parent).children()
    }

    /// The names that could stand after its last place, in the order of the table.
    pub(super) fn children(&self) -> Vec<&'static str> {
        let (depth, parent) = (self.0.len(), self.segments());
        let mut names = Vec::new();
        for key in KEYS {
            let pattern: Vec<&str> = key.path.split('.').collect();
            let is_beside = pattern.len() > depth && pattern.iter().zip(&parent).all(fits);
            if is_beside && !names.contains(&pattern[depth]) {
                names.push(pattern[depth]);
            }
        }
        names
    }

    /// The key that it was probably meant to lead to, each name that nobody knows taken for the
    /// nearest. What is below a table of variables is meant for that.
    pub(super) fn meant(&self) -> Option<&'static Key> {
        let mut meant = Self::default();
        for segment in &self.0 {
            let names = meant.children();
            let is_known = names.iter().any(|name| fits((name, &segment.as_str())));
            meant = meant.then(match is_known {
                true => segment,
                false => nearest(segment, &names)?,
            });
            if let Target::Key(key) = meant.target()
                && key.kind == Kind::Environment
            {
                return Some(key);
            }
        }
        match meant.target() {
            Target::Key(key) => Some(key),
            Target::Section | Target::Later | Target::Nowhere => None,
        }
    }

    /// The sibling that its last segment was probably meant to be.
    pub(super) fn nearest(&self) -> Option<&'static str> {
        nearest(self.0.last()?, &self.siblings())
    }
}

/// The name that is most like the word, if any is.
pub(crate) fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let alike = |name: &str| strsim::normalized_damerau_levenshtein(word, name);
    let candidates = names.iter().map(|name| (alike(name), *name));
    candidates
        .filter(|(alike, _)| *alike >= ALIKE_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

fn fits((pattern, segment): (&&str, &&str)) -> bool {
    *pattern == "*" || pattern == segment
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            let dot = if i == 0 { "" } else { "." };
            let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            if !segment.is_empty() && segment.chars().all(is_bare) {
                write!(f, "{dot}{segment}")?;
            } else {
                write!(f, "{dot}{segment:?}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_has_a_nearest_name_and_nonsense_has_none() {
        let misspelt = Path::of(&["stage", "build", "concurency"]);
        assert_eq!(misspelt.nearest(), Some("concurrency"));
        assert_eq!(Path::of(&["stages"]).nearest(), Some("stage"));
        assert_eq!(Path::of(&["xyzzy"]).nearest(), None);
    }

    #[test]
    fn a_path_is_meant_for_the_nearest_key() {
        let meant = |segments: &[&str]| Path::of(segments).meant().map(|key| key.path);
        for (segments, path) in [
            (&["brokr", "prefix"][..], Some("broker.prefix")),
            (
                &["stage", "x", "retry", "frist"],
                Some("stage.*.retry.first"),
            ),
            (&["stage", "x", "env", "HOME"], Some("stage.*.env")),
            (&["stage", "x", "deadline", "secs"], None),
            (&["stage", "x"], None),
            (&["xyzzy", "url"], None),
        ] {
            assert_eq!(meant(segments), path, "{segments:?}");
        }
    }

    #[test]
    fn a_name_with_a_dot_is_quoted() {
        let path = Path::of(&["stage", "build-1.x", "run"]);
        assert_eq!(path.to_string(), "stage.\"build-1.x\".run");
        assert!(matches!(path.target(), Target::Key(key) if key.path == "stage.*.run"));
    }
}
