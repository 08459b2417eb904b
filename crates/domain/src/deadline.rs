//! By when an attempt must be done: within the deadline of its stage, and not after its ticket's
//! own, past which the work is worth nothing any more.
//!
//! A ticket is never run after its own deadline, and never dropped for it: it is parked, and a
//! person decides. It waits for no attempt that could only come too late, so it does not go around.

use crate::flow::Stage;
use crate::outcome::{Failure, Outcome};
use crate::ticket::Ticket;
use crate::time::{BadTime, DAY, Timestamp, parse_duration, show_duration, start_of_day};
use std::time::Duration;

/// What ends an attempt that is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// Its stage gives it no more than this.
    OfStage(Duration),
    /// So much is left until its ticket's own deadline, which comes first.
    OfTicket(Duration),
}

impl Deadline {
    /// That of an attempt at this ticket that begins then.
    pub fn of(ticket: &Ticket, stage: &Stage, begins: Timestamp) -> Self {
        let left = ticket.deadline.map(|at| at.since(begins));
        match left {
            Some(left) if left < stage.deadline => Self::OfTicket(left),
            _ => Self::OfStage(stage.deadline),
        }
    }

    /// How long the attempt may take.
    pub const fn length(self) -> Duration {
        match self {
            Self::OfStage(length) | Self::OfTicket(length) => length,
        }
    }

    /// The end of "the handler was not done …".
    pub fn in_words(self) -> String {
        match self {
            Self::OfStage(length) => format!("within {}", show_duration(length)),
            Self::OfTicket(_) => "by the ticket's own deadline".into(),
        }
    }
}

/// Whether nothing that begins then is of any use to this ticket.
pub fn has_passed(ticket: &Ticket, begins: Timestamp) -> bool {
    ticket.deadline.is_some_and(|at| at <= begins)
}

/// How an attempt ends that is not made, since its ticket's own deadline has passed.
pub fn expired() -> Outcome {
    Outcome::Expired(Failure::new(
        "TicketExpired",
        "its own deadline had passed before its handler could begin, so it was not run; drop it, \
         or submit it again with a later deadline",
    ))
}

/// A ticket's own deadline as people write it: a length of time from `now` on (`30m`, `2h`), a
/// date, which is the end of that day in UTC, or a time (`2026-11-01T14:03:22Z`).
///
/// # Errors
/// [`BadTime`] when it is none of these.
pub fn parse_deadline(text: &str, now: Timestamp) -> Result<Timestamp, BadTime> {
    if let Ok(length) = parse_duration(text) {
        return Ok(now.plus(length));
    }
    // By a day means that the day still counts; its first moment is past as soon as it has begun.
    if let Some(day) = start_of_day(text.trim()) {
        return Ok(day.plus(DAY));
    }
    text.parse().map_err(|bad: BadTime| BadTime {
        expected: "a time such as 30m, 2h, 2026-11-01 or 2026-11-01T14:03:22Z",
        ..bad
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::StageName;
    use crate::ticket::TicketId;

    const BEGINS: Timestamp = Timestamp::from_micros(5_000_000);

    fn ticket(deadline: Option<u64>) -> Ticket {
        let stage = StageName::new("build").unwrap();
        let id = TicketId::from_bytes([7; 16]);
        Ticket {
            deadline: deadline.map(|second| Timestamp::EPOCH.plus(Duration::from_secs(second))),
            ..Ticket::new(id, stage, Timestamp::EPOCH)
        }
    }

    #[test]
    fn an_attempt_ends_at_the_deadline_that_comes_first() {
        let mut stage = Stage::new(StageName::new("build").unwrap());
        stage.deadline = Duration::from_secs(60);
        let minute = Deadline::OfStage(Duration::from_secs(60));
        for (own, expected) in [
            (None, minute),
            (Some(65), minute),
            (Some(1_000), minute),
            (Some(64), Deadline::OfTicket(Duration::from_secs(59))),
            (Some(5), Deadline::OfTicket(Duration::ZERO)),
            (Some(1), Deadline::OfTicket(Duration::ZERO)),
        ] {
            assert_eq!(
                Deadline::of(&ticket(own), &stage, BEGINS),
                expected,
                "{own:?}"
            );
        }
    }

    #[test]
    fn a_deadline_is_a_length_from_now_a_day_or_a_time() {
        let now: Timestamp = "2026-11-01T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("30m", "2026-11-01T12:30:00Z"),
            (" 2h 30m ", "2026-11-01T14:30:00Z"),
            ("7d", "2026-11-08T12:00:00Z"),
            ("2026-11-01", "2026-11-02T00:00:00Z"),
            ("2026-11-01T14:03:22Z", "2026-11-01T14:03:22Z"),
            ("2026-11-01T14:03:22.5+02:00", "2026-11-01T12:03:22.5Z"),
        ] {
            let expected = expected.parse().unwrap();
            assert_eq!(parse_deadline(text, now), Ok(expected), "{text}");
        }
        for text in ["", "-1h", "30", "soon", "2026-13-01", "2026-11-01T14:03:22"] {
            let said = parse_deadline(text, now).unwrap_err().to_string();
            let expected =
                "expected a time such as 30m, 2h, 2026-11-01 or 2026-11-01T14:03:22Z, got";
            assert!(said.starts_with(expected), "{text}: {said}");
        }
    }

    #[test]
    fn a_ticket_is_not_run_from_its_own_deadline_on() {
        for (own, expected) in [
            (None, false),
            (Some(6), false),
            (Some(5), true),
            (Some(1), true),
        ] {
            assert_eq!(has_passed(&ticket(own), BEGINS), expected, "{own:?}");
        }
    }
}
