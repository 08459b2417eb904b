//! Sizes, names and words of the Rust sources.

use crate::expect_none;
use crate::source::Source;
use crate::tree::{TextFile, rust_files};

const FUNCTION_LINES_MAX: usize = 60;
const FILE_LINES_MAX: usize = 400;
const LINE_CHARS_MAX: usize = 100;
const PORT_METHODS_MAX: usize = 7;

/// Names that say nothing about what is inside.
const BANNED_NAMES: [&str; 6] = ["common", "helpers", "misc", "types", "util", "utils"];

/// Ends that are not ends, and silence that nobody explains.
const BANNED_CODE: [&str; 6] = [
    "todo!",
    "unimplemented!",
    "dbg!",
    "#[ignore",
    "#[should_panic",
    "#[allow",
];

/// Whether a file has nothing but tests.
fn is_test(file: &TextFile) -> bool {
    file.name() == "tests.rs" || file.path.contains("/tests/") || file.path.starts_with("tests/")
}

#[test]
fn every_function_fits_a_screen() {
    let mut offenders = Vec::new();
    for file in rust_files() {
        for function in Source::new(&file.text).functions() {
            if function.body_lines > FUNCTION_LINES_MAX {
                offenders.push(format!(
                    "{}:{}: fn {} has {} lines",
                    file.path, function.line, function.name, function.body_lines
                ));
            }
        }
    }
    expect_none("functions have at most 60 lines of code", offenders);
}

#[test]
fn every_file_is_about_one_noun() {
    let mut offenders = Vec::new();
    for file in rust_files().iter().filter(|file| !is_test(file)) {
        let lines = Source::new(&file.text).lines_without_tests();
        if lines > FILE_LINES_MAX {
            offenders.push(format!("{}: {lines} lines without its tests", file.path));
        }
    }
    expect_none("files have at most 400 lines without tests", offenders);
}

#[test]
fn every_line_fits_beside_another_file() {
    let mut offenders = Vec::new();
    for file in rust_files() {
        for (i, line) in Source::new(&file.text).lines().iter().enumerate() {
            // The formatter does not break text, and a broken sentence cannot be searched for.
            let has_text = line.contains('"');
            if line.chars().count() > LINE_CHARS_MAX && !has_text {
                offenders.push(format!("{}:{}", file.path, i + 1));
            }
        }
    }
    expect_none("lines have at most 100 characters", offenders);
}

#[test]
fn every_port_is_one_conversation() {
    let mut offenders = Vec::new();
    let is_port = |file: &TextFile| file.path.starts_with("crates/domain/src/ports");
    for file in rust_files().into_iter().filter(is_port) {
        for (name, methods) in Source::new(&file.text).traits() {
            if methods > PORT_METHODS_MAX {
                offenders.push(format!("{}: {name} has {methods} methods", file.path));
            }
        }
    }
    expect_none("ports have at most 7 methods", offenders);
}

#[test]
fn every_crate_and_every_file_says_what_it_is_for() {
    let mut offenders = Vec::new();
    for file in rust_files() {
        // The tests inside a crate speak for themselves.
        let is_unit_test = is_test(&file) && file.path.contains("/src/");
        if !is_unit_test && !file.text.starts_with("//!") {
            offenders.push(format!("{}: expected //! in the first line", file.path));
        }
        let story = file.text.lines().take_while(|line| line.starts_with("//!"));
        if file.path.starts_with("crates/") && file.name() == "lib.rs" && story.count() < 3 {
            offenders.push(format!(
                "{}: expected a story of 3 lines or more",
                file.path
            ));
        }
    }
    expect_none("files begin with what they are for", offenders);
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    let says_nothing = |part: &str| {
        let stem = part.strip_suffix(".rs").unwrap_or(part);
        BANNED_NAMES.contains(&stem)
    };
    let files = rust_files().into_iter();
    let offenders = files.filter(|file| file.path.split('/').any(says_nothing));
    expect_none(
        "a function lives with its noun, not in a drawer",
        offenders.map(|file| file.path).collect(),
    );
}

#[test]
fn nothing_is_left_unfinished_or_silenced_without_a_reason() {
    let mut offenders = Vec::new();
    for file in rust_files() {
        for (i, line) in Source::new(&file.text).lines().iter().enumerate() {
            let compact = line.replace(' ', "");
            for banned in BANNED_CODE
                .iter()
                .filter(|banned| compact.contains(*banned))
            {
                offenders.push(format!("{}:{}: {banned}", file.path, i + 1));
            }
        }
    }
    expect_none("code is finished; #[expect] gives a reason", offenders);
}
