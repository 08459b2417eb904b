//! Why nothing comes any more of what was consumed: in words, and as one of the ways that are
//! counted.

use crate::error::Error;
use domain::event::Ending;
use lapin::protocol::AMQPErrorKind;
use lapin::{Channel, ErrorKind};

const CANCELLED: &str = "the broker ended it without a word: its queue was deleted, moved, or a \
    delivery was not acked in time";
const CLOSED: &str = "the broker closed the connection";

/// The end of something that was consumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) reason: Ending,
    pub(crate) why: String,
}

impl Ended {
    /// What lapin met.
    pub(crate) fn of(error: &lapin::Error) -> Self {
        Self {
            reason: ending(error.kind()),
            why: error.to_string(),
        }
    }

    /// What lapin met when it was to do this; `doing` completes "the broker refused to ...".
    pub(crate) fn of_doing(error: &lapin::Error, doing: &str) -> Self {
        Self {
            reason: ending(error.kind()),
            why: Error::of_channel(error, doing).to_string(),
        }
    }

    /// A consumer that ended without an error. lapin ends it like this when the broker cancels it,
    /// and when the broker takes leave of the whole connection; a channel never closes without an
    /// error.
    pub(crate) fn without_a_word(channel: &Channel) -> Self {
        let (reason, why) = match channel.status().connected() {
            true => (Ending::Cancelled, CANCELLED),
            false => (Ending::ConnectionClosed, CLOSED),
        };
        let why = why.to_owned();
        Self { reason, why }
    }

    /// The broker, or who it stands for, did not do what was asked.
    pub(crate) fn unavailable(why: impl Into<String>) -> Self {
        Self {
            reason: Ending::Unavailable,
            why: why.into(),
        }
    }
}

fn ending(kind: &ErrorKind) -> Ending {
    match kind {
        ErrorKind::MissingHeartbeatError => Ending::HeartbeatMissed,
        ErrorKind::ProtocolError(said) => match said.kind() {
            AMQPErrorKind::Soft(_) => Ending::ChannelClosed,
            AMQPErrorKind::Hard(_) => Ending::ConnectionClosed,
        },
        ErrorKind::InvalidChannel(_) | ErrorKind::InvalidChannelState(..) => Ending::ChannelClosed,
        ErrorKind::IOError(_)
        | ErrorKind::InvalidConnectionState(_)
        | ErrorKind::ParsingError(_)
        | ErrorKind::RuntimeShutdownError(_) => Ending::ConnectionClosed,
        // lapin keeps the right to name more.
        _ => Ending::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::{AMQPError, AMQPHardError, AMQPSoftError};
    use lapin::{ChannelState, ConnectionState};

    fn said(kind: AMQPErrorKind) -> ErrorKind {
        ErrorKind::ProtocolError(AMQPError::new(kind, "text".into()))
    }

    #[test]
    fn each_end_that_lapin_tells_is_counted_as_what_it_is() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let unacked = AMQPSoftError::PRECONDITIONFAILED;
        let forced = AMQPHardError::CONNECTIONFORCED;
        for (kind, reason) in [
            (ErrorKind::MissingHeartbeatError, Ending::HeartbeatMissed),
            (said(unacked.into()), Ending::ChannelClosed),
            (said(forced.into()), Ending::ConnectionClosed),
            (ErrorKind::IOError(reset.into()), Ending::ConnectionClosed),
            (
                ErrorKind::InvalidChannelState(ChannelState::Closed, ""),
                Ending::ChannelClosed,
            ),
            (
                ErrorKind::InvalidConnectionState(ConnectionState::Closed),
                Ending::ConnectionClosed,
            ),
            (ErrorKind::FutureCompleted, Ending::Unknown),
        ] {
            let error = lapin::Error::from(kind);
            assert_eq!(Ended::of(&error).reason, reason, "{error}");
        }
    }
}
