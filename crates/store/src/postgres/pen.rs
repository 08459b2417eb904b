//! One pen for many who write: whoever takes it writes for everybody who waits, so that they share
//! a transaction. Nobody's task writes, so nothing is left over when a caller goes away.

use domain::ports::StoreError;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::sync::{Mutex as Turn, Semaphore};

/// The most entries that are written at once.
const GROUP_MAX: usize = 256;
/// The most callers that wait with something to write; further ones wait for room.
const WAITING_MAX: usize = 1_024;

type Answer = Result<(), StoreError>;

struct Waiting<T> {
    entry: T,
    told: oneshot::Sender<Answer>,
}

/// Gathers what many write.
pub(super) struct Pen<T> {
    waiting: Mutex<VecDeque<Waiting<T>>>,
    room: Semaphore,
    turn: Turn<()>,
}

impl<T> Default for Pen<T> {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            room: Semaphore::new(WAITING_MAX),
            turn: Turn::new(()),
        }
    }
}

impl<T: Clone> Pen<T> {
    /// Makes the entry durable, together with those of others. `write` answers in the order of
    /// its group.
    ///
    /// # Cancel safety
    /// The entry may be written all the same. If whoever has the pen goes away, the others write
    /// again: an entry must bear that.
    pub(super) async fn write<F>(&self, entry: T, write: impl Fn(Vec<T>) -> F) -> Answer
    where
        F: Future<Output = Vec<Answer>>,
    {
        let closed = |_| StoreError::Unavailable("the store is closed".into());
        let _room = self.room.acquire().await.map_err(closed)?;
        let mut told = self.wait(&entry);
        loop {
            tokio::select! {
                biased;
                answer = &mut told => match answer {
                    Ok(answer) => return answer,
                    Err(_) => told = self.wait(&entry),
                },
                _turn = self.turn.lock() => match told.try_recv() {
                    Ok(answer) => return answer,
                    Err(TryRecvError::Closed) => told = self.wait(&entry),
                    Err(TryRecvError::Empty) => self.write_group(&write).await,
                },
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiting<T>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, entry: &T) -> oneshot::Receiver<Answer> {
        let (told, answer) = oneshot::channel();
        let entry = entry.clone();
        self.lock().push_back(Waiting { entry, told });
        answer
    }

    async fn write_group<F>(&self, write: impl Fn(Vec<T>) -> F)
    where
        F: Future<Output = Vec<Answer>>,
    {
        let group: Vec<Waiting<T>> = {
            let mut waiting = self.lock();
            // Whoever went away meanwhile has no entry any more.
            waiting.retain(|one| !one.told.is_closed());
            let count = waiting.len().min(GROUP_MAX);
            waiting.drain(..count).collect()
        };
        let entries = group.iter().map(|one| one.entry.clone()).collect();
        let answers = write(entries).await;
        for (one, answer) in group.into_iter().zip(answers) {
            // Nobody may be waiting for it any more.
            one.told.send(answer).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::task::JoinSet;

    fn gone() -> StoreError {
        StoreError::Unavailable("gone".into())
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_is_written_for_when_the_writer_goes_away() {
        let pen = Pen::default();
        let slow = |group: Vec<u32>| async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            group.iter().map(|_| Ok(())).collect()
        };
        let quick = |group: Vec<u32>| async move { group.iter().map(|_| Ok(())).collect() };
        let first = tokio::time::timeout(Duration::from_secs(1), pen.write(1, slow));
        let (first, second) = tokio::join!(first, pen.write(2, quick));
        assert!(first.is_err());
        assert_eq!(second, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn each_hears_its_own_answer() {
        let pen = Pen::default();
        let write = |group: Vec<u32>| async move {
            let one = |entry: &u32| if *entry == 2 { Err(gone()) } else { Ok(()) };
            group.iter().map(one).collect()
        };
        let answers = tokio::join!(
            pen.write(1, write),
            pen.write(2, write),
            pen.write(3, write)
        );
        assert_eq!(answers, (Ok(()), Err(gone()), Ok(())));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_while_somebody_writes_shares_the_next_group() {
        let pen = Arc::new(Pen::default());
        let groups = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for entry in 0..100 {
            let (pen, groups) = (Arc::clone(&pen), Arc::clone(&groups));
            callers.spawn(async move {
                let write = |group: Vec<u32>| {
                    groups.fetch_add(1, Ordering::SeqCst);
                    async move {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        group.iter().map(|_| Ok(())).collect()
                    }
                };
                pen.write(entry, write).await
            });
        }
        assert!(callers.join_all().await.iter().all(Result::is_ok));
        assert!(groups.load(Ordering::SeqCst) <= 2, "{groups:?}");
    }
}
