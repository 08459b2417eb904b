//! That `deny.toml` lets in what is there: whoever runs cargo-deny must not find a list that nobody
//! has kept. It sees the crates of this machine's platform only.

use crate::expect_none;
use crate::tree::root;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What stands in `deny.toml`, without its comments.
fn rules() -> String {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml is there");
    let lines = text.lines().filter(|line| !line.trim().starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// The strings of the list that follows `key`.
fn list<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let Some((_, rest)) = text.split_once(&format!("{key} = [")) else {
        return Vec::new();
    };
    let (inside, _) = rest.split_once(']').expect("a list ends");
    inside.split('"').skip(1).step_by(2).collect()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--all-features"])
        .args(["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .expect("cargo runs, since it built this test");
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Whether one of the alternatives of each part is allowed. Knows what crates write, not all of
/// SPDX: no brackets in brackets.
fn is_allowed(license: &str, allowed: &[&str]) -> bool {
    license.split(" AND ").all(|part| {
        let part = part.trim_matches(['(', ')']).replace('/', " OR ");
        let mut ways = part.split(" OR ").map(str::trim);
        ways.any(|way| allowed.contains(&way))
    })
}

#[test]
fn the_licences_that_are_there_are_allowed() {
    let rules = rules();
    let allowed = list(&rules, "allow");
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("there are packages");
    let strange = packages
        .iter()
        .filter(|package| !is_allowed(text(package, "license"), &allowed))
        .map(|it| format!("{}: {}", text(it, "name"), text(it, "license")));
    expect_none("deny.toml allows the licences in use", strange.collect());
}

#[test]
fn the_bans_let_in_whoever_hides_a_technology() {
    let rules = rules();
    let metadata = metadata();
    let users = users(&metadata);
    let mut offenders = Vec::new();
    for ban in rules.split("{ crate = \"").skip(1) {
        let (banned, rest) = ban.split_once('"').expect("a name ends");
        let (rest, _) = rest.split_once('}').expect("a ban ends");
        let wrappers = list(rest, "wrappers");
        for user in users.get(banned).into_iter().flatten() {
            if !wrappers.contains(user) {
                offenders.push(format!("{user} -> {banned}"));
            }
        }
    }
    expect_none("deny.toml names all wrappers", offenders);
}

/// Who depends on each package, by names.
fn users(metadata: &Value) -> BTreeMap<&str, BTreeSet<&str>> {
    let packages = metadata["packages"].as_array().expect("there are packages");
    let names: BTreeMap<_, _> = packages
        .iter()
        .map(|package| (text(package, "id"), text(package, "name")))
        .collect();
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a list");
    let mut users = BTreeMap::<_, BTreeSet<_>>::new();
    for node in nodes {
        for dependency in node["deps"].as_array().expect("a list") {
            let used = names[text(dependency, "pkg")];
            users
                .entry(used)
                .or_default()
                .insert(names[text(node, "id")]);
        }
    }
    users
}
