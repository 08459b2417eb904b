//! What the broker's crate counts, as the metrics page shows it.

use amqp::link::State;
use amqp::{Controller, Link, Tally, Worker};
use std::sync::Arc;
use telemetry::metrics::{BrokerCounts, BrokerSource, LinkCounts};

/// Reads what a worker counts, for as long as there is one.
pub(crate) fn of_worker(worker: &Arc<Worker>) -> BrokerSource {
    let worker = Arc::downgrade(worker);
    Box::new(move || {
        let worker = worker.upgrade()?;
        let tally = worker.tally();
        let quarantined = [("too_large", tally.cut), ("unreadable", 0)];
        Some(BrokerCounts {
            links: links(worker.links()),
            ..counts(&tally, quarantined)
        })
    })
}

/// Reads what a controller or watchdog counts, for as long as there is one.
pub(crate) fn of_controller(controller: &Arc<Controller>) -> BrokerSource {
    let controller = Arc::downgrade(controller);
    Box::new(move || {
        let controller = controller.upgrade()?;
        let quarantined = [("too_large", 0), ("unreadable", controller.quarantined())];
        Some(BrokerCounts {
            links: links(controller.links()),
            ..counts(&Tally::default(), quarantined)
        })
    })
}

fn counts(tally: &Tally, quarantined: [(&'static str, u64); 2]) -> BrokerCounts {
    BrokerCounts {
        links: Vec::new(),
        diverted: tally.diverted().into(),
        quarantined: quarantined.into(),
        handed_back: tally.handed_back,
        acks_lost: tally.unacked,
        heartbeats_failed: tally.beats_failed,
    }
}

fn links(links: [&Link; 3]) -> Vec<LinkCounts> {
    let counts = links.map(|link| {
        let state = link.state();
        let state = state.borrow();
        LinkCounts {
            role: link.purpose().as_str(),
            ends: link.ends().by_reason().into(),
            is_connected: state.generation().is_some(),
            is_blocked: matches!(*state, State::Blocked { .. }),
        }
    });
    counts.into()
}
