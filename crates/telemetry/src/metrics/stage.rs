//! The series of one stage, looked up once so that the hot path only adds.

use domain::event::{Ending, Event, Loss, SettledAs};
use domain::names::StageName;
use domain::outcome::OutcomeKind;
use domain::wait::Reason;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Registry};
use std::collections::BTreeMap;

/// Bounds of the duration histograms, in seconds: from a no-op to an hour.
const BUCKETS: [f64; 14] = [
    0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0,
];

/// The metric families that have a stage as a label.
pub(super) struct Families {
    accepted: IntCounterVec,
    started: IntCounterVec,
    blocked: IntCounterVec,
    attempts: IntCounterVec,
    settled: IntCounterVec,
    stale: IntCounterVec,
    oopses: IntCounterVec,
    restarts: IntCounterVec,
    streams_ended: IntCounterVec,
    process: HistogramVec,
    queue_wait: HistogramVec,
}

impl Families {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            super::counters(registry, (name, help), labels)
        };
        let histograms = |name: &str, help: &str| histograms(registry, (name, help));
        Ok(Self {
            accepted: counters(
                "goaround_tickets_accepted_total",
                "Tickets whose publisher was told that they are durable.",
                &["stage"],
            )?,
            started: counters(
                "goaround_tickets_received_total",
                "Deliveries whose attempt was started.",
                &["stage"],
            )?,
            blocked: counters(
                "goaround_attempts_blocked_total",
                "Attempts whose handler blocked its thread past its deadline.",
                &["stage"],
            )?,
            attempts: counters(
                "goaround_attempts_total",
                "Attempts that ended, by outcome.",
                &["stage", "outcome"],
            )?,
            settled: counters(
                "goaround_tickets_settled_total",
                "Deliveries settled; exactly one for each.",
                &["stage", "outcome"],
            )?,
            stale: counters(
                "goaround_settlements_stale_total",
                "Settlements that came too late and changed nothing.",
                &["stage"],
            )?,
            oopses: counters("goaround_oops_total", "Reports made.", &["stage"])?,
            restarts: counters(
                "goaround_supervisor_restarts_total",
                "Supervisors lost and started again.",
                &["stage", "reason"],
            )?,
            streams_ended: counters(
                "goaround_consumer_stream_ended_total",
                "Subscriptions that ended or could not be begun while the process lives.",
                &["stage", "reason"],
            )?,
            process: histograms(
                "goaround_ticket_process_duration_seconds",
                "How long handlers took.",
            )?,
            queue_wait: histograms(
                "goaround_ticket_queue_wait_seconds",
                "From acceptance to the first attempt.",
            )?,
        })
    }

    /// The series of one stage, all at zero.
    pub(super) fn of(&self, stage: &StageName) -> StageMetrics {
        let stage = stage.as_str();
        let by = |family: &IntCounterVec, label: &str| family.with_label_values(&[stage, label]);
        let waits = Reason::ALL.map(SettledAs::Waiting);
        let settled_as = [SettledAs::Forwarded, SettledAs::Finished]
            .into_iter()
            .chain(waits);
        StageMetrics {
            accepted: self.accepted.with_label_values(&[stage]),
            started: self.started.with_label_values(&[stage]),
            blocked: self.blocked.with_label_values(&[stage]),
            attempts: OutcomeKind::ALL
                .map(|kind| (kind, by(&self.attempts, kind.as_str())))
                .into_iter()
                .collect(),
            settled: settled_as
                .map(|to| (label(to), by(&self.settled, label(to))))
                .collect(),
            stale: self.stale.with_label_values(&[stage]),
            oopses: self.oopses.with_label_values(&[stage]),
            restarts: Loss::ALL
                .map(|why| (why.as_str(), by(&self.restarts, why.as_str())))
                .into(),
            streams_ended: Ending::ALL
                .map(|reason| (reason.as_str(), by(&self.streams_ended, reason.as_str())))
                .into(),
            process: self.process.with_label_values(&[stage]),
            queue_wait: self.queue_wait.with_label_values(&[stage]),
        }
    }
}

fn histograms(
    registry: &Registry,
    (name, help): (&str, &str),
) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::new(name, help).buckets(BUCKETS.to_vec());
    let family = HistogramVec::new(opts, &["stage"])?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

const fn label(settled: SettledAs) -> &'static str {
    match settled {
        SettledAs::Forwarded => "forwarded",
        SettledAs::Finished => "finished",
        SettledAs::Waiting(reason) => reason.as_str(),
    }
}

/// The series of one stage.
pub(super) struct StageMetrics {
    accepted: IntCounter,
    started: IntCounter,
    blocked: IntCounter,
    attempts: BTreeMap<OutcomeKind, IntCounter>,
    settled: BTreeMap<&'static str, IntCounter>,
    stale: IntCounter,
    oopses: IntCounter,
    restarts: BTreeMap<&'static str, IntCounter>,
    streams_ended: BTreeMap<&'static str, IntCounter>,
    process: Histogram,
    queue_wait: Histogram,
}

impl StageMetrics {
    pub(super) fn observe(&self, event: &Event) {
        match event {
            Event::TicketAccepted { .. } => self.accepted.inc(),
            Event::AttemptStarted { waited, .. } => {
                self.started.inc();
                if let Some(waited) = waited {
                    self.queue_wait.observe(waited.as_secs_f64());
                }
            }
            Event::AttemptBlocked { .. } => self.blocked.inc(),
            Event::AttemptEnded { outcome, took, .. } => {
                add(self.attempts.get(outcome));
                self.process.observe(took.as_secs_f64());
            }
            Event::TicketSettled { settled, .. } => add(self.settled.get(label(*settled))),
            Event::SettlementStale { .. } => self.stale.inc(),
            Event::OopsRecorded { .. } | Event::TicketJudged { oops: Some(_), .. } => {
                self.oopses.inc();
            }
            Event::SupervisorLost { why, .. } => add(self.restarts.get(why.as_str())),
            Event::SubscriptionEnded { reason, .. } => {
                add(self.streams_ended.get(reason.as_str()));
            }
            Event::TicketJudged { oops: None, .. }
            | Event::SupervisorStarted { .. }
            | Event::TicketsReleased { .. }
            | Event::OrderCarriedOut { .. }
            | Event::StageHeld { .. }
            | Event::StageUnheld { .. }
            | Event::StoreFailed { .. } => {}
        }
    }
}

fn add(counter: Option<&IntCounter>) {
    if let Some(counter) = counter {
        counter.inc();
    }
}
