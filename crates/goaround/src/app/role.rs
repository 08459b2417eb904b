//! What a process does: one role, or all of them.

use crate::config::{Backend, Config};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use store::PostgresError;

/// A configuration with which a role cannot do its work; says which key, what was expected, and
/// what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unfit(String);

/// Whether it went wrong because of the configuration, so that the same again cannot do better.
pub fn is_of_configuration(error: &anyhow::Error) -> bool {
    let books = error.downcast_ref::<PostgresError>();
    let names_wrong_url = matches!(
        books,
        Some(PostgresError::Url { .. } | PostgresError::Tls { .. })
    );
    names_wrong_url || error.is::<Unfit>() || error.is::<amqp::config::BadConfig>()
}

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

    /// Why there is no listening on this address, and what to do.
    pub(super) fn cannot_listen(self, listen: SocketAddr, why: &io::Error) -> anyhow::Error {
        let remedy = match (why.kind(), self) {
            (io::ErrorKind::AddrInUse, Self::Worker | Self::Watchdog) => format!(
                "another process, most likely goaround, listens there; the {self} has only probes \
                 and metrics to show: start it with --listen {ANY_PORT} for any free port, or with \
                 another port"
            ),
            (io::ErrorKind::AddrInUse, Self::All | Self::Controller) => format!(
                "is another goaround running there? Stop it, or choose another port with --listen, \
                 for example --listen {}",
                beside(listen)
            ),
            (io::ErrorKind::AddrNotAvailable, _) => {
                "expected an address of this machine; choose one with --listen".into()
            }
            _ => "choose another address with --listen".into(),
        };
        anyhow::anyhow!("cannot listen on {listen}: {why}; {remedy}")
    }

    /// What handlers of this role do without with this configuration, and what to do about it.
    pub fn lacks(self, config: &Config) -> Option<&'static str> {
        let is_told = self.controls() || config.http.url.is_some();
        let is_lacking = self.works() && !is_told && !config.handlers.is_empty();
        is_lacking.then_some(
            "http.url is not set, and a worker alone does not know where the API is: its handlers \
             get no GOAROUND_CALLBACK_URL, so nobody can call back for a ticket that ends as \
             pending, and it times out; set http.url (GOAROUND__HTTP__URL) to where a controller \
             is reached, for example http://controller.example:7878",
        )
    }
}

/// Any free port of this machine.
const ANY_PORT: &str = "127.0.0.1:0";

/// The same address with the next port.
fn beside(listen: SocketAddr) -> SocketAddr {
    SocketAddr::new(
        listen.ip(),
        listen.port().checked_add(1).unwrap_or_default(),
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, Surroundings};
    use std::collections::BTreeMap;

    const ALL: [Role; 4] = [Role::All, Role::Worker, Role::Controller, Role::Watchdog];

    fn config(variables: &[(&str, &str)]) -> Config {
        let variables = variables.iter();
        let variables = variables.map(|(name, text)| ((*name).into(), (*text).into()));
        let loaded = Loaded::read(&Surroundings {
            file: None,
            variables: &variables.collect::<BTreeMap<String, String>>(),
            flags: &[],
        });
        loaded.unwrap().config
    }

    #[test]
    fn only_a_worker_that_is_not_told_where_the_api_is_lacks_call_backs() {
        let stage = ("GOAROUND__STAGE__BUILD__RUN", "true");
        let lacking = |config: &Config| ALL.map(|role| role.lacks(config).is_some());
        let untold = config(&[stage]);
        assert_eq!(lacking(&untold), [false, true, false, false]);
        let said = Role::Worker.lacks(&untold).unwrap();
        assert!(said.contains("http.url") && said.contains("GOAROUND_CALLBACK_URL"));
        let told = config(&[stage, ("GOAROUND__HTTP__URL", "http://books.example:7878")]);
        assert_eq!(lacking(&told), [false; 4]);
        assert_eq!(
            lacking(&config(&[])),
            [false; 4],
            "no handler lacks anything"
        );
    }

    #[test]
    fn what_the_configuration_is_to_blame_for_is_known_below_what_was_said_of_it() {
        use anyhow::Context as _;
        let known = |error: anyhow::Error| {
            is_of_configuration(&Err::<(), _>(error).context("no").unwrap_err())
        };
        let tls = || PostgresError::Tls { why: "x".into() };
        assert!(known(tls().into()) && known(Unfit("x".into()).into()));
        assert!(known(amqp::Config::new("amqp://h:x").unwrap_err().into()));
        assert!(!known(anyhow::anyhow!("the data folder is in use")));
    }

    #[test]
    fn a_port_that_is_taken_comes_with_what_to_type() {
        let said = |role: Role, kind: io::ErrorKind| {
            let listen = "127.0.0.1:7878".parse().unwrap();
            role.cannot_listen(listen, &kind.into()).to_string()
        };
        for role in ALL {
            let taken = said(role, io::ErrorKind::AddrInUse);
            let expected = match role {
                Role::Worker | Role::Watchdog => "--listen 127.0.0.1:0",
                Role::All | Role::Controller => "--listen 127.0.0.1:7879",
            };
            assert!(taken.contains(expected), "{role}: {taken}");
            let other = said(role, io::ErrorKind::PermissionDenied);
            assert!(!other.contains("another goaround"), "{role}: {other}");
        }
    }
}
