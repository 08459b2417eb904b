//! From the attempt that failed to the record of how it ended.

use crate::delivery::{Decision, Delivery, Lender, Receipt, Settlement, Start, Unreported};
use crate::flow::{Flows, Stage};
use crate::names::{Holder, Kind, StageName, Version};
use crate::oops::{OopsId, Report, Scene};
use crate::outcome::{Failure, Outcome};
use crate::ports::{OopsError, Reporter, StoreError};
use crate::retry::Chance;
use crate::ticket::{Lineage, Name, Payload, Ticket, TicketId};
use crate::time::Timestamp;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

/// Remembers what it was told, and is down at first.
struct Reports(Mutex<(bool, Vec<Report>)>);

#[async_trait::async_trait]
impl Reporter for Reports {
    async fn record(&self, report: Report) -> Result<OopsId, OopsError> {
        let mut reports = self.0.lock().unwrap();
        if !std::mem::replace(&mut reports.0, true) {
            return Err(OopsError(StoreError::Unavailable("it is down".into())));
        }
        let id = report.id;
        reports.1.push(report);
        Ok(id)
    }
}

struct Nobody;

impl Lender for Nobody {
    fn take_back(&self, _tag: u64) {}
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nothing here waits"),
    }
}

fn ended(outcome: Outcome, reports: &Reports) -> Settlement {
    let now = Timestamp::from_micros(0);
    let id = TicketId::from_bytes([9; 16]);
    let stage = Stage::new(StageName::new("build").unwrap());
    let ticket = Ticket {
        name: Name::first(id),
        kind: Kind::new("package").unwrap(),
        flow: None,
        stage: stage.name.clone(),
        key: None,
        payload: Payload::json("{}"),
        deadline: None,
        created_at: now,
        lineage: Lineage::root(id),
        trace: None,
    };
    let scene = Arc::new(Scene {
        holder: Holder::new("w/1").unwrap(),
        hostname: "w".into(),
        version: Version::new("1").unwrap(),
    });
    let delivery = Delivery::new(Arc::new(ticket), Receipt::new(1, Arc::new(Nobody)));
    let performed = delivery
        .started(Start { scene, at: now })
        .performed(outcome.into(), now);
    let reported = match ready(performed.report(reports)) {
        Ok(reported) => reported,
        // As whoever holds it does: until it is durable.
        Err(Unreported { delivery, .. }) => ready(delivery.report(reports)).unwrap(),
    };
    reported.decide(&Decision {
        stage: &stage,
        flows: &Flows::default(),
        now,
        chance: Chance::new(0.5),
    })
}

#[test]
fn how_an_attempt_ended_says_which_problem_it_was_and_so_does_its_report() {
    let reports = Reports(Mutex::new((false, Vec::new())));
    let failure = Failure::new("ValueError", "no such id: 7");
    let settlement = ended(Outcome::Failed(failure), &reports);
    let report = reports.0.lock().unwrap().1.pop().unwrap();
    let told = settlement.ended().unwrap();
    assert_eq!(told.oops, Some(report.id));
    assert_eq!(told.signature, Some(report.signature().id));
    let settlement = ended(Outcome::done(), &reports);
    assert_eq!(settlement.ended().unwrap().signature, None);
}

#[test]
fn a_report_that_was_cut_to_its_bounds_is_about_the_problem_that_its_attempt_ended_in() {
    let reports = Reports(Mutex::new((true, Vec::new())));
    let failure = Failure {
        log_tail: "é chatter 7\n".repeat(Report::TRACE_BYTES_MAX),
        trace: "   0: app::work\n".repeat(Report::TRACE_BYTES_MAX),
        ..Failure::new("Panic", "7 é ".repeat(Report::MESSAGE_BYTES_MAX))
    };
    let settlement = ended(Outcome::Crashed(failure), &reports);
    let report = reports.0.lock().unwrap().1.pop().unwrap();
    let told = settlement.ended().unwrap();
    assert_eq!(told.signature, Some(report.signature().id));
}
