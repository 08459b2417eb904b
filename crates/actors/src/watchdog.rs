//! The watchdog: hears the workers' heartbeats as they are sent, and tells when one falls silent.
//!
//! It needs neither the books nor the one that leads, so it still sees when those are gone. A
//! controller hears them in the same way, to tell by how many workers the desired state is applied;
//! that holds for one that does not lead, too.

mod pulses;

use crate::kept::{Ears, keep};
use crate::station::lock;
use domain::control::Reach;
use domain::fleet::{Heartbeat, LAPSE};
use domain::names::StageName;
use domain::ports::{Clock, Observer, Vitals};
use pulses::{Pulses, Turn};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

pub use pulses::Pulse;

/// The most heartbeats that are taken at once.
const GROUP_MAX: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();
/// How often it is looked who has fallen silent.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells how far a revision of the desired state has come at each stage that a live worker serves;
/// `None` as long as it is not known who is alive.
pub type Reaches = Arc<dyn Fn(u64) -> Option<BTreeMap<StageName, Reach>> + Send + Sync>;

/// The watchdog at work; dropped, it ends.
pub struct Watchdog {
    shared: Arc<Shared>,
    clock: Arc<dyn Clock>,
    _tasks: JoinSet<()>,
}

struct Shared {
    pulses: Mutex<Pulses>,
    /// Why nothing is heard at the moment, if so.
    deaf: Mutex<Option<String>>,
}

impl Watchdog {
    /// Begins to listen, on the current arbiter, and logs who comes and who falls silent.
    pub fn start(
        vitals: Arc<dyn Vitals>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self::listen(vitals, Ears { clock, observer }, tell)
    }

    /// The same without a word in the log, where somebody else tells who comes and goes.
    pub fn start_silent(
        vitals: Arc<dyn Vitals>,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self::listen(vitals, Ears { clock, observer }, |_| {})
    }

    fn listen(vitals: Arc<dyn Vitals>, ears: Ears, tell: fn(&Turn)) -> Self {
        let shared = Arc::new(Shared {
            pulses: Mutex::default(),
            deaf: Mutex::new(Some("it has only begun to listen".into())),
        });
        let mut tasks = JoinSet::new();
        let (here, clock) = (Arc::clone(&shared), Arc::clone(&ears.clock));
        let its_clock = Arc::clone(&clock);
        tasks.spawn_local(keep("watch", ears, async move || {
            let why = listen(&*vitals, &*its_clock, &here, tell).await;
            *lock(&here.deaf) = Some(why.clone());
            lock(&here.pulses).deafen();
            why
        }));
        Self {
            shared,
            clock,
            _tasks: tasks,
        }
    }

    /// Answers, from any thread, whether it hears the workers; the error says why not.
    pub fn readiness(&self) -> Arc<dyn Fn() -> Result<(), String> + Send + Sync> {
        let shared = Arc::clone(&self.shared);
        Arc::new(move || match &*lock(&shared.deaf) {
            Some(why) => Err(format!("the watchdog does not hear the workers: {why}")),
            None => Ok(()),
        })
    }

    /// Answers, from any thread, what each worker last said of itself and when.
    pub fn pulses(&self) -> Arc<dyn Fn() -> Vec<Pulse> + Send + Sync> {
        let shared = Arc::clone(&self.shared);
        Arc::new(move || lock(&shared.pulses).all())
    }

    /// Answers, from any thread, how far a revision of the desired state has come.
    pub fn reaches(&self) -> Reaches {
        let (shared, clock) = (Arc::clone(&self.shared), Arc::clone(&self.clock));
        Arc::new(move |revision| lock(&shared.pulses).reach(revision, clock.now()))
    }
}

/// Listens for ever; returns why it could not.
async fn listen(
    vitals: &dyn Vitals,
    clock: &dyn Clock,
    shared: &Shared,
    tell: fn(&Turn),
) -> String {
    let mut beats = match vitals.listen().await {
        Ok(beats) => beats,
        Err(error) => return format!("the heartbeats could not be listened to: {error}"),
    };
    *lock(&shared.deaf) = None;
    // Who could not be heard while nothing was has not fallen silent.
    lock(&shared.pulses).excuse(clock.now());
    let mut look_at = Instant::now() + LOOK_EVERY;
    loop {
        tokio::select! {
            biased;
            () = sleep_until(look_at) => look_at = Instant::now() + LOOK_EVERY,
            heard = beats.next(GROUP_MAX) => match heard {
                Ok(heard) => {
                    let turns = lock(&shared.pulses).hear(heard, clock.now());
                    turns.iter().for_each(tell);
                    if let Err(error) = beats.done().await {
                        return format!("the heartbeats could not be taken: {error}");
                    }
                }
                Err(ended) => return format!("the heartbeats ended: {}", ended.why),
            },
        }
        let turns = lock(&shared.pulses).look(clock.now());
        turns.iter().for_each(tell);
    }
}

fn tell(turn: &Turn) {
    let (Turn::New(beat) | Turn::Silent(beat, _) | Turn::Back(beat)) = turn;
    let Heartbeat {
        holder, hostname, ..
    } = beat;
    match turn {
        Turn::New(_) => tracing::info!(%holder, "worker {holder} on {hostname} is there"),
        Turn::Back(_) => tracing::info!(%holder, "worker {holder} on {hostname} is heard again"),
        Turn::Silent(_, in_hand) => {
            let lapse = LAPSE.as_secs();
            tracing::warn!(
                %holder,
                in_hand,
                "worker {holder} on {hostname} has not been heard for {lapse} s; when it spoke \
                 last it had {in_hand} tickets in hand"
            );
        }
    }
}
