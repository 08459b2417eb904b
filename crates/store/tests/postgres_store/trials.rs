//! Trials on a real PostgreSQL: whose turn it is, and what keeps the others waiting.

use crate::repair::{PROBE, SIGNATURE};
use crate::support::{
    Bench, MANY, bench, doubt_stranded, due, flows, holder, next, publish, scene, stage,
};
use domain::books::Place;
use domain::breaker::Scope;
use domain::delivery::Decision;
use domain::outcome::OutcomeKind;
use domain::ports::{Catalog, Desk, Due, Election, Ledger, Plans, Sent};
use domain::record::{Arrived, Fate, Record, Said};
use domain::retry::Chance;
use domain::signature::SignatureId;
use domain::ticket::Ticket;
use domain::time::Timestamp;
use domain::trial::Company;
use domain::verdict::{Case, Judgement, judge};
use domain::wait::{Condition, Reason, Wait};
use std::sync::Arc;
use std::time::Duration;
use store::Postgres;
use tokio::time::timeout;

pub(crate) const DEAD: &str = "worker/1";

pub(crate) type Books = Arc<dyn Ledger>;

pub(crate) const fn beside(beside: u32) -> Company {
    let alone = false;
    Company { beside, alone }
}

impl Bench {
    /// So many tickets of the stage, at work in one process.
    pub(crate) async fn at_work(
        &self,
        (store, ledger): (&Postgres, &Books),
        at: &str,
        count: usize,
    ) -> Vec<Ticket> {
        let tickets: Vec<Ticket> = (0..count).map(|_| self.ticket(at)).collect();
        store.submit(tickets.clone()).await.unwrap();
        for ticket in &tickets {
            publish(ledger, ticket.name).await;
        }
        let started = tickets.iter().map(|ticket| self.started(DEAD, ticket));
        ledger.apply(started.collect()).await.unwrap();
        tickets
    }

    /// The broker delivers it again.
    pub(crate) fn doubted(&self, ticket: &Ticket) -> Record {
        self.record("worker/2", Said::Suspect(Box::new(ticket.clone())))
    }

    pub(crate) fn judgement(&self, case: &Case) -> Judgement {
        let flows = flows();
        let decision = Decision {
            stage: flows.stage(&case.ticket.stage).unwrap(),
            flows: &flows,
            now: self.now(),
            chance: Chance::new(0.5),
        };
        judge(case, &scene(DEAD), &decision).unwrap()
    }

    pub(crate) async fn judge(&self, ledger: &Books, case: &Case) {
        let verdict = self.judgement(case).verdict;
        assert_eq!(ledger.judge(vec![verdict]).await.unwrap(), 1);
    }

    /// So many die in one process and are judged; each waits for its trial.
    pub(crate) async fn bereaved(&self, at: (&Postgres, &Books), count: usize) -> Vec<Ticket> {
        let tickets = self.at_work(at, "build", count).await;
        let (_, ledger) = at;
        let suspects = tickets.iter().map(|ticket| self.doubted(ticket));
        ledger.apply(suspects.collect()).await.unwrap();
        ledger.bury(&holder(DEAD), self.now()).await.unwrap();
        for case in cases(ledger, self.now()).await {
            self.judge(ledger, &case).await;
        }
        tickets
    }

    /// An attempt at a ticket of `frail` took its process along; nobody else was in it.
    fn died(&self, ticket: &Ticket, to: Condition, signature: Option<SignatureId>) -> Record {
        let arrived = Arrived {
            ticket: ticket.clone(),
            name: ticket.name.charged(),
            wait: Wait {
                condition: to,
                since: self.now(),
                because: "attempt 1 crashed".into(),
                oops: None,
            },
        };
        let to = Fate::Waits(Box::new(arrived));
        let mut record = self.ended(DEAD, ticket, OutcomeKind::Crashed, to);
        if let Said::Ended(parted) = &mut record.said
            && let Some(ended) = &mut parted.ended
        {
            ended.signature = signature;
        }
        record
    }
}

pub(crate) async fn cases(ledger: &Books, now: Timestamp) -> Vec<Case> {
    ledger.cases(now, MANY).await.unwrap()
}

