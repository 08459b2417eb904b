//! The small processes that the binary starts of itself for handlers.

use handlers::spawner::stand_in;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// The first argument of a spawner.
pub(crate) const SPAWNER: &str = "__spawner";

/// Becomes one of them when these are its arguments, the program's own name first; `None` for all
/// others. It comes before everything else: to know every verb takes longer than all that such a
/// process has to do until handlers can start, and what it takes up counts as theirs.
pub fn become_one(arguments: &[OsString]) -> Option<ExitCode> {
    let mut words = arguments.iter().skip(1);
    let verb = words.next()?;
    if verb == OsStr::new(stand_in::VERB) {
        return Some(stand_in::main(words.cloned()));
    }
    if verb == OsStr::new(SPAWNER) {
        // What its handlers do with their memory is their business.
        rustix::thread::disable_transparent_huge_pages(false).ok();
        return Some(handlers::spawner::main());
    }
    None
}
