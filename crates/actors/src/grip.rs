//! One attempt in hand, as much of it as can be seen and done from another thread.
//!
//! A thread that a handler blocks does nothing else, and nobody can take it away. So whatever else
//! was begun on it lies where another thread can reach it: the handlers, of which none is polled
//! but the one that blocks, what those have said that are done, and the deliveries.

use crate::panics::Panic;
use crate::station::lock;
use crate::stop::Stop;
use async_trait::async_trait;
use domain::deadline::Deadline;
use domain::delivery::{Delivery, Start, Started};
use domain::flow::Stage;
use domain::oops::{Report, Source, Span};
use domain::outcome::{Attempted, Failure, Outcome, OutcomeKind};
use domain::ports::{self, Handler, LetsGo, StopReason, StopSignal};
use domain::ticket::Ticket;
use domain::time::Timestamp;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, TryLockError};
use std::task::{Context, Poll};
use std::thread::ThreadId;
use tokio::sync::OwnedSemaphorePermit;

/// One attempt in hand.
pub(crate) struct Grip {
    pub(crate) ticket: Arc<Ticket>,
    /// Whether it is on trial.
    pub(crate) is_alone: bool,
    /// The thread that its handler runs on.
    pub(crate) thread: ThreadId,
    pub(crate) stop: Stop,
    start: Start,
    /// How often its handler was entered and left: odd while it runs.
    steps: AtomicU64,
    /// Locked while the handler runs.
    work: Mutex<Work>,
    /// What the handler has said.
    said: Mutex<Option<Attempted>>,
    load: Mutex<Option<Load>>,
    verdict: OnceLock<Failure>,
    is_told: AtomicBool,
}

/// What is in hand.
pub(crate) struct Load {
    pub(crate) delivery: Delivery<Started>,
    pub(crate) slot: OwnedSemaphorePermit,
    pub(crate) trial: Option<OwnedSemaphorePermit>,
}

/// The handler.
enum Work {
    /// It has not begun.
    Ahead,
    Begun(BoxFuture<'static, Attempted>),
    /// Nothing of it is left.
    Over,
}

impl Grip {
    /// A grip on an attempt whose handler will run on this thread.
    pub(crate) fn new(load: Load) -> Self {
        let delivery = &load.delivery;
        Self {
            ticket: Arc::clone(delivery.ticket()),
            is_alone: delivery.is_alone(),
            thread: std::thread::current().id(),
            stop: Stop::default(),
            start: delivery.start().clone(),
            steps: AtomicU64::new(0),
            work: Mutex::new(Work::Ahead),
            said: Mutex::new(None),
            load: Mutex::new(Some(load)),
            verdict: OnceLock::new(),
            is_told: AtomicBool::new(false),
        }
    }

    /// What is in hand; `None` once somebody has it.
    pub(crate) fn unload(&self) -> Option<Load> {
        lock(&self.load).take()
    }

    /// The handler has said this.
    pub(crate) fn say(&self, attempted: Attempted) {
        *lock(&self.said) = Some(attempted);
    }

    /// What the handler has said, for the one who has the load.
    pub(crate) fn said(&self) -> Option<Attempted> {
        lock(&self.said).take()
    }

