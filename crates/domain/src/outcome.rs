//! How an attempt ended. Every attempt ends in exactly one outcome.

use crate::names::{Key, Kind, StageName};
use crate::ticket::Payload;
use std::fmt;
use std::time::Duration;

/// What a handler's attempt at a ticket came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The work is done; the ticket goes to its next stage or is finished.
    Done(Done),
    /// The handler cannot take it now: back-off, no OOPS, no attempt spent.
    NotNow {
        /// When to try again, if the handler said so; else the stage's back-off decides.
        after: Option<Duration>,
    },
    /// The handler waits for an outside event.
    Pending(Pending),
    /// The ticket itself is wrong: never retried by itself.
    Rejected(Failure),
    /// The handler said that it failed.
    Failed(Failure),
    /// The worker died without a word: a panic, a signal, out of memory.
    Crashed(Failure),
    /// A process that ran it died, and so many other attempts with it. That is a crash; whether
    /// it is laid to this ticket is found out by trying it alone.
    ProcessDied {
        /// What is known of the death.
        failure: Failure,
        /// How many others had their attempts in it.
        beside: u32,
    },
    /// The deadline passed and the handler was stopped.
    TimedOut(Failure),
    /// The ticket's own deadline had passed, so the handler was not run: never retried by itself,
    /// and no word about the handler.
    Expired(Failure),
    /// The handler could not be started at all; the stage is held until it changes.
    Unstartable(Failure),
    /// The handler was stopped because we are going down or the ticket was cancelled; nobody's
    /// fault, nothing charged.
    Abandoned,
}

/// What a successful attempt leaves behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    /// The payload for the next stage; without one it is handed on as it was.
    pub payload: Option<Payload>,
    /// The next stage, when the handler chose one; else the flow decides.
    pub next: Option<StageName>,
    /// New tickets that this one sends.
    pub emit: Vec<Emit>,
}

/// A new ticket that a handler sends to a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Emit {
    /// Where to.
    pub stage: StageName,
    /// What sort of work; by default the sender's.
    pub kind: Option<Kind>,
    /// What it is about.
    pub key: Option<Key>,
    /// What it carries.
    pub payload: Payload,
}

/// A wait for an outside event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// How long to wait for the end of it.
    pub until: Duration,
    /// How long to wait for a call-back that says that it has started; then the whole time is
    /// waited for its end. `None` when it need not say so.
    pub start_within: Option<Duration>,
}

/// What went wrong, as far as the worker could tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Failure {
    /// The class of the error, for example `ExitStatus` or the Rust type's name.
    pub error_type: String,
    /// One line that says what happened.
    pub message: String,
    /// A trace or other detail, in the handler's own form.
    pub trace: String,
    /// How the handler's process ended, if it had one.
    pub exit: Option<Exit>,
    /// The last lines that the handler logged.
    pub log_tail: String,
}

impl Failure {
    /// A failure that has only a class and a message.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            error_type: error_type.into(),
            message: message.into(),
            ..Self::default()
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this status.
    Status(i32),
    /// It was ended by this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
        }
    }
}

/// The usual name of a Linux signal number.
pub const fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return None,
    })
}

/// What an attempt cost, from the kernel's accounting where there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The most memory that was resident at once, in bytes.
    pub memory_bytes_max: Option<u64>,
    /// CPU time in user mode.
    pub cpu_user: Option<Duration>,
    /// CPU time in the kernel.
    pub cpu_system: Option<Duration>,
}

/// What a handler's reply, or its silence, came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempted {
    /// How it ended.
    pub outcome: Outcome,
    /// What it cost.
    pub usage: Usage,
}

impl From<Outcome> for Attempted {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            usage: Usage::default(),
        }
    }
}

/// The outcome's name, for labels, the ledger and the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutcomeKind {
    /// See [`Outcome::Done`].
    Done,
    /// See [`Outcome::NotNow`].
    NotNow,
    /// See [`Outcome::Pending`].
    Pending,
    /// See [`Outcome::Rejected`] and [`Outcome::Expired`].
    Rejected,
    /// See [`Outcome::Failed`].
    Failed,
    /// See [`Outcome::Crashed`] and [`Outcome::ProcessDied`].
    Crashed,
    /// See [`Outcome::TimedOut`].
    TimedOut,
    /// See [`Outcome::Unstartable`].
    Unstartable,
    /// See [`Outcome::Abandoned`].
    Abandoned,
}

impl OutcomeKind {
    /// All of them, so that every series can be exported at zero from the start.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::NotNow,
        Self::Pending,
        Self::Rejected,
        Self::Failed,
        Self::Crashed,
        Self::TimedOut,
        Self::Unstartable,
        Self::Abandoned,
    ];

    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotNow => "not_now",
            Self::Pending => "pending",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed_out",
            Self::Unstartable => "unstartable",
            Self::Abandoned => "abandoned",
        }
    }

    /// The kind that users call by this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether the attempt went wrong: exactly then there is one OOPS about it.
    pub const fn went_wrong(self) -> bool {
        match self {
            Self::Rejected | Self::Failed | Self::Crashed | Self::TimedOut | Self::Unstartable => {
                true
            }
            Self::Done | Self::NotNow | Self::Pending | Self::Abandoned => false,
        }
    }
}

impl fmt::Display for OutcomeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Outcome {
    /// A plain success that changes nothing of the ticket.
    pub fn done() -> Self {
        Self::Done(Done::default())
    }

    /// The outcome's name.
    pub const fn kind(&self) -> OutcomeKind {
        match self {
            Self::Done(_) => OutcomeKind::Done,
            Self::NotNow { .. } => OutcomeKind::NotNow,
            Self::Pending(_) => OutcomeKind::Pending,
            Self::Rejected(_) | Self::Expired(_) => OutcomeKind::Rejected,
            Self::Failed(_) => OutcomeKind::Failed,
            Self::Crashed(_) | Self::ProcessDied { .. } => OutcomeKind::Crashed,
            Self::TimedOut(_) => OutcomeKind::TimedOut,
            Self::Unstartable(_) => OutcomeKind::Unstartable,
            Self::Abandoned => OutcomeKind::Abandoned,
        }
    }

    /// What went wrong, if something did.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Rejected(failure)
            | Self::Failed(failure)
            | Self::Crashed(failure)
            | Self::ProcessDied { failure, .. }
            | Self::TimedOut(failure)
            | Self::Expired(failure)
            | Self::Unstartable(failure) => Some(failure),
            Self::Done(_) | Self::NotNow { .. } | Self::Pending(_) | Self::Abandoned => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_that_went_wrong_carries_its_failure() {
        let failure = Failure::new("T", "m");
        for outcome in [
            Outcome::done(),
            Outcome::NotNow { after: None },
            Outcome::Rejected(failure.clone()),
            Outcome::Failed(failure.clone()),
            Outcome::Crashed(failure.clone()),
            Outcome::ProcessDied {
                failure: failure.clone(),
                beside: 1,
            },
            Outcome::TimedOut(failure.clone()),
            Outcome::Expired(failure.clone()),
            Outcome::Unstartable(failure),
            Outcome::Abandoned,
        ] {
            assert_eq!(outcome.kind().went_wrong(), outcome.failure().is_some());
            assert_eq!(
                OutcomeKind::parse(outcome.kind().as_str()),
                Some(outcome.kind())
            );
        }
    }

    #[test]
    fn a_signal_is_shown_by_its_name() {
        assert_eq!(Exit::Signal(6).to_string(), "signal 6 (SIGABRT)");
        assert_eq!(Exit::Status(3).to_string(), "exit status 3");
    }
}
