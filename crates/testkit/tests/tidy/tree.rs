//! The files of the checkout, without what was built or fetched.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders with other people's files, or with none of lasting value.
const SKIPPED: [&str; 6] = [
    ".git",
    ".goaround",
    ".partners",
    "node_modules",
    "published",
    "target",
];

/// Where the workspace is.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../..")
        .canonicalize()
        .expect("the workspace is two folders up")
}

/// One file: its path from the root, with forward slashes, and its text.
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// All files that are text, in the order of their paths.
pub(crate) fn text_files() -> Vec<TextFile> {
    let root = root();
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok()?;
        let path = path.strip_prefix(&root).ok()?.to_str()?.replace('\\', "/");
        Some(TextFile { path, text })
    };
    paths.into_iter().filter_map(read).collect()
}

/// The Rust files.
pub(crate) fn rust_files() -> Vec<TextFile> {
    let mut files = text_files();
    files.retain(|file| file.path.ends_with(".rs"));
    assert!(
        files.len() > 20,
        "the walk found only {} Rust files",
        files.len()
    );
    files
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the checkout is readable") {
        let entry = entry.expect("an entry of the checkout is readable");
        let name = entry.file_name();
        let kind = entry.file_type().expect("the type of an entry is readable");
        if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
            walk(&entry.path(), found);
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
}
