//! The program: looks at the world once, then leaves everything to the library.

use domain::ports::Clock as _;
use goaround::cli::{self, World};
use goaround::helper;
use goaround::line::SystemClock;
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// Tickets are many small things that are made by one thread and dropped by another, which this
/// allocator is good at. It turns transparent huge pages off before it takes its first: with them
/// tens of megabytes stand for the few that an idle process has in use. Handlers get theirs back
/// from the spawner.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let Some(code) = helper::become_one(&arguments) {
        return code;
    }
    let variables = std::env::vars_os();
    cli::main(World {
        arguments,
        variables: variables
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        now: || SystemClock.now(),
        is_stdin_terminal: std::io::stdin().is_terminal(),
        is_stdout_terminal: std::io::stdout().is_terminal(),
        is_stderr_terminal: std::io::stderr().is_terminal(),
    })
}
