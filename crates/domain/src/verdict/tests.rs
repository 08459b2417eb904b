use super::*;
use crate::flow::{Flows, Stage};
use crate::names::StageName;
use crate::outcome::Exit;
use crate::retry::Chance;
use crate::ticket::TicketId;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_micros(60_000_000);

/// The judgement about a ticket at which a process died that had nothing else in hand, with its own
/// deadline so long from now.
fn judged(left: Duration) -> Judgement {
    let stage = Stage::new(StageName::new("build").unwrap());
    let id = TicketId::from_bytes([7; 16]);
    let holder = Holder::new("worker/1").unwrap();
    let case = Case {
        ticket: Ticket {
            deadline: Some(NOW.plus(left)),
            ..Ticket::new(id, stage.name.clone(), Timestamp::EPOCH)
        },
        wait: Wait {
            condition: Condition::Suspect {
                holder: holder.clone(),
                started_at: Some(Timestamp::EPOCH),
            },
            since: NOW,
            because: "worker/1 had it and did not settle it".into(),
            oops: None,
        },
        scene: None,
        version: None,
        company: Company::default(),
    };
    let scene = Scene {
        holder,
        hostname: "host".into(),
        version: Version::new("1.2").unwrap(),
    };
    let decision = Decision {
        stage: &stage,
        flows: &Flows::default(),
        now: NOW,
        chance: Chance::new(0.5),
    };
    judge(&case, &scene, &decision).unwrap()
}

fn obituary() -> Obituary {
    Obituary {
        exit: Exit::Signal(9),
        began_at: Timestamp::EPOCH,
        died_at: NOW,
        memory_bytes_max: None,
        oom_kills: 0,
        last_words: String::new(),
    }
}

#[test]
fn why_a_ticket_is_parked_is_still_said_when_its_launcher_tells_of_the_death() {
    let told = judged(Duration::ZERO).told_by(&obituary());
    let wait = &told.verdict.wait;
    assert_eq!(wait.condition, Condition::Parked);
    let report = told.report.unwrap();
    assert!(
        report.failure.message.ends_with(": signal 9 (SIGKILL)"),
        "{report:?}"
    );
    let over = "; not tried again: that would be after its own deadline";
    assert_eq!(wait.because, format!("{}{over}", report.failure.message));
}

#[test]
fn a_death_that_its_launcher_tells_of_is_why_a_ticket_is_tried_again() {
    let told = judged(Duration::from_secs(60)).told_by(&obituary());
    let wait = &told.verdict.wait;
    assert_ne!(wait.condition, Condition::Parked);
    assert_eq!(wait.because, told.report.unwrap().failure.message);
}
