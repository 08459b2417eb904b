//! Who is to blame when a process dies with several attempts in it. Nobody, until each of them has
//! run alone: whoever then takes its process along is the one, and the others were bystanders.
//!
//! An attempt of which nothing was started shows neither: its ticket goes on waiting for its turn.

use crate::outcome::{Failure, Outcome, OutcomeKind};
use crate::settlement::{Decision, after_failure};
use crate::ticket::{Name, Ticket};
use crate::wait::Condition;

/// In what company an attempt was when its process died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Company {
    /// How many other attempts that process had in hand.
    pub beside: u32,
    /// Whether this one was on trial: the only one that had been sent out to be tried alone.
    pub alone: bool,
}

impl Company {
    /// Whether the death is laid to this attempt.
    pub const fn is_guilty(self) -> bool {
        self.alone || self.beside == 0
    }

    /// What a report says of it; nothing when there was nobody else.
    pub fn in_words(self) -> String {
        match (self.is_guilty(), self.beside) {
            (true, 0) => String::new(),
            (true, _) => "; it was on trial, so it is the one".into(),
            (false, 1) => {
                "; 1 other attempt was in that process, so none is charged until each was tried \
                 alone"
                    .into()
            }
            (false, others) => format!(
                "; {others} other attempts were in that process, so none is charged until each \
                 was tried alone"
            ),
        }
    }
}

/// Why nothing of an attempt was started, though its handler is there: the failure of such an
/// attempt says nothing about its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbegun {
    /// The machine had no process for it.
    CannotSpawn,
    /// Its deadline passed before there was a place for it.
    NoPlaceInTime,
}

impl Unbegun {
    const ALL: [Self; 2] = [Self::CannotSpawn, Self::NoPlaceInTime];

    /// The class of its error.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CannotSpawn => "CannotSpawn",
            Self::NoPlaceInTime => "NoPlaceInTime",
        }
    }

    /// The failure of an attempt that never began for this.
    pub fn failure(self, message: impl Into<String>) -> Failure {
        Failure::new(self.as_str(), message)
    }

    fn is_told_by(outcome: &Outcome) -> bool {
        let (Outcome::Failed(failure) | Outcome::TimedOut(failure)) = outcome else {
            return false;
        };
        let mut all = Self::ALL.into_iter();
        all.any(|why| why.as_str() == failure.error_type)
    }
}

/// Whether a ticket is on trial no longer after an attempt that ended so, and after which it waits
/// for this, if for anything. One that waits for its turn again stays on trial, however it ended.
pub const fn ends_trial(outcome: OutcomeKind, waits_for: Option<&Condition>) -> bool {
    acquits(outcome) && !matches!(waits_for, Some(Condition::Trial { .. }))
}

/// Whether an attempt that ends so shows that its ticket does not take its process along, if it
/// ran. One that was broken off shows nothing.
const fn acquits(outcome: OutcomeKind) -> bool {
    match outcome {
        OutcomeKind::Crashed | OutcomeKind::Abandoned => false,
        OutcomeKind::Done
        | OutcomeKind::NotNow
        | OutcomeKind::Pending
        | OutcomeKind::Rejected
        | OutcomeKind::Failed
        | OutcomeKind::TimedOut
        | OutcomeKind::Unstartable => true,
    }
}

/// In what company it was, when it is to be tried alone after this: because a process died at it,
/// or because its trial has not been held yet. One on trial had its process for itself.
pub(crate) fn company(outcome: &Outcome, is_alone: bool) -> Option<Company> {
    let beside = match outcome {
        Outcome::ProcessDied { beside, .. } => *beside,
        Outcome::Crashed(_) if is_alone => 0,
        unbegun if is_alone && Unbegun::is_told_by(unbegun) => 0,
        _ => return None,
    };
    Some(Company {
        beside,
        alone: is_alone,
    })
}

