//! The embedded store on real files: what it refuses, what it survives, what always balances.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

mod disk;
mod files;
mod gates;
mod lists;
mod load;
mod mended;
mod repair;
mod trials;
