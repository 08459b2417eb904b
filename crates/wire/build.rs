//! Compiles every file of `proto/goaround/v1`, those that nothing sends yet too, so that none of
//! them can rot. No `protoc` is needed.

use std::error::Error;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    // From the package's folder, where cargo runs this: two checkouts may share a target folder, so
    // a path must not be compiled in.
    let root = Path::new("../../proto");
    let folder = root.join("goaround/v1");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "proto")
    });
    // The order of a folder differs by machine; the generated code must not.
    files.sort();
    let descriptors = protox::compile(&files, [root])?;
    prost_build::Config::new()
        .bytes(["."])
        .compile_fds(descriptors)?;
    Ok(())
}
