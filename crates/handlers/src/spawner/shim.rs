//! Limiting a command before it begins.
//!
//! A limit has to be there before the command's first instruction, and cannot be set between fork
//! and exec without giving up `posix_spawn`. So a command with a limit is started by way of this
//! program itself, which limits itself and becomes the command. That costs a start more, and only
//! stages with a limit pay for it.
//!
//! What to become is told by the environment: the arguments belong to the program around us.

use rustix::process::{Resource, Rlimit, setrlimit};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::process::Command;
use wire::child::{Ended, Exit, Invocation, NotStarted};

/// The variable that makes this process a shim; its value is the limit.
pub(crate) const MEMORY: &str = "GOAROUND_SHIM_MEMORY_BYTES_MAX";

/// What the names of the variables for a shim begin with.
const PREFIX: &[u8] = b"GOAROUND_SHIM_";

/// The exit status and the first word of a shim that could not become the command.
const FAILED: (i32, &str) = (121, "goaround-shim-failed");

/// A command that is started by way of a shim.
pub(super) fn command(invocation: &Invocation, memory_bytes_max: u64) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command
        .args(std::env::args_os().skip(1))
        .env_clear()
        .env(MEMORY, memory_bytes_max.to_string());
    let words = [&invocation.program].into_iter().chain(&invocation.args);
    for (i, word) in words.enumerate() {
        command.env(word_name(i), OsStr::from_bytes(word));
    }
    command
}

fn word_name(i: usize) -> String {
    format!("GOAROUND_SHIM_WORD_{i}")
}

/// Becomes the command, if this process is a shim. Returns only if it is none, or could not.
///
/// # Errors
/// Why it could not become the command.
pub(super) fn become_command() -> io::Result<()> {
    let Some(limit) = std::env::var_os(MEMORY) else {
        return Ok(());
    };
    let bytes_max = limit.to_str().and_then(|limit| limit.parse().ok());
    let mut words = (0..).map_while(|i| std::env::var_os(word_name(i)));
    let (Some(bytes_max), Some(program)) = (bytes_max, words.next()) else {
        return Err(io::Error::other("the limit or the program is missing"));
    };
    let is_ours = |name: &OsString| name.as_bytes().starts_with(PREFIX);
    let mut command = Command::new(program);
    command
        .args(words)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| !is_ours(name)));
    // Not its address space: much that is reserved is never used.
    let limit = Rlimit {
        current: Some(bytes_max),
        maximum: Some(bytes_max),
    };
    setrlimit(Resource::Data, limit)?;
    Err(command.exec())
}

/// What a shim says when it could not become the command.
pub(super) fn excuse(error: &io::Error) -> (i32, String) {
    let errno = error.raw_os_error().unwrap_or(0);
    (FAILED.0, format!("{} {errno} {error}", FAILED.1))
}

/// Why a shim could not become the command, if that is how it ended.
pub(super) fn failure(ended: &Ended) -> Option<NotStarted> {
    if ended.exit != Some(Exit::Status(FAILED.0)) {
        return None;
    }
    let said = OsString::from_vec(ended.stderr_tail.to_vec());
    let mut words = said.to_str()?.trim_end().splitn(3, ' ');
    let is_excuse = words.next() == Some(FAILED.1);
    let errno = words.next()?.parse().ok()?;
    is_excuse.then(|| NotStarted {
        errno,
        message: words.next().unwrap_or_default().to_owned(),
    })
}
