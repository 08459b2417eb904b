//! The queues of all stages that somebody consumes.

use crate::feeder::{Feed, ReadAhead};
use crate::freed::Freed;
use crate::lease::InHand;
use crate::queue::StageQueue;
use domain::books::{Entry, Place};
use domain::names::StageName;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The queues of the stages that somebody consumes.
pub(crate) struct Queues {
    map: RwLock<HashMap<StageName, Arc<StageQueue>>>,
    /// The newest position that is durable, of all stages.
    latest: AtomicI64,
    feed: Feed,
    read_ahead: ReadAhead,
    is_closed: AtomicBool,
    /// What was let go after it had been ended.
    pub(crate) freed: Arc<Freed>,
}

impl Queues {
    pub(crate) fn new(feed: Feed, read_ahead: ReadAhead, latest: i64) -> Self {
        Self {
            map: RwLock::default(),
            latest: AtomicI64::new(latest),
            feed,
            read_ahead,
            is_closed: AtomicBool::new(false),
            freed: Arc::default(),
        }
    }

    /// Whether every subscription has ended for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// The queue of a stage, if somebody consumes or consumed it.
    pub(crate) fn find(&self, stage: &StageName) -> Option<Arc<StageQueue>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.get(stage).cloned()
    }

    /// The queue of a stage; a new one begins with everything that is durable now.
    pub(crate) fn of(&self, stage: &StageName) -> Arc<StageQueue> {
        if let Some(queue) = self.find(stage) {
            return queue;
        }
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let (feed, freed) = (self.feed.clone(), Arc::clone(&self.freed));
            Arc::new(StageQueue::new(stage.clone(), self.read_ahead, feed, freed))
        };
        let queue = Arc::clone(map.entry(stage.clone()).or_insert_with(make));
        // Under the lock of the map, and the writer publishes before it looks into the map: so
        // either it finds this queue, or this finds what it published.
        queue.advance(self.latest.load(Ordering::SeqCst));
        queue
    }

    pub(crate) fn all(&self) -> Vec<Arc<StageQueue>> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
        map.values().cloned().collect()
    }

    /// Everything that is running now.
    pub(crate) fn running(&self) -> Vec<InHand> {
        let mut running = Vec::new();
        for queue in self.all() {
            queue.running(&mut running);
        }
        running
    }

    /// Everything that was started and not settled, whether it still counts or not.
    pub(crate) fn unsettled(&self) -> Vec<InHand> {
        let mut unsettled = Vec::new();
        for queue in self.all() {
            queue.unsettled(&mut unsettled);
        }
        unsettled
    }

    /// Marks an entry as running if this process runs it.
    pub(crate) fn mark_running(&self, seq: i64, entry: &mut Entry) {
        let is_runnable = matches!(entry.place, Place::Runnable { .. });
        let queue = self.find(&entry.ticket.stage).filter(|_| is_runnable);
        if let Some(had) = queue.and_then(|queue| queue.runner(seq, &entry.ticket.name)) {
            entry.place = Place::Running {
                since: had.started_at,
                holder: had.holder,
            };
        }
    }

    /// Everything up to this position is durable.
    pub(crate) fn publish(&self, latest: i64) {
        self.latest.fetch_max(latest, Ordering::SeqCst);
    }

    /// Ends every subscription.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        for queue in self.all() {
            queue.close();
        }
    }
}
