//! Who is compared, how each is installed below `.partners`, and how it is started.

use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use testkit::partners::{Missing, folder};

/// The pieces that are ours of workers that are not.
const PIECES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
/// How much of what a failed command said is shown.
const LAST_WORDS_LINES: usize = 3;

/// A worker that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// `goaround worker` with a no-op handler in Rust.
    Ours,
    /// The bare loop: the limit.
    Lapin,
    Celery,
    Dramatiq,
    RustCelery,
    Apalis,
}

impl Peer {
    /// All of them, in the order of the table.
    pub(super) const ALL: [Self; 6] = [
        Self::Lapin,
        Self::Ours,
        Self::RustCelery,
        Self::Apalis,
        Self::Celery,
        Self::Dramatiq,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "goaround",
            Self::Lapin => "bare lapin loop",
            Self::Celery => "Celery",
            Self::Dramatiq => "Dramatiq",
            Self::RustCelery => "the crate celery",
            Self::Apalis => "apalis",
        }
    }

    /// Which part of the tickets it gets: Python is some ten times slower.
    pub(super) const fn share(self) -> usize {
        match self {
            Self::Ours | Self::Lapin | Self::RustCelery | Self::Apalis => 2,
            Self::Celery | Self::Dramatiq => 10,
        }
    }

    /// Whether it is a process of this program.
    pub(super) const fn is_of_the_house(self) -> bool {
        matches!(self, Self::Ours | Self::Lapin)
    }

    /// Fetches and builds what is not there yet.
    pub(super) fn install(self) -> Result<(), Missing> {
        let installed = match self {
            Self::Ours | Self::Lapin => Ok(()),
            Self::Celery | Self::Dramatiq => install_python(),
            Self::RustCelery => build("celery"),
            Self::Apalis => build("apalis"),
        };
        installed.map_err(|error| Missing::new(format!("{error:#}")))
    }

    /// The program that loads the queue.
    pub(super) fn filling(self, count: usize) -> Command {
        let mut command = match self {
            Self::Celery => python("celery_noop.py"),
            Self::Dramatiq => python("dramatiq_noop.py"),
            _ => self.program("fill"),
        };
        command.arg(count.to_string());
        command
    }

    /// The worker; ours need to know how many tickets there are.
    pub(super) fn working(self, count: usize) -> Command {
        match self {
            Self::Celery => python(
                "-m celery -A celery_noop worker -l WARNING -P prefork -c 2 \
                 --without-gossip --without-mingle --without-heartbeat",
            ),
            Self::Dramatiq => {
                let mut command = python("-m dramatiq dramatiq_noop --processes 2 --threads 8");
                command.env("dramatiq_queue_prefetch", "64");
                command
            }
            _ => {
                let mut command = self.program("work");
                command.arg(count.to_string());
                command
            }
        }
    }

    /// One that is a program of its own.
    fn program(self, what: &str) -> Command {
        let mut command = match self {
            Self::RustCelery => Command::new(target().join("release/peer-celery")),
            Self::Apalis => Command::new(target().join("release/peer-apalis")),
            _ => {
                let mut command = Command::new("/proc/self/exe");
                command.args(["--peer", &format!("{self:?}")]);
                command
            }
        };
        command.arg(what);
        command
    }

    /// What it says while it works.
    pub(super) fn log(self) -> PathBuf {
        home().join(format!("{self:?}.log"))
    }
}

fn home() -> PathBuf {
    folder().join("peers")
}

fn target() -> PathBuf {
    home().join("target")
}

fn interpreter() -> PathBuf {
    home().join("python/bin/python")
}

/// Python where the pieces are; it leaves nothing behind there.
fn python(arguments: &str) -> Command {
    let mut command = Command::new(interpreter());
    command.current_dir(Path::new(PIECES).join("python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command.args(arguments.split_whitespace());
    command
}

fn install_python() -> anyhow::Result<()> {
    if !interpreter().exists() {
        let mut make = Command::new("python3");
        run(make.args(["-m", "venv"]).arg(home().join("python")))?;
    }
    run(&mut python(
        "-m pip install --quiet --disable-pip-version-check -r ../requirements.txt",
    ))
}

fn build(name: &str) -> anyhow::Result<()> {
    let manifest = Path::new(PIECES).join(name).join("Cargo.toml");
    let mut build = Command::new("cargo");
    build.args(["build", "--release", "--locked", "--quiet"]);
    build.arg("--manifest-path").arg(manifest);
    run(build.arg("--target-dir").arg(target()))
}

/// Waits for its end; a failure tells the last that it said.
pub(super) fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = Path::new(command.get_program()).file_name();
    let program = program.unwrap_or_default().display().to_string();
    let ended = command.stdin(Stdio::null()).output();
    let ended = ended.with_context(|| format!("{program} cannot be run"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    let lines: Vec<&str> = said.lines().collect();
    let last = lines[lines.len().saturating_sub(LAST_WORDS_LINES)..].join(" ");
    let status = ended.status;
    anyhow::ensure!(status.success(), "{program} ended with {status}: {last}");
    Ok(())
}
