//! How many files may be open. The usual soft limit is lower than many stages with many workers
//! need, and is raised once it is reached, as far as it may be; the commands inherit that.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Does something, again with a higher limit when it ran into the limit.
pub(crate) fn raised_for<T>(attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match attempt() {
        Err(error) if is_limit(&error) && raise() => attempt(),
        other => other,
    }
}

fn is_limit(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
}

/// Whether there is more room now. Another thread may have made it, so any success counts.
fn raise() -> bool {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).is_ok()
}
