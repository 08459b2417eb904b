//! Says again and again that this worker is alive, and what it has in its hands.

use crate::journal;
use crate::publisher::Message;
use crate::pulse;
use crate::worker::lock;
use crate::worker::shared::Shared;
use crate::worker::steady::Steady;
use domain::fleet::{BEAT_EVERY, Heartbeat};
use domain::names::{Kind, StageName};
use domain::ports::StoreError;
use domain::record::{Record, Said};
use futures_util::future::join;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

/// A suspect that no slot was free for in this time goes through the door all the same.
const SUSPECT_MAX: Duration = Duration::from_secs(1);
/// What came in for a stage is handed back when nobody has been subscribed to it for so long.
const LEFT_MAX: Duration = Duration::from_secs(10);
/// How long the quick beat after a change waits for more changes; no longer than until the whole
/// worker keeps to a newer revision than it has told, for which the controller waits.
const GATHER: Duration = Duration::from_millis(5);
/// How long after a first beat that was not confirmed it is written again.
const AGAIN: Duration = Duration::from_millis(200);

/// Which desired state this worker keeps to, and whether something is new to tell.
#[derive(Default)]
pub(crate) struct Vitals {
    /// The newest revision that deliveries keep to.
    applied: AtomicU64,
    /// The revision that each of those who follow has asked past.
    followers: Mutex<Vec<Weak<AtomicU64>>>,
    /// How often something left our hands that the controller may be waiting for.
    parted: AtomicU64,
    news: Notify,
}

impl Vitals {
    /// Deliveries keep to this revision from now on.
    pub(crate) fn applied(&self, revision: u64) {
        self.applied.fetch_max(revision, Ordering::AcqRel);
        self.nudge();
    }

    /// Somebody follows the desired state; the number is the revision that they have asked past.
    pub(crate) fn follower(&self) -> Arc<AtomicU64> {
        let asked = Arc::new(AtomicU64::new(0));
        lock(&self.followers).push(Arc::downgrade(&asked));
        asked
    }

    /// Something has left our hands that the controller may be waiting for.
    pub(crate) fn parted(&self) {
        self.parted.fetch_add(1, Ordering::AcqRel);
        self.nudge();
    }

    /// Perhaps there is something new to tell.
    pub(crate) fn nudge(&self) {
        self.news.notify_one();
    }

    /// Waits for more to tell than this revision. Several stages follow; the last of them makes the
    /// difference.
    async fn gather(&self, told: u64) {
        let follow = async {
            while !self.keeps_to_newer(told) {
                self.news.notified().await;
            }
        };
        timeout(GATHER, follow).await.ok(); // What is to be told by then is told.
    }

    /// Whether the whole worker keeps to the newest revision, and that is newer than this.
    fn keeps_to_newer(&self, revision: u64) -> bool {
        let in_force = self.in_force();
        in_force > revision && in_force == self.applied.load(Ordering::Acquire)
    }

    /// The revision that the whole worker keeps to.
    pub(crate) fn in_force(&self) -> u64 {
        let mut followers = lock(&self.followers);
        followers.retain(|follower| follower.strong_count() > 0);
        let asked = followers.iter().filter_map(Weak::upgrade);
        let asked = asked.map(|asked| asked.load(Ordering::Acquire)).min();
        let applied = self.applied.load(Ordering::Acquire);
        asked.map_or(applied, |asked| asked.min(applied))
    }
}

/// The first beat, which must be heard before the worker consumes: whoever waits for everybody that
/// may take a copy has to know of it by then.
///
/// # Errors
/// [`StoreError`] when it is not confirmed in the time that a publish may take.
pub(crate) async fn begin(shared: &Shared) -> Result<(), StoreError> {
    let serves = Steady::new(shared.versions.look());
    let beat = [shared.record(Said::Beat(Box::new(heartbeat(shared, &serves))))];
    let until = Instant::now() + shared.config.publish_timeout;
    loop {
        match shared.journal.write(&beat).await {
            // A connection that is still young may break.
            Err(_) if Instant::now() < until => sleep(AGAIN).await,
            written => return written,
        }
    }
}

