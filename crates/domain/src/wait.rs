//! Why a ticket waits, for what, and what happens then. A wait without an answer cannot be written.

use crate::names::{Holder, StageName, Version};
use crate::oops::OopsId;
use crate::signature::SignatureId;
use crate::ticket::{Name, TicketId};
use crate::time::Timestamp;
use std::fmt;

/// Why a ticket is not runnable now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// An attempt went wrong; the next comes by itself.
    Backoff,
    /// The handler could not take it; no attempt was spent.
    NotNow,
    /// The handler waits for an outside event.
    Pending,
    /// A person or a rule must decide.
    Parked,
    /// The handler of its stage cannot be started; it goes on when the handler changes.
    Held,
    /// No stage is configured that takes it.
    Unclaimed,
    /// Somebody had it and did not settle it; the controller finds out what became of that.
    Suspect,
    /// Another ticket with its key is at work.
    Unique,
    /// It was in hand when a process died; it waits for its turn to be tried alone.
    Trial,
}

impl Reason {
    /// All of them, so that each can be counted from zero.
    pub const ALL: [Self; 9] = [
        Self::Backoff,
        Self::NotNow,
        Self::Pending,
        Self::Parked,
        Self::Held,
        Self::Unclaimed,
        Self::Suspect,
        Self::Unique,
        Self::Trial,
    ];

    /// Those that a person may end; the others wait for an answer that nobody may anticipate.
    pub const ENDED_BY_PEOPLE: [Self; 6] = [
        Self::Backoff,
        Self::NotNow,
        Self::Pending,
        Self::Parked,
        Self::Held,
        Self::Trial,
    ];

    /// Whether it is one of [`Reason::ENDED_BY_PEOPLE`].
    pub const fn is_ended_by_people(self) -> bool {
        match self {
            Self::Backoff
            | Self::NotNow
            | Self::Pending
            | Self::Parked
            | Self::Held
            | Self::Trial => true,
            Self::Unclaimed | Self::Suspect | Self::Unique => false,
        }
    }

    /// The name under which a ticket goes on that waits so under this one, when a person ends its
    /// wait. What is pending is known outside by its name: a call-back that comes after all must
    /// be stale.
    pub fn ended_early(self, name: Name) -> Name {
        match self {
            Self::Pending => name.renewed(),
            _ => name,
        }
    }

    /// The word that users see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backoff => "backoff",
            Self::NotNow => "not_now",
            Self::Pending => "pending",
            Self::Parked => "parked",
            Self::Held => "held",
            Self::Unclaimed => "unclaimed",
            Self::Suspect => "suspect",
            Self::Unique => "unique",
            Self::Trial => "trial",
        }
    }

    /// The reason that users call by this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// What an operator may do to a ticket that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orders {
    /// Run it now, or end it.
    All,
    /// End it: to run it now would be refused.
    ToEnd,
}

impl Orders {
    /// The commands, in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "retry, cancel or drop",
            Self::ToEnd => "cancel or drop",
        }
    }
}

impl fmt::Display for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a wait waits for. Each variant names the reason that it stands for, so that a reason
/// without a condition, or with another's, cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The end of a back-off after a failure.
    Backoff {
        /// When it ends.
        until: Timestamp,
    },
    /// The handler asked for a later try.
    NotNow {
        /// When it ends.
        until: Timestamp,
    },
    /// A call-back, or the deadline for it.
    Pending {
        /// By when it must have ended; or have started, if that is waited for first.
        until: Timestamp,
        /// By when it must have ended once it has said that it has started; `None` when it has, or
        /// need not say so.
        once_started: Option<Timestamp>,
    },
    /// The decision of a person or rule.
    Parked,
    /// Another version of the stage's handler.
    Held {
        /// The version that cannot be started, if it has one.
        version: Option<Version>,
    },
    /// The repair of what it last failed of: a canary that lands, most often on a newer version.
    Repair {
        /// What that is.
        signature: SignatureId,
    },
    /// A configuration in which the ticket's stage takes its kind.
    Unclaimed,
    /// The controller's verdict about the one who had it.
    Suspect {
        /// Who had it.
        holder: Holder,
        /// Since when the attempt was running; `None` when it had only been in hand.
        started_at: Option<Timestamp>,
    },
    /// The end of another ticket with the same key.
    Unique {
        /// Which ticket is at work.
        other: TicketId,
    },
    /// Its turn to be tried alone: of each stage one ticket at a time.
    Trial {
        /// Not before this.
        until: Timestamp,
    },
}

