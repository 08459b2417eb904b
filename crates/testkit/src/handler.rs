//! Handlers that do as they are told.

mod pool;

use async_trait::async_trait;
use domain::names::Version;
use domain::outcome::{Attempted, Done, Failure, Outcome, Pending};
use domain::ports::{Context, Handler, Inspection, LetsGo};
use domain::ticket::{Hop, Name, Ticket, TicketId};
use pool::Pool;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What a scripted handler does with one attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Says that it is done.
    Done,
    /// Says that it is done, and what comes of it.
    DoneWith(Done),
    /// Says that it failed.
    Fail,
    /// Says that the ticket is wrong.
    Reject,
    /// Says that it died of a signal.
    Crash,
    /// Its process dies, and with it every attempt that the handler has in there. An attempt on
    /// trial has a process of its own.
    KillProcess,
    /// The worker itself dies, and everybody in it.
    KillWorker,
    /// Asks for a later try.
    NotNow(Option<Duration>),
    /// Waits so long for an outside event.
    Pending(Duration),
    /// Cannot be started.
    Unstartable,
    /// Panics.
    Panic,
    /// Runs until it is stopped, then says that it was.
    Hang,
    /// Runs for ever and hears nothing; only dropping it helps.
    Deaf,
    /// Takes so long, then goes on with the step inside.
    After(Duration, Box<Step>),
    /// Blocks its thread for so long of real time, then is done.
    BlockThread(Duration),
}

impl Step {
    /// The step itself, when it was put off.
    pub fn at_last(&self) -> &Self {
        match self {
            Self::After(_, step) => step.at_last(),
            other => other,
        }
    }
}

/// A handler that follows a script: the n-th call for a ticket at a hop takes the n-th step; when
/// the steps are over, every further call takes the last one of all, which is to be done.
pub struct Script {
    steps: Vec<Step>,
    then: Step,
    own_steps: BTreeMap<TicketId, Vec<Step>>,
    lets_go: LetsGo,
    seen: Mutex<Seen>,
    process: Pool,
    killed: Arc<Notify>,
}

struct Seen {
    version: u32,
    is_repaired: bool,
    calls: BTreeMap<(TicketId, Hop), usize>,
    running: BTreeMap<TicketId, usize>,
    at_once_max: usize,
    doubles: usize,
    wrongs: BTreeSet<Name>,
    on_trial: BTreeMap<Name, bool>,
}

impl Script {
    /// A handler that is always done.
    pub fn done() -> Self {
        Self::steps(Vec::new())
    }

    /// A handler that takes these steps with each ticket.
    pub fn steps(steps: Vec<Step>) -> Self {
        let seen = Seen {
            version: 1,
            is_repaired: false,
            calls: BTreeMap::new(),
            running: BTreeMap::new(),
            at_once_max: 0,
            doubles: 0,
            wrongs: BTreeSet::new(),
            on_trial: BTreeMap::new(),
        };
        Self {
            steps,
            then: Step::Done,
            own_steps: BTreeMap::new(),
            lets_go: LetsGo::WhenDropped,
            seen: Mutex::new(seen),
            process: Pool::default(),
            killed: Arc::default(),
        }
    }

    /// A handler that takes this step every time, until it is repaired.
    pub fn always(step: Step) -> Self {
        Self {
            then: step,
            ..Self::done()
        }
    }

    /// The same handler, which takes other steps with this ticket.
    #[must_use]
    pub fn with(mut self, ticket: TicketId, steps: Vec<Step>) -> Self {
        self.own_steps.insert(ticket, steps);
        self
    }

    /// The same handler, which tells this when it kills its worker.
    #[must_use]
    pub fn that_kills(self, killed: &Arc<Notify>) -> Self {
        Self {
            killed: Arc::clone(killed),
            ..self
        }
    }

    /// The same handler, which listens to the stop signal instead of being dropped.
    #[must_use]
    pub fn that_listens(self) -> Self {
        Self {
            lets_go: LetsGo::WhenStopped,
            ..self
        }
    }

    /// Deploys a new version, which is always done.
    pub fn repair(&self) {
        let mut seen = self.seen();
        seen.version += 1;
        seen.is_repaired = true;
    }

    /// How often it was called.
    pub fn calls(&self) -> usize {
        self.seen().calls.values().sum()
    }

    /// How often it was called for this ticket, at any hop.
    pub fn calls_for(&self, ticket: TicketId) -> usize {
        let seen = self.seen();
        let calls = seen.calls.iter().filter(|((id, _), _)| *id == ticket);
        calls.map(|(_, count)| count).sum()
    }

    /// How many attempts ran at once at most.
    pub fn at_once_max(&self) -> usize {
        self.seen().at_once_max
    }

    /// How often a ticket was given to it while it still had it.
    pub fn doubles(&self) -> usize {
        self.seen().doubles
    }

