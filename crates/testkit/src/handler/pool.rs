//! A process with several attempts in it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::Notify;

/// The process that a handler's attempts share. When it dies, the next one is started at once.
#[derive(Default)]
pub(super) struct Pool(Mutex<Arc<Process>>);

/// One process. Everybody in it holds on to it.
#[derive(Default)]
struct Process {
    /// Once it is dead: how many others each attempt had beside it.
    beside: OnceLock<u32>,
    /// Wakes them in the order in which they came in, so that a story can be told again.
    died: Notify,
}

/// An attempt's place in the process.
pub(super) struct Seat(Arc<Process>);

impl Pool {
    pub(super) fn enter(&self) -> Seat {
        let process = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Seat(Arc::clone(&process))
    }

    /// Everybody in it hears of it; says how many others there were beside the one that did it.
    pub(super) fn kill(&self) -> u32 {
        let mut process = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let dead = std::mem::take(&mut *process);
        // Without what is held here, and without the one who kills it.
        let others = Arc::strong_count(&dead).saturating_sub(2);
        let beside = u32::try_from(others).unwrap_or(u32::MAX);
        let beside = *dead.beside.get_or_init(|| beside);
        dead.died.notify_waiters();
        beside
    }
}

impl Seat {
    /// Waits until the process is dead; says how many others were in it.
    pub(super) async fn died(&self) -> u32 {
        loop {
            let died = self.0.died.notified();
            tokio::pin!(died);
            // Listen first, look then: nothing that happens in between is missed.
            died.as_mut().enable();
            if let Some(beside) = self.0.beside.get() {
                return *beside;
            }
            died.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_is_in_it_when_it_dies_hears_who_else_was() {
        let pool = Pool::default();
        let (killer, bystander, gone) = (pool.enter(), pool.enter(), pool.enter());
        drop(gone);
        assert_eq!(pool.kill(), 1);
        assert_eq!((killer.died().await, bystander.died().await), (1, 1));
        let next = pool.enter();
        assert_eq!(pool.kill(), 0);
        assert_eq!(next.died().await, 0);
    }

    #[test]
    fn an_empty_one_has_nobody_beside() {
        assert_eq!(Pool::default().kill(), 0);
    }
}
