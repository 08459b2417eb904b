//! Releases what has waited long enough, and judges what only the controller can judge.

use super::{ControllerSetup, STORE_RETRY, announcer};
use crate::kept::keep;
use actix::AsyncContext;
use actix::fut::WrapFuture;
use domain::event::Event;
use domain::flow::Stage;
use domain::ports::StoreError;
use domain::settlement::Decision;
use domain::time::Timestamp;
use domain::verdict::{Case, Judgement, Verdict};
use domain::wait::Condition;
use futures_util::future::join_all;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// The most tickets of one round; a release of many is many rounds, so that settling goes on.
const ROUND_MAX: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// Moves waiting tickets on: by time, by verdict.
pub(crate) struct Waits {
    setup: Arc<ControllerSetup>,
    /// A version was announced.
    announced: Arc<Notify>,
}

impl Waits {
    pub(crate) fn new(setup: Arc<ControllerSetup>) -> Self {
        let announced = Arc::default();
        Self { setup, announced }
    }
}

impl actix::Actor for Waits {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let (setup, announced) = (Arc::clone(&self.setup), Arc::clone(&self.announced));
        let work = keep("release", setup.ears(), async move || {
            run(&setup, &announced).await
        });
        context.spawn(work.into_actor(self));
        let (setup, announced) = (Arc::clone(&self.setup), Arc::clone(&self.announced));
        let work = keep("announce", setup.ears(), async move || {
            announcer::run(&setup, &announced).await
        });
        context.spawn(work.into_actor(self));
    }
}

async fn run(setup: &ControllerSetup, announced: &Notify) -> String {
    loop {
        match round(setup).await {
            Ok(next) => rest(setup, next, announced).await,
            Err(error) => {
                let event = Event::StoreFailed {
                    what: "release",
                    why: error.to_string(),
                };
                setup.observer.observe(setup.clock.now(), &event);
                sleep(STORE_RETRY).await;
            }
        }
    }
}

/// Waits for the next end of a wait, or for something new.
async fn rest(setup: &ControllerSetup, next: Option<Timestamp>, announced: &Notify) {
    let until_next = async {
        match next {
            // A millisecond more, so that a timer that is early does not turn into a spin.
            Some(next) => sleep(next.since(setup.clock.now()) + Duration::from_millis(1)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = setup.waits.attention() => {}
        () = announced.notified() => {}
        () = until_next => {}
    }
}

/// One round over everything that is due; returns when the next wait ends by time.
async fn round(setup: &ControllerSetup) -> Result<Option<Timestamp>, StoreError> {
    // Releases first: they need nothing but the books, and must not hang on the reports.
    let next = release(setup).await?;
    while judge_cases(setup).await? == ROUND_MAX.get() {}
    // What was judged may be due already, or be the next.
    let after = setup.waits.release(setup.clock.now(), ROUND_MAX).await?;
    observe_released(setup, after.released);
    Ok(after.next.or(next))
}

async fn release(setup: &ControllerSetup) -> Result<Option<Timestamp>, StoreError> {
    loop {
        let round = setup.waits.release(setup.clock.now(), ROUND_MAX).await?;
        observe_released(setup, round.released);
        if round.released < ROUND_MAX.get() as u64 {
            return Ok(round.next);
        }
    }
}

fn observe_released(setup: &ControllerSetup, count: u64) {
    if count > 0 {
        let event = Event::TicketsReleased { count };
        setup.observer.observe(setup.clock.now(), &event);
    }
}

/// Judges what can be judged; a case whose report cannot be made durable stays for the next round
/// and keeps no other back.
async fn judge_cases(setup: &ControllerSetup) -> Result<usize, StoreError> {
    let cases = setup.waits.cases(setup.clock.now(), ROUND_MAX).await?;
    let judgements = cases
        .iter()
        .filter_map(|case| decide(setup, case).map(|judgement| (case, judgement)));
    // At once, so that they share the flush of the disk.
    let reports = judgements.map(|(case, judgement)| report(setup, case, judgement));
    let (mut verdicts, mut failure) = (Vec::with_capacity(cases.len()), None);
    for reported in join_all(reports).await {
        match reported {
            Ok(verdict) => verdicts.push(verdict),
            Err(error) => failure = Some(error),
        }
    }
    let judged = setup.waits.judge(verdicts).await?;
    match failure {
        Some(error) => Err(error),
        // A case that nothing could be done about must not make this spin.
        None => Ok(if judged == 0 { 0 } else { cases.len() }),
    }
}

fn decide(setup: &ControllerSetup, case: &Case) -> Option<Judgement> {
    let stage = &case.ticket.stage;
    // A stage that is not configured any more keeps the default rules for its last tickets.
    let fallback = Stage::new(stage.clone());
    let decision = Decision {
        stage: setup.flows.stage(stage).unwrap_or(&fallback),
        flows: &setup.flows,
        now: setup.clock.now(),
        chance: setup.clock.chance(),
    };
    let holder = match &case.wait.condition {
        Condition::Suspect { holder, .. } => holder,
        _ => &setup.holder,
    };
    let scene = setup.scene(holder, case)?;
    let judgement = domain::verdict::judge(case, &scene, &decision)?;
    Some(match (setup.deaths)(holder) {
        Some(obituary) if is_suspect(case) => judgement.told_by(&obituary),
        _ => judgement,
    })
}

fn is_suspect(case: &Case) -> bool {
    matches!(case.wait.condition, Condition::Suspect { .. })
}

/// Makes the report durable before the verdict counts.
async fn report(
    setup: &ControllerSetup,
    case: &Case,
    judgement: Judgement,
) -> Result<Verdict, StoreError> {
    let mut oops = None;
    if let Some(report) = judgement.report {
        oops = Some(setup.oopses.record(report).await.map_err(|error| error.0)?);
    }
    let event = Event::TicketJudged {
        name: case.ticket.name,
        stage: case.ticket.stage.clone(),
        oops,
    };
    setup.observer.observe(setup.clock.now(), &event);
    Ok(judgement.verdict)
}
