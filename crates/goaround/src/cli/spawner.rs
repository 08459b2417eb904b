//! The hidden verb under which the binary starts its own small process for handlers.

use super::failure::Failure;
use std::process::ExitCode;

/// What its help begins with.
pub(super) const EXAMPLE: &str = "Example:\n  goaround up";

/// Runs the spawner until its worker is gone.
pub(super) fn run() -> Result<ExitCode, Failure> {
    // What its handlers do with their memory is their business.
    rustix::thread::disable_transparent_huge_pages(false).ok();
    Ok(handlers::spawner::main())
}
