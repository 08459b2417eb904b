//! Which crate may know which: arrows point down, and one crate hides one technology.

use crate::expect_none;
use crate::tree::root;
use std::collections::BTreeMap;
use std::process::Command;

/// What a crate may see of ours. Crates of one floor never see each other.
const ARROWS: [(&str, &[&str]); 11] = [
    ("goaround-domain", &[]),
    ("goaround-wire", &["goaround-domain"]),
    ("goaround-amqp", &["goaround-domain", "goaround-wire"]),
    ("goaround-store", &["goaround-domain", "goaround-wire"]),
    ("goaround-handlers", &["goaround-domain", "goaround-wire"]),
    ("goaround-actors", &["goaround-domain", "goaround-wire"]),
    ("goaround-telemetry", &["goaround-domain", "goaround-wire"]),
    ("goaround-web", &["goaround-domain", "goaround-wire"]),
    ("goaround-model", &["goaround-domain"]),
    ("goaround-testkit", &["goaround-domain", "goaround-wire"]),
    (
        "goaround",
        &[
            "goaround-domain",
            "goaround-wire",
            "goaround-amqp",
            "goaround-store",
            "goaround-handlers",
            "goaround-actors",
            "goaround-telemetry",
            "goaround-web",
        ],
    ),
];

/// Crates that nothing is built on: they may see everything of ours.
const OUTSIDE: [&str; 2] = ["acceptance", "bench"];

/// Which of our crates may touch a technology; whoever is not listed may not. The benches may touch
/// everything, since they measure the bare technology beside ours.
const WRAPPERS: [(&str, &[&str]); 21] = [
    ("actix", &["goaround-actors", "goaround"]),
    ("actix-rt", &["goaround-actors", "goaround"]),
    ("actix-web", &["goaround-web"]),
    ("maud", &["goaround-web"]),
    ("lapin", &["goaround-amqp"]),
    ("rusqlite", &["goaround-store"]),
    ("tokio-postgres", &["goaround-store"]),
    ("deadpool-postgres", &["goaround-store"]),
    ("stateright", &["goaround-model"]),
    ("prometheus", &["goaround-telemetry"]),
    ("tracing-subscriber", &["goaround-telemetry"]),
    ("prost", &["goaround-wire"]),
    ("prost-build", &["goaround-wire"]),
    ("protox", &["goaround-wire"]),
    ("wait4", &["goaround-handlers"]),
    ("clap", &["goaround"]),
    ("comfy-table", &["goaround"]),
    ("indicatif", &["goaround"]),
    ("toml", &["goaround"]),
    ("anyhow", &["goaround"]),
    ("ureq", &["goaround", "acceptance"]),
];

/// What tests of a crate may touch beyond that.
const TEST_WRAPPERS: [(&str, &[&str]); 2] = [
    ("actix", &["goaround-testkit"]),
    ("actix-rt", &["goaround-testkit", "goaround-web"]),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Built,
    Tested,
}

struct Dependency {
    name: String,
    used: Use,
}

/// The packages of the workspace and what each asks for.
fn packages() -> BTreeMap<String, Vec<Dependency>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .expect("cargo runs, since it built this test");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    packages.iter().map(package).collect()
}

fn package(package: &serde_json::Value) -> (String, Vec<Dependency>) {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let dependencies = package["dependencies"].as_array().expect("a list").iter();
    let dependencies = dependencies.map(|dependency| Dependency {
        name: text(&dependency["name"]),
        used: match dependency["kind"].as_str() {
            Some("dev") => Use::Tested,
            _ => Use::Built,
        },
    });
    (text(&package["name"]), dependencies.collect())
}

fn entry<'a>(table: &'a [(&str, &'a [&'a str])], name: &str) -> Option<&'a [&'a str]> {
    table
        .iter()
        .find(|(key, _)| *key == name)
        .map(|(_, value)| *value)
}

#[test]
fn arrows_between_crates_point_down() {
    let packages = packages();
    let mut offenders = Vec::new();
    for (name, dependencies) in &packages {
        if OUTSIDE.contains(&name.as_str()) {
            continue;
        }
        let Some(allowed) = entry(&ARROWS, name) else {
            offenders.push(format!(
                "{name}: a new crate needs a decision and a line here"
            ));
            continue;
        };
        for Dependency { name: to, used } in dependencies {
            let is_ours = packages.contains_key(to);
            // The testkit stands beside the floors: any test may use it, and its own tests run
            // the real actors and stores against its contracts.
            let is_testing =
                *used == Use::Tested && (to == "goaround-testkit" || name == "goaround-testkit");
            if is_ours && !is_testing && !allowed.contains(&to.as_str()) {
                offenders.push(format!("{name} -> {to}"));
            }
        }
    }
    expect_none("arrows between crates point down", offenders);
}

#[test]
fn one_crate_hides_one_technology() {
    let mut offenders = Vec::new();
    for (name, dependencies) in packages().into_iter().filter(|(name, _)| name != "bench") {
        for Dependency { name: to, used } in dependencies {
            let Some(wrappers) = entry(&WRAPPERS, &to) else {
                continue;
            };
            let tests = entry(&TEST_WRAPPERS, &to).unwrap_or_default();
            let is_allowed = wrappers.contains(&name.as_str())
                || (used == Use::Tested && tests.contains(&name.as_str()));
            if !is_allowed {
                offenders.push(format!(
                    "{name} -> {to}, which is for {}",
                    wrappers.join(", ")
                ));
            }
        }
    }
    expect_none("one crate hides one technology", offenders);
}

#[test]
fn every_crate_keeps_the_lints_and_versions_of_the_workspace() {
    let mut offenders = Vec::new();
    for file in crate::tree::text_files() {
        if file.name() != "Cargo.toml" || file.path == "Cargo.toml" {
            continue;
        }
        if !file.text.contains("[lints]\nworkspace = true") {
            offenders.push(format!("{}: expected [lints] workspace = true", file.path));
        }
        let dependencies = file.text.split("dependencies]\n").skip(1);
        let lines = dependencies.flat_map(|part| part.lines().take_while(|l| !l.starts_with('[')));
        for line in lines.filter(|line| line.contains('=') && !line.contains("workspace")) {
            offenders.push(format!("{}: {line}: expected .workspace = true", file.path));
        }
    }
    expect_none("versions and lints stand once, in the workspace", offenders);
}
