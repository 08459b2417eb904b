//! A ticket's part in the deaths of processes, as far as events tell of it.

use super::hand::Breach;
use crate::outcome::OutcomeKind;
use crate::ticket::Name;

/// What is known of it. Where a death swallowed words, it may be on trial: then nothing is said
/// against charging it.
#[derive(Debug, Default)]
pub(super) struct Part {
    may_be_on_trial: bool,
    /// Its process died with others at work there, and it was not the one that was tried.
    is_bystander: bool,
}

impl Part {
    /// The process died; `in_company` if this attempt was at work there, and others too.
    pub(super) const fn died(&mut self, in_company: bool) {
        self.is_bystander = in_company && !self.may_be_on_trial;
        self.may_be_on_trial = true;
    }

    /// The books put it on trial, or may have.
    pub(super) const fn suspected(&mut self) {
        self.may_be_on_trial = true;
    }

    /// Only an orderly end shows that it takes no process along.
    pub(super) const fn ended(&mut self, outcome: OutcomeKind) {
        if !matches!(outcome, OutcomeKind::Crashed | OutcomeKind::Abandoned) {
            self.may_be_on_trial = false;
        }
    }

    /// It goes on under another name.
    pub(super) const fn met(&mut self) {
        self.is_bystander = false;
    }

    pub(super) const fn may_start(&self, was: &Name, name: &Name) -> Result<(), Breach> {
        if self.is_bystander && is_charged(was, name) {
            return Err(Breach::new(
                9,
                "is charged, but its process died with others in it before it was tried alone",
            ));
        }
        Ok(())
    }
}

/// Whether an attempt was spent between the two.
pub(super) const fn is_charged(was: &Name, name: &Name) -> bool {
    was.hop.0 == name.hop.0 && name.attempt.0 > was.attempt.0
}

#[cfg(test)]
mod tests {
    use crate::event::{Event, SettledAs};
    use crate::invariants::{Checker, Scope};
    use crate::names::StageName;
    use crate::oops::OopsId;
    use crate::outcome::OutcomeKind;
    use crate::ports::Observer;
    use crate::ticket::{Name, TicketId};
    use crate::time::Timestamp;
    use crate::wait::Reason;
    use std::time::Duration;

    fn first(n: u8) -> Name {
        Name::first(TicketId::from_bytes([n; 16]))
    }

    fn stage() -> StageName {
        StageName::new("build").unwrap()
    }

    fn started(name: Name) -> Event {
        Event::AttemptStarted {
            name,
            stage: stage(),
            waited: None,
        }
    }

    fn judged(name: Name) -> Event {
        Event::TicketJudged {
            name,
            stage: stage(),
            oops: Some(OopsId::of(&name)),
        }
    }

    fn failed(name: Name) -> [Event; 3] {
        [
            Event::AttemptEnded {
                name,
                stage: stage(),
                outcome: OutcomeKind::Failed,
                took: Duration::ZERO,
            },
            Event::OopsRecorded {
                oops: OopsId::of(&name),
                name,
                stage: stage(),
            },
            Event::TicketSettled {
                name,
                stage: stage(),
                settled: SettledAs::Waiting(Reason::Backoff),
            },
        ]
    }

    /// A checker of a process that dies with these at work; the next one has judged them.
    fn died(checker: &Checker, names: &[Name]) {
        tell(checker, names.iter().copied().map(started));
        checker.process_died();
        tell(checker, names.iter().copied().map(judged));
    }

    fn tell(checker: &Checker, events: impl IntoIterator<Item = Event>) {
        for event in events {
            checker.observe(Timestamp::EPOCH, &event);
        }
    }

    fn broken(checker: &Checker) -> Vec<u8> {
        checker.violations().iter().map(|it| it.invariant).collect()
    }

    #[test]
    fn nine_a_bystander_is_not_charged() {
        let checker = Checker::new(Scope::Everything);
        died(&checker, &[first(1), first(2)]);
        tell(&checker, [started(first(1).renewed())]);
        assert_eq!(broken(&checker), []);
        tell(&checker, [started(first(2).renewed().charged())]);
        assert_eq!(broken(&checker), [9]);
    }

    #[test]
    fn nine_whoever_was_by_itself_or_is_tried_may_be_charged() {
        let checker = Checker::new(Scope::Everything);
        died(&checker, &[first(1)]);
        let again = first(1).renewed().charged();
        died(&checker, &[again, first(2)]);
        tell(&checker, [started(again.renewed().charged())]);
        assert_eq!(broken(&checker), []);
    }

    #[test]
    fn nine_after_an_orderly_end_it_is_like_any_other() {
        let checker = Checker::new(Scope::Everything);
        died(&checker, &[first(1)]);
        let again = first(1).renewed().charged();
        tell(&checker, [started(again)]);
        tell(&checker, failed(again));
        let third = again.charged();
        died(&checker, &[third, first(2)]);
        tell(&checker, [started(third.renewed().charged())]);
        assert_eq!(broken(&checker), [9]);
    }

    #[test]
    fn three_nobody_is_charged_without_an_oops() {
        let not_now = Event::TicketSettled {
            name: first(1),
            stage: stage(),
            settled: SettledAs::Waiting(Reason::NotNow),
        };
        for (scope, breaks) in [(Scope::Everything, vec![3]), (Scope::InHand, vec![])] {
            let checker = Checker::new(scope);
            let [ended, ..] = failed(first(1));
            let ended = match ended {
                Event::AttemptEnded {
                    name, stage, took, ..
                } => Event::AttemptEnded {
                    name,
                    stage,
                    outcome: OutcomeKind::NotNow,
                    took,
                },
                other => other,
            };
            let next = first(1).renewed().charged();
            tell(
                &checker,
                [started(first(1)), ended, not_now.clone(), started(next)],
            );
            assert_eq!(broken(&checker), breaks);
        }
    }
}
