//! What a connection is for, how it is, and how the ones before it ended.

use crate::config::Config;
use crate::error::Error;
use std::fmt;
use std::time::Instant;

/// What a connection is for. Each process has one of each, since a broker that is short of memory
/// or disk stops reading from those that publish, acks included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Deliveries and their acks.
    Consume,
    /// Everything that is published.
    Publish,
    /// The desired state, and what has to get through when the others hang.
    Control,
}

impl Purpose {
    /// The largest frame; a longer body goes in several. lapin keeps room for 64 of them on a
    /// connection, and an idle worker would hold 24 MiB if all had what brokers offer. But headers
    /// are never divided, and a frame that is too large ends a connection: what strangers have sent
    /// must fit, whatever a broker takes from them.
    pub(crate) const fn frame_bytes_max(self) -> u32 {
        match self {
            Self::Consume => 128 * 1024,
            Self::Publish => 8 * 1024,
            Self::Control => 32 * 1024,
        }
    }
}

impl Purpose {
    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consume => "consume",
            Self::Publish => "publish",
            Self::Control => "control",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be used.
    Connected {
        /// Rises with each connection.
        generation: u64,
        /// The version of the broker, as far as it was asked.
        server: Option<String>,
    },
    /// It is connected, but the broker takes nothing from it.
    Blocked {
        /// Which connection.
        generation: u64,
        /// The broker's reason.
        why: String,
        /// Since when.
        since: Instant,
    },
    /// There is no connection; the next attempt comes by itself.
    Down {
        /// Why.
        why: Error,
        /// Since when.
        since: Instant,
    },
}

impl State {
    /// The generation of the connection, if there is one.
    pub fn generation(&self) -> Option<u64> {
        match self {
            Self::Connected { generation, .. } | Self::Blocked { generation, .. } => {
                Some(*generation)
            }
            Self::Down { .. } => None,
        }
    }
}

/// Why connections ended or did not come about, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Nobody answered.
    pub unreachable: u64,
    /// The broker did not let us in: TLS, credentials, virtual host, permission.
    pub refused: u64,
    /// The broker closed the connection and said so.
    pub closed_by_broker: u64,
    /// It was silent for two heartbeats.
    pub silent: u64,
    /// The connection broke.
    pub broken: u64,
}

impl Ends {
    /// Each reason, and how often.
    pub const fn by_reason(&self) -> [(&'static str, u64); 5] {
        [
            ("unreachable", self.unreachable),
            ("refused", self.refused),
            ("closed_by_broker", self.closed_by_broker),
            ("heartbeat_missed", self.silent),
            ("broken", self.broken),
        ]
    }
}

/// Why one connection ended or did not come about.
#[derive(Clone, Copy)]
pub(super) enum End {
    Unreachable,
    Refused,
    ClosedByBroker,
    Silent,
    Broken,
}

impl End {
    pub(super) fn of(error: &lapin::Error, config: &Config) -> (Self, Error) {
        let place = config.place();
        if let Some((code, text)) = crate::error::code_and_text(error) {
            let why = format!("{place} closed the connection: {text} ({code})");
            return (Self::ClosedByBroker, Error::Broken(why));
        }
        match error.kind() {
            lapin::ErrorKind::MissingHeartbeatError => {
                let why = format!("{place} was silent for two heartbeats: it hangs or is cut off");
                (Self::Silent, Error::Broken(why))
            }
            _ => (
                Self::Broken,
                Error::Broken(format!("the connection to {place} broke: {error}")),
            ),
        }
    }
}

pub(super) fn blocked(config: &Config, why: &str) -> String {
    format!(
        "{} takes no messages for now ({why}): free memory or disk on the broker, or raise its \
         limits; it goes on by itself",
        config.place()
    )
}
