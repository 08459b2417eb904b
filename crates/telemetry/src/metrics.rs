//! Metrics for Prometheus. Labels come from closed enums and from the configuration only.

mod broker;
mod stage;

pub use broker::{BrokerCounts, BrokerSource, LinkCounts};

use broker::Broker;
use domain::books::{Balance, StageCounts};
use domain::event::Event;
use domain::names::StageName;
use domain::ports::Observer;
use domain::time::Timestamp;
use domain::wait::Reason;
use prometheus::{
    Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use stage::{Families, StageMetrics};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What could not be made durable, as a label; see [`Event::StoreFailed`].
const OPERATIONS: [&str; 15] = [
    "start",
    "settle",
    "report",
    "release",
    "hold",
    "unhold",
    "follow",
    "retain",
    "submit",
    "lead",
    "spread",
    "unclaimed",
    "attention",
    "collect",
    "watch",
];

/// How many numbered invariants there are; see the checker.
const INVARIANTS: u8 = 10;

/// Counts what happens. Every series is there from the start, at zero: a counter that was never
/// zero has no increase.
pub struct Metrics {
    registry: Registry,
    stages: BTreeMap<StageName, StageMetrics>,
    released: IntCounter,
    store_failures: IntCounterVec,
    violations: IntCounterVec,
    tickets: IntGaugeVec,
    books_balanced: IntGauge,
    gauges: Gauges,
    /// None as long as there is nothing but the embedded broker.
    broker: Mutex<Option<Broker>>,
}

struct Gauges {
    ready: IntGaugeVec,
    running: IntGaugeVec,
    waiting: IntGaugeVec,
    held: IntGaugeVec,
    oldest: prometheus::GaugeVec,
}

impl Metrics {
    /// Metrics for these stages. `version` is the program's.
    ///
    /// # Errors
    /// When a metric is defined twice, which is a bug.
    pub fn new(stages: &[StageName], version: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let families = Families::register(&registry)?;
        let metrics = Self {
            stages: stages
                .iter()
                .map(|name| (name.clone(), families.of(name)))
                .collect(),
            released: counter(
                &registry,
                "goaround_tickets_released_total",
                "Waiting tickets that became runnable again.",
            )?,
            store_failures: counters(
                &registry,
                (
                    "goaround_store_failures_total",
                    "Durable operations that failed and are tried again.",
                ),
                &["operation"],
            )?,
            violations: counters(
                &registry,
                (
                    "goaround_invariant_violations_total",
                    "Broken invariants; any increase is a bug.",
                ),
                &["invariant"],
            )?,
            tickets: gauges(
                &registry,
                (
                    "goaround_tickets",
                    "Tickets by state; waiting ones by reason.",
                ),
                &["state"],
            )?,
            books_balanced: gauge(
                &registry,
                "goaround_books_balanced",
                "1 when every accepted ticket is in exactly one place.",
            )?,
            gauges: Gauges::register(&registry)?,
            broker: Mutex::default(),
            registry,
        };
        metrics.register_process(version)?;
        metrics.start_at_zero();
        Ok(metrics)
    }

    fn register_process(&self, version: &str) -> Result<(), prometheus::Error> {
        let opts = Opts::new("goaround_build_info", "1; the version is in the label.");
        let info_opts = opts.const_label("version", version);
        let build = IntGauge::with_opts(info_opts)?;
        build.set(1);
        self.registry.register(Box::new(build))?;
        let process = prometheus::process_collector::ProcessCollector::for_self();
        self.registry.register(Box::new(process))
    }

    fn start_at_zero(&self) {
        for operation in OPERATIONS {
            self.store_failures.with_label_values(&[operation]);
        }
        for invariant in 1..=INVARIANTS {
            self.violations
                .with_label_values(&[invariant.to_string().as_str()]);
        }
        for reason in Reason::ALL {
            self.tickets.with_label_values(&[reason.as_str()]);
        }
    }

    /// A broken invariant was seen.
    pub fn count_violation(&self, invariant: u8) {
        self.violations
            .with_label_values(&[invariant.to_string().as_str()])
            .inc();
    }

    /// Takes over the sums of the books; called when somebody scrapes.
    pub fn set_books(&self, balance: &Balance, stages: &[StageCounts], now: Timestamp) {
        let set = |state: &str, count: u64| {
            self.tickets.with_label_values(&[state]).set(signed(count));
        };
        set("runnable", balance.runnable);
        set("running", balance.running);
        set("done", balance.done);
        set("dropped", balance.dropped);
        for reason in Reason::ALL {
            set(
                reason.as_str(),
                balance.waiting.get(&reason).copied().unwrap_or(0),
            );
        }
        self.books_balanced.set(i64::from(balance.is_balanced()));
        for counts in stages
            .iter()
            .filter(|counts| self.stages.contains_key(&counts.stage))
        {
            self.gauges.set(counts, now);
        }
    }

    /// Shows what this side of the broker counts, from now on; what several of them count is added
    /// up.
    ///
    /// # Errors
    /// When a metric is defined twice, which is a bug.
    pub fn add_broker(&self, read: BrokerSource) -> Result<(), prometheus::Error> {
        let mut broker = self.broker();
        let broker = match &mut *broker {
            Some(broker) => broker,
            none => none.insert(Broker::register(&self.registry)?),
        };
        broker.add(read);
        Ok(())
    }

    /// The page that Prometheus reads.
    ///
    /// # Errors
    /// When the text cannot be made, which is a bug.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        if let Some(broker) = &mut *self.broker() {
            broker.take_over();
        }
        let mut page = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut page)?;
        Ok(String::from_utf8_lossy(&page).into_owned())
    }

    /// Each step under the lock leaves whole values behind.
    fn broker(&self) -> MutexGuard<'_, Option<Broker>> {
        self.broker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, stage: &StageName) -> Option<&StageMetrics> {
        // A stage that is not configured has no series of its own: labels come from configuration.
        self.stages.get(stage)
    }
}

