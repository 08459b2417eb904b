//! The numbers that the files keep for closed sets of words. A number is never used again for
//! another word; the partial indexes in `schema` name some of them.

use domain::books::State;
use domain::outcome::OutcomeKind;
use domain::wait::Reason;

pub(crate) const RUNNABLE: i64 = 0;
pub(crate) const WAITING: i64 = 2;
pub(crate) const DONE: i64 = 3;
pub(crate) const DROPPED: i64 = 4;

/// The code of a state. Running is not written down: it is a lease on a runnable ticket.
pub(crate) const fn of_state(state: State) -> i64 {
    match state {
        State::Runnable | State::Running => RUNNABLE,
        State::Waiting => WAITING,
        State::Done => DONE,
        State::Dropped => DROPPED,
    }
}

pub(crate) const fn state(code: i64) -> Option<State> {
    Some(match code {
        RUNNABLE => State::Runnable,
        WAITING => State::Waiting,
        DONE => State::Done,
        DROPPED => State::Dropped,
        _ => return None,
    })
}

pub(crate) const fn of_reason(reason: Reason) -> i64 {
    match reason {
        Reason::Backoff => 1,
        Reason::NotNow => 2,
        Reason::Pending => 3,
        Reason::Parked => 4,
        Reason::Held => 5,
        Reason::Unclaimed => 6,
        Reason::Suspect => 7,
        Reason::Unique => 8,
        Reason::Trial => 9,
    }
}

pub(crate) fn reason(code: i64) -> Option<Reason> {
    Reason::ALL
        .into_iter()
        .find(|reason| of_reason(*reason) == code)
}

pub(crate) const fn of_outcome(outcome: OutcomeKind) -> i64 {
    match outcome {
        OutcomeKind::Done => 1,
        OutcomeKind::NotNow => 2,
        OutcomeKind::Pending => 3,
        OutcomeKind::Rejected => 4,
        OutcomeKind::Failed => 5,
        OutcomeKind::Crashed => 6,
        OutcomeKind::TimedOut => 7,
        OutcomeKind::Unstartable => 8,
        OutcomeKind::Abandoned => 9,
    }
}

pub(crate) fn outcome(code: i64) -> Option<OutcomeKind> {
    OutcomeKind::ALL
        .into_iter()
        .find(|outcome| of_outcome(*outcome) == code)
}

/// What the counters count; the stage 0 stands for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Count {
    Accepted,
    Done,
    Dropped,
    Forgotten,
    AttemptsDone,
    AttemptsFailed,
}

impl Count {
    /// What of a stage counts the end of an attempt, whoever brings it: its worker or a call-back.
    pub(crate) const fn of_end(outcome: OutcomeKind) -> Option<Self> {
        match outcome {
            OutcomeKind::Done => Some(Self::AttemptsDone),
            wrong if wrong.went_wrong() => Some(Self::AttemptsFailed),
            _ => None,
        }
    }

    pub(crate) const fn code(self) -> i64 {
        match self {
            Self::Accepted => 1,
            Self::Done => 2,
            Self::Dropped => 3,
            Self::Forgotten => 4,
            Self::AttemptsDone => 5,
            Self::AttemptsFailed => 6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_from_its_number() {
        for word in Reason::ALL {
            assert_eq!(reason(of_reason(word)), Some(word));
        }
        for word in OutcomeKind::ALL {
            assert_eq!(outcome(of_outcome(word)), Some(word));
        }
        for word in [State::Runnable, State::Waiting, State::Done, State::Dropped] {
            assert_eq!(state(of_state(word)), Some(word));
        }
        assert_eq!((reason(0), outcome(0), state(1)), (None, None, None));
    }
}
