//! The hidden verbs under which the binary starts its own small processes for handlers.

use super::failure::Failure;
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Alone {
    /// The arguments of the spawner beneath it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    spawner: Vec<OsString>,
}

/// What its help begins with.
pub(super) const EXAMPLE: &str = "Example:\n  goaround up";

/// Runs the spawner until its worker is gone.
pub(super) fn run() -> Result<ExitCode, Failure> {
    // What its handlers do with their memory is their business.
    rustix::thread::disable_transparent_huge_pages(false).ok();
    Ok(handlers::spawner::main())
}

impl Alone {
    /// Stands in for a worker until its spawner, which runs one attempt, is gone.
    pub(super) fn run(self) -> ExitCode {
        handlers::spawner::stand_in::main(self.spawner)
    }
}
