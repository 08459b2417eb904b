use super::*;
use crate::names::Holder;
use crate::signature::SignatureId;
use crate::ticket::{Attempt, TicketId};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_micros(60_000_000);
const PAST: &str = "1970-01-01T00:00:50.000Z";

/// So many seconds after the start of time; it is the 60th now.
fn second(number: u64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs(number))
}

fn build() -> Stage {
    let mut stage = Stage::new(StageName::new("build").unwrap());
    stage.deadline = Duration::from_secs(30);
    stage.retry.first = Duration::from_secs(10);
    stage.retry.jitter = 0.0;
    stage
}

/// What is said of a ticket there, whose own deadline is at this second.
fn told_at(stage: Stage, place: Place, own: Option<u64>) -> Explanation {
    let id = TicketId::from_bytes([7; 16]);
    let mut ticket = Ticket::new(id, stage.name.clone(), Timestamp::EPOCH);
    ticket.deadline = own.map(second);
    let entry = Entry {
        ticket,
        place,
        version: None,
        oopses: Vec::new(),
    };
    let flows = Flows::new(vec![stage], BTreeMap::new()).unwrap();
    explain(&entry, &[], &flows, &Snapshot::default(), NOW)
}

fn told(place: Place, own: Option<u64>) -> Explanation {
    told_at(build(), place, own)
}

fn waits(condition: Condition) -> Place {
    Place::Waiting(Wait {
        condition,
        since: Timestamp::EPOCH,
        because: "a test".into(),
        oops: None,
    })
}

fn pending(until: u64) -> Place {
    waits(Condition::Pending {
        until: second(until),
        once_started: None,
    })
}

/// At second 60, waits that end by time at second 70.
fn timed() -> [Place; 3] {
    let until = second(70);
    [
        waits(Condition::Backoff { until }),
        waits(Condition::NotNow { until }),
        waits(Condition::Trial { until }),
    ]
}

#[test]
fn a_parked_ticket_that_is_too_late_is_not_said_to_be_retried() {
    let late = told(waits(Condition::Parked), Some(50));
    assert_eq!(
        late.waits_for,
        "the decision of a person: cancel or drop (a test)"
    );
    assert_eq!(
        late.then,
        format!("what the person decided; its own deadline has passed ({PAST})")
    );
    let submit = "; to have it done after all, submit it again with a later deadline";
    assert_eq!(
        late.who_may_change,
        format!("an operator by ticket cancel or drop{submit}")
    );
    for own in [None, Some(61)] {
        let in_time = told(waits(Condition::Parked), own);
        assert!(in_time.waits_for.contains(": retry, cancel or drop"));
        assert_eq!(in_time.then, "what the person decided");
        assert_eq!(
            in_time.who_may_change,
            "an operator by ticket retry, cancel or drop"
        );
    }
}

#[test]
fn a_wait_that_ends_after_the_tickets_own_deadline_is_not_said_to_end_in_a_run() {
    for place in timed() {
        let late = told(place.clone(), Some(50));
        assert_eq!(
            late.then,
            format!("it is reported and parked, not run: its own deadline has passed ({PAST})")
        );
        assert!(!late.who_may_change.contains("retry"), "{late:?}");
        let soon = told(place.clone(), Some(65));
        assert!(
            soon.then.starts_with(
                "it is reported and parked, not run: its own deadline will have passed by then"
            ),
            "{soon:?}"
        );
        // Now it would still be run.
        assert!(soon.who_may_change.contains("ticket retry"), "{soon:?}");
        for own in [None, Some(71)] {
            let in_time = told(place.clone(), own);
            assert!(!in_time.then.contains("parked"), "{in_time:?}");
        }
    }
}

#[test]
fn what_would_be_released_by_itself_is_not_run_either_when_it_is_too_late() {
    let signature: SignatureId = "v1-0000000000000007".parse().unwrap();
    for condition in [
        Condition::Held { version: None },
        Condition::Repair { signature },
        Condition::Unclaimed,
        Condition::Unique {
            other: TicketId::from_bytes([8; 16]),
        },
        Condition::Suspect {
            holder: Holder::unknown(),
            started_at: None,
        },
    ] {
        let late = told(waits(condition.clone()), Some(50));
        assert!(late.then.contains("parked, not run"), "{late:?}");
        assert!(!late.who_may_change.contains("retry"), "{late:?}");
        let in_time = told(waits(condition.clone()), Some(61));
        assert_eq!(in_time.then, condition.then());
    }
}

#[test]
fn a_call_back_that_does_not_come_says_whether_there_is_time_for_a_retry() {
    for (own, next) in [
        (None, "timed out and tried again"),
        (Some(81), "timed out and tried again"),
        (Some(80), "timed out and parked, since a retry would come"),
        (Some(50), "timed out and parked, since a retry would come"),
    ] {
        let told = told(pending(70), own);
        assert!(told.then.contains(next), "{own:?}: {told:?}");
        assert!(told.then.starts_with("the call-back decides"), "{told:?}");
    }
}

#[test]
fn a_ticket_in_the_queue_past_its_own_deadline_is_said_not_to_be_run() {
    let runnable = || Place::Runnable { since: NOW };
    let late = told(runnable(), Some(50));
    let not_run = "it is reported and parked, not run: its own deadline has passed";
    assert_eq!(
        late.then,
        format!("a worker takes it; then {not_run} ({PAST})")
    );
    assert!(late.who_may_change.contains("submit it again"), "{late:?}");
    assert_eq!(told(runnable(), Some(61)).then, "a worker takes it");
}

#[test]
fn a_running_ticket_is_said_to_be_tried_again_only_if_there_is_time_for_it() {
    let running = || Place::Running {
        since: NOW,
        holder: Holder::unknown(),
    };
    // Its stage gives it up to second 90, and the back-off is ten seconds.
    for (own, by, next) in [
        (None, "by its deadline", "the ticket is tried again"),
        (Some(101), "by its deadline", "the ticket is tried again"),
        (Some(100), "by its deadline", "the ticket is parked, since"),
        (
            Some(80),
            "ticket's own deadline",
            "the ticket is parked, since",
        ),
    ] {
        let told = told(running(), own);
        assert!(told.then.contains(by), "{own:?}: {told:?}");
        assert!(told.then.contains(next), "{own:?}: {told:?}");
    }
    let mut chancy = build();
    chancy.retry.jitter = 0.5;
    let told = told_at(chancy, running(), Some(100));
    let either = "tried again, or parked if that would be after its own deadline";
    assert!(told.then.contains(either), "{told:?}");
    let mut once = build();
    once.retry.attempts = NonZeroU32::new(Attempt(1).0);
    assert!(told_at(once, running(), None).then.ends_with("is parked"));
}
