//! A crew of plain tasks: consumes, works, reports, settles, releases, judges. Nothing clever.

use domain::control::{Change, Hold};
use domain::delivery::Disposition;
use domain::delivery::{
    Decision, Delivery, Incoming, Performed, Received, Settlement, Start, Suspected, Unreported,
};
use domain::event::{Event, SettledAs};
use domain::names::StageName;
use domain::oops::Scene;
use domain::outcome::{Attempted, Failure, Outcome};
use domain::ports::{
    Broker, Consumer, Context, Desk, Handler, NotStarted, Reporter, Settled, StopReason,
    StopSignal, StoreError, Unsettled, Waits,
};
use domain::time::Timestamp;
use domain::verdict::judge;
use futures_util::FutureExt;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use testkit::simulation::{Berth, Crew, Life};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

const AGAIN: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_secs(1);
const ROUND_MAX: NonZeroUsize = NonZeroUsize::new(100).expect("it was configured");

/// What the understudy can be made to do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Runs a suspect as if it were fresh: gives it up and lets the next delivery decide.
    DropsFailures,
    /// Settles a failure as done.
    CallsFailuresDone,
    /// Judges suspects without reporting them.
    BuriesTheDead,
    /// Never looks at suspects.
    IgnoresSuspects,
    /// Never releases what waits.
    ForgetsTheWaiting,
    /// Does not say that an attempt began.
    StartsInSilence,
    /// Starts the handler before the record is durable.
    RunsBeforeTheRecord,
    /// Charges everybody who was in a process that died.
    ChargesBystanders,
    /// Runs whoever is on trial with the others.
    TriesInCompany,
}

impl Flaw {
    pub(crate) const ALL: [Self; 9] = [
        Self::DropsFailures,
        Self::CallsFailuresDone,
        Self::BuriesTheDead,
        Self::IgnoresSuspects,
        Self::ForgetsTheWaiting,
        Self::StartsInSilence,
        Self::RunsBeforeTheRecord,
        Self::ChargesBystanders,
        Self::TriesInCompany,
    ];
}

pub(crate) struct Understudy {
    flaw: Option<Flaw>,
}

impl Understudy {
    pub(crate) const fn flawless() -> Self {
        Self { flaw: None }
    }

    pub(crate) const fn with(flaw: Flaw) -> Self {
        Self { flaw: Some(flaw) }
    }
}

impl Crew for Understudy {
    fn live(&self, berth: Berth, life: Life<'_>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("it was configured");
        let local = LocalSet::new();
        let part = Rc::new(Part {
            berth,
            flaw: self.flaw,
        });
        local.block_on(&runtime, async {
            let mut tasks = JoinSet::new();
            for (stage, rules) in part.stages() {
                for _ in 0..rules {
                    tasks.spawn_local(Rc::clone(&part).work_at(stage.clone()));
                }
            }
            tasks.spawn_local(Rc::clone(&part).control());
            tasks.spawn_local(Rc::clone(&part).look_after_holds());
            life.await;
        });
    }
}

struct Part {
    berth: Berth,
    flaw: Option<Flaw>,
}

/// Nobody stops anything here.
struct Never;

#[async_trait::async_trait]
impl StopSignal for Never {
    async fn stopped(&self) -> StopReason {
        std::future::pending().await
    }
}

impl Part {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    fn stages(&self) -> Vec<(StageName, usize)> {
        let stages = self.berth.flows.stages();
        stages
            .iter()
            .map(|rules| (rules.name.clone(), rules.concurrency.get()))
            .collect()
    }

    fn now(&self) -> Timestamp {
        self.berth.clock.now()
    }

    fn tell(&self, event: &Event) {
        self.berth.observer.observe(self.now(), event);
    }

    fn scene(&self, stage: &StageName) -> Scene {
        Scene {
            holder: self.berth.holder.clone(),
            hostname: "understudy".into(),
            version: self.berth.scripts[stage].inspect().version,
        }
    }

    async fn work_at(self: Rc<Self>, stage: StageName) {
        loop {
            if let Ok(mut consumer) = self.berth.ports.consume(&stage, NonZeroUsize::MIN).await {
                self.consume(&mut *consumer).await;
            }
            sleep(AGAIN).await;
        }
    }

