//! Deaths of processes, and how the tickets that were in them are tried.

use super::Stand;
use super::shop::{PROBE, Shop};
use super::stand::{count, stage};
use domain::books::Place;
use domain::delivery::{Delivery, Started};
use domain::outcome::{Failure, Outcome};
use domain::ports::{Consumer, Round};
use domain::retry::Chance;
use domain::settlement::Decision;
use domain::ticket::{Name, Ticket, TicketId};
use domain::time::Timestamp;
use domain::verdict::{Case, judge};
use domain::wait::{Condition, Reason};
use std::time::Duration;
use tokio::time::timeout;

/// How often attention may be called for what is past.
const CALLS_MAX: usize = 10;

/// A process died, and so many other attempts with it.
pub(super) fn died_beside(beside: u32) -> Outcome {
    Outcome::ProcessDied {
        failure: Failure::new("Signal", "it died of signal 9"),
        beside,
    }
}

impl Stand {
    /// So many new tickets of this stage, at work in one process.
    pub(super) async fn at_work(&self, at: &str, count: usize) -> Vec<Delivery<Started>> {
        let tickets = (0..count).map(|_| self.ticket(at)).collect();
        self.all_started(tickets).await
    }

    /// New tickets of one stage, all at work in one process.
    pub(super) async fn all_started(&self, tickets: Vec<Ticket>) -> Vec<Delivery<Started>> {
        let (at, count) = (tickets[0].stage.clone(), tickets.len());
        self.submit_all(tickets).await;
        let mut consumer = self.consume(at.as_str(), count).await;
        let fresh = self.fresh_ones(&mut *consumer, count).await;
        let started = self.world().broker().start(fresh, &self.start_now()).await;
        started.expect("the started records are durable")
    }

    /// Their process dies.
    pub(super) async fn die(&mut self, started: Vec<Delivery<Started>>) -> Vec<Name> {
        let names = started.iter().map(|it| it.ticket().name).collect();
        self.crash().await;
        drop(started);
        names
    }

    pub(super) async fn suspects(&self, max: usize) -> Vec<Case> {
        let cases = self.world().waits().cases(self.now(), count(max)).await;
        cases.expect("the waits can be read")
    }

    /// The only case there is.
    pub(super) async fn case(&self) -> Case {
        let mut cases = self.suspects(10).await;
        assert_eq!(cases.len(), 1, "{cases:?}");
        cases.remove(0)
    }

    /// Judges a case as the controller does: first the report, then the verdict.
    pub(super) async fn pass_judgement(&self, case: &Case) {
        let rules = self.flows().stage(&case.ticket.stage);
        let decision = Decision {
            stage: rules.expect("the stage is configured"),
            flows: self.flows(),
            now: self.now(),
            chance: Chance::new(0.5),
        };
        let judgement = judge(case, &Self::scene(), &decision);
        let judgement = judgement.expect("it is the controller's to judge");
        if let Some(report) = judgement.report {
            let recorded = self.world().oopses().record(report).await;
            recorded.expect("the report is durable");
        }
        let judged = self.world().waits().judge(vec![judgement.verdict]).await;
        judged.expect("the verdict is carried out");
    }

    /// So many attempts die in one process and are judged; each then waits to be tried.
    pub(super) async fn bereaved(&mut self, at: &str, count: usize) -> Vec<Name> {
        let started = self.at_work(at, count).await;
        let names = self.die(started).await;
        self.judge_all().await;
        for name in &names {
            self.waits_as(name.ticket, Reason::Trial).await;
        }
        names
    }

    pub(super) async fn judge_all(&self) {
        for case in self.suspects(100).await {
            self.pass_judgement(&case).await;
        }
    }

    /// One round of the controller.
    pub(super) async fn round(&self) -> Round {
        let round = self.world().waits().release(self.now(), count(100)).await;
        round.expect("the waits can be released")
    }

    /// Rounds of the controller, after which one delivery of the stage can be had and no other.
    pub(super) async fn next_one(&self, at: &str) -> Delivery<Started> {
        self.round().await;
        self.round().await;
        let mut consumer = self.consume(at, 10).await;
        let delivery = self.fresh(&mut *consumer).await;
        self.nothing(&mut *consumer).await;
        self.start(delivery).await
    }

    /// As [`Stand::next_one`], which must be on trial.
    pub(super) async fn tried(&self, at: &str) -> Delivery<Started> {
        let started = self.next_one(at).await;
        assert!(started.is_alone(), "it is on trial");
        started
    }

    /// Nothing of the stage can be had, also after a round.
    pub(super) async fn nobody_is_tried(&self, at: &str) {
        self.round().await;
        let mut consumer: Box<dyn Consumer> = self.consume(at, 10).await;
        self.nothing(&mut *consumer).await;
    }

    /// Since when it may be tried, if it waits for that.
    pub(super) async fn trial_at(&self, id: TicketId) -> Timestamp {
        match self.condition(id).await {
            Condition::Trial { until } => until,
            other => panic!("expected ticket {id} to wait for its trial, not for {other:?}"),
        }
    }

    /// The back-off of its death is over.
    pub(super) async fn skip_to_trial(&self, id: TicketId) {
        let until = self.trial_at(id).await;
        self.skip(until.since(self.now()));
    }

    /// It is to be tried. Where a journal lies between, its turn may have come by itself.
    pub(super) async fn is_to_be_tried(&self, id: TicketId) {
        match self.place(id).await {
            Place::Waiting(wait) if wait.condition.reason() == Reason::Trial => {}
            Place::Runnable { .. } if self.has_journal() => {}
            other => panic!("expected ticket {id} to wait for its trial, it is {other:?}"),
        }
    }

    pub(super) async fn attempt_of(&self, id: TicketId) -> u32 {
        self.entry(id).await.ticket.name.attempt.0
    }

    /// Attention was called for everything that has happened so far.
    pub(super) async fn has_attended(&self) {
        let waits = self.world().waits();
        for _ in 0..CALLS_MAX {
            let called = timeout(self.world().patience(), waits.attention()).await;
            if called.is_err() {
                return;
            }
        }
    }

    pub(super) async fn is_called(&self) -> bool {
        let waits = self.world().waits();
        let longest = Duration::from_secs(10);
        timeout(longest, waits.attention()).await.is_ok()
    }
}

impl Shop {
    /// A new ticket takes its process with it, alone, until its breaker holds it.
    pub(super) async fn killer(&mut self) -> TicketId {
        let id = self.submit("well", 1).await[0];
        for attempt in 1..=5 {
            self.round().await;
            let taken = self.take(10).await;
            assert_eq!(taken.len(), 1, "attempt {attempt}");
            let broker = self.stand.world().broker();
            let started = broker.start(taken, &self.start_now()).await;
            let started = started.expect("the started record is durable");
            assert_eq!(started[0].is_alone(), attempt > 1);
            self.crash().await;
            drop(started);
            self.stand.judge_all().await;
            if attempt < 5 {
                self.stand.skip_to_trial(id).await;
            }
        }
        self.held(id).await;
        id
    }

    /// The canary's time has come; it is taken and started.
    pub(super) async fn canary(&mut self) -> Delivery<Started> {
        self.stand.skip(PROBE);
        self.stand.next_one(stage("frail").as_str()).await
    }
}