    /// The attempts that went wrong here, whatever was made of that. Without those that could not
    /// be started: one report tells it for all of them.
    pub fn wrongs(&self) -> BTreeSet<Name> {
        self.seen().wrongs.clone()
    }

    /// The attempts that it was given, and whether it was told that they are on trial.
    pub fn on_trial(&self) -> BTreeMap<Name, bool> {
        self.seen().on_trial.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the call and says what to do.
    fn begin(&self, ticket: &Ticket, context: &Context) -> Step {
        let mut seen = self.seen();
        seen.on_trial.insert(ticket.name, context.alone);
        let hop = (ticket.id(), ticket.name.hop);
        let calls = seen.calls.entry(hop).or_default();
        let call = *calls;
        *calls += 1;
        let running = seen.running.entry(ticket.id()).or_default();
        *running += 1;
        let is_double = *running > 1;
        seen.doubles += usize::from(is_double);
        seen.at_once_max = seen.at_once_max.max(seen.running.values().sum());
        if seen.is_repaired {
            return Step::Done;
        }
        let steps = self.own_steps.get(&ticket.id()).unwrap_or(&self.steps);
        steps.get(call).unwrap_or(&self.then).clone()
    }
}

/// Notes the end of a call, also when it is dropped or panics.
struct Call<'a> {
    script: &'a Script,
    name: Name,
    went_wrong: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut seen = self.script.seen();
        if self.went_wrong || std::thread::panicking() {
            seen.wrongs.insert(self.name);
        }
        if let Some(running) = seen.running.get_mut(&self.name.ticket) {
            *running -= 1;
            if *running == 0 {
                seen.running.remove(&self.name.ticket);
            }
        }
    }
}

#[async_trait]
impl Handler for Script {
    async fn handle(&self, ticket: Arc<Ticket>, context: Context) -> Attempted {
        let step = self.begin(&ticket, &context);
        let mut call = Call {
            script: self,
            name: ticket.name,
            went_wrong: false,
        };
        let outcome = self.play(step, &context).await;
        let is_unstartable = matches!(outcome, Outcome::Unstartable(_));
        call.went_wrong = outcome.kind().went_wrong() && !is_unstartable;
        outcome.into()
    }

    fn inspect(&self) -> Inspection {
        let seen = self.seen();
        let is_broken = !seen.is_repaired
            && (self.then == Step::Unstartable || self.steps.contains(&Step::Unstartable));
        Inspection {
            version: Version::new(&seen.version.to_string()).expect("a number is a plain name"),
            obstacle: is_broken.then(|| "the script says so".into()),
        }
    }

    fn lets_go(&self) -> LetsGo {
        self.lets_go
    }
}

impl Script {
    /// Plays the step in the process that the attempt has, until that dies.
    async fn play(&self, step: Step, context: &Context) -> Outcome {
        if context.alone {
            return self.act(step, context, &Pool::default()).await;
        }
        let seat = self.process.enter();
        tokio::select! {
            biased;
            beside = seat.died() => died(beside),
            outcome = self.act(step, context, &self.process) => outcome,
        }
    }

    async fn act(&self, step: Step, context: &Context, process: &Pool) -> Outcome {
        let mut step = step;
        while let Step::After(length, then) = step {
            tokio::time::sleep(length).await;
            step = *then;
        }
        let failure = |error_type: &str| Failure::new(error_type, "the script says so");
        match step {
            Step::Done | Step::After(..) => Outcome::done(),
            Step::DoneWith(done) => Outcome::Done(done),
            Step::Fail => Outcome::Failed(failure("Scripted")),
            Step::Reject => Outcome::Rejected(failure("Scripted")),
            Step::Crash => Outcome::Crashed(failure("Signal")),
            Step::KillProcess => died(process.kill()),
            Step::KillWorker => {
                self.killed.notify_one();
                std::future::pending().await
            }
            Step::NotNow(after) => Outcome::NotNow { after },
            Step::Pending(until) => Outcome::Pending(Pending {
                until,
                start_within: None,
            }),
            Step::Unstartable => Outcome::Unstartable(failure("NoSuchFile")),
            Step::Panic => panic!("the script says so"),
            Step::Hang => stopped(context).await,
            Step::Deaf => std::future::pending().await,
            Step::BlockThread(length) => {
                std::thread::sleep(length);
                Outcome::done()
            }
        }
    }
}

fn died(beside: u32) -> Outcome {
    let failure = Failure::new("Signal", "the script says so");
    Outcome::ProcessDied { failure, beside }
}

async fn stopped(context: &Context) -> Outcome {
    use domain::ports::StopReason;
    match context.stop.stopped().await {
        StopReason::Deadline => {
            Outcome::TimedOut(Failure::new("DeadlineExceeded", "it was asked to stop"))
        }
        StopReason::Drain | StopReason::Cancelled => Outcome::Abandoned,
    }
}