async fn only(ledger: &Books, now: Timestamp) -> Due {
    let mut found = due(ledger, now).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

async fn reason(store: &Postgres, ticket: &Ticket) -> Option<Reason> {
    match store.ticket(ticket.id()).await.unwrap().unwrap().place {
        Place::Waiting(wait) => Some(wait.condition.reason()),
        _ => None,
    }
}

#[tokio::test]
async fn postgres_of_before_trials_is_brought_up_to_date_with_what_is_in_it() {
    let Some(bench) = bench() else { return };
    bench.sql(&format!(
        "CREATE SCHEMA goaround; SET search_path = goaround; {} {}
         CREATE TABLE meta (one boolean PRIMARY KEY DEFAULT true CHECK (one),
           version bigint NOT NULL); INSERT INTO meta (version) VALUES (2);
         INSERT INTO tickets (id, kind, created_at, root, depth, payload, body_generation, body_hop)
           SELECT gen_random_uuid(), 'ticket', n, gen_random_uuid(), 0, 'x', 1, 0
           FROM generate_series(1, 20) n;
         INSERT INTO places (id, state, stage, generation, hop, attempt, since, reason, until)
           SELECT id, 2, 'frail', 1, 0, 1, seq, 1, seq FROM tickets;
         INSERT INTO counts VALUES ('', 1, 0, 20), ('frail', 21, 0, 20)",
        include_str!("../../src/postgres/migrations/0001.sql"),
        include_str!("../../src/postgres/migrations/0002.sql"),
    ));
    let (store, ledger) = bench.leading().await;
    let found = due(&ledger, bench.now()).await;
    assert_eq!(found.len(), 20);
    assert!(found.iter().all(|due| !due.alone));
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_one_at_a_time_is_tried_and_the_next_when_that_has_ended() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = bench.bereaved((&store, &ledger), 3).await;
    for left in (0..3).rev() {
        let dues = ledger.due(bench.now(), MANY).await.unwrap();
        assert_eq!((dues.due.len(), dues.next), (1, None));
        let tried = dues.due[0].clone();
        assert!(tried.alone && tried.barrier.is_some());
        let name = tried.ticket.name;
        ledger.sent(vec![(name, Sent::Begun)]).await.unwrap();
        let at_sea = ledger.due(bench.now(), MANY).await.unwrap();
        assert_eq!((at_sea.due, at_sea.next), (Vec::new(), None));
        ledger.sent(vec![(name, Sent::Confirmed)]).await.unwrap();
        let group = vec![
            bench.started("worker/3", &tried.ticket),
            bench.finished("worker/3", &tried.ticket),
        ];
        ledger.apply(group).await.unwrap();
        let waiting = store.balance(None).await.unwrap().waiting;
        assert_eq!(waiting.get(&Reason::Trial).copied().unwrap_or(0), left);
    }
    assert_eq!(tickets.len(), 3);
    assert_eq!(bench.count("places WHERE alone"), 0, "each has landed");
    bench.assert_balanced(&store).await;
}

/// Waits until nothing is new any more.
async fn quiet(store: &Postgres) {
    let short = Duration::from_millis(200);
    while timeout(short, store.attention()).await.is_ok() {}
}

#[tokio::test]
async fn postgres_the_end_of_a_trial_wakes_the_leader_at_once() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.bereaved((&store, &ledger), 4).await;
    for ends in [OutcomeKind::Done, OutcomeKind::Failed] {
        let tried = only(&ledger, bench.now()).await.ticket;
        publish(&ledger, tried.name).await;
        let started = bench.started("worker/3", &tried);
        ledger.apply(vec![started]).await.unwrap();
        quiet(&store).await;
        // Neither by a timer, which would come in five seconds.
        let ended = match ends {
            OutcomeKind::Done => {
                let to = Fate::Forwarded(stage("test"));
                bench.ended("worker/3", &tried, ends, to)
            }
            _ => bench.failed("worker/3", &tried),
        };
        ledger.apply(vec![ended]).await.unwrap();
        let woken = timeout(Duration::from_secs(1), store.attention()).await;
        assert!(woken.is_ok(), "{ends}");
    }
    // Whoever is not on trial goes on without a word.
    let other = bench.published(&store, &ledger).await;
    quiet(&store).await;
    let group = vec![
        bench.started("worker/3", &other),
        bench.finished("worker/3", &other),
    ];
    ledger.apply(group).await.unwrap();
    let woken = timeout(Duration::from_millis(200), store.attention()).await;
    assert!(woken.is_err(), "nobody has waited for it");
}

#[tokio::test]
async fn postgres_a_trial_in_doubt_keeps_the_others_waiting() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.bereaved((&store, &ledger), 2).await;
    let tried = only(&ledger, bench.now()).await.ticket;
    ledger.sent(vec![(tried.name, Sent::Begun)]).await.unwrap();
    drop(ledger);
    let ledger = store.lead().await.unwrap();
    assert!(
        due(&ledger, bench.now()).await.is_empty(),
        "it may have landed"
    );
    doubt_stranded((&store, &ledger)).await;
    let again = only(&ledger, bench.now()).await;
    assert_eq!(again.ticket.name, tried.name.renewed());
    assert!(again.alone, "it is on trial still");
    publish(&ledger, again.ticket.name).await;
    // Its process may be alive: nobody else is tried until that is known.
    let group = vec![
        bench.started(DEAD, &again.ticket),
        bench.doubted(&again.ticket),
    ];
    ledger.apply(group).await.unwrap();
    let dues = ledger.due(bench.now(), MANY).await.unwrap();
    assert_eq!((dues.due, dues.next), (Vec::new(), None));
    let case = cases(&ledger, bench.now()).await.remove(0);
    assert!(case.company.alone);
    bench.judge(&ledger, &case).await;
    let other = only(&ledger, bench.now()).await.ticket;
    assert_ne!(other.id(), tried.id(), "it backs off first");
}

