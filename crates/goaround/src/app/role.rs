//! What a process does: one role, or all of them.

use crate::config::{Backend, Config};
use std::fmt;

/// A configuration with which a role cannot do its work; says which key, what was expected, and
/// what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(String);

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything in one process.
    All,
    /// Runs handlers; needs nothing but the broker.
    Worker,
    /// Keeps the books, moves waiting tickets on, serves API and viewer.
    Controller,
    /// Watches from outside.
    Watchdog,
}

impl Role {
    pub(super) const fn works(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }

    pub(super) const fn controls(self) -> bool {
        matches!(self, Self::All | Self::Controller)
    }

    /// Whether this role can do its work with this configuration.
    pub(super) fn check(self, config: &Config) -> Result<(), Unfit> {
        match (self, &config.broker.at, &config.store.at) {
            (Self::All, Backend::Embedded, _) => Ok(()),
            (_, Backend::Embedded, _) => Err(Unfit(format!(
                "broker.url: expected amqp://… or amqps://… for a process that is only the \
                 {self}, got \"embedded\", which one process has for itself; set broker.url and \
                 store.url, or run everything in one process: goaround up"
            ))),
            (Self::All | Self::Controller, Backend::Server(_), Backend::Embedded) => Err(Unfit(
                "store.url: expected postgres://… because broker.url is a server, got \
                 \"embedded\"; set store.url (GOAROUND__STORE__URL) as well"
                    .into(),
            )),
            (_, Backend::Server(_), _) => Ok(()),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "up",
            Self::Worker => "worker",
            Self::Controller => "controller",
            Self::Watchdog => "watchdog",
        })
    }
}
