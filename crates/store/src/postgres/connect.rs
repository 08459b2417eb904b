//! How PostgreSQL is reached: by which URL, how long a try may take, and by how many connections.

use super::fault::{Fault, PostgresError};
use super::tls::Wish;
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use domain::ports::StoreError;
use domain::time::show_duration;
use std::fmt;
use std::time::Duration;
use tokio_postgres::config::Host;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The schema that all tables are in, so that a database may be shared with others.
pub(crate) const SCHEMA: &str = "goaround";
/// After this long without a word the system asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Unanswered for so long, a connection is given up.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// How to reach PostgreSQL.
#[derive(Clone)]
pub struct PostgresConfig {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`; `sslmode` and `sslrootcert` say how far the
    /// connection is protected.
    pub url: String,
    /// The most connections at once, beside the one for news and the leader's own.
    pub pool_max: usize,
    /// How long making a connection may take, and waiting for a free one.
    pub connect_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
}

impl PostgresConfig {
    /// Connections at once, unless told otherwise.
    pub const POOL_MAX: usize = 8;
    /// How long making a connection may take, unless told otherwise.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// How long one statement may take, unless told otherwise.
    pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

    /// The usual limits for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            pool_max: Self::POOL_MAX,
            connect_timeout: Self::CONNECT_TIMEOUT,
            statement_timeout: Self::STATEMENT_TIMEOUT,
        }
    }

    /// Whether the URL can be read. Connects to nothing, and opens no file that it names.
    ///
    /// # Errors
    /// [`PostgresError::Url`] or [`PostgresError::Tls`], which never show the password.
    pub fn check(&self) -> Result<(), PostgresError> {
        self.read().map(drop)
    }

    fn read(&self) -> Result<(Wish, Config), PostgresError> {
        let (wish, url) = Wish::taken_from(&self.url)?;
        let config = url.parse().map_err(|error| unreadable(&url, &error))?;
        Ok((wish, config))
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig")
            .field("pool_max", &self.pool_max)
            .field("connect_timeout", &self.connect_timeout)
            .field("statement_timeout", &self.statement_timeout)
            .finish_non_exhaustive()
    }
}

/// Makes connections.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    tls: MakeRustlsConnect,
    place: String,
    pool_max: usize,
    connect_timeout: Duration,
    statement_timeout: Duration,
}

/// What has to be polled for a connection to work.
pub(crate) type Wire = Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

impl Connector {
    pub(crate) fn new(limits: PostgresConfig) -> Result<Self, PostgresError> {
        let (wish, mut config) = limits.read()?;
        let millis = limits.statement_timeout.as_millis();
        let theirs = config.get_options().unwrap_or_default();
        let options = format!("{theirs} -c statement_timeout={millis} -c search_path={SCHEMA}");
        config
            .ssl_mode(wish.mode())
            .connect_timeout(limits.connect_timeout)
            .keepalives(true)
            .keepalives_idle(KEEPALIVE)
            .tcp_user_timeout(SILENCE_MAX)
            .options(options.trim());
        if config.get_application_name().is_none() {
            config.application_name("goaround");
        }
        Ok(Self {
            place: place(&config),
            tls: wish.connect()?,
            config,
            pool_max: limits.pool_max.max(1),
            connect_timeout: limits.connect_timeout,
            statement_timeout: limits.statement_timeout,
        })
    }

    /// Where the database is, without the password.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) const fn statement_timeout(&self) -> Duration {
        self.statement_timeout
    }

    /// The server did not answer in time.
    pub(crate) fn silent(&self, limit: Duration) -> StoreError {
        StoreError::Unavailable(format!(
            "PostgreSQL at {}: expected an answer within {}, got none; look whether the server \
             hangs or the network is cut",
            self.place,
            show_duration(limit)
        ))
    }

    pub(crate) fn pool(&self) -> Result<Pool, PostgresError> {
        // A connection is asked whether it still answers before it is lent: the server may have
        // been restarted since.
        let manager = ManagerConfig {
            recycling_method: RecyclingMethod::Verified,
        };
        let manager = Manager::from_config(self.config.clone(), self.tls.clone(), manager);
        Pool::builder(manager)
            .max_size(self.pool_max)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(self.connect_timeout))
            .create_timeout(Some(self.connect_timeout))
            .recycle_timeout(Some(self.connect_timeout))
            .build()
            .map_err(|error| PostgresError::Store(StoreError::Unavailable(error.to_string())))
    }

    /// A connection of its own, beside the pool. The wire must be polled by whoever owns it.
    pub(crate) async fn connect(&self) -> Result<(Client, Wire), Fault> {
        let connected = self.config.connect(self.tls.clone());
        match tokio::time::timeout(self.connect_timeout, connected).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(Fault::Said(self.silent(self.connect_timeout))),
        }
    }
}

/// What is wrong with the URL. The library's own words may repeat a part of the password, which
/// ends early for it at an `@` that is not encoded.
fn unreadable(url: &str, error: &tokio_postgres::Error) -> PostgresError {
    use std::error::Error;
    const REMEDY: &str = "write special characters of the password as %XX";
    let why = error.source().map_or_else(String::new, ToString::to_string);
    let names_a_part = ["unknown option", "missing", "invalid value", "unterminated"]
        .iter()
        .any(|beginning| why.starts_with(beginning));
    // What an option is called may be what follows an `&` in the password.
    let may_be_torn = why.starts_with("unknown option") && url.contains("password=");
    let is_torn = may_be_torn || host_of(url).is_none_or(|host| host.contains('@'));
    PostgresError::Url {
        why: match bad_port(url) {
            _ if is_torn || !names_a_part => format!("it is malformed; {REMEDY}"),
            Some(port) if why.contains("`port`") => {
                format!("expected a port of 1 to 65535 behind the host, got {port}")
            }
            _ => why,
        },
    }
}

/// Host, port and all that is behind them.
fn host_of(url: &str) -> Option<&str> {
    let (_, after) = url.split_once("://")?;
    Some(after.split_once('@').map_or(after, |(_, host)| host))
}

/// The port that is none. Without an `@`, `USER:PASSWORD` looks like `HOST:PORT`, so that then only
/// a number is shown.
fn bad_port(url: &str) -> Option<String> {
    let places = host_of(url)?.split(['/', '?']).next()?;
    let ports = places.split(',').filter_map(|place| {
        let after_host = place.split_once(']').map_or(place, |(_, after)| after);
        after_host.split_once(':').map(|(_, port)| port)
    });
    let bad = ports
        .into_iter()
        .find(|port| port.parse::<u16>().is_err())?;
    let is_number = bad.len() <= 5 && bad.bytes().all(|byte| byte.is_ascii_digit());
    Some(match url.contains('@') || is_number {
        true => format!("{:?}", bad.chars().take(60).collect::<String>()),
        false => "(hidden)".into(),
    })
}

fn place(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".into(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config
        .get_dbname()
        .or(config.get_user())
        .unwrap_or_default();
    format!("{host}:{port}/{database}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(url: &str) -> String {
        let connector = Connector::new(PostgresConfig::new(url));
        connector.err().unwrap().to_string()
    }

    #[test]
    fn a_url_that_cannot_be_read_is_refused_without_its_password() {
        for (url, says) in [
            (
                "postgres://me:secret@db:port/go",
                "behind the host, got \"port\"",
            ),
            ("postgres://db:99999/go", "behind the host, got \"99999\""),
            (
                "postgres://me:secret@a:1,[::1]:x/go",
                "behind the host, got \"x\"",
            ),
            ("postgres://me:secret", "behind the host, got (hidden)"),
            ("postgres://me:se@cret:x@db/go", "it is malformed"),
            ("postgres://me:se@db?cret@db/go=1", "it is malformed"),
            ("me:secret@db", "it is malformed"),
            (
                "postgres://me:secret@db/go?colour=red",
                "unknown option `colour`",
            ),
            (
                "postgres://db/go?user=me&password=se&cret=1",
                "it is malformed",
            ),
            (
                "postgres://me:secret@db/go?colour",
                "unterminated parameter",
            ),
            (
                "postgres://me:secret@db/go?connect_timeout=s",
                "`connect_timeout`",
            ),
            (
                "postgres://me:secret@db/go?sslmode=maybe",
                "sslmode: expected disable",
            ),
        ] {
            let said = said(url);
            assert!(
                said.contains("store.url: ") && said.contains(says),
                "{said}"
            );
            assert!(!said.contains("cret"), "{said}");
            assert!(PostgresConfig::new(url).check().is_err(), "{url}");
        }
    }

    #[test]
    fn a_check_of_the_url_opens_no_file() {
        let url = "postgres://db/go?sslmode=verify-full&sslrootcert=/nowhere/ca.pem";
        assert!(PostgresConfig::new(url).check().is_ok());
        assert!(said(url).contains("/nowhere/ca.pem"));
    }

    #[test]
    fn the_place_and_what_is_shown_for_debugging_have_no_password() {
        let config = PostgresConfig::new("postgres://me:secret@db:5433/go");
        assert!(!format!("{config:?}").contains("secret"));
        let connector = Connector::new(config).unwrap();
        assert_eq!(connector.place(), "db:5433/go");
    }
}
