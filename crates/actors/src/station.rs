//! What a stage owns beyond the life of its supervisor: slots, attempts, the settler.
//!
//! A supervisor can be lost and started again without disturbing an attempt, because the attempts
//! are not its own but the station's.

use crate::attempt;
use crate::hands::Hands;
use crate::intake::Slots;
use crate::launch::{self, Launch};
use crate::panics::Panic;
use crate::root::Setup;
use crate::settler::{End, Settler};
use actix::{Actor, Addr};
use domain::control::Hold;
use domain::event::Event;
use domain::flow::Stage;
use domain::names::{Holder, Version};
use domain::oops::{OopsId, Scene};
use domain::ports::{Handler, LetsGo};
use domain::ticket::Name;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How many outcomes of one stage may be on their way to being durable while its slots already
/// work on: enough for two full groups.
pub(crate) const SETTLING_WINDOW: usize = 1_024;

/// How long a look at the handler is good for.
const SCENE_FRESH: Duration = Duration::from_millis(20);

/// The slots that an intake waits for, or offers to whatever comes next.
pub(crate) type OfferedSlots = Arc<Mutex<Option<Slots>>>;

/// One stage at work.
pub(crate) struct Station {
    pub(crate) rules: Stage,
    pub(crate) setup: Arc<Setup>,
    pub(crate) handler: Arc<dyn Handler>,
    /// One permit a worker; travels with the attempt until its handler has let go.
    pub(crate) slots: Arc<Semaphore>,
    /// One permit an outcome that is not durable yet.
    pub(crate) settling: Arc<Semaphore>,
    /// The one permit of this process for a ticket that is on trial: if two of them were started in
    /// it when it died, nobody could say who did it. Taken before the start is written down, and
    /// given back once the outcome is durable.
    pub(crate) trial: Arc<Semaphore>,
    /// Shared while a group is started, alone while a hold comes into force: never both at once.
    pub(crate) gate: Arc<tokio::sync::RwLock<()>>,
    offered: Mutex<OfferedSlots>,
    /// Somebody else than the intake needs a slot, and the intake may offer all that are free.
    wanted: Notify,
    attempts: Mutex<JoinSet<()>>,
    pub(crate) hands: Hands,
    /// What is being started.
    launches: Mutex<Vec<Arc<Launch>>>,
    looked: Mutex<Option<(Instant, Arc<Scene>)>>,
    settler: Mutex<Option<Addr<Settler>>>,
    held: watch::Sender<bool>,
    /// The version of the handler that could not be started.
    held_with: Mutex<Option<Version>>,
    quiet: watch::Sender<bool>,
    panicked: AtomicBool,
}

/// What an outcome keeps taken until it is durable.
pub(crate) struct Room {
    _window: OwnedSemaphorePermit,
    _trial: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Room for an outcome of one that has this permit, if it is on trial.
    pub(crate) const fn new(
        window: OwnedSemaphorePermit,
        trial: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            _window: window,
            _trial: trial,
        }
    }
}

