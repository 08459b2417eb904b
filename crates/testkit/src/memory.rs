//! A broker and a store in memory, with exactly the promises of the ports.
//!
//! One lock, one structure, ordered maps: the same calls in the same order have the same outcome.
//! A [`Memory`] is one process's handle. [`Memory::crash`] is what a SIGKILL would be: every lease
//! is lost, handles and receipts of that process are dead, and [`Memory::restart`] gives a handle
//! to the next one.

mod broker;
mod catalog;
mod crash;
mod desk;
mod holds;
mod oopses;
mod orders;
mod plans;
mod queue;
mod releases;
mod repair;
mod settle;
mod state;
mod trials;
mod unique;
mod waits;

use domain::flow::Flows;
use domain::names::Holder;
use domain::ports::{Clock, StoreError};
use domain::ticket::{Ticket, TicketId};
use domain::time::Timestamp;
pub(crate) use trials::TURN;

use queue::{Doubt, Queued};
use state::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// One process's handle to a broker and a store in memory.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
    incarnation: u64,
}

struct Shared {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
    /// Wakes consumers and followers in the order in which they began to wait.
    changed: Notify,
    /// Wakes the controller.
    attention: Notify,
}

impl Memory {
    /// An empty broker and store.
    pub fn new(flows: Arc<Flows>, clock: Arc<dyn Clock>) -> Self {
        let shared = Shared {
            state: Mutex::new(State::new(flows)),
            clock,
            changed: Notify::new(),
            attention: Notify::new(),
        };
        Self {
            shared: Arc::new(shared),
            incarnation: 0,
        }
    }

    /// The process dies here: its leases are lost, and so is every word that it still has to say.
    pub fn crash(&self) {
        self.shared.crash(self.incarnation);
    }

    /// The handle of the next process, on the same data. This one dies if it has not yet.
    pub fn restart(&self) -> Self {
        self.crash();
        let incarnation = self.shared.lock().incarnation;
        let shared = Arc::clone(&self.shared);
        Self {
            shared,
            incarnation,
        }
    }

    /// The handle of the next process, which is configured otherwise: tickets that were unclaimed
    /// and are taken now become runnable.
    pub fn restart_with(&self, flows: Arc<Flows>) -> Self {
        let next = self.restart();
        next.shared.change(|state, now| state.configure(flows, now));
        next
    }

    /// From now on this ticket cannot be read when it is delivered.
    pub fn garble(&self, ticket: TicketId, why: &str) {
        if let Some(row) = self.shared.lock().rows.get_mut(&ticket) {
            row.garbled = Some(why.into());
        }
    }

    /// Delivers a copy of what was settled already, as a suspect: what a broker does that did not
    /// hear the acknowledgement.
    pub fn duplicate(&self, ticket: Arc<Ticket>, holder: Holder, started_at: Option<Timestamp>) {
        let ghost = Queued {
            ticket,
            doubt: Some(Doubt { holder, started_at }),
            is_ghost: true,
        };
        self.shared.change(|state, _| state.push(ghost));
    }

    /// How many deliveries are out.
    pub fn in_hand(&self) -> usize {
        self.shared.lock().leases.len()
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> Result<T, StoreError> {
        let state = self.shared.lock();
        self.check(&state)?;
        Ok(read(&state))
    }

    /// Changes the state as one step, then wakes whoever waits for it.
    fn write<T>(&self, write: impl FnOnce(&mut State, Timestamp) -> T) -> Result<T, StoreError> {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        self.check(&state)?;
        let answer = write(&mut state, now);
        drop(state);
        self.shared.wake();
        Ok(answer)
    }

    fn check(&self, state: &State) -> Result<(), StoreError> {
        if state.incarnation == self.incarnation {
            Ok(())
        } else {
            Err(gone())
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State, Timestamp)) {
        let now = self.clock.now();
        change(&mut self.lock(), now);
        self.wake();
    }

    fn wake(&self) {
        let wants_attention = std::mem::take(&mut self.lock().attention);
        if wants_attention {
            self.attention.notify_one();
        }
        self.changed.notify_waiters();
    }
}

fn gone() -> StoreError {
    StoreError::Unavailable("this process is dead: another one has taken over its data".into())
}
