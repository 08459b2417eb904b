//! Keeps deliveries to the desired state, and lets others follow it.

use crate::control;
use crate::worker::shared::Shared;
use async_trait::async_trait;
use domain::control::{Admission, Snapshot};
use domain::ports::{Follower, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// How long to wait when the desired state cannot be followed at all.
const AGAIN: Duration = Duration::from_secs(2);

/// Follows the desired state for as long as the worker lives.
pub(crate) async fn run(shared: Arc<Shared>, mut source: control::Follower) {
    loop {
        match source.next().await {
            Ok(snapshot) => keep_to(&shared, Arc::new(snapshot)),
            Err(error) => {
                tracing::error!("the desired state is not heard, the one before is kept: {error}");
                sleep(AGAIN).await;
            }
        }
    }
}

/// From here on nothing is handed out that the snapshot does not allow.
pub(crate) fn keep_to(shared: &Shared, snapshot: Arc<Snapshot>) {
    shared.desired.send_replace(Some(Arc::clone(&snapshot)));
    for shelf in shared.all_shelves() {
        let holder = &shared.settings.holder;
        let admission = snapshot.admits(shelf.stage(), holder, shelf.used());
        // To drop them is to hand them back, which is told under their old names: a fenced one
        // is stale for the books by its generation.
        drop(match admission {
            Admission::Nothing => shelf.clear(),
            Admission::Freely | Admission::Once(_) => {
                shelf.take_fenced(|ticket, generation| snapshot.lets_run(ticket, generation))
            }
        });
        shelf.changed().notify_waiters();
    }
    shared.vitals.applied(snapshot.revision);
}

/// Follows what deliveries keep to. To ask for the next snapshot says that the last one is
/// applied: only then the heartbeat says so.
pub(crate) struct SnapshotFollower {
    desired: watch::Receiver<Option<Arc<Snapshot>>>,
    shared: Arc<Shared>,
    asked: Arc<AtomicU64>,
    last: Option<u64>,
}

impl SnapshotFollower {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            desired: shared.desired.subscribe(),
            asked: shared.vitals.follower(),
            shared,
            last: None,
        }
    }
}

#[async_trait]
impl Follower for SnapshotFollower {
    async fn next(&mut self) -> Result<Snapshot, StoreError> {
        if let Some(last) = self.last {
            self.asked.store(last, Ordering::Release);
            self.shared.vitals.nudge();
        }
        let last = self.last;
        let is_new = |desired: &Option<Arc<Snapshot>>| {
            desired
                .as_ref()
                .is_some_and(|snapshot| Some(snapshot.revision) > last)
        };
        let found = self.desired.wait_for(is_new).await;
        let Ok(Some(snapshot)) = found.map(|snapshot| snapshot.clone()) else {
            return Err(StoreError::Unavailable("the worker is closed".to_owned()));
        };
        self.last = Some(snapshot.revision);
        Ok(Snapshot::clone(&snapshot))
    }
}
