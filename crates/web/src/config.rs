//! What can be set about the web server; everything has a named default.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// A secret that opens everything. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes the secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How the web server is to behave.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens, for the check of the `Host` header.
    pub listen: SocketAddr,
    /// Who may ask; without one, only who asks for a loopback address.
    pub token: Option<Token>,
    /// The most bytes that a ticket may carry.
    pub payload_bytes_max: usize,
    /// Bounds on what one client can ask for.
    pub limits: Limits,
}

impl Config {
    /// The most bytes that a ticket may carry when nobody says otherwise.
    pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

    /// A server without a token and with the default limits.
    pub fn new(listen: SocketAddr) -> Self {
        Self {
            listen,
            token: None,
            payload_bytes_max: Self::PAYLOAD_BYTES_MAX,
            limits: Limits::default(),
        }
    }

    /// The most bytes of one submission: its payload may be escaped (six bytes for one at worst)
    /// and has its other fields beside it.
    pub(crate) const fn submission_bytes_max(&self) -> usize {
        self.payload_bytes_max
            .saturating_mul(6)
            .saturating_add(16 * 1024)
    }
}

/// Bounds on what one client can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many threads answer requests.
    pub threads: usize,
    /// The most connections at once, per thread. Where there are only probes it is one thread,
    /// and 64 are the most.
    pub connections_max: usize,
    /// How long the head of a request may take.
    pub head_wait: Duration,
    /// How long a request may pause between two pieces of its body.
    pub body_pause: Duration,
    /// How long a connection may be idle.
    pub keep_alive: Duration,
    /// How long requests may take to end when the server is stopped.
    pub drain: Duration,
    /// How many lines of a bulk submission become durable together.
    pub group_lines: usize,
    /// The most groups of one bulk submission that are being made durable at once.
    pub groups_in_flight: usize,
    /// The most lines of one bulk submission.
    pub lines_max: u64,
    /// The most bad lines that an answer lists; the others are counted.
    pub errors_max: usize,
    /// The most live listeners at once.
    pub streams_max: usize,
    /// The shortest time between two messages to one live listener.
    pub stream_interval: Duration,
    /// The longest time without a sign of life to a live listener.
    pub stream_heartbeat: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            threads: 2,
            connections_max: 1_024,
            head_wait: Duration::from_secs(10),
            body_pause: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            drain: Duration::from_secs(5),
            group_lines: 1_000,
            groups_in_flight: 4,
            lines_max: 1_000_000,
            errors_max: 1_000,
            streams_max: 128,
            stream_interval: Duration::from_millis(250),
            stream_heartbeat: Duration::from_secs(15),
        }
    }
}
