//! What people read: it is there, it is listed, its links lead somewhere.

use crate::expect_none;
use crate::tree::{TextFile, root, text_files};
use std::path::Path;

const EXPECTED: [&str; 13] = [
    ".ci/run",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "Makefile",
    "README.md",
    "STYLE.md",
    "config/example.toml",
    "deny.toml",
    "docs/adr/README.md",
    "docs/runbook.md",
];

/// What is true on one machine only: the beginnings of its folders.
const MACHINE_PATHS: [&str; 4] = ["/home/", "/root/", "/Users/", "/work/"];

/// The home of somebody invented, for tests of paths.
const INVENTED_HOME: &str = "/home/ana";

#[test]
fn what_people_look_for_is_there() {
    let missing = EXPECTED.iter().filter(|path| !root().join(path).is_file());
    expect_none(
        "these files belong to the project",
        missing.map(ToString::to_string).collect(),
    );
}

#[test]
fn every_decision_is_listed_and_has_a_status() {
    let files = text_files();
    let read = |path: &str| files.iter().find(|file| file.path == path);
    let index = read("docs/adr/README.md").map_or("", |file| &file.text);
    let is_decision =
        |file: &&TextFile| file.path.starts_with("docs/adr/") && file.name() != "README.md";
    let mut offenders = Vec::new();
    for (i, decision) in files.iter().filter(is_decision).enumerate() {
        let number = format!("{:04}-", i + 1);
        if !decision.name().starts_with(&number) {
            offenders.push(format!("{}: expected number {number}", decision.path));
        }
        if !index.contains(&format!("]({})", decision.name())) {
            offenders.push(format!(
                "{}: docs/adr/README.md does not list it",
                decision.path
            ));
        }
        if !decision
            .text
            .lines()
            .any(|line| line.starts_with("Status: "))
        {
            offenders.push(format!("{}: expected a line Status: …", decision.path));
        }
    }
    expect_none("decisions are numbered and listed", offenders);
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut offenders = Vec::new();
    for page in text_files()
        .iter()
        .filter(|file| file.path.ends_with(".md"))
    {
        let folder = root().join(&page.path);
        let folder = folder.parent().unwrap_or(Path::new("."));
        for target in links(&page.text) {
            let file = target.split('#').next().unwrap_or_default();
            if !file.is_empty() && !folder.join(file).exists() {
                offenders.push(format!("{}: {target}", page.path));
            }
        }
    }
    expect_none("links lead somewhere", offenders);
}

/// The targets of `[text](target)` that are not addresses in the web.
#[test]
fn every_key_of_a_filter_is_described() {
    let files = text_files();
    let page = files.iter().find(|file| file.path == "docs/filters.md");
    let page = page.map_or("", |file| &file.text);
    let keys = domain::filter::Field::ALL.map(|field| format!("`{}:`", field.key()));
    let missing = keys.into_iter().filter(|key| !page.contains(key));
    expect_none("docs/filters.md describes these keys", missing.collect());
}

fn links(text: &str) -> Vec<&str> {
    let after = text.split("](").skip(1);
    let targets = after.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.filter(|target| !target.contains("://")).collect()
}

#[test]
fn every_crate_is_on_the_map() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap_or_default();
    let crates = std::fs::read_dir(root().join("crates")).expect("there are crates");
    let names = crates.map(|entry| entry.expect("it is readable").file_name());
    let unknown = names.filter(|name| {
        let name = name.to_string_lossy();
        !map.contains(&format!("`{name}`"))
    });
    expect_none(
        "ARCHITECTURE.md names every crate",
        unknown
            .map(|name| name.to_string_lossy().into_owned())
            .collect(),
    );
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let mut offenders = Vec::new();
    for file in text_files() {
        // This file has to name what it looks for.
        if file.path.ends_with("tidy/docs.rs") {
            continue;
        }
        for (i, line) in file.text.lines().enumerate() {
            let line = line.replace(INVENTED_HOME, "");
            let found = MACHINE_PATHS.iter().find(|path| has_path(&line, path));
            if let Some(found) = found {
                offenders.push(format!("{}:{}: {found}", file.path, i + 1));
            }
        }
    }
    expect_none("paths are relative to the checkout", offenders);
}

/// Whether an absolute path begins so in the line, rather than some longer relative one.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | '_' | '-' | '}' | '/'))
    })
}
