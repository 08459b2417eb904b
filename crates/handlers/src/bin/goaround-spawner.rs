//! The spawner alone, for the tests of this crate; the product's own binary has it built in.

use std::process::ExitCode;

fn main() -> ExitCode {
    handlers::spawner::main()
}