    async fn consume(&self, consumer: &mut dyn Consumer) {
        while let Ok(group) = consumer.next(NonZeroUsize::MIN).await {
            for incoming in group {
                match incoming {
                    Incoming::Fresh(delivery) => self.attempt(delivery).await,
                    Incoming::Suspect(delivery) => self.doubt(delivery).await,
                    Incoming::Unreadable(delivery) => {
                        let start = self.start_now(&delivery.ticket().stage.clone());
                        self.finish(delivery.rejected(start)).await;
                    }
                }
            }
        }
    }

    fn start_now(&self, stage: &StageName) -> Start {
        Start {
            scene: Arc::new(self.scene(stage)),
            at: self.now(),
        }
    }

    async fn doubt(&self, delivery: Delivery<Suspected>) {
        if self.has(Flaw::IgnoresSuspects) {
            return sleep(AGAIN).await;
        }
        self.settle(delivery.doubt(self.now())).await;
    }

    async fn attempt(&self, delivery: Delivery<Received>) {
        let ticket = Arc::clone(delivery.ticket());
        let start = self.start_now(&ticket.stage);
        if self.has(Flaw::RunsBeforeTheRecord) {
            self.tell_started(&delivery);
        }
        let started = match self.berth.ports.start(vec![delivery], &start).await {
            Ok(mut started) => match started.pop() {
                Some(started) => started,
                None => return,
            },
            Err(NotStarted { deliveries, .. }) => {
                drop(deliveries);
                return sleep(AGAIN).await;
            }
        };
        if !self.has(Flaw::StartsInSilence) && !self.has(Flaw::RunsBeforeTheRecord) {
            self.tell(&Event::AttemptStarted {
                name: ticket.name,
                stage: ticket.stage.clone(),
                waited: None,
            });
        }
        let attempted = self.perform(&ticket, started.is_alone()).await;
        let performed = started.performed(attempted, self.now());
        self.tell(&Event::AttemptEnded {
            name: ticket.name,
            stage: ticket.stage.clone(),
            outcome: performed.outcome().kind(),
            took: Duration::ZERO,
        });
        self.finish(performed).await;
    }

    fn tell_started(&self, delivery: &Delivery<Received>) {
        self.tell(&Event::AttemptStarted {
            name: delivery.ticket().name,
            stage: delivery.ticket().stage.clone(),
            waited: None,
        });
    }

    async fn perform(&self, ticket: &Arc<domain::ticket::Ticket>, alone: bool) -> Attempted {
        let rules = self
            .berth
            .flows
            .stage(&ticket.stage)
            .expect("it was configured");
        let context = Context {
            alone: alone && !self.has(Flaw::TriesInCompany),
            deadline: self.now().plus(rules.deadline),
            grace: rules.grace,
            stop: Arc::new(Never),
        };
        let script = &self.berth.scripts[&ticket.stage];
        let work = script.handle(Arc::clone(ticket), context);
        let work = AssertUnwindSafe(work).catch_unwind();
        let failure = |word: &str| Failure::new(word, "seen by the understudy");
        let mut attempted = match timeout(rules.deadline, work).await {
            Err(_) => Outcome::TimedOut(failure("Deadline")).into(),
            Ok(Err(_)) => Outcome::Crashed(failure("Panic")).into(),
            Ok(Ok(attempted)) => attempted,
        };
        if self.has(Flaw::CallsFailuresDone) && attempted.outcome.kind().went_wrong() {
            attempted.outcome = Outcome::done();
        }
        attempted
    }

    async fn finish(&self, performed: Delivery<Performed>) {
        if self.has(Flaw::DropsFailures) && performed.outcome().kind().went_wrong() {
            return drop(performed);
        }
        let mut performed = performed;
        let reported = loop {
            match performed.report(&self.berth.ports).await {
                Ok(reported) => break reported,
                Err(Unreported { delivery, .. }) => performed = *delivery,
            }
            sleep(AGAIN).await;
        };
        let ticket = Arc::clone(reported.ticket());
        if let Some(oops) = reported.oops() {
            self.tell(&Event::OopsRecorded {
                oops,
                name: ticket.name,
                stage: ticket.stage.clone(),
            });
        }
        if matches!(reported.outcome(), Outcome::Unstartable(_)) {
            self.hold(&ticket.stage).await;
        }
        let fallback = domain::flow::Stage::new(ticket.stage.clone());
        self.settle(reported.decide(&Decision {
            stage: self.berth.flows.stage(&ticket.stage).unwrap_or(&fallback),
            flows: &self.berth.flows,
            now: self.now(),
            chance: self.berth.clock.chance(),
        }))
        .await;
    }

