//! The real things to test against: private servers on loopback, each with ports and a folder of
//! its own, that end with the test.

pub mod postgres;
pub mod proxy;
pub mod rabbitmq;

use std::fmt;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

/// A partner is not installed on this machine; says what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(String);

impl Missing {
    /// This is what is missing, and where it was looked for.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The partner, or `None` after it has been said by name that this test is skipped.
///
/// # Panics
/// When `CI` is `true`: there everything has to be installed.
pub fn or_skip<T>(partner: Result<T, Missing>) -> Option<T> {
    let missing = match partner {
        Ok(partner) => return Some(partner),
        Err(missing) => missing,
    };
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(
        setting("CI").is_none_or(|ci| ci != "true"),
        "{test} cannot be run: {missing}"
    );
    eprintln!("SKIPPED {test}: {missing}");
    // A runner hides what a passed test says; whoever started it reads it here.
    let log = folder().join("skipped.log");
    if let Ok(mut log) = std::fs::File::options().append(true).create(true).open(log) {
        writeln!(log, "{test}: {missing}").ok();
    }
    None
}

/// Where partners are installed that the system's packages do not bring.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.partners")
}

/// What the environment says to the tests.
#[expect(
    clippy::disallowed_methods,
    reason = "how tests are told where their partners are"
)]
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A port of the loopback interface that nobody has at the moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}