/// Beats for as long as the worker lives.
pub(crate) async fn run(shared: Arc<Shared>) {
    // The first beat is at once.
    let mut tick = interval_at(pulse::last(BEAT_EVERY), BEAT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut told: Option<(u64, u64)> = None;
    let mut serves = Steady::new(shared.versions.look());
    loop {
        tokio::select! {
            _ = tick.tick() => {
                serves.look(shared.versions.look());
                sweep(&shared);
            }
            () = shared.vitals.news.notified() => {
                let (revision, _) = told.unwrap_or_default();
                shared.vitals.gather(revision).await;
                let is_open = shared.desired.borrow().is_some();
                if !is_open || told == Some(state(&shared)) {
                    continue;
                }
            }
        }
        told = Some(state(&shared));
        beat(&shared, &serves).await;
    }
}

/// What a beat out of turn is worth: another revision, or copies that are gone.
fn state(shared: &Shared) -> (u64, u64) {
    (
        shared.vitals.in_force(),
        shared.vitals.parted.load(Ordering::Acquire),
    )
}

async fn beat(shared: &Shared, serves: &Steady) {
    let record = shared.record(Said::Beat(Box::new(heartbeat(shared, serves))));
    let records = [record];
    let written = shared.journal.write(&records);
    let both = join(
        written,
        shared.publisher.publish(transient(shared, &records)),
    );
    // The next beat does not wait for a confirm that never comes.
    if !matches!(timeout(BEAT_EVERY, both).await, Ok((Ok(()), _))) {
        shared.counts.beats_failed.add(1);
        tracing::warn!("a heartbeat was not confirmed; the controller may think that we are gone");
    }
}

fn heartbeat(shared: &Shared, serves: &Steady) -> Heartbeat {
    // The revision is read before the hands: what the hands show is at least as new.
    let revision = shared.vitals.in_force();
    Heartbeat {
        holder: shared.settings.holder.clone(),
        hostname: shared.settings.hostname.clone(),
        stages: serves.told().clone(),
        kinds: kinds(shared),
        revision,
        in_hand: lock(&shared.in_hand).names(),
    }
}

/// The stages here that do not take every kind of ticket.
fn kinds(shared: &Shared) -> BTreeMap<StageName, BTreeSet<Kind>> {
    let stages = shared.settings.flows.stages().into_iter();
    let picky = stages.filter_map(|stage| Some((stage.name.clone(), stage.kinds.clone()?)));
    picky.collect()
}

fn transient(shared: &Shared, records: &[Record]) -> Message {
    Message {
        exchange: shared.config.names.vitals().into(),
        routing_key: "".into(),
        body: wire::record::encode(records),
        properties: journal::properties().with_delivery_mode(1),
    }
}

/// Looks after what lies on the shelves for too long.
fn sweep(shared: &Shared) {
    let now = Instant::now();
    for shelf in shared.all_shelves() {
        if let Some(before) = now.checked_sub(SUSPECT_MAX) {
            drop(shelf.take_suspects(before));
        }
        if now
            .checked_sub(LEFT_MAX)
            .is_some_and(|before| shelf.is_left(before))
        {
            drop(shelf.clear());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn gathered(vitals: &Vitals, told: u64) -> Duration {
        let begun = Instant::now();
        vitals.gather(told).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_revision_is_told_as_soon_as_every_stage_keeps_to_it() {
        let vitals = Vitals::default();
        let (build, test) = (vitals.follower(), vitals.follower());
        vitals.applied(7);
        build.store(7, Ordering::Release);
        assert!(
            gathered(&vitals, 6).await >= GATHER,
            "one has to follow yet"
        );
        let last = async {
            sleep(GATHER / 5).await;
            test.store(7, Ordering::Release);
            vitals.nudge();
        };
        let (took, ()) = join(gathered(&vitals, 6), last).await;
        assert!(took < GATHER, "{took:?}");
        assert_eq!(gathered(&vitals, 6).await, Duration::ZERO);
        assert!(gathered(&vitals, 7).await >= GATHER, "it has been told");
    }
}