    /// Takes it out of the hands of a thread that does not answer: its handler is dropped where it
    /// is, and never polled again. `None` when the handler has that very thread.
    pub(crate) fn take_over(&self) -> Option<Load> {
        let mut work = match self.work.try_lock() {
            Ok(work) => work,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let left = std::mem::replace(&mut *work, Work::Over);
        // What a destructor does is none of our affair. While it runs, the handler has not let go.
        catch_unwind(AssertUnwindSafe(|| drop(left))).ok();
        drop(work);
        self.stop.fire(StopReason::Cancelled);
        self.unload()
    }

    /// What ends it if it is not done.
    pub(crate) fn deadline(&self, rules: &Stage) -> Deadline {
        Deadline::of(&self.ticket, rules, self.start.at)
    }

    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Decides that it has timed out, before its handler has let go. Returns whether this is new.
    pub(crate) fn condemn(&self, failure: Failure) -> bool {
        self.verdict.set(failure).is_ok()
    }

    /// What was decided while its handler did not let go.
    pub(crate) fn verdict(&self) -> Option<&Failure> {
        self.verdict.get()
    }

    /// What to report of the verdict while the handler still runs: the same as what the attempt
    /// reports when it ends, but for how long it took.
    pub(crate) fn to_report(&self, now: Timestamp) -> Option<Report> {
        let failure = self.verdict()?.clone();
        let span = Span {
            started_at: self.start.at,
            ended_at: now,
        };
        let (kind, scene) = (OutcomeKind::TimedOut, &self.start.scene);
        let mut report = Report::new(&self.ticket, kind, failure, scene, span);
        report.source = Source::Supervisor;
        Some(report)
    }

    /// Its report is durable. Returns whether this is new: it is announced once, whoever is first.
    pub(crate) fn is_first_to_tell(&self) -> bool {
        !self.is_told.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_told(&self) -> bool {
        self.is_told.load(Ordering::Acquire)
    }
}

#[async_trait]
impl StopSignal for Grip {
    async fn stopped(&self) -> StopReason {
        self.stop.stopped().await
    }
}

/// A grip that goes back to the broker with all that is in hand, unless that was taken before.
pub(crate) struct Carried(pub(crate) Arc<Grip>);

impl Drop for Carried {
    fn drop(&mut self) {
        drop(self.0.unload());
    }
}

/// A handler at work. Dropped, it takes the handler with it.
pub(crate) struct AtWork {
    pub(crate) grip: Arc<Grip>,
    pub(crate) handler: Arc<dyn Handler>,
    /// Until it begins.
    pub(crate) context: Option<ports::Context>,
}

impl AtWork {
    /// Whether it was stopped before it began, and need not hear of that itself.
    fn is_called_off(&self) -> bool {
        self.grip.stop.reason().is_some() && self.handler.lets_go() == LetsGo::WhenDropped
    }

    /// The handler's work; nothing, if it has begun before.
    fn begin(&mut self) -> Option<BoxFuture<'static, Attempted>> {
        let context = self.context.take()?;
        let (handler, ticket) = (Arc::clone(&self.handler), Arc::clone(&self.grip.ticket));
        Some(async move { handler.handle(ticket, context).await }.boxed())
    }
}

impl Future for AtWork {
    /// The panic of which its handler died, whose frames have no names yet.
    type Output = Option<Panic>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Panic>> {
        let grip = Arc::clone(&self.grip);
        // What it says is in the grip before anybody else can look at it.
        let mut work = lock(&grip.work);
        if matches!(*work, Work::Ahead)
            && !self.is_called_off()
            && let Some(begun) = self.begin()
        {
            *work = Work::Begun(begun);
        }
        let Work::Begun(handler) = &mut *work else {
            return Poll::Pending; // Whoever took it over, or called it off, has stopped us.
        };
        let _inside = Inside::enter(&grip);
        match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(attempted)) => {
                grip.say(attempted);
                Poll::Ready(None)
            }
            Err(panic) => {
                let panic = Panic::caught(&*panic);
                let nameless = Failure::new("Panic", panic.message.clone());
                grip.say(Outcome::Crashed(nameless).into());
                Poll::Ready(Some(panic))
            }
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        let mut work = lock(&self.grip.work);
        // A destructor may block the thread, too.
        let _inside = Inside::enter(&self.grip);
        *work = Work::Over;
    }
}

/// The handler has the thread; it gives it back also when it panics.
struct Inside<'a>(&'a Grip);

impl<'a> Inside<'a> {
    fn enter(grip: &'a Grip) -> Self {
        grip.steps.fetch_add(1, Ordering::Relaxed);
        Self(grip)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.steps.fetch_add(1, Ordering::Relaxed);
    }
}
