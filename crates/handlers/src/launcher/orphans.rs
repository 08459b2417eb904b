//! What a dead child has left behind, and we have adopted.

use crate::processes::{self, Held};
use rustix::process::Pid;
use std::time::Duration;
use tokio::signal::unix::Signal as Signals;
use tokio::time::{Instant, sleep, timeout};

/// So long they may take to end by themselves: a spawner does, with all of its handlers, as soon
/// as it sees that its worker is gone.
const GRACE: Duration = Duration::from_secs(2);
/// A process that is not even gone so long after it was killed is stuck in the kernel.
const STUCK_AFTER: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LOOK_REST: Duration = Duration::from_millis(1);

/// Waits until every process that was left to us is gone; what does not go is killed. To be called
/// while we have no child of our own but this one, if any. `ended` tells of ends, some of them.
pub(super) async fn see_off(ours: Option<Pid>, ended: &mut Signals) {
    let began = Instant::now();
    loop {
        let left: Vec<Pid> = processes::children()
            .into_iter()
            .filter(|pid| Some(*pid) != ours && !processes::reap(*pid))
            .collect();
        if left.is_empty() {
            return;
        }
        if began.elapsed() > STUCK_AFTER {
            tracing::error!("processes that were killed do not end: {left:?}");
            return;
        }
        if began.elapsed() > GRACE {
            let held = left.into_iter().filter_map(Held::new);
            held.for_each(|one| one.kill());
        }
        if timeout(LOOK_EVERY, ended.recv()).await.is_ok() {
            // Others end in the same moment.
            sleep(LOOK_REST).await;
        }
    }
}
