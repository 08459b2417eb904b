//! The page `docs/configuration.md` and the file `config/example.toml`, written from the table.

use super::key::{KEYS, Key, Preset};
use super::value::Kind;
use std::fmt::Write;

/// The widest line of the example, in bytes.
const WIDTH: usize = 100;

const INTRODUCTION: &str = "\
# Configuration

This page is written by `goaround __reference` from the table of keys in
`crates/goaround/src/config/key.rs`; a test compares the two.

`goaround.toml` is looked for where `goaround` is started; `--config` names another file. Flags
cover the environment, the environment covers the file, the file covers the defaults. `goaround
config check` reports everything that is wrong at once, `goaround config show --sources` tells
which value holds and where it was set, `goaround config schema` prints a JSON Schema.

Neither repeats a secret: passwords in addresses, arguments of commands that look like one, and all
values of a stage's `env` are shown as `(hidden)`, and so is what stands below a name that nobody
knows.

Each key has a variable: `stage.build.stop_grace` is `GOAROUND__STAGE__BUILD__STOP_GRACE`. Lists may
be written there as `build,test` or as in the file. `*` stands for a name that you choose.
";

/// The page about all keys.
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in sections() {
        let keys = KEYS.iter().filter(|key| key.section() == section);
        page.push_str(&format!("\n## `[{section}]`\n"));
        for key in keys {
            page.push_str(&entry(key));
        }
    }
    page
}

fn entry(key: &Key) -> String {
    let preset = match key.preset {
        Preset::Is(text) => format!("`{text}`"),
        Preset::Nothing(meaning) => meaning.to_owned(),
        Preset::Required => "none; it must be set".into(),
    };
    let takes = match key.kind {
        Kind::Secret => "a text, only from the environment".into(),
        kind => kind.expected(),
    };
    let mut entry = String::new();
    let lines = [
        format!("\n### `{}`\n", key.path),
        format!("{}\n", key.doc),
        format!("- takes: {takes}"),
        format!("- default: {preset}"),
    ];
    for line in lines {
        // Writing to a String cannot fail.
        writeln!(entry, "{line}").ok();
    }
    if !key.example.is_empty() {
        writeln!(entry, "- example: `{} = {}`", key.name(), key.example).ok();
    }
    entry
}

/// A file that has every key.
pub fn example() -> String {
    let mut file = String::from(
        "# Every key there is, written by `goaround __reference --example` and loaded by a test.\n",
    );
    for section in sections() {
        let keys: Vec<&Key> = KEYS.iter().filter(|key| key.section() == section).collect();
        match section {
            "stage.*" => file.push_str(&stages(&keys)),
            _ => file.push_str(&block(&section.replace('*', "ci"), &keys)),
        }
    }
    file
}

/// The first stage has every key; the others only what they must have.
fn stages(keys: &[&Key]) -> String {
    let mut text = block("stage.build", keys);
    for stage in ["test", "publish"] {
        text.push_str(&format!("\n[stage.{stage}]\nrun = [\"./{stage}.sh\"]\n"));
    }
    text
}

fn block(section: &str, keys: &[&Key]) -> String {
    let mut text = format!("\n[{section}]\n");
    for key in keys {
        let name = key.name();
        let line = match key.path {
            _ if key.example.is_empty() => comment(&format!("{name}: {}", key.doc)),
            // The file that it names would have to be there; and a breaker has keys or is off.
            "http.token_file" | "stage.*.breaker" => {
                format!("{}# {name} = {}\n", comment(key.doc), key.example)
            }
            _ => format!("{}{name} = {}\n", comment(key.doc), key.example),
        };
        text.push_str(&line);
    }
    text
}

/// The text as lines of a comment.
fn comment(text: &str) -> String {
    let mut lines = vec![String::from("#")];
    for word in text.split(' ') {
        let is_full = lines
            .last()
            .is_some_and(|line| line.len() + 1 + word.len() > WIDTH);
        if is_full {
            lines.push("#".into());
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&str> = Vec::new();
    for key in KEYS {
        if !sections.contains(&key.section()) {
            sections.push(key.section());
        }
    }
    sections
}
