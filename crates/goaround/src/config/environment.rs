//! The environment's layer (`GOAROUND__SECTION__KEY`) and the flags' layer above it.

use super::mask;
use super::path::{Path, Target};
use super::problem::{Problem, Source};
use super::settings::Settings;
use super::value::{Kind, Raw};
use std::collections::BTreeMap;

const PREFIX: &str = "GOAROUND__";
/// The short name for `GOAROUND__HTTP__TOKEN`, which the command line's client reads too.
const TOKEN: &str = "GOAROUND_TOKEN";

/// Reads the variables that are ours into `settings`; what cannot be read becomes problems.
pub(super) fn read(variables: &BTreeMap<String, String>, settings: &mut Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(text) = variables.get(TOKEN).filter(|text| !text.is_empty()) {
        let path = Path::of(&["http", "token"]);
        problems.extend(set(&path, text, Source::Environment(TOKEN.into()), settings).err());
    }
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let path = path_of(rest, settings);
        let source = Source::Environment(name.clone());
        problems.extend(set(&path, text, source, settings).err());
    }
    problems
}

/// Sets one value from its text.
///
/// # Errors
/// The problem, when there is no such key or the text is not what it takes.
pub(super) fn set(
    path: &Path,
    text: &str,
    source: Source,
    settings: &mut Settings,
) -> Result<(), Problem> {
    let what = match path.target() {
        Target::Key(key) => match key.kind.read(Raw::Text(text)) {
            Ok(value) => {
                settings.set(path.clone(), value, source);
                return Ok(());
            }
            Err(expected) => {
                settings.misread(path.clone(), source.clone());
                match key.kind {
                    Kind::Secret => format!("{path}: expected a text, got none"),
                    _ => format!(
                        "{path}: expected {expected}, got {}",
                        mask::of_text(path, text)
                    ),
                }
            }
        },
        Target::Later => format!("{path}: not available in this version; unset it"),
        Target::Section => {
            let expected = path.children().join(", ");
            format!("{path}: expected one key of this section, {expected}; got the whole section")
        }
        Target::Nowhere => unknown(path, text),
    };
    Err(Problem { source, what })
}

/// Says of the first name that nobody knows what it could have been.
fn unknown(path: &Path, text: &str) -> String {
    let first = path.first_unknown();
    let expected = match first.siblings().join(", ") {
        none if none.is_empty() => "no key below another".into(),
        names => format!("one of {names}"),
    };
    let meant = match first.nearest() {
        Some(name) => format!("; did you mean {}?", name.to_uppercase()),
        None => String::new(),
    };
    let got = mask::of_text(path, text);
    format!("{first}: unknown key, expected {expected}; got {got}{meant}")
}

/// `STAGE__BUILD__STOP_GRACE` is `stage.build.stop_grace`. A name that the user chose is found
/// whatever its case, and with `_` for what a variable cannot have.
fn path_of(rest: &str, settings: &Settings) -> Path {
    let lower = rest.to_lowercase();
    let mut segments: Vec<&str> = lower.split("__").collect();
    let names = match segments.first() {
        Some(noun) => settings.names(noun),
        None => Vec::new(),
    };
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    if let Some(name) = segments.get_mut(1) {
        let variable = |known: &str| known.to_lowercase().replace(['-', '.'], "_");
        if let Some(known) = names.iter().find(|known| variable(known) == *name) {
            *name = known;
        }
    }
    Path::of(&segments)
}