    async fn settle(&self, settlement: Settlement) {
        let name = settlement.ticket().name;
        let stage = settlement.ticket().stage.clone();
        let settled_as = match settlement.disposition() {
            Disposition::Forward(_) => SettledAs::Forwarded,
            Disposition::Finish => SettledAs::Finished,
            Disposition::Wait { wait, .. } => SettledAs::Waiting(wait.condition.reason()),
        };
        let mut group = vec![settlement];
        let settled = loop {
            match self.berth.ports.settle(group).await {
                Ok(settled) => break settled,
                Err(Unsettled { settlements, .. }) => group = settlements,
            }
            sleep(AGAIN).await;
        };
        self.tell(&match settled[0] {
            Settled::Applied => Event::TicketSettled {
                name,
                stage,
                settled: settled_as,
            },
            Settled::Stale => Event::SettlementStale { name, stage },
        });
    }

    async fn hold(&self, stage: &StageName) {
        let hold = Hold {
            since: self.now(),
            reason: "it cannot be started".into(),
            by: "understudy".into(),
            version: Some(self.berth.scripts[stage].inspect().version),
            oops: None,
        };
        let change = Change::Hold(stage.clone(), hold);
        while self.berth.ports.change(change.clone()).await.is_err() {
            sleep(AGAIN).await;
        }
    }

    async fn look_after_holds(self: Rc<Self>) {
        loop {
            sleep(LOOK).await;
            for stage in self.berth.scripts.keys() {
                if self.berth.scripts[stage].inspect().obstacle.is_none() {
                    self.open(stage).await.ok(); // Looked at again in a second.
                }
            }
        }
    }

    async fn open(&self, stage: &StageName) -> Result<(), StoreError> {
        self.berth
            .ports
            .change(Change::Unhold(stage.clone()))
            .await?;
        self.berth.ports.unhold(stage, self.now()).await?;
        Ok(())
    }

    async fn control(self: Rc<Self>) {
        loop {
            let next = self.round().await.ok().flatten();
            let pause = next.map_or(LOOK, |next| next.since(self.now()));
            let pause = pause.clamp(Duration::from_millis(1), LOOK);
            timeout(pause, self.berth.ports.attention()).await.ok();
        }
    }

    async fn round(&self) -> Result<Option<Timestamp>, StoreError> {
        for mut case in self.berth.ports.cases(self.now(), ROUND_MAX).await? {
            if self.has(Flaw::ChargesBystanders) {
                case.company.beside = 0;
            }
            let stage = &case.ticket.stage;
            let decision = Decision {
                stage: self.berth.flows.stage(stage).expect("it was configured"),
                flows: &self.berth.flows,
                now: self.now(),
                chance: self.berth.clock.chance(),
            };
            let Some(judgement) = judge(&case, &self.scene(stage), &decision) else {
                continue;
            };
            let mut oops = None;
            if let Some(report) = judgement.report
                && !self.has(Flaw::BuriesTheDead)
            {
                let recorded = self.berth.ports.record(report).await;
                oops = Some(recorded.map_err(|error| error.0)?);
            }
            self.berth.ports.judge(vec![judgement.verdict]).await?;
            self.tell(&Event::TicketJudged {
                name: case.ticket.name,
                stage: stage.clone(),
                oops,
            });
        }
        if self.has(Flaw::ForgetsTheWaiting) {
            return Ok(None);
        }
        let round = self.berth.ports.release(self.now(), ROUND_MAX).await?;
        if round.released > 0 {
            let count = round.released;
            self.tell(&Event::TicketsReleased { count });
        }
        Ok(round.next)
    }
}