#[tokio::test]
async fn postgres_a_damaged_trial_keeps_no_other_back() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.bereaved((&store, &ledger), 3).await;
    let first = only(&ledger, bench.now()).await.ticket;
    bench.sql(&format!(
        "UPDATE tickets SET kind = '' WHERE id = '{}'",
        first.id()
    ));
    let second = only(&ledger, bench.now()).await.ticket;
    assert_ne!(first.id(), second.id());
}

#[tokio::test]
async fn postgres_a_few_of_many_is_more_to_come_and_trials_take_their_place_in_it() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.bereaved((&store, &ledger), 2).await;
    bench.clock.skip(Duration::from_secs(1));
    let one = std::num::NonZeroUsize::MIN;
    let dues = ledger.due(bench.now(), one).await.unwrap();
    assert_eq!((dues.due.len(), dues.next), (1, None));
    let later = vec![bench.ticket("build"), bench.ticket("build")];
    store.submit(later).await.unwrap();
    let now = bench.now();
    let dues = ledger.due(now, one).await.unwrap();
    assert!(dues.due[0].alone, "it has waited longest");
    assert_eq!((dues.due.len(), dues.next), (1, Some(now)));
    assert_eq!(due(&ledger, bench.now()).await.len(), 3);
}

#[tokio::test]
async fn postgres_a_breaker_that_opens_holds_trials_that_were_charged_and_no_others() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = bench.at_work((&store, &ledger), "frail", 6).await;
    let until = bench.now().plus(Duration::from_secs(60));
    let trial = Condition::Trial { until };
    // One that failed so before dies in company: that is the newest word about it.
    let innocent = &tickets[5];
    bench.sql(&format!(
        "UPDATE places SET signature = '{SIGNATURE}' WHERE id = '{}'",
        innocent.id()
    ));
    let group = vec![bench.died(innocent, trial.clone(), None)];
    ledger.apply(group).await.unwrap();
    for ticket in &tickets[..5] {
        let record = bench.died(ticket, trial.clone(), Some(SIGNATURE));
        ledger.apply(vec![record]).await.unwrap();
    }
    for ticket in &tickets[..5] {
        assert_eq!(reason(&store, ticket).await, Some(Reason::Held));
    }
    assert_eq!(reason(&store, innocent).await, Some(Reason::Trial));
    assert_eq!(
        bench.count("places WHERE alone"),
        6,
        "each has its trial before it"
    );
    bench.assert_balanced(&store).await;
    let scope = Scope::Signature(SIGNATURE);
    assert!(store.probe(&stage("frail"), scope).await.unwrap());
    let canary = only(&ledger, bench.now()).await;
    assert!(canary.alone, "a canary is tried alone as well");
    publish(&ledger, canary.ticket.name).await;
    assert!(due(&ledger, until).await.is_empty(), "it is out");
}

#[tokio::test]
async fn postgres_a_canary_that_died_in_company_is_held_again_and_not_charged() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.held((&store, &ledger), 5).await;
    let scope = Scope::Signature(SIGNATURE);
    assert!(store.probe(&stage("frail"), scope).await.unwrap());
    let canary = only(&ledger, bench.now()).await.ticket;
    publish(&ledger, canary.name).await;
    bench.at_work((&store, &ledger), "build", 1).await;
    let started = bench.started_on(DEAD, &canary, "v1");
    let group = vec![started, bench.doubted(&canary)];
    ledger.apply(group).await.unwrap();
    let case = cases(&ledger, bench.now()).await.remove(0);
    assert_eq!(case.company, beside(1));
    bench.judge(&ledger, &case).await;
    let known = store.ticket(canary.id()).await.unwrap().unwrap();
    assert_eq!(known.ticket.name, canary.name.renewed());
    assert_eq!(reason(&store, &canary).await, Some(Reason::Held));
    assert_eq!(bench.count("places WHERE alone"), 1, "so it is tried alone");
    assert!(due(&ledger, bench.now()).await.is_empty());
    bench.clock.skip(PROBE);
    only(&ledger, bench.now()).await;
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_whoever_comes_to_the_next_stage_is_not_on_trial() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.bereaved((&store, &ledger), 1).await;
    bench.clock.skip(Duration::from_secs(2));
    let tried = only(&ledger, bench.now()).await.ticket;
    publish(&ledger, tried.name).await;
    let started = bench.started("worker/3", &tried);
    ledger.apply(vec![started]).await.unwrap();
    assert_eq!(bench.count("places WHERE alone"), 1);
    // Its word from there comes before the last one from here.
    let handed_on = bench.started("worker/4", &next(&tried, "test"));
    ledger.apply(vec![handed_on]).await.unwrap();
    assert_eq!(bench.count("places WHERE alone"), 0);
}
