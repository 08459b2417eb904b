//! The spawner alone, for the tests of this crate; the product's own binary has it built in.

use handlers::spawner::{self, stand_in};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(verb) if verb == stand_in::VERB => stand_in::main(args),
        _ => spawner::main(),
    }
}