impl Station {
    pub(crate) fn new(
        rules: Stage,
        handler: Arc<dyn Handler>,
        setup: Arc<Setup>,
        trial: Arc<Semaphore>,
    ) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(rules.concurrency.get())),
            settling: Arc::new(Semaphore::new(SETTLING_WINDOW)),
            trial,
            rules,
            setup,
            handler,
            gate: Arc::default(),
            offered: Mutex::default(),
            wanted: Notify::new(),
            attempts: Mutex::default(),
            hands: Hands::default(),
            launches: Mutex::default(),
            looked: Mutex::default(),
            settler: Mutex::default(),
            held: watch::Sender::new(false),
            held_with: Mutex::default(),
            quiet: watch::Sender::new(false),
            panicked: AtomicBool::new(false),
        }
    }

    pub(crate) fn observe(&self, event: &Event) {
        self.setup.observer.observe(self.setup.clock.now(), event);
    }

    /// The report about this attempt is durable.
    pub(crate) fn told(&self, name: Name, oops: OopsId) {
        let stage = self.rules.name.clone();
        self.observe(&Event::OopsRecorded { oops, name, stage });
    }

    /// Who runs attempts here now. Looked at again and again, because replacing the handler's file
    /// is a deployment; but not for each of a thousand starts a second.
    pub(crate) fn scene(&self) -> Arc<Scene> {
        let mut looked = lock(&self.looked);
        if let Some((at, scene)) = &*looked
            && at.elapsed() < SCENE_FRESH
        {
            return Arc::clone(scene);
        }
        let scene = Arc::new(Scene {
            holder: self.setup.holder.clone(),
            hostname: self.setup.hostname.clone(),
            version: self.handler.inspect().version,
        });
        *looked = Some((Instant::now(), Arc::clone(&scene)));
        scene
    }

    pub(crate) fn holder(&self) -> Holder {
        self.setup.holder.clone()
    }

    /// Runs an attempt to its end, whatever becomes of the supervisor. Call on the stage's arbiter.
    pub(crate) fn spawn(&self, attempt: impl Future<Output = ()> + 'static) {
        lock(&self.attempts).spawn_local(attempt);
    }

    /// The same, and its first step is made at once: whatever blocks this thread next, what this
    /// is about lies by then where another thread can reach it.
    pub(crate) fn begin(&self, attempt: impl Future<Output = ()> + 'static) {
        let mut attempt = Box::pin(attempt);
        let mut quiet = Context::from_waker(Waker::noop());
        match catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(&mut quiet))) {
            Ok(Poll::Pending) => self.spawn(attempt), // Which polls it again.
            Ok(Poll::Ready(())) => {}
            Err(panic) => {
                let why = Panic::caught(&*panic).message;
                tracing::error!(stage = %self.rules.name, "a group died of a bug: {why}; its tickets go around");
            }
        }
    }

    /// Ends every attempt and the settler where they are; what they held goes back to the broker.
    pub(crate) fn end(&self) {
        lock(&self.attempts).abort_all();
        for launch in std::mem::take(&mut *lock(&self.launches)) {
            launch.end();
        }
        if let Some(settler) = lock(&self.settler).take() {
            settler.do_send(End);
        }
    }

    /// Forgets attempts that have ended. One that panicked is a bug of ours: its delivery was
    /// dropped, so the ticket comes back as a suspect.
    pub(crate) fn reap(&self) {
        let mut attempts = lock(&self.attempts);
        while let Some(ended) = attempts.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(stage = %self.rules.name, %error, "an attempt died of a bug in goaround; its ticket goes around");
            }
        }
    }

    /// This group is being started.
    pub(crate) fn launched(&self, launch: &Arc<Launch>) {
        lock(&self.launches).push(Arc::clone(launch));
    }

    pub(crate) fn seen_off(&self, launch: &Arc<Launch>) {
        lock(&self.launches).retain(|other| !Arc::ptr_eq(other, launch));
    }

    /// Goes on, on this thread, with what was begun on one that does not answer any more: groups
    /// are seen off here, and handlers that wait there, and could wait for ever, are dropped. Only
    /// the one that blocks that thread stays, and what lets go on request only.
    pub(crate) fn take_over(self: &Arc<Self>) {
        drop(self.settler()); // Here, and not on a thread that may be blocked again.
        let launches = lock(&self.launches).clone();
        for launch in launches {
            if launch.take_over() {
                self.spawn(launch::see_off(Arc::clone(self), launch));
            }
        }
        if self.handler.lets_go() == LetsGo::WhenStopped {
            return;
        }
        let here = std::thread::current().id();
        for grip in self.hands.all() {
            if grip.thread != here
                && let Some(load) = grip.take_over()
            {
                self.hands.let_go(&grip);
                self.spawn(attempt::take_over(Arc::clone(self), grip, load));
            }
        }
    }

    /// Whether one that has waited here may still be started.
    pub(crate) fn lets_start(&self, name: Name) -> bool {
        let (stage, holder) = (&self.rules.name, &self.setup.holder);
        !self.is_held() && self.hands.may_start(stage, holder, name)
    }

    /// The settler; a new one when the last was lost. Call on the stage's arbiter.
    pub(crate) fn settler(self: &Arc<Self>) -> Addr<Settler> {
        let mut settler = lock(&self.settler);
        match &*settler {
            Some(addr) if addr.connected() => addr.clone(),
            _ => settler
                .insert(Settler::new(Arc::clone(self)).start())
                .clone(),
        }
    }

    /// One slot, for a delivery that was taken in before; the intake then has to offer its own
    /// anew.
    ///
    /// # Cancel safety
    /// Safe: a slot that was not returned was not taken.
    pub(crate) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        let slot = Arc::clone(&self.slots).acquire_owned();
        // In line before the intake is, when that gives back what it offers.
        let ask = async {
            self.wanted.notify_one();
            std::future::pending().await
        };
        tokio::select! {
            biased;
            slot = slot => slot.ok(),
            never = ask => never,
        }
    }

    /// Waits until somebody needs one of the slots that are offered.
    pub(crate) async fn slot_is_wanted(&self) {
        self.wanted.notified().await;
    }

    /// Notes which slots wait for deliveries.
    pub(crate) fn offer(&self, slots: OfferedSlots) {
        *lock(&self.offered) = slots;
    }

    /// The intake's arbiter does not answer: its slots and its place in line are for the next one.
    pub(crate) fn leave_intake(&self) {
        let offered = Arc::clone(&lock(&self.offered));
        lock(&offered).take();
    }

    /// The settler's arbiter does not answer: whatever ends from now on gets another one. The old
    /// one keeps what it has and settles it should it ever answer again.
    pub(crate) fn leave_settler(&self) {
        *lock(&self.settler) = None;
    }

    /// Whether this is the first to find that the handler cannot be started. The others found the
    /// same thing at the same time; one OOPS tells it for all.
    pub(crate) fn is_first_to_hold(&self) -> bool {
        !self.held.send_replace(true)
    }

    /// Waits until the handler is not known to be one that cannot be started. The broker keeps to
    /// the hold as soon as it is durable; this covers the moment before.
    pub(crate) async fn unheld(&self) {
        self.held.subscribe().wait_for(|held| !held).await.ok(); // The sender is ours.
    }

    /// Whether the handler is known to be one that cannot be started.
    pub(crate) fn is_held(&self) -> bool {
        *self.held.borrow()
    }

    /// Remembers which handler could not be started, to notice when it is another.
    pub(crate) fn hold_with(&self, hold: &Hold) {
        lock(&self.held_with).clone_from(&hold.version);
    }

    /// The version of the handler that could not be started, if one could not.
    pub(crate) fn held_with(&self) -> Option<Version> {
        lock(&self.held_with).clone()
    }

    pub(crate) fn unhold(&self) {
        *lock(&self.held_with) = None;
        self.held.send_replace(false);
    }

    /// The supervisor died of a panic.
    pub(crate) fn note_panic(&self) {
        self.panicked.store(true, Ordering::Release);
    }

    /// Whether the supervisor that was lost died of a panic; asked once a loss.
    pub(crate) fn has_panicked(&self) -> bool {
        self.panicked.swap(false, Ordering::AcqRel)
    }

    /// Take no more; finish what is in hand.
    pub(crate) fn go_quiet(&self) {
        self.quiet.send_replace(true);
    }

    pub(crate) fn quiet(&self) -> watch::Receiver<bool> {
        self.quiet.subscribe()
    }

    /// Whether nothing is at work or on its way to being durable.
    pub(crate) fn is_idle(&self) -> bool {
        self.slots.available_permits() == self.rules.concurrency.get()
            && self.settling.available_permits() == SETTLING_WINDOW
    }
}

/// A lock whose holder panicked still guards whole values: each critical section is one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
