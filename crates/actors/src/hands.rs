//! The attempts that a stage has in hand here, whichever thread they run on, and the desired state
//! that they are kept to.

use crate::grip::{Carried, Grip, Load};
use crate::station::lock;
use domain::control::{Admission, Snapshot};
use domain::names::{Holder, StageName};
use domain::outcome::Failure;
use domain::ports::StopReason;
use domain::ticket::{Name, TicketId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// The attempts that are in hand.
#[derive(Default)]
pub(crate) struct Hands {
    grips: Mutex<BTreeMap<TicketId, Arc<Grip>>>,
    /// The desired state as last heard of.
    desired: Mutex<Snapshot>,
    /// There was nothing, and there is something.
    filled: Notify,
}

impl Hands {
    /// Notes that this attempt is at work here, on this thread.
    pub(crate) fn take(&self, load: Load) -> Carried {
        let grip = Arc::new(Grip::new(load));
        let name = grip.ticket.name;
        let mut all = lock(&self.grips);
        // A fence may have come into force while this one was on its way here.
        if !lock(&self.desired).lets_run(name.ticket, name.generation) {
            grip.stop.fire(StopReason::Cancelled);
        }
        if all.is_empty() {
            // Kept for whoever is just about to wait.
            self.filled.notify_one();
        }
        all.insert(name.ticket, Arc::clone(&grip));
        Carried(grip)
    }

    /// Its handler has let go of it; no verdict comes any more.
    pub(crate) fn let_go(&self, grip: &Arc<Grip>) {
        let mut all = lock(&self.grips);
        if is_among(&all, grip) {
            all.remove(&grip.ticket.id());
        }
    }

    /// Returns once something is in hand. For one at a time.
    pub(crate) async fn are_filled(&self) {
        while lock(&self.grips).is_empty() {
            self.filled.notified().await;
        }
    }

    /// Everything that is at work here.
    pub(crate) fn all(&self) -> Vec<Arc<Grip>> {
        lock(&self.grips).values().cloned().collect()
    }

    /// Decides that one has timed out whose handler does not let go. Returns whether this is new,
    /// and it has not let go by now. One that was told to stop for another reason is not charged,
    /// however long that takes.
    pub(crate) fn condemn(&self, grip: &Arc<Grip>, why: impl FnOnce() -> Failure) -> bool {
        let all = lock(&self.grips);
        let reason = grip.stop.reason();
        let is_called_off = reason.is_some_and(|reason| reason != StopReason::Deadline);
        let is_new = grip.verdict().is_none() && !is_called_off;
        is_new && is_among(&all, grip) && grip.condemn(why())
    }

    /// Stops every attempt that the snapshot does not let run.
    pub(crate) fn keep_to(&self, snapshot: &Snapshot) {
        let all = lock(&self.grips);
        (*lock(&self.desired)).clone_from(snapshot);
        for (ticket, grip) in all.iter() {
            if !snapshot.lets_run(*ticket, grip.ticket.name.generation) {
                grip.stop.fire(StopReason::Cancelled);
            }
        }
    }

    /// Whether the desired state lets one be started that has waited here: what was to be kept to
    /// when its broker handed it out is not what is to be kept to now.
    pub(crate) fn may_start(&self, stage: &StageName, holder: &Holder, name: Name) -> bool {
        let desired = lock(&self.desired);
        // It may have come in with the newest permit, if that is ours.
        let admission = desired.admits(stage, holder, 0);
        admission != Admission::Nothing && desired.lets_run(name.ticket, name.generation)
    }

    /// Asks every attempt to stop.
    pub(crate) fn stop(&self, reason: StopReason) {
        for grip in lock(&self.grips).values() {
            grip.stop.fire(reason);
        }
    }
}

/// Whether it is this very one that is in hand, and not a later one of its ticket.
fn is_among(all: &BTreeMap<TicketId, Arc<Grip>>, grip: &Arc<Grip>) -> bool {
    let same = all.get(&grip.ticket.id());
    same.is_some_and(|same| Arc::ptr_eq(same, grip))
}