impl Condition {
    /// Why the ticket waits.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Backoff { .. } => Reason::Backoff,
            Self::NotNow { .. } => Reason::NotNow,
            Self::Pending { .. } => Reason::Pending,
            Self::Parked => Reason::Parked,
            Self::Held { .. } | Self::Repair { .. } => Reason::Held,
            Self::Unclaimed => Reason::Unclaimed,
            Self::Suspect { .. } => Reason::Suspect,
            Self::Unique { .. } => Reason::Unique,
            Self::Trial { .. } => Reason::Trial,
        }
    }

    /// Until when at the longest, if time ends the wait.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Backoff { until }
            | Self::NotNow { until }
            | Self::Pending { until, .. }
            | Self::Trial { until } => Some(*until),
            Self::Parked
            | Self::Held { .. }
            | Self::Repair { .. }
            | Self::Unclaimed
            | Self::Suspect { .. }
            | Self::Unique { .. } => None,
        }
    }

    /// What an operator may do to a ticket that waits so, unless it is too late for it.
    pub const fn orders(&self) -> Orders {
        match self.reason().is_ended_by_people() {
            true => Orders::All,
            false => Orders::ToEnd,
        }
    }

    /// What the ticket waits for, in words; `orders` is what an operator may do to it.
    pub fn waits_for(&self, stage: &StageName, orders: Orders) -> String {
        match self {
            Self::Backoff { .. } => "the back-off after a failed attempt to end".into(),
            Self::NotNow { .. } => "the time the handler asked for".into(),
            Self::Pending {
                once_started: Some(end),
                ..
            } => format!(
                "a call-back from outside that says that it has started, which gives it until {end}"
            ),
            Self::Pending { .. } => "a call-back from outside".into(),
            Self::Parked => format!("the decision of a person: {orders}"),
            Self::Held {
                version: Some(version),
            } => {
                format!(
                    "a version of the handler of stage {stage} other than {version}, which cannot be started"
                )
            }
            Self::Held { version: None } => {
                format!("a handler of stage {stage} that can be started")
            }
            Self::Repair { signature } => format!(
                "a repair of {signature}, which keeps failing at stage {stage}: one canary at a \
                 time is tried"
            ),
            Self::Unclaimed => format!("a configuration in which stage {stage} takes this ticket"),
            Self::Suspect { holder, .. } => {
                format!("the controller's verdict about {holder}, who had it and did not settle it")
            }
            Self::Unique { other } => format!("ticket {other} with the same key to end"),
            Self::Trial { .. } => format!(
                "its turn to be tried alone: a process died at it, and of stage {stage} one such \
                 ticket at a time is tried, in a process of its own"
            ),
        }
    }

    /// What happens when that comes about, in words.
    pub fn then(&self) -> &'static str {
        match self {
            Self::Backoff { .. } | Self::NotNow { .. } => "it is tried again by itself",
            Self::Pending { .. } => "the call-back decides",
            Self::Parked => "what the person decided",
            Self::Held { .. } | Self::Unclaimed => "it is released by itself",
            Self::Repair { .. } => {
                "a newer version is tried at once, else the canary goes when its time comes; when \
                 it lands, all are released by a plan"
            }
            Self::Suspect { .. } => "an attempt that died is reported, and the ticket is released",
            Self::Unique { .. } => "it is released by itself",
            Self::Trial { .. } => {
                "it runs alone; if that process dies too, it is the one, and only then charged"
            }
        }
    }

    /// Who may end the wait, in words; `orders` is what an operator may do to the ticket.
    pub fn who_may_change(&self, orders: Orders) -> String {
        let who = match self {
            Self::Backoff { .. } | Self::NotNow { .. } | Self::Trial { .. } => "time",
            Self::Pending { .. } => "whoever holds the call-back address",
            Self::Parked => return format!("an operator by ticket {orders}"),
            Self::Held { .. } | Self::Repair { .. } => "whoever deploys the handler",
            Self::Unclaimed => "whoever edits the configuration",
            Self::Suspect { .. } => return "the controller, within seconds".into(),
            Self::Unique { .. } => "the other ticket",
        };
        format!("{who}; or an operator by ticket {orders}")
    }
}

/// A ticket's wait: since when, for what, and because of which report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What ends it.
    pub condition: Condition,
    /// Since when.
    pub since: Timestamp,
    /// One line on what brought it here.
    pub because: String,
    /// The report about the attempt that brought it here, if one went wrong.
    pub oops: Option<OopsId>,
}

impl Wait {
    /// Why a person has to decide, if that is waited for. The history says it, in a line of its own
    /// under [`Reason::Parked`]: how the attempt ended does not tell it.
    pub fn parked_because(&self) -> Option<&str> {
        (self.condition == Condition::Parked).then_some(self.because.as_str())
    }

    /// The wait once what is waited for has said that it has started; `None` when it need not say
    /// so, or has.
    pub fn once_started(&self) -> Option<Self> {
        let Condition::Pending {
            once_started: Some(until),
            ..
        } = self.condition
        else {
            return None;
        };
        let condition = Condition::Pending {
            until,
            once_started: None,
        };
        Some(Self {
            condition,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_word() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::parse("unknown"), None);
    }

    #[test]
    fn the_list_of_what_people_may_end_is_whole() {
        let by_people = Reason::ALL.into_iter().filter(|it| it.is_ended_by_people());
        assert_eq!(by_people.collect::<Vec<_>>(), Reason::ENDED_BY_PEOPLE);
    }
}
