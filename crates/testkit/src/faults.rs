//! A broker and a store that break what they may break, by a plan that follows from a seed.
//!
//! [`Faulty`] is [`Memory`] behind faults: it refuses, delays, delivers twice, drops subscriptions
//! and crashes the process, each with its chance, until the budget is spent. What it does not do is
//! what no port may do: lie about what is durable.

mod ports;

use crate::dice::Dice;
use crate::memory::Memory;
use domain::flow::Flows;
use domain::ports::StoreError;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The store says no; nothing was changed.
    Refuse,
    /// It takes long.
    Delay,
    /// What was settled is delivered again.
    Duplicate,
    /// A subscription ends.
    EndStream,
    /// A report cannot be made durable.
    RefuseReport,
    /// The process dies before what was asked for is done.
    CrashBefore,
    /// The process dies after it is done, and before anybody hears of it.
    CrashAfter,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Refuse,
        Self::Delay,
        Self::Duplicate,
        Self::EndStream,
        Self::RefuseReport,
        Self::CrashBefore,
        Self::CrashAfter,
    ];
}

/// How often what goes wrong, and how often at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// How many of a thousand calls each fault hits; a fault that is not named never comes.
    pub per_mille: BTreeMap<Fault, u32>,
    /// How many faults there are altogether, so that every run comes to an end.
    pub budget: u32,
    /// The longest delay.
    pub delay_max: Duration,
}

impl Faults {
    /// Nothing goes wrong.
    pub const fn none() -> Self {
        Self {
            per_mille: BTreeMap::new(),
            budget: 0,
            delay_max: Duration::ZERO,
        }
    }
}

/// [`Memory`] behind faults; the handle of one process.
#[derive(Clone)]
pub struct Faulty {
    memory: Memory,
    chaos: Arc<Chaos>,
    /// Set when a fault kills this process.
    died: Arc<Notify>,
}

struct Chaos {
    faults: Faults,
    luck: Mutex<Luck>,
}

struct Luck {
    dice: Dice,
    left: u32,
    struck: BTreeMap<Fault, u32>,
}

impl Chaos {
    fn luck(&self) -> MutexGuard<'_, Luck> {
        self.luck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the fault strikes now.
    fn strikes(&self, fault: Fault) -> bool {
        let chance = self.faults.per_mille.get(&fault).copied().unwrap_or(0);
        let mut luck = self.luck();
        // Drawn in any case, so that a spent budget does not shift what else is drawn.
        let strikes = luck.dice.happens(chance) && luck.left > 0;
        if strikes {
            luck.left -= 1;
            *luck.struck.entry(fault).or_default() += 1;
        }
        strikes
    }

    fn delay(&self) -> Duration {
        let most = u64::try_from(self.faults.delay_max.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.luck().dice.between(0, most))
    }
}

impl Faulty {
    /// Puts faults before a memory.
    pub fn new(memory: Memory, faults: Faults, dice: Dice) -> Self {
        let luck = Luck {
            dice,
            left: faults.budget,
            struck: BTreeMap::new(),
        };
        Self {
            memory,
            chaos: Arc::new(Chaos {
                faults,
                luck: Mutex::new(luck),
            }),
            died: Arc::new(Notify::new()),
        }
    }

    /// What is behind the faults.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Waits until a fault kills this process. Whoever hears it ends the process's actors.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// Kills this process.
    pub fn kill(&self) {
        self.memory.crash();
        self.died.notify_one();
    }

    /// The handle of the next process; the faults go on where they were.
    pub fn restart(&self) -> Self {
        self.next(self.memory.restart())
    }

    /// The handle of the next process, which is configured otherwise.
    pub fn restart_with(&self, flows: Arc<Flows>) -> Self {
        self.next(self.memory.restart_with(flows))
    }

    fn next(&self, memory: Memory) -> Self {
        Self {
            memory,
            chaos: Arc::clone(&self.chaos),
            died: Arc::new(Notify::new()),
        }
    }

    /// No more faults from now on.
    pub fn heal(&self) {
        self.chaos.luck().left = 0;
    }

    /// How often each fault has struck.
    pub fn struck(&self) -> BTreeMap<Fault, u32> {
        self.chaos.luck().struck.clone()
    }

    /// What may happen before anything is done.
    async fn before(&self) -> Result<(), StoreError> {
        if self.chaos.strikes(Fault::Delay) {
            sleep(self.chaos.delay()).await;
        }
        if self.chaos.strikes(Fault::CrashBefore) {
            self.die().await;
        }
        if self.chaos.strikes(Fault::Refuse) {
            return Err(StoreError::Unavailable("a fault refused it".into()));
        }
        Ok(())
    }

    /// What may happen when it is done and nobody has heard of it.
    async fn after(&self) {
        if self.chaos.strikes(Fault::CrashAfter) {
            self.die().await;
        }
    }

    /// The dead say nothing more: this never returns.
    async fn die(&self) {
        self.kill();
        std::future::pending::<()>().await;
    }
}
