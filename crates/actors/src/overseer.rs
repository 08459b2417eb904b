//! The overseer: sees, from a thread of its own, which handler blocks the thread that it runs on.
//!
//! The deadline of an attempt is a timer on the handler's thread, and that of no attempt there goes
//! off while one of them does not give the thread back. Nobody can take it away: as long as the
//! handler may still run, its ticket must not move. But that it has timed out is certain, so that
//! is decided and reported now, whatever it says later. The others there are not to blame.

use crate::attempt::DURABLE_RETRY;
use crate::grip::Grip;
use crate::station::Station;
use domain::event::Event;
use domain::outcome::Failure;
use domain::ports::StopReason;
use domain::ticket::Name;
use domain::time::show_duration;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// How often the attempts are looked at. A handler that still has the thread that it had at the
/// last look blocks it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches the attempts of these stages. Must not run on a thread of theirs.
pub(crate) struct Overseer {
    stations: Vec<Arc<Station>>,
    /// What the last look showed of each attempt in hand.
    seen: HashMap<Name, Seen>,
    /// Reports of attempts that are still in hand, on their way to being durable.
    reports: JoinSet<()>,
}

#[derive(Clone, Copy)]
struct Seen {
    /// When it was first looked at.
    since: Instant,
    steps: u64,
}

/// An attempt that is past its deadline.
struct Overdue {
    station: Arc<Station>,
    grip: Arc<Grip>,
    is_blocking: bool,
}

impl Overseer {
    pub(crate) fn new(stations: Vec<Arc<Station>>) -> Self {
        Self {
            stations,
            seen: HashMap::new(),
            reports: JoinSet::new(),
        }
    }

    /// Looks again and again; never returns.
    pub(crate) async fn watch(mut self) {
        loop {
            sleep(LOOK_EVERY).await;
            self.look();
            while self.reports.try_join_next().is_some() {}
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        let mut blocked: HashSet<ThreadId> = HashSet::new();
        let mut overdue = Vec::new();
        let mut seen = HashMap::new();
        for station in &self.stations {
            for grip in station.in_hand() {
                let name = grip.ticket.name;
                let steps = grip.steps();
                let last = self.seen.get(&name);
                let since = last.map_or(now, |last| last.since);
                let has_thread = steps % 2 == 1;
                let is_blocking = has_thread && last.is_some_and(|last| last.steps == steps);
                if is_blocking {
                    blocked.insert(grip.thread);
                }
                if now.duration_since(since) >= station.rules.deadline {
                    let station = Arc::clone(station);
                    overdue.push(Overdue {
                        station,
                        grip,
                        is_blocking,
                    });
                }
                seen.insert(name, Seen { since, steps });
            }
        }
        self.seen = seen;
        for attempt in overdue {
            if attempt.is_blocking {
                self.condemn(attempt.station, attempt.grip);
            } else if blocked.contains(&attempt.grip.thread) {
                // Its own timer would have it time out as soon as it has the thread back.
                attempt.grip.stop.fire(StopReason::Cancelled);
            }
        }
    }

    fn condemn(&mut self, station: Arc<Station>, grip: Arc<Grip>) {
        if !station.condemn(&grip, || failure(&station)) {
            return; // It has let go by now, or this is known.
        }
        station.observe(&Event::AttemptBlocked {
            name: grip.ticket.name,
            stage: station.rules.name.clone(),
        });
        self.reports.spawn_local(report(station, grip));
    }
}

fn failure(station: &Station) -> Failure {
    let deadline = show_duration(station.rules.deadline);
    Failure::new(
        "ThreadBlocked",
        format!(
            "the handler blocks its thread and was not done within {deadline}: it neither waits for \
             anything nor can it be stopped from outside. Its stage goes on on another thread; this \
             ticket goes around when the handler lets go, or when its worker process is restarted"
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
            Ok(oops) if grip.is_first_to_tell() => {
                return station.observe(&Event::OopsRecorded {
                    oops,
                    name: grip.ticket.name,
                    stage: station.rules.name.clone(),
                });
            }
            Ok(_) => return,
            Err(error) => {
                let (what, why) = ("report", error.to_string());
                station.observe(&Event::StoreFailed { what, why });
                sleep(DURABLE_RETRY).await;
            }
        }
    }
}
