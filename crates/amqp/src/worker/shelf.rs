//! What has come in for a stage and waits for a free slot. It outlives the subscriptions that fill
//! it, so that what it holds is still there when the broker delivers it again.

use crate::worker::lock;
use domain::control::Admission;
use domain::delivery::Incoming;
use domain::names::StageName;
use domain::ticket::{Generation, Name, TicketId};
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;
use tokio::time::Instant;

/// What has come in for one stage.
pub(crate) struct Shelf {
    stage: StageName,
    rows: Mutex<Rows>,
    changed: Notify,
    hungry: Notify,
    handed_out: AtomicU64,
}

#[derive(Default)]
struct Rows {
    ready: VecDeque<Row>,
    /// The last permit that was used up.
    used: u64,
    subscriptions: usize,
    /// Since when nobody is subscribed.
    left_at: Option<Instant>,
}

struct Row {
    incoming: Incoming,
    since: Instant,
}

impl Rows {
    fn take(&mut self, max: usize) -> Vec<Incoming> {
        let count = self.ready.len().min(max);
        self.ready.drain(..count).map(|row| row.incoming).collect()
    }

    /// Up to the first fresh one. What is not fresh is no attempt at the stage's work.
    fn take_once(&mut self, max: usize, permit: u64) -> Vec<Incoming> {
        let is_fresh = |row: &Row| matches!(row.incoming, Incoming::Fresh(_));
        let first = self.ready.iter().position(is_fresh);
        let taken = self.take(first.map_or(max, |first| max.min(first + 1)));
        if first.is_some_and(|first| first < taken.len()) {
            self.used = permit;
        }
        taken
    }
}

impl Row {
    fn name(&self) -> Name {
        match &self.incoming {
            Incoming::Fresh(delivery) => delivery.ticket().name,
            Incoming::Suspect(delivery) => delivery.ticket().name,
            Incoming::Unreadable(delivery) => delivery.ticket().name,
        }
    }
}

impl Shelf {
    pub(crate) fn new(stage: StageName) -> Self {
        Self {
            stage,
            rows: Mutex::default(),
            changed: Notify::new(),
            hungry: Notify::new(),
            handed_out: AtomicU64::new(0),
        }
    }

    pub(crate) const fn stage(&self) -> &StageName {
        &self.stage
    }

    /// Wakes whoever waits for something here.
    pub(crate) const fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Tells whoever fills it that somebody has found nothing here, or has used a permit.
    pub(crate) const fn hungry(&self) -> &Notify {
        &self.hungry
    }

    /// Puts these at the end; suspects go first, since somebody waits for the answer.
    pub(crate) fn put(&self, group: Vec<Incoming>) {
        if group.is_empty() {
            return;
        }
        let since = Instant::now();
        let mut rows = lock(&self.rows);
        for incoming in group {
            let is_urgent = matches!(incoming, Incoming::Suspect(_));
            let row = Row { incoming, since };
            if is_urgent {
                rows.ready.push_front(row);
            } else {
                rows.ready.push_back(row);
            }
        }
        drop(rows);
        self.changed.notify_waiters();
    }

    /// Takes up to `max`, as many as are admitted at the last moment. To take a fresh one with a
    /// permit uses that up.
    pub(crate) fn take(&self, max: usize, admits: impl FnOnce(u64) -> Admission) -> Vec<Incoming> {
        let mut rows = lock(&self.rows);
        if rows.ready.is_empty() {
            return Vec::new();
        }
        let taken = match admits(rows.used) {
            Admission::Nothing => return Vec::new(),
            Admission::Freely => rows.take(max),
            Admission::Once(permit) => {
                // Whoever fills it is to look whether more is wanted.
                self.hungry.notify_one();
                rows.take_once(max, permit)
            }
        };
        let count = taken.len() as u64;
        self.handed_out.fetch_add(count, Ordering::Relaxed);
        taken
    }

    /// The number of the last permit that was used up; 0 if none was.
    pub(crate) fn used(&self) -> u64 {
        lock(&self.rows).used
    }

    /// How many were handed out so far.
    pub(crate) fn handed_out(&self) -> u64 {
        self.handed_out.load(Ordering::Relaxed)
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.rows).ready.len()
    }

    /// Takes everything off; to drop it is to hand it back.
    pub(crate) fn clear(&self) -> Vec<Incoming> {
        let ready = std::mem::take(&mut lock(&self.rows).ready);
        ready.into_iter().map(|row| row.incoming).collect()
    }

    /// Takes off what must not run any more.
    pub(crate) fn take_fenced(
        &self,
        may_run: impl Fn(TicketId, Generation) -> bool,
    ) -> Vec<Incoming> {
        self.take_where(|row| {
            let name = row.name();
            !may_run(name.ticket, name.generation)
        })
    }

    /// Takes off the suspects that came in before this: no slot is free for them, and the
    /// controller should hear of them soon.
    pub(crate) fn take_suspects(&self, before: Instant) -> Vec<Incoming> {
        self.take_where(|row| row.since < before && matches!(row.incoming, Incoming::Suspect(_)))
    }

    fn take_where(&self, is_wanted: impl Fn(&Row) -> bool) -> Vec<Incoming> {
        let mut rows = lock(&self.rows);
        if !rows.ready.iter().any(&is_wanted) {
            return Vec::new();
        }
        let (wanted, rest) = std::mem::take(&mut rows.ready)
            .into_iter()
            .partition(is_wanted);
        rows.ready = rest;
        let wanted: VecDeque<Row> = wanted;
        wanted.into_iter().map(|row| row.incoming).collect()
    }

    /// Somebody subscribes.
    pub(crate) fn enter(&self) {
        let mut rows = lock(&self.rows);
        rows.subscriptions += 1;
        rows.left_at = None;
    }

    /// A subscription is over.
    pub(crate) fn leave(&self) {
        let mut rows = lock(&self.rows);
        rows.subscriptions = rows.subscriptions.saturating_sub(1);
        if rows.subscriptions == 0 {
            rows.left_at = Some(Instant::now());
        }
    }

    /// Whether somebody is subscribed.
    pub(crate) fn is_entered(&self) -> bool {
        lock(&self.rows).subscriptions > 0
    }

    /// Whether nobody has been subscribed since before this.
    pub(crate) fn is_left(&self, before: Instant) -> bool {
        lock(&self.rows).left_at.is_some_and(|at| at < before)
    }
}
