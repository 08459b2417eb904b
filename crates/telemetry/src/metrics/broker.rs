//! What a side of the broker counts by itself: taken over whenever somebody scrapes.

use super::{counter, counters, gauge, gauges};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};
use std::collections::BTreeMap;

/// What one side of the broker has counted since its start. Every label is a word of a closed set,
/// and the same ones come each time, in the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerCounts {
    /// The connections.
    pub links: Vec<LinkCounts>,
    /// Deliveries that did not become an attempt of their own, by what they were.
    pub diverted: Vec<(&'static str, u64)>,
    /// Messages that were put into the quarantine, by why.
    pub quarantined: Vec<(&'static str, u64)>,
    /// Tickets that were handed back unsettled.
    pub handed_back: u64,
    /// Deliveries that could not be acknowledged, because their connection was gone.
    pub acks_lost: u64,
    /// Heartbeats of a worker that were not confirmed in time.
    pub heartbeats_failed: u64,
}

/// One connection to the broker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// What it is for.
    pub role: &'static str,
    /// How often it ended or did not come about, by why.
    pub ends: Vec<(&'static str, u64)>,
    /// Whether it stands, blocked or not.
    pub is_connected: bool,
    /// Whether the broker takes nothing from it.
    pub is_blocked: bool,
}

/// Reads the counts of one side; `None` once it is gone.
pub type BrokerSource = Box<dyn Fn() -> Option<BrokerCounts> + Send + Sync>;

/// The series of all sides together, since a process may be worker and controller at once.
pub(super) struct Broker {
    diverted: IntCounterVec,
    quarantined: IntCounterVec,
    handed_back: IntCounter,
    acks_lost: IntCounter,
    heartbeats_failed: IntCounter,
    disconnects: IntCounterVec,
    connected: IntGaugeVec,
    blocked: IntGauge,
    sides: Vec<Side>,
}

struct Side {
    read: BrokerSource,
    /// What was taken over already, in the order of [`Broker::numbers`].
    taken: Vec<u64>,
}

impl Broker {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let one = |name, help| counter(registry, name, help);
        let by = |name, help, labels: &[&str]| counters(registry, (name, help), labels);
        Ok(Self {
            diverted: by(
                "goaround_broker_deliveries_diverted_total",
                "Deliveries that did not become an attempt of their own, by what they were.",
                &["reason"],
            )?,
            quarantined: by(
                "goaround_broker_quarantined_total",
                "Messages that were put into the quarantine; each is to be looked at.",
                &["reason"],
            )?,
            handed_back: one(
                "goaround_broker_handed_back_total",
                "Tickets that were handed back unsettled.",
            )?,
            acks_lost: one(
                "goaround_broker_acks_lost_total",
                "Deliveries that could not be acknowledged, because their connection was gone.",
            )?,
            heartbeats_failed: one(
                "goaround_broker_heartbeats_failed_total",
                "Heartbeats of this worker that were not confirmed in time.",
            )?,
            disconnects: by(
                "goaround_amqp_disconnects_total",
                "Connections to the broker that ended or did not come about.",
                &["role", "reason"],
            )?,
            connected: gauges(
                registry,
                (
                    "goaround_amqp_connected",
                    "1 while connected to the broker.",
                ),
                &["role"],
            )?,
            blocked: gauge(
                registry,
                "goaround_amqp_blocked",
                "1 while the broker takes nothing from a connection of ours.",
            )?,
            sides: Vec::new(),
        })
    }

    /// Shows this side too.
    pub(super) fn add(&mut self, read: BrokerSource) {
        let taken = Vec::new();
        self.sides.push(Side { read, taken });
        self.take_over();
    }

    /// Takes over what has happened since the last time.
    pub(super) fn take_over(&mut self) {
        let mut sides = std::mem::take(&mut self.sides);
        let mut links: BTreeMap<&str, bool> = BTreeMap::new();
        let mut is_blocked = false;
        for side in &mut sides {
            let Some(counts) = (side.read)() else {
                continue;
            };
            let numbers = self.numbers(&counts);
            side.taken.resize(numbers.len(), 0);
            for ((counter, now), taken) in numbers.into_iter().zip(&mut side.taken) {
                counter.inc_by(now.saturating_sub(*taken));
                *taken = now;
            }
            for link in &counts.links {
                *links.entry(link.role).or_insert(true) &= link.is_connected;
                is_blocked |= link.is_blocked;
            }
        }
        // Those of a side that is gone are not connected any more.
        self.connected.reset();
        for (role, is_connected) in links {
            let connected = self.connected.with_label_values(&[role]);
            connected.set(i64::from(is_connected));
        }
        self.blocked.set(i64::from(is_blocked));
        self.sides = sides;
    }

    fn numbers(&self, counts: &BrokerCounts) -> Vec<(IntCounter, u64)> {
        let mut numbers = vec![
            (self.handed_back.clone(), counts.handed_back),
            (self.acks_lost.clone(), counts.acks_lost),
            (self.heartbeats_failed.clone(), counts.heartbeats_failed),
        ];
        for (family, all) in [
            (&self.diverted, &counts.diverted),
            (&self.quarantined, &counts.quarantined),
        ] {
            let of = all.iter();
            numbers.extend(of.map(|(why, count)| (family.with_label_values(&[*why]), *count)));
        }
        for link in &counts.links {
            let ends = link.ends.iter().map(|(why, count)| {
                let ended = self.disconnects.with_label_values(&[link.role, *why]);
                (ended, *count)
            });
            numbers.extend(ends);
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;
    use std::sync::{Arc, Mutex};

    fn side(role: &'static str) -> Arc<Mutex<Option<BrokerCounts>>> {
        Arc::new(Mutex::new(Some(BrokerCounts {
            links: vec![LinkCounts {
                role,
                ends: vec![("broken", 0)],
                is_connected: true,
                is_blocked: false,
            }],
            diverted: vec![("adopted", 0)],
            quarantined: vec![("too_large", 0)],
            ..BrokerCounts::default()
        })))
    }

    fn source(side: &Arc<Mutex<Option<BrokerCounts>>>) -> BrokerSource {
        let side = Arc::clone(side);
        Box::new(move || side.lock().unwrap().clone())
    }

    fn assert_shows(metrics: &Metrics, lines: &[&str]) {
        let page = metrics.render().unwrap();
        for line in lines {
            assert!(page.contains(line), "{line} is missing from\n{page}");
        }
    }

    #[test]
    fn what_a_side_of_the_broker_counts_is_there_at_zero_and_follows_it() {
        let metrics = Metrics::new(&[], "0.0.0").unwrap();
        let page = metrics.render().unwrap();
        assert!(!page.contains("goaround_amqp"), "there is no broker");
        let worker = side("consume");
        metrics.add_broker(source(&worker)).unwrap();
        let at_zero = [
            r#"goaround_broker_deliveries_diverted_total{reason="adopted"} 0"#,
            r#"goaround_broker_quarantined_total{reason="too_large"} 0"#,
            "goaround_broker_handed_back_total 0",
            "goaround_broker_acks_lost_total 0",
            "goaround_broker_heartbeats_failed_total 0",
            r#"goaround_amqp_disconnects_total{reason="broken",role="consume"} 0"#,
            r#"goaround_amqp_connected{role="consume"} 1"#,
            "goaround_amqp_blocked 0",
        ];
        assert_shows(&metrics, &at_zero);
        if let Some(counts) = &mut *worker.lock().unwrap() {
            counts.quarantined[0].1 = 2;
            counts.acks_lost = 3;
            counts.links[0].ends[0].1 = 4;
            counts.links[0].is_connected = false;
            counts.links[0].is_blocked = true;
        }
        for _ in 0..2 {
            let then = [
                r#"goaround_broker_quarantined_total{reason="too_large"} 2"#,
                "goaround_broker_acks_lost_total 3",
                r#"goaround_amqp_disconnects_total{reason="broken",role="consume"} 4"#,
                r#"goaround_amqp_connected{role="consume"} 0"#,
                "goaround_amqp_blocked 1",
            ];
            assert_shows(&metrics, &then);
        }
    }

    #[test]
    fn two_sides_in_one_process_add_up_and_nothing_falls_when_one_goes() {
        let metrics = Metrics::new(&[], "0.0.0").unwrap();
        let (worker, controller) = (side("consume"), side("consume"));
        for (side, count) in [(&worker, 2), (&controller, 3)] {
            metrics.add_broker(source(side)).unwrap();
            side.lock().unwrap().as_mut().unwrap().quarantined[0].1 = count;
        }
        let both = r#"goaround_broker_quarantined_total{reason="too_large"} 5"#;
        assert_shows(&metrics, &[both]);
        *worker.lock().unwrap() = None;
        assert_shows(&metrics, &[both]);
        controller.lock().unwrap().as_mut().unwrap().quarantined[0].1 = 4;
        let more = r#"goaround_broker_quarantined_total{reason="too_large"} 6"#;
        assert_shows(&metrics, &[more]);
    }
}
