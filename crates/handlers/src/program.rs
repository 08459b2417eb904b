//! The program of a stage: where it is, whether it can be started, and which version it is.

use crate::environment;
use domain::names::Version;
use rustix::fs::Access;
use sha2::{Digest, Sha256};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// How much of a handler's file makes its version; of a longer one, its size does too.
const HASHED_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The longest first line of a script that the kernel looks at.
const SHEBANG_BYTES_MAX: usize = 256;

/// A command and the folder it belongs to.
pub(crate) struct Program {
    command: Vec<String>,
    folder: PathBuf,
    search_path: String,
    found: Mutex<Option<PathBuf>>,
    hashed: Mutex<Option<Hashed>>,
}

/// A version that was computed, and of what.
struct Hashed {
    file: PathBuf,
    stamp: Stamp,
    version: String,
}

/// What changes when a file is replaced or written to.
#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

impl Program {
    /// The program of `command`, whose first word is not empty; `folder` is absolute.
    pub(crate) fn new(command: Vec<String>, folder: PathBuf, search_path: Option<&str>) -> Self {
        Self {
            command,
            folder,
            search_path: search_path.unwrap_or(environment::PATH).to_owned(),
            found: Mutex::default(),
            hashed: Mutex::default(),
        }
    }

    fn word(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// The folder it runs in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its arguments.
    pub(crate) fn args(&self) -> &[String] {
        self.command.get(1..).unwrap_or_default()
    }

    /// Where it is. Remembered, since a search costs more than a start should.
    ///
    /// # Errors
    /// Why it is nowhere, and what to do.
    pub(crate) fn path(&self) -> Result<PathBuf, String> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*found {
            return Ok(path.clone());
        }
        let path = self.find()?;
        *found = Some(path.clone());
        Ok(path)
    }

    /// It could not be started from where it was.
    pub(crate) fn forget(&self) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn find(&self) -> Result<PathBuf, String> {
        let word = self.word();
        if word.contains('/') {
            return Ok(self.folder.join(word));
        }
        let places = self.search_path.split(':');
        // An empty place means the folder itself, as a shell has it.
        let candidates = places.map(|place| self.folder.join(place).join(word));
        let mut there = candidates
            .filter(|candidate| candidate.is_file())
            .peekable();
        let first = there.peek().cloned();
        there.find(|file| is_executable(file)).or(first).ok_or_else(|| {
            format!(
                "the command {word:?} is in none of the folders of PATH ({}): install it there, or \
                 write ./{word} for a file in {}",
                self.search_path,
                self.folder.display()
            )
        })
    }

    /// Why it cannot be started, and what to do; `None` when nothing speaks against it.
    pub(crate) fn obstacle(&self) -> Option<String> {
        if !self.folder.is_dir() {
            let folder = self.folder.display();
            return Some(format!(
                "expected the folder {folder} to run it in: make it"
            ));
        }
        match self.find() {
            Err(why) => Some(why),
            Ok(path) => obstacle_of(&path),
        }
    }

    /// The version that the content of its file makes, or a word when there is none to read.
    /// Something that speaks against a start makes it another version, so that a repair that leaves
    /// the content alone is seen as one.
    pub(crate) fn version(&self, obstacle: Option<&str>) -> Version {
        let mut version = self.content_version();
        if obstacle.is_some() {
            version.push_str(" (cannot be started)");
        }
        // Always valid: a word of ours, or a name of fixed length.
        Version::new(&version).unwrap_or_else(|_| unreachable!("{version:?} is a version"))
    }

    fn content_version(&self) -> String {
        let Some(file) = self.handler_file() else {
            return "missing".into();
        };
        let Ok(meta) = file.metadata() else {
            return "missing".into();
        };
        let stamp = Stamp::of(&meta);
        let mut hashed = self.hashed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hashed) = &*hashed
            && hashed.file == file
            && hashed.stamp == stamp
        {
            return hashed.version.clone();
        }
        let Ok(version) = hash(&file) else {
            return "unreadable".into();
        };
        *hashed = Some(Hashed {
            file,
            stamp,
            version: version.clone(),
        });
        version
    }

    /// The file that somebody replaces to deploy: the program, or what an interpreter from
    /// elsewhere is given to run.
    fn handler_file(&self) -> Option<PathBuf> {
        let program = self.find().ok()?;
        if program.starts_with(&self.folder) {
            return Some(program);
        }
        let options_left_out = self.args().iter().filter(|arg| !arg.starts_with('-'));
        let mut files = options_left_out.map(|arg| self.folder.join(arg));
        Some(files.find(|file| file.is_file()).unwrap_or(program))
    }
}

fn is_executable(path: &Path) -> bool {
    rustix::fs::access(path, Access::EXEC_OK).is_ok()
}

