//! `goaround init`: a configuration that works, with handlers to replace.

use super::failure::{Code, Failure};
use super::terminal::Terminal;
use clap::Args;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Write a goaround.toml that works, with sample handlers
#[derive(Args)]
#[command(before_help = "Example:\n  goaround init --dir pipeline")]
pub(super) struct Init {
    /// The folder to write to; made if it is not there
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
}

struct Sample {
    path: &'static str,
    text: &'static str,
    mode: u32,
}

const SAMPLES: [Sample; 4] = [
    Sample {
        path: "goaround.toml",
        text: include_str!("init/goaround.toml"),
        mode: 0o644,
    },
    Sample {
        path: "handlers/build.sh",
        text: include_str!("init/build.sh"),
        mode: 0o755,
    },
    Sample {
        path: "handlers/test.sh",
        text: include_str!("init/test.sh"),
        mode: 0o755,
    },
    Sample {
        path: "handlers/publish.sh",
        text: include_str!("init/publish.sh"),
        mode: 0o755,
    },
];

impl Init {
    pub(super) fn run(self, terminal: &Terminal<'_>) -> Result<ExitCode, Failure> {
        let present: Vec<String> = SAMPLES
            .iter()
            .map(|sample| self.dir.join(sample.path))
            .filter(|path| fs::symlink_metadata(path).is_ok())
            .map(|path| path.display().to_string())
            .collect();
        if !present.is_empty() {
            let message = format!("expected none of these files, got {}", present.join(", "));
            return Err(Failure::new(Code::Refused, message)
                .with_remedy("nothing was written; move them away, or name another --dir"));
        }
        for sample in &SAMPLES {
            let path = self.dir.join(sample.path);
            write(&path, sample).map_err(|error| {
                Failure::new(Code::Failed, format!("{}: {error}", path.display()))
            })?;
            terminal.print(&path.display().to_string())?;
        }
        let next = match self.dir.as_os_str().to_str() {
            Some(".") => "goaround up".to_owned(),
            _ => format!("cd {} && goaround up", self.dir.display()),
        };
        terminal.note(&format!("next: {next}"));
        Ok(ExitCode::SUCCESS)
    }
}

fn write(path: &Path, sample: &Sample) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(sample.mode)
        .open(path)?;
    file.write_all(sample.text.as_bytes())
}
