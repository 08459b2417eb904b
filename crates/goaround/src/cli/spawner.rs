//! The hidden verb under which the binary starts its own small process for handlers.

use super::failure::Failure;
use std::process::ExitCode;

/// What its help begins with.
pub(super) const EXAMPLE: &str = "Example:\n  goaround up";

/// Runs the spawner until its worker is gone.
pub(super) fn run() -> Result<ExitCode, Failure> {
    Ok(handlers::spawner::main())
}
