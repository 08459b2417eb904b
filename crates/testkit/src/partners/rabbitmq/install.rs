//! Where the versions are, and how something of theirs is run.

use crate::partners::{Missing, folder, setting};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The versions that everything is tried against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// 3.10, from the packages of Debian 12.
    V310,
    /// 4.0, from the packages of Debian 13.
    V40,
    /// 4.3, from the packages of Debian unstable.
    V43,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V310, Self::V40, Self::V43];

    /// How its numbers begin.
    pub fn number(self) -> &'static str {
        match self {
            Self::V310 => "3.10",
            Self::V40 => "4.0",
            Self::V43 => "4.3",
        }
    }

    /// The folder of a whole small system that it is installed in; `None`: in this one.
    fn root(self) -> Option<PathBuf> {
        let (setting_name, default) = match self {
            Self::V310 => return None,
            Self::V40 => ("GOAROUND_RABBITMQ_40", "rabbitmq-trixie"),
            Self::V43 => ("GOAROUND_RABBITMQ_43", "rabbitmq-sid"),
        };
        let root = setting(setting_name).map_or_else(|| folder().join(default), PathBuf::from);
        Some(root.canonicalize().unwrap_or(root))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// Where a version is installed.
#[derive(Clone, Debug)]
pub(super) struct Install {
    root: Option<PathBuf>,
    scripts: PathBuf,
}

const LIBRARY: &str = "usr/lib/rabbitmq/lib";
/// Where the node's folder is seen inside the small system.
const INSIDE: &str = "/mnt";
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

impl Install {
    pub(super) fn find(version: Version) -> Result<Self, Missing> {
        let root = version.root();
        let base = root.clone().unwrap_or_else(|| PathBuf::from("/"));
        let library = base.join(LIBRARY);
        let missing = |why: &str| {
            Missing::new(format!(
                "RabbitMQ {version} {why} (looked in {})",
                library.display()
            ))
        };
        let prefix = format!("rabbitmq_server-{version}");
        let found = std::fs::read_dir(&library)
            .map_err(|_| missing("is not installed"))?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .find(|name| name.starts_with(&prefix))
            .ok_or_else(|| missing("is not installed"))?;
        let install = Self {
            root,
            scripts: Path::new("/").join(LIBRARY).join(found).join("sbin"),
        };
        if install.root.is_some() && !install.can_enter() {
            return Err(missing("is there, but this user may not enter its folder"));
        }
        Ok(install)
    }

    fn can_enter(&self) -> bool {
        let mut trial = self.command(Path::new("/"), "/bin/true");
        trial.stdout(Stdio::null()).stderr(Stdio::null());
        trial.status().is_ok_and(|status| status.success())
    }

    /// The folder as the node sees it.
    pub(super) fn inside(&self, folder: &Path) -> PathBuf {
        match self.root {
            None => folder.to_owned(),
            Some(_) => PathBuf::from(INSIDE),
        }
    }

    pub(super) fn script(&self, name: &str) -> String {
        self.scripts.join(name).to_string_lossy().into_owned()
    }

    /// A command of the installation, with only what is said in its environment. It replaces the
    /// process that is started, so the process id is its own.
    pub(super) fn command(&self, folder: &Path, program: &str) -> Command {
        let mut command = match &self.root {
            None => Command::new(program),
            Some(root) => enter(root, folder, program),
        };
        command
            .env_clear()
            .env("PATH", PATH)
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }
}

/// The mounts are seen by this process alone and go with it. A node looks for localhost before it
/// has read its configuration, and waits for ever when nobody knows it; a bare system has no file
/// that does.
fn enter(root: &Path, folder: &Path, program: &str) -> Command {
    let script = format!(
        "{{ [ -e \"$1/etc/hosts\" ] || echo 127.0.0.1 localhost >\"$1/etc/hosts\"; }} && \
         mount --rbind /proc \"$1/proc\" && mount --rbind /dev \"$1/dev\" && \
         mount --bind \"$2\" \"$1{INSIDE}\" && root=$1 && shift 2 && exec chroot \"$root\" \"$@\""
    );
    let mut command = Command::new("unshare");
    // Root enters as itself; anybody else as root of a namespace of their own.
    if !may_mount() {
        command.arg("--map-root-user");
    }
    command
        .args(["--mount", "sh", "-c", &script, "sh"])
        .args([root, folder])
        .arg(program);
    command
}

fn may_mount() -> bool {
    let mut trial = Command::new("unshare");
    trial
        .args(["--mount", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    trial.status().is_ok_and(|status| status.success())
}
