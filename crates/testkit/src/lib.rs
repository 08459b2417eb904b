//! What tests are made of.
//!
//! A test drives time with [`clock`], draws its chances from [`dice`], and lets its actors work on
//! [`memory`]: a broker and a store that keep every promise of the ports, or, wrapped in
//! [`faults`], break what they may break. [`contract`] holds the promises as test cases, for the
//! memory version and the real ones alike. [`handler`] plays the work, [`recorder`] hears what
//! happens, [`scenario`] tells a test in the user's words, and [`simulation`] tells a thousand.
//! [`partners`] starts the real servers to test against.

pub mod clock;
pub mod dice;

pub mod memory;

pub mod faults;

pub mod contract;

pub mod handler;
pub mod recorder;

pub mod scenario;
pub mod simulation;

pub mod partners;