impl Observer for Metrics {
    fn observe(&self, _: Timestamp, event: &Event) {
        match event {
            Event::TicketsReleased { count } => self.released.inc_by(*count),
            Event::StoreFailed { what, .. } => {
                self.store_failures.with_label_values(&[what]).inc();
            }
            Event::StageHeld { stage, .. } => {
                self.gauges.held.with_label_values(&[stage.as_str()]).set(1)
            }
            Event::StageUnheld { stage, .. } => {
                self.gauges.held.with_label_values(&[stage.as_str()]).set(0);
            }
            Event::OrderCarriedOut { .. } => {}
            Event::TicketAccepted { stage, .. }
            | Event::AttemptStarted { stage, .. }
            | Event::AttemptBlocked { stage, .. }
            | Event::AttemptEnded { stage, .. }
            | Event::OopsRecorded { stage, .. }
            | Event::TicketSettled { stage, .. }
            | Event::SettlementStale { stage, .. }
            | Event::TicketJudged { stage, .. }
            | Event::SupervisorStarted { stage, .. }
            | Event::SupervisorLost { stage, .. }
            | Event::SubscriptionEnded { stage, .. } => {
                if let Some(metrics) = self.of(stage) {
                    metrics.observe(event);
                }
            }
        }
    }
}

impl Gauges {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let oldest_opts = Opts::new(
            "goaround_stage_oldest_ready_age_seconds",
            "How long the oldest ready ticket has been ready.",
        );
        let oldest = prometheus::GaugeVec::new(oldest_opts, &["stage"])?;
        registry.register(Box::new(oldest.clone()))?;
        Ok(Self {
            ready: gauges(
                registry,
                ("goaround_stage_ready", "Tickets in the stage's queue."),
                &["stage"],
            )?,
            running: gauges(
                registry,
                (
                    "goaround_stage_running",
                    "Tickets with the stage's workers.",
                ),
                &["stage"],
            )?,
            waiting: gauges(
                registry,
                (
                    "goaround_stage_waiting",
                    "Tickets of the stage that wait, by reason.",
                ),
                &["stage", "reason"],
            )?,
            held: gauges(
                registry,
                (
                    "goaround_stage_held",
                    "1 while the stage takes no deliveries.",
                ),
                &["stage"],
            )?,
            oldest,
        })
    }

    fn set(&self, counts: &StageCounts, now: Timestamp) {
        let stage = counts.stage.as_str();
        self.ready
            .with_label_values(&[stage])
            .set(signed(counts.ready));
        self.running
            .with_label_values(&[stage])
            .set(signed(counts.running));
        for reason in Reason::ALL {
            let count = counts.waiting.get(&reason).copied().unwrap_or(0);
            self.waiting
                .with_label_values(&[stage, reason.as_str()])
                .set(signed(count));
        }
        let age = counts
            .oldest_ready
            .map_or(0.0, |since| now.since(since).as_secs_f64());
        self.oldest.with_label_values(&[stage]).set(age);
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn counters(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn gauges(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::event::Ending;
    use domain::outcome::OutcomeKind;
    use domain::ticket::{Name, TicketId};
    use std::time::Duration;

    fn metrics() -> Metrics {
        Metrics::new(&["build".parse().unwrap()], "0.0.0").unwrap()
    }

    #[test]
    fn every_series_is_there_at_zero_before_anything_happens() {
        let page = metrics().render().unwrap();
        for line in [
            r#"goaround_tickets_settled_total{outcome="finished",stage="build"} 0"#,
            r#"goaround_attempts_total{outcome="crashed",stage="build"} 0"#,
            r#"goaround_supervisor_restarts_total{reason="frozen",stage="build"} 0"#,
            r#"goaround_consumer_stream_ended_total{reason="cancelled",stage="build"} 0"#,
            r#"goaround_consumer_stream_ended_total{reason="unknown",stage="build"} 0"#,
            r#"goaround_store_failures_total{operation="settle"} 0"#,
            r#"goaround_invariant_violations_total{invariant="1"} 0"#,
            r#"goaround_build_info{version="0.0.0"} 1"#,
        ] {
            assert!(page.contains(line), "{line} is missing from\n{page}");
        }
    }

    #[test]
    fn an_attempt_is_counted_once_under_its_outcome() {
        let metrics = metrics();
        let event = Event::AttemptEnded {
            name: Name::first(TicketId::from_bytes([1; 16])),
            stage: "build".parse().unwrap(),
            outcome: OutcomeKind::Crashed,
            took: Duration::from_millis(20),
        };
        metrics.observe(Timestamp::EPOCH, &event);
        let page = metrics.render().unwrap();
        assert!(page.contains(r#"goaround_attempts_total{outcome="crashed",stage="build"} 1"#));
    }

    #[test]
    fn each_end_of_a_subscription_is_counted_by_its_reason() {
        let metrics = metrics();
        for reason in Ending::ALL {
            let event = Event::SubscriptionEnded {
                stage: "build".parse().unwrap(),
                reason,
                why: "anything that a broker says".to_owned(),
            };
            metrics.observe(Timestamp::EPOCH, &event);
        }
        let page = metrics.render().unwrap();
        for reason in Ending::ALL {
            let labels = format!(r#"{{reason="{}",stage="build"}}"#, reason.as_str());
            let line = format!("goaround_consumer_stream_ended_total{labels} 1\n");
            assert!(page.contains(&line), "{line} is missing from\n{page}");
        }
        assert!(!page.contains("anything"), "{page}");
    }

    #[test]
    fn a_stage_that_is_not_configured_gets_no_series() {
        let metrics = metrics();
        let stage: StageName = "made-up-by-a-caller".parse().unwrap();
        let ticket = TicketId::from_bytes([1; 16]);
        metrics.observe(Timestamp::EPOCH, &Event::TicketAccepted { ticket, stage });
        assert!(!metrics.render().unwrap().contains("made-up"));
    }
}
