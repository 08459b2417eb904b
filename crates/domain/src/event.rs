//! What happens to tickets, told once. The checker, the metrics, the log and the live page all
//! listen to the same events.

use crate::names::{Holder, StageName, Version};
use crate::oops::OopsId;
use crate::outcome::OutcomeKind;
use crate::ticket::{Name, TicketId};
use crate::wait::Reason;
use std::time::Duration;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A ticket is durable and its publisher is about to be told so.
    TicketAccepted {
        /// Which ticket.
        ticket: TicketId,
        /// For which stage.
        stage: StageName,
    },
    /// Its `started` record is durable and its worker begins.
    AttemptStarted {
        /// Which copy.
        name: Name,
        /// At which stage.
        stage: StageName,
        /// How long after it was accepted; known for the first attempt of a ticket only.
        waited: Option<Duration>,
    },
    /// Its handler blocks its thread, and still did after its deadline. Whatever it says when it
    /// lets go, it has timed out.
    AttemptBlocked {
        /// Which copy.
        name: Name,
        /// At which stage.
        stage: StageName,
    },
    /// The handler has let go.
    AttemptEnded {
        /// Which copy.
        name: Name,
        /// At which stage.
        stage: StageName,
        /// How.
        outcome: OutcomeKind,
        /// How long it took.
        took: Duration,
    },
    /// The report about an attempt that went wrong is durable.
    OopsRecorded {
        /// Which report.
        oops: OopsId,
        /// About which attempt.
        name: Name,
        /// At which stage.
        stage: StageName,
    },
    /// The outcome of an attempt is durable.
    TicketSettled {
        /// Under which name it was held.
        name: Name,
        /// At which stage.
        stage: StageName,
        /// Where it went.
        settled: SettledAs,
    },
    /// A settlement came too late; the books knew better.
    SettlementStale {
        /// Under which name it was held.
        name: Name,
        /// At which stage.
        stage: StageName,
    },
    /// The controller decided about a suspect or an overdue wait.
    TicketJudged {
        /// The name that was judged.
        name: Name,
        /// At which stage.
        stage: StageName,
        /// The report about it, if an attempt died.
        oops: Option<OopsId>,
    },
    /// Waiting tickets became runnable.
    TicketsReleased {
        /// How many.
        count: u64,
    },
    /// An operator's order was carried out.
    OrderCarriedOut {
        /// About which ticket.
        ticket: TicketId,
        /// What was done: `retry`, `cancel`, `drop` or `complete`.
        action: &'static str,
        /// Whether that ended it.
        ended: bool,
    },
    /// A stage takes no deliveries until its handler changes.
    StageHeld {
        /// Which stage.
        stage: StageName,
        /// Why.
        reason: String,
    },
    /// A stage takes deliveries again.
    StageUnheld {
        /// Which stage.
        stage: StageName,
        /// The version of its handler.
        version: Version,
    },
    /// A stage's supervisor is at work.
    SupervisorStarted {
        /// Which stage.
        stage: StageName,
        /// Its name and incarnation.
        holder: Holder,
    },
    /// A stage's supervisor is gone and will be started again.
    SupervisorLost {
        /// Which stage.
        stage: StageName,
        /// Why.
        why: Loss,
    },
    /// A subscription ended; it is taken up again.
    SubscriptionEnded {
        /// To which stage.
        stage: StageName,
        /// In which way.
        reason: Ending,
        /// Why, in words.
        why: String,
    },
    /// Something durable could not be done; it is tried again and nothing has moved.
    StoreFailed {
        /// What could not be done: `start`, `settle`, `report`, `release` …
        what: &'static str,
        /// Why.
        why: String,
    },
}

/// Where a settled ticket went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SettledAs {
    /// To a next stage.
    Forwarded,
    /// Done for good.
    Finished,
    /// Into a wait.
    Waiting(Reason),
}

/// How a supervisor was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// It panicked.
    Panicked,
    /// It ended without being asked to.
    Stopped,
    /// It does not answer.
    Frozen,
}

impl Loss {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Panicked, Self::Stopped, Self::Frozen];

    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panicked => "panicked",
            Self::Stopped => "stopped",
            Self::Frozen => "frozen",
        }
    }
}

/// How a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// It was cancelled, and what it went over still stands: its queue was deleted or moved.
    Cancelled,
    /// Its channel was closed: a delivery was not acknowledged in time, or a permission is missing.
    ChannelClosed,
    /// Its connection was closed or broke.
    ConnectionClosed,
    /// Nothing came from the other side for too long: it hangs, or the way to it is cut.
    HeartbeatMissed,
    /// It could not be begun or gone on with: the broker or the store could not do what was asked.
    Unavailable,
    /// In no way that is known here; perhaps a bug.
    Unknown,
}

impl Ending {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Cancelled,
        Self::ChannelClosed,
        Self::ConnectionClosed,
        Self::HeartbeatMissed,
        Self::Unavailable,
        Self::Unknown,
    ];

    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::ChannelClosed => "channel_closed",
            Self::ConnectionClosed => "connection_closed",
            Self::HeartbeatMissed => "heartbeat_missed",
            Self::Unavailable => "unavailable",
            Self::Unknown => "unknown",
        }
    }
}
