//! A broker in memory, as the controller uses it, that fails by script.

use async_trait::async_trait;
use domain::control::Snapshot;
use domain::event::Ending;
use domain::fleet::Heartbeat;
use domain::names::StageName;
use domain::oops::Report;
use domain::ports::{Due, Inbox, Road, Sent, StoreError, StreamEnded, Vitals};
use domain::record::Record;
use domain::ticket::{Name, Ticket};
use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// What becomes of the next group that is published.
#[derive(Clone, Copy)]
pub(crate) enum How {
    Sent(Sent),
    /// It is confirmed once the test says so.
    Hangs,
}

/// A queue: what is acked is gone, what is not is delivered again to the next inbox.
pub(crate) struct Tray<T> {
    pub(crate) entries: Vec<T>,
    pub(crate) acked: usize,
    /// Rises when its inbox ends.
    epoch: u64,
    pub(crate) fail_done: u32,
}

impl<T> Default for Tray<T> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            acked: 0,
            epoch: 0,
            fail_done: 0,
        }
    }
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) journal: Tray<Record>,
    pub(crate) unclaimed: Tray<Ticket>,
    pub(crate) reports: Tray<Report>,
    pub(crate) beats: Tray<Heartbeat>,
    pub(crate) how: VecDeque<How>,
    pub(crate) published: Vec<Name>,
    /// Those of them that were sent out to be tried.
    pub(crate) alone: Vec<Name>,
    pub(crate) spread: Vec<Snapshot>,
}

#[derive(Default)]
pub(crate) struct FakeRoad {
    state: Mutex<State>,
    changed: Notify,
    pub(crate) confirm: Notify,
}

type Pick<T> = fn(&mut State) -> &mut Tray<T>;

impl FakeRoad {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_waiters();
    }

    pub(crate) fn say(&self, record: Record) {
        self.change(|state| state.journal.entries.push(record));
    }

    pub(crate) fn end<T>(&self, pick: Pick<T>) {
        self.change(|state| pick(state).epoch += 1);
    }

    pub(crate) fn revision(&self) -> u64 {
        self.state()
            .spread
            .last()
            .map_or(0, |snapshot| snapshot.revision)
    }

    /// Waits until something was written or spread.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn open<T: Clone + Send + 'static>(self: &Arc<Self>, pick: Pick<T>) -> Box<dyn Inbox<T>> {
        let (at, epoch) = {
            let mut state = self.state();
            let tray = pick(&mut state);
            (tray.acked, tray.epoch)
        };
        Box::new(FakeInbox {
            road: Arc::clone(self),
            pick,
            at,
            epoch,
        })
    }
}

struct FakeInbox<T> {
    road: Arc<FakeRoad>,
    pick: Pick<T>,
    at: usize,
    epoch: u64,
}

#[async_trait]
impl<T: Clone + Send> Inbox<T> for FakeInbox<T> {
    async fn next(&mut self, max: NonZeroUsize) -> Result<Vec<T>, StreamEnded> {
        let road = Arc::clone(&self.road);
        loop {
            let changed = road.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = road.state();
                let tray = (self.pick)(&mut state);
                if tray.epoch != self.epoch {
                    return Err(StreamEnded {
                        stage: "journal".parse().unwrap(),
                        reason: Ending::Unknown,
                        why: "the script ended it".into(),
                    });
                }
                let news = tray.entries.iter().skip(self.at).take(max.get());
                let news: Vec<T> = news.cloned().collect();
                if !news.is_empty() {
                    self.at += news.len();
                    return Ok(news);
                }
            }
            changed.await;
        }
    }

    async fn done(&mut self) -> Result<(), StoreError> {
        let mut state = self.road.state();
        let tray = (self.pick)(&mut state);
        if tray.fail_done > 0 {
            tray.fail_done -= 1;
            return Err(StoreError::Unavailable("done failed by script".into()));
        }
        tray.acked = self.at;
        Ok(())
    }
}

/// The handle that ports want.
#[derive(Clone)]
pub(crate) struct Way(pub(crate) Arc<FakeRoad>);

#[async_trait]
impl Road for Way {
    async fn publish(&self, tickets: Vec<Due>) -> Vec<Sent> {
        let how = self.0.state().how.pop_front();
        let sent = match how.unwrap_or(How::Sent(Sent::Confirmed)) {
            How::Sent(sent) => sent,
            How::Hangs => {
                self.0.confirm.notified().await;
                Sent::Confirmed
            }
        };
        if sent != Sent::Unsent {
            let alone = tickets.iter().filter(|due| due.alone);
            let alone = alone.map(|due| due.ticket.name);
            let names = tickets.iter().map(|due| due.ticket.name);
            self.0.change(|state| {
                state.alone.extend(alone);
                state.published.extend(names);
            });
        }
        vec![sent; tickets.len()]
    }

    async fn write(&self, records: Vec<Record>) -> Result<(), StoreError> {
        self.0.change(|state| state.journal.entries.extend(records));
        Ok(())
    }

    async fn spread(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.0.change(|state| state.spread.push(snapshot.clone()));
        Ok(())
    }

    async fn journal(&self) -> Result<Box<dyn Inbox<Record>>, StoreError> {
        Ok(self.0.open(|state| &mut state.journal))
    }

    async fn unclaimed(&self) -> Result<Box<dyn Inbox<Ticket>>, StoreError> {
        Ok(self.0.open(|state| &mut state.unclaimed))
    }

    async fn reports(&self) -> Result<Box<dyn Inbox<Report>>, StoreError> {
        Ok(self.0.open(|state| &mut state.reports))
    }

    async fn declare(&self, _: &[StageName]) -> Result<(), StoreError> {
        Ok(())
    }
}

#[async_trait]
impl Vitals for Way {
    async fn listen(&self) -> Result<Box<dyn Inbox<Heartbeat>>, StoreError> {
        Ok(self.0.open(|state| &mut state.beats))
    }
}