/// What a ticket waits for after its process died at it, and under which name: its turn to be
/// tried alone, at once when nothing is charged. A verdict raises the generation in any case.
pub(crate) fn after_death(
    ticket: &Ticket,
    company: Company,
    decision: &Decision,
) -> (Name, Condition) {
    let name = ticket.name;
    if !company.is_guilty() {
        let until = decision.now;
        return (name.renewed(), Condition::Trial { until });
    }
    let condition = match after_failure(ticket, decision) {
        Condition::Backoff { until } => Condition::Trial { until },
        parked => parked,
    };
    (name.charged(), condition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Flows, Stage};
    use crate::names::StageName;
    use crate::retry::Chance;
    use crate::ticket::TicketId;
    use crate::time::Timestamp;
    use std::num::NonZeroU32;

    const NOW: Timestamp = Timestamp::from_micros(5_000_000);

    fn next(company: Company, attempts: Option<u32>) -> (Name, Condition) {
        let mut stage = Stage::new(StageName::new("build").unwrap());
        stage.retry.attempts = attempts.and_then(NonZeroU32::new);
        stage.retry.jitter = 0.0;
        let decision = Decision {
            stage: &stage,
            flows: &Flows::default(),
            now: NOW,
            chance: Chance::new(0.5),
        };
        let id = TicketId::from_bytes([7; 16]);
        let ticket = Ticket::new(id, stage.name.clone(), NOW);
        after_death(&ticket, company, &decision)
    }

    #[test]
    fn in_company_nobody_is_charged_and_each_is_tried_alone_at_once() {
        let company = Company {
            beside: 19,
            alone: false,
        };
        let (name, condition) = next(company, Some(1));
        assert_eq!((name.attempt.0, name.generation.0), (1, 2));
        assert_eq!(condition, Condition::Trial { until: NOW });
        assert!(company.in_words().contains("19 other attempts"));
    }

    #[test]
    fn who_was_by_itself_or_on_trial_is_the_one_and_is_tried_alone_again() {
        let by_itself = Company::default();
        let on_trial = Company {
            beside: 19,
            alone: true,
        };
        for company in [by_itself, on_trial] {
            let (name, condition) = next(company, None);
            assert_eq!((name.attempt.0, name.generation.0), (2, 1));
            let until = Timestamp::from_micros(6_000_000);
            assert_eq!(condition, Condition::Trial { until });
        }
    }

    #[test]
    fn after_the_last_attempt_a_person_decides() {
        let (name, condition) = next(Company::default(), Some(1));
        assert_eq!((name.attempt.0, condition), (2, Condition::Parked));
    }

    #[test]
    fn a_crash_is_a_death_only_on_trial() {
        let crash = Outcome::Crashed(Failure::new("Signal", "it died of signal 9"));
        assert_eq!(company(&crash, false), None);
        assert!(company(&crash, true).is_some_and(Company::is_guilty));
        assert_eq!(company(&Outcome::done(), true), None);
    }

    #[test]
    fn one_on_trial_of_which_nothing_was_started_waits_for_its_turn_again() {
        let spawn = Outcome::Failed(Unbegun::CannotSpawn.failure("no process is left"));
        let late = Outcome::TimedOut(Unbegun::NoPlaceInTime.failure("there was no place"));
        for unbegun in [spawn, late] {
            let still = company(&unbegun, true).unwrap();
            let until = Timestamp::from_micros(6_000_000);
            let (_, waits_for) = next(still, None);
            assert_eq!(waits_for, Condition::Trial { until });
            assert!(!ends_trial(unbegun.kind(), Some(&waits_for)));
            assert_eq!(still.in_words(), "", "no process died");
            assert_eq!(company(&unbegun, false), None, "it was never on trial");
        }
        let ran = Outcome::Failed(Failure::new("ExitStatus", "no"));
        assert_eq!(company(&ran, true), None);
        let backs_off = Condition::Backoff { until: NOW };
        assert!(ends_trial(ran.kind(), Some(&backs_off)));
    }
}
