//! What a role's end means to its launcher, and what comes then.

use domain::outcome::Exit;
use domain::time::show_duration;
use handlers::launcher::{Death, Launched};
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

/// The pause before the second start in a row; it doubles with each death that follows soon.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// A role that ran for so long is started again at once.
const RAN_WELL: Duration = Duration::from_secs(30);

/// Whether a role that died is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Restart {
    /// It is, at once or after a pause that grows up to ten seconds
    Always,
    /// Its launcher ends as it did, for a service manager that starts everything again
    Never,
}

/// How a role ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it was asked to.
    Stopped,
    /// Before it was at work, with a status of its own: the next one would do the same.
    CannotBegin,
    /// Nobody wanted that.
    Died,
}

/// What comes after a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It was to stop anyway.
    Asked,
    /// Somebody else starts it again.
    Left,
    /// The next start, after this pause.
    Again(Duration),
}

impl End {
    /// `was_up`: this role, or one before it under the same launcher, was at work.
    ///
    /// Once it could begin, what is in its way now may go away by itself: a broker that is down, a
    /// port that somebody holds. Then nobody need be there to start it once more.
    pub(super) const fn of(launched: &Launched, was_up: bool) -> Self {
        match launched.death {
            Death::Left(_) if launched.was_asked => Self::Stopped,
            Death::Left(status) if status != 0 && !was_up => Self::CannotBegin,
            Death::Left(_) | Death::Died(_) => Self::Died,
        }
    }
}

impl Then {
    /// `pause`: the one before the start that has ended now, after it `ran` for so long.
    pub(super) fn after(
        launched: &Launched,
        restart: Restart,
        pause: Duration,
        ran: Duration,
    ) -> Self {
        match restart {
            _ if launched.was_asked => Self::Asked,
            Restart::Never => Self::Left,
            Restart::Always => Self::Again(pause_after(pause, ran)),
        }
    }
}

impl fmt::Display for Then {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("it was asked to stop, so it is not started again"),
            Self::Left => f.write_str("it is not started again from here (--restart never)"),
            Self::Again(Duration::ZERO) => f.write_str("it is started again at once"),
            Self::Again(pause) => write!(f, "it is started again in {}", show_duration(*pause)),
        }
    }
}

/// How the launcher of one that ended so ends: like a shell, 128 and the number of the signal. An
/// end that nobody asked for is no success, or a service manager might leave it at that.
pub(super) fn code(launched: &Launched) -> ExitCode {
    ExitCode::from(status(launched))
}

fn status(launched: &Launched) -> u8 {
    let number = match exit(launched.death) {
        Exit::Status(0) if !launched.was_asked => 1,
        Exit::Status(status) => status,
        Exit::Signal(signal) => 128 + signal,
    };
    u8::try_from(number).unwrap_or(1)
}

pub(super) const fn exit(death: Death) -> Exit {
    match death {
        Death::Left(status) => Exit::Status(status),
        Death::Died(exit) => exit,
    }
}

/// The pause after one that ran for so long, and that came after `pause`.
pub(super) fn pause_after(pause: Duration, ran: Duration) -> Duration {
    match ran {
        ran if ran >= RAN_WELL => Duration::ZERO,
        _ if pause.is_zero() => PAUSE_FIRST,
        _ => (pause * 2).min(PAUSE_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KILLED: Death = Death::Died(Exit::Signal(9));
    const SOON: Duration = Duration::from_secs(1);

    fn ended(death: Death, was_asked: bool) -> Launched {
        Launched {
            death,
            has_begun: false,
            was_asked,
            memory_bytes_max: None,
            oom_kills: 0,
        }
    }

    #[test]
    fn an_end_that_nobody_asked_for_is_a_death_unless_it_never_began_and_says_why() {
        for (death, was_asked, was_up, end) in [
            (Death::Left(0), true, true, End::Stopped),
            (Death::Left(1), true, true, End::Stopped),
            (Death::Left(2), true, false, End::Stopped),
            (Death::Left(0), false, true, End::Died),
            (Death::Left(1), false, true, End::Died),
            (Death::Left(0), false, false, End::Died),
            (Death::Left(1), false, false, End::CannotBegin),
            (Death::Left(127), false, false, End::CannotBegin),
            (KILLED, false, false, End::Died),
            (KILLED, true, true, End::Died),
        ] {
            let case = (death, was_asked, was_up);
            assert_eq!(End::of(&ended(death, was_asked), was_up), end, "{case:?}");
        }
    }

    #[test]
    fn only_an_end_that_was_asked_for_is_a_success() {
        for (death, was_asked, code) in [
            (Death::Left(0), true, 0),
            (Death::Left(0), false, 1),
            (Death::Left(2), false, 2),
            (KILLED, false, 137),
            (KILLED, true, 137),
            (Death::Left(-1), false, 1),
        ] {
            assert_eq!(status(&ended(death, was_asked)), code, "{death:?}");
        }
    }

    #[test]
    fn who_may_not_restart_or_was_to_stop_does_not() {
        let then = |was_asked, restart| {
            Then::after(&ended(KILLED, was_asked), restart, Duration::ZERO, SOON)
        };
        assert_eq!(then(true, Restart::Always), Then::Asked);
        assert_eq!(then(true, Restart::Never), Then::Asked);
        assert_eq!(then(false, Restart::Never), Then::Left);
        assert_eq!(then(false, Restart::Always), Then::Again(PAUSE_FIRST));
    }

    #[test]
    fn a_role_that_dies_again_and_again_is_started_less_and_less_often() {
        let mut pause = Duration::ZERO;
        let mut all = Vec::new();
        for _ in 0..9 {
            pause = pause_after(pause, SOON);
            all.push(pause.as_millis());
        }
        assert_eq!(
            all,
            [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]
        );
        assert_eq!(pause_after(pause, RAN_WELL), Duration::ZERO);
    }
}
