//! The overseer: sees, from the root's thread, which handler blocks the thread that it runs on.
//!
//! The deadline of an attempt is a timer on the handler's thread, and that of no attempt there goes
//! off while one of them does not give the thread back. Nobody can take it away: as long as the
//! handler may still run, its ticket must not move. But that it has timed out is certain, so that
//! is decided and reported now, whatever it says later. The others there are not to blame.

use crate::attempt::DURABLE_RETRY;
use crate::grip::Grip;
use crate::station::Station;
use domain::deadline::Deadline;
use domain::event::Event;
use domain::outcome::Failure;
use domain::ports::StopReason;
use domain::ticket::Name;
use futures_util::StreamExt as _;
use futures_util::stream::{FuturesUnordered, pending};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How often the attempts are looked at. A handler that still has the thread that it had at the
/// last look blocks it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look that comes so much later says nothing of whether a thread was blocked meanwhile: neither
/// had ours, nor perhaps any of this process.
const LATE: Duration = Duration::from_secs(5);
/// So long before its own deadline one is called off whose thread is blocked by another: once the
/// thread is free, its own timer would come first.
const BEFOREHAND: Duration = Duration::from_secs(2);

/// Watches the attempts of these stages. Must not run on a thread of theirs.
pub(crate) struct Overseer {
    stations: Vec<Arc<Station>>,
    /// What the last look showed of each attempt in hand.
    seen: HashMap<Name, Seen>,
    looked_at: Instant,
    /// Reports of attempts that are still in hand, on their way to being durable.
    reports: JoinSet<()>,
}

#[derive(Clone, Copy)]
struct Seen {
    /// When it was first looked at.
    since: Instant,
    /// When its handler was first seen to have begun.
    began: Option<Instant>,
    steps: u64,
}

impl Seen {
    fn of(grip: &Grip, last: Option<&Self>, now: Instant) -> Self {
        let steps = grip.steps();
        let began = last.and_then(|last| last.began);
        Self {
            since: last.map_or(now, |last| last.since),
            began: began.or((steps > 0).then_some(now)),
            steps,
        }
    }

    fn has_run_for(&self, length: Duration, now: Instant) -> bool {
        let began = self.began;
        began.is_some_and(|began| now.duration_since(began) >= length)
    }
}

impl Overseer {
    pub(crate) fn new(stations: Vec<Arc<Station>>) -> Self {
        Self {
            stations,
            seen: HashMap::new(),
            looked_at: Instant::now(),
            reports: JoinSet::new(),
        }
    }

    /// Looks again and again, while something is in hand; never returns.
    pub(crate) async fn watch(mut self) {
        loop {
            if self.seen.is_empty() {
                self.something_in_hand().await;
                self.looked_at = Instant::now();
            }
            sleep(LOOK_EVERY).await;
            self.look();
            while self.reports.try_join_next().is_some() {}
        }
    }

    async fn something_in_hand(&self) {
        let stations = self.stations.iter();
        let filled: FuturesUnordered<_> =
            stations.map(|station| station.hands.are_filled()).collect();
        // Without any station there is nothing to wait for, and nothing to watch.
        filled.chain(pending()).next().await;
    }

    fn look(&mut self) {
        let now = Instant::now();
        let is_late = now.duration_since(self.looked_at) >= LATE;
        self.looked_at = now;
        let mut blocked: HashSet<ThreadId> = HashSet::new();
        let mut all = Vec::new();
        for station in &self.stations {
            for grip in station.hands.all() {
                let last = self.seen.get(&grip.ticket.name);
                let seen = Seen::of(&grip, last, now);
                let is_same = last.is_some_and(|last| last.steps == seen.steps);
                let is_blocking = seen.steps % 2 == 1 && is_same && !is_late;
                if is_blocking {
                    blocked.insert(grip.thread);
                }
                all.push((Arc::clone(station), grip, seen, is_blocking));
            }
        }
        self.seen = all
            .iter()
            .map(|(_, grip, seen, _)| (grip.ticket.name, *seen))
            .collect();
        for (station, grip, seen, is_blocking) in all {
            let deadline = grip.deadline(&station.rules).length();
            if is_blocking && seen.has_run_for(deadline, now) {
                self.condemn(station, grip);
            } else if !is_blocking
                && blocked.contains(&grip.thread)
                && now.duration_since(seen.since) + BEFOREHAND >= deadline
            {
                grip.stop.fire(StopReason::Cancelled);
            }
        }
    }

    fn condemn(&mut self, station: Arc<Station>, grip: Arc<Grip>) {
        let deadline = grip.deadline(&station.rules);
        if !station.hands.condemn(&grip, || failure(deadline)) {
            return; // It has let go by now, or this is known.
        }
        station.observe(&Event::AttemptBlocked {
            name: grip.ticket.name,
            stage: station.rules.name.clone(),
        });
        self.reports.spawn_local(report(station, grip));
    }
}

fn failure(deadline: Deadline) -> Failure {
    let late = deadline.in_words();
    let becomes = match deadline {
        Deadline::OfStage(_) => "goes around",
        Deadline::OfTicket(_) => "is parked",
    };
    Failure::new(
        "ThreadBlocked",
        format!(
            "the handler blocks its thread and was not done {late}: it neither waits for anything \
             nor can it be stopped from outside. It keeps its slot; the other slots of its stage \
             go on on another thread. This ticket {becomes} when the handler lets go, or when \
             its worker process is restarted"
        ),
    )
}

/// Makes the report durable while the handler still runs, unless the attempt itself does.
async fn report(station: Arc<Station>, grip: Arc<Grip>) {
    while !grip.is_told() {
        let Some(report) = grip.to_report(station.setup.clock.now()) else {
            return; // Nothing was decided.
        };
        match station.setup.reporter.record(report).await {
            Ok(oops) if grip.is_first_to_tell() => return station.told(grip.ticket.name, oops),
            Ok(_) => return,
            Err(error) => {
                let (what, why) = ("report", error.to_string());
                station.observe(&Event::StoreFailed { what, why });
                sleep(DURABLE_RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_a_blocked_ticket_depends_on_whose_deadline_has_passed() {
        let minute = Duration::from_secs(60);
        for (deadline, becomes) in [
            (Deadline::OfStage(minute), "This ticket goes around when"),
            (Deadline::OfTicket(minute), "This ticket is parked when"),
        ] {
            let said = failure(deadline).message;
            assert!(said.contains(becomes), "{said}");
        }
    }
}