fn obstacle_of(path: &Path) -> Option<String> {
    let shown = path.display();
    let meta = match path.metadata() {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some(format!(
                "expected a program at {shown}, found nothing: put it there, or correct `run`"
            ));
        }
        Err(error) => {
            return Some(format!(
                "expected a program at {shown}, cannot look at it: {error}"
            ));
        }
    };
    if !meta.is_file() {
        return Some(format!(
            "expected a program at {shown}, found something that is not a file"
        ));
    }
    if !is_executable(path) {
        let mode = meta.mode() & 0o7777;
        return Some(format!(
            "expected an executable file at {shown}, found one with mode {mode:04o}: chmod +x it"
        ));
    }
    // What may be run but not read cannot be looked into.
    let head = head(path).ok()?;
    match head.strip_prefix(b"#!") {
        Some(line) => obstacle_of_interpreter(path, line),
        None if head.starts_with(b"\x7fELF") || is_registered(&head) => None,
        None => Some(format!(
            "expected a program or a script at {shown}, found a file that is neither: begin a \
             script with a line such as #!/bin/sh"
        )),
    }
}

/// The kernel can be taught more formats than we know; then a start has to tell.
fn is_registered(head: &[u8]) -> bool {
    let looks_binary = head.contains(&0);
    looks_binary && Path::new("/proc/sys/fs/binfmt_misc/status").exists()
}

fn obstacle_of_interpreter(script: &Path, line: &[u8]) -> Option<String> {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let interpreter = line.trim_matches([' ', '\t']).split([' ', '\t']).next()?;
    let path = Path::new(interpreter);
    let shown = script.display();
    if interpreter.ends_with('\r') {
        return Some(format!(
            "the first line of {shown} ends in a carriage return: save it with Unix line ends"
        ));
    }
    if !path.is_file() {
        return Some(format!(
            "the first line of {shown} names the interpreter {interpreter:?}, which is not there: \
             install it, or correct the line"
        ));
    }
    (!is_executable(path)).then(|| {
        format!("the first line of {shown} names {interpreter:?}, which is not executable")
    })
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?
        .take(SHEBANG_BYTES_MAX as u64)
        .read_to_end(&mut head)?;
    Ok(head)
}

fn hash(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut content = file.take(HASHED_BYTES_MAX);
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match content.read(&mut chunk) {
            Ok(0) => break,
            Ok(read) => hasher.update(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if size > HASHED_BYTES_MAX {
        hasher.update(size.to_be_bytes());
    }
    let digest = hasher.finalize();
    let hex = digest.iter().take(6).map(|byte| format!("{byte:02x}"));
    Ok(format!("sha256:{}", hex.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn write(folder: &Path, name: &str, content: &str, mode: u32) {
        let path = folder.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn program(folder: &Path, command: &[&str]) -> Program {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Program::new(command, folder.to_owned(), None)
    }

    #[test]
    fn what_cannot_be_started_is_said_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        write(at, "plain", "#!/bin/sh\n", 0o644);
        write(at, "text", "echo no first line\n", 0o755);
        write(at, "lost", "#!/nowhere/python9 -u\n", 0o755);
        write(at, "dos", "#!/bin/sh\r\n", 0o755);
        for (word, said) in [
            ("./gone", "gone, found nothing: put it there"),
            (
                "no-such-command",
                "is in none of the folders of PATH (/usr/local/sbin:",
            ),
            ("./plain", "mode 0644: chmod +x it"),
            ("./text", "begin a script with a line such as #!/bin/sh"),
            (
                "./lost",
                "the interpreter \"/nowhere/python9\", which is not there",
            ),
            ("./dos", "carriage return"),
            ("/tmp", "not a file"),
        ] {
            let obstacle = program(at, &[word]).obstacle().unwrap_or_default();
            assert!(
                obstacle.contains(said),
                "{obstacle:?} should contain {said:?}"
            );
        }
        assert_eq!(program(at, &["sh"]).obstacle(), None);
        let gone = program(&at.join("gone"), &["sh"]).obstacle().unwrap();
        assert!(gone.contains("expected the folder"), "{gone}");
    }

    #[test]
    fn replacing_the_file_is_another_version_and_touching_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "run", "#!/bin/sh\n", 0o755);
        let program = program(folder.path(), &["./run"]);
        let first = program.version(None);
        assert_eq!(first.as_str(), "sha256:a8076d3d28d2");
        write(folder.path(), "run", "#!/bin/sh\n", 0o755);
        assert_eq!(program.version(None), first);
        write(folder.path(), "run", "#!/bin/sh\nexit 1\n", 0o755);
        assert_ne!(program.version(None), first);
        write(folder.path(), "run", "#!/bin/sh\n", 0o644);
        assert_ne!(program.version(program.obstacle().as_deref()), first);
    }

    #[test]
    fn the_version_of_an_interpreted_handler_is_its_script() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "run.sh", "#!/bin/sh\n", 0o644);
        let program = program(folder.path(), &["sh", "-e", "run.sh"]);
        assert_eq!(program.version(None).as_str(), "sha256:a8076d3d28d2");
        assert_eq!(program.obstacle(), None);
    }
}
