//! Trials over the files: many at once cost no more than few, and one death is not taken for
//! another.

use crate::support::{Bench, STAGES, failed, fresh};
use domain::delivery::{Decision, Delivery, Incoming, Started, Suspected};
use domain::outcome::Outcome;
use domain::ports::{Action, Broker, Catalog, Consumer, Desk, Settled, Waits};
use domain::retry::Chance;
use domain::trial::Company;
use domain::verdict::{Case, judge};
use domain::wait::Reason;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

const MANY: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

/// So many attempts at a stage are running.
async fn at_work(bench: &Bench, name: &str, count: usize) -> Vec<Delivery<Started>> {
    let tickets = (0..count).map(|_| bench.ticket(name)).collect();
    bench.store.submit(tickets).await.unwrap();
    let mut consumer = bench.consume(name, count).await;
    bench.start(fresh(&mut *consumer, count).await).await
}

/// So many attempts at a stage have died with their process.
async fn bereaved(bench: &mut Bench, name: &str, count: usize) {
    let started = at_work(bench, name, count).await;
    bench.reopen(&STAGES);
    drop(started);
}

pub(crate) async fn cases(bench: &Bench) -> Vec<Case> {
    bench.store.cases(bench.now(), MANY).await.unwrap()
}

/// As the controller judges, but for the reports.
pub(crate) async fn pass_judgement(bench: &Bench, cases: &[Case]) {
    let scene = bench.start_now().scene;
    let verdicts = cases.iter().map(|case| {
        let decision = Decision {
            stage: bench.flows.stage(&case.ticket.stage).unwrap(),
            flows: &bench.flows,
            now: bench.now(),
            chance: Chance::new(0.5),
        };
        judge(case, &scene, &decision).unwrap().verdict
    });
    let counted = bench.store.judge(verdicts.collect()).await.unwrap();
    assert_eq!(counted, cases.len() as u64);
}

async fn release(bench: &Bench) -> u64 {
    let round = bench.store.release(bench.now(), MANY).await.unwrap();
    round.released
}

/// The next delivery of the stage, started.
async fn next(bench: &Bench, consumer: &mut dyn Consumer) -> Delivery<Started> {
    bench.start(fresh(consumer, 1).await).await.remove(0)
}

async fn end(bench: &Bench, delivery: Delivery<Started>, outcome: Outcome) {
    let settlement = bench.settlement(delivery, outcome).await;
    let settled = bench.store.settle(vec![settlement]).await.unwrap();
    assert_eq!(settled, [Settled::Applied]);
}

pub(crate) async fn trials(bench: &Bench) -> u64 {
    let balance = bench.store.balance(None).await.unwrap();
    balance.waiting.get(&Reason::Trial).copied().unwrap_or(0)
}

fn rows(bench: &Bench, table: &str) -> i64 {
    let db = rusqlite::Connection::open(bench.path.join("books.db")).unwrap();
    let count = format!("SELECT count(*) FROM {table}");
    db.query_row(&count, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_thousand_are_judged_at_once_and_tried_one_at_a_time_in_their_order() {
    const COUNT: usize = 1_000;
    let mut bench = Bench::new();
    bereaved(&mut bench, "build", COUNT).await;
    let began = Instant::now();
    let suspects = cases(&bench).await;
    assert_eq!(suspects.len(), COUNT);
    let (beside, alone) = (999, false);
    let company = Company { beside, alone };
    assert!(suspects.iter().all(|case| case.company == company));
    pass_judgement(&bench, &suspects).await;
    let judged = began.elapsed();
    assert!(judged < Duration::from_secs(10), "it took {judged:?}");
    assert_eq!(rows(&bench, "deaths"), 0);
    let mut consumer = bench.consume("build", 10).await;
    let mut tried = Vec::new();
    for _ in 0..COUNT {
        assert_eq!(release(&bench).await, 1);
        assert_eq!(release(&bench).await, 0, "another one is out");
        let delivery = next(&bench, &mut *consumer).await;
        assert!(delivery.is_alone());
        tried.push(delivery.ticket().id());
        end(&bench, delivery, Outcome::done()).await;
    }
    assert!(tried.is_sorted(), "ids are in the order of submission");
    assert_eq!((rows(&bench, "alone"), release(&bench).await), (0, 0));
    bench.assert_balanced().await;
}

#[tokio::test]
async fn a_death_is_told_from_the_one_before_though_both_have_one_name() {
    let mut bench = Bench::new();
    bereaved(&mut bench, "build", 3).await;
    bereaved(&mut bench, "test", 1).await;
    let company = |beside| Company {
        beside,
        alone: false,
    };
    for case in cases(&bench).await {
        let beside = match case.ticket.stage.as_str() {
            "build" => 2,
            _ => 0,
        };
        assert_eq!(case.company, company(beside));
    }
    let suspects = cases(&bench).await;
    pass_judgement(&bench, &suspects[..2]).await;
    bereaved(&mut bench, "publish", 2).await;
    let left = cases(&bench).await;
    let beside = |name: &str| {
        let of_stage = left.iter().filter(|it| it.ticket.stage.as_str() == name);
        of_stage.map(|it| it.company.beside).collect::<Vec<_>>()
    };
    assert_eq!(beside("build"), [2], "two of three are judged");
    assert_eq!(beside("test"), [0]);
    assert_eq!(beside("publish"), [1, 1]);
}

#[tokio::test]
async fn an_attempt_that_was_let_go_by_a_process_that_lives_has_no_company() {
    let mut bench = Bench::new();
    bereaved(&mut bench, "build", 2).await;
    pass_judgement(&bench, &cases(&bench).await).await;
    release(&bench).await;
    let mut consumer = bench.consume("build", 1).await;
    let on_trial = next(&bench, &mut *consumer).await;
    end(&bench, on_trial, failed()).await;
    bench.clock.skip(Duration::from_secs(60));
    release(&bench).await;
    let mut consumer = bench.consume("build", 1).await;
    let dropped = next(&bench, &mut *consumer).await;
    drop(dropped);
    let suspect = suspect(&mut *consumer).await;
    let doubt = suspect.doubt(bench.now());
    bench.store.settle(vec![doubt]).await.unwrap();
    let cases = cases(&bench).await;
    assert_eq!(cases.len(), 1);
    assert_eq!(cases[0].company.beside, 0);
}

async fn suspect(consumer: &mut dyn Consumer) -> Delivery<Suspected> {
    match consumer.next(NonZeroUsize::MIN).await.unwrap().remove(0) {
        Incoming::Suspect(suspect) => suspect,
        other => panic!("expected a suspect, got {other:?}"),
    }
}

#[tokio::test]
async fn a_settlement_that_is_not_written_ends_no_trial() {
    let mut bench = Bench::new();
    bereaved(&mut bench, "build", 2).await;
    pass_judgement(&bench, &cases(&bench).await).await;
    release(&bench).await;
    let mut consumer = bench.consume("build", 1).await;
    let on_trial = next(&bench, &mut *consumer).await;
    let id = on_trial.ticket().id();
    let landed = bench.settlement(on_trial, Outcome::done()).await;
    bench.store.close();
    let unsettled = bench.store.settle(vec![landed]).await.unwrap_err();
    drop(unsettled);
    bench.reopen(&STAGES);
    let case = cases(&bench).await.remove(0);
    assert_eq!(case.ticket.id(), id);
    assert!(case.company.alone);
}

#[tokio::test]
async fn a_suspect_that_is_given_up_is_reported_and_leaves_nothing_behind() {
    let mut bench = Bench::new();
    bereaved(&mut bench, "build", 3).await;
    let given_up = cases(&bench).await.remove(0).ticket.id();
    bench.order(given_up, Action::Cancel).await;
    let died = cases(&bench).await;
    assert_eq!(died.len(), 3, "its attempt died all the same");
    assert!(died.iter().all(|case| case.company.beside == 2));
    pass_judgement(&bench, &died).await;
    bench.reopen(&STAGES);
    assert_eq!(cases(&bench).await, []);
    assert_eq!((rows(&bench, "deaths"), rows(&bench, "alone")), (0, 2));
    assert_eq!(trials(&bench).await, 2);
}

#[tokio::test]
async fn whoever_is_put_off_on_trial_goes_before_those_that_wait_for_their_turn() {
    let mut bench = Bench::new();
    bereaved(&mut bench, "build", 2).await;
    pass_judgement(&bench, &cases(&bench).await).await;
    release(&bench).await;
    let mut consumer = bench.consume("build", 2).await;
    let on_trial = next(&bench, &mut *consumer).await;
    let id = on_trial.ticket().id();
    bench.clock.skip(Duration::from_secs(1));
    end(&bench, on_trial, Outcome::Abandoned).await;
    assert_eq!(release(&bench).await, 1);
    let again = next(&bench, &mut *consumer).await;
    assert_eq!((again.ticket().id(), again.is_alone()), (id, true));
    assert_eq!(trials(&bench).await, 1);
}

#[tokio::test]
async fn many_that_are_runnable_do_not_hide_which_of_them_is_on_trial() {
    let mut bench = Bench::with(|config| store::Config {
        read_ahead_tickets: 8,
        ..config
    });
    bereaved(&mut bench, "build", 2).await;
    pass_judgement(&bench, &cases(&bench).await).await;
    let tickets = (0..40).map(|_| bench.ticket("build"));
    bench.store.submit(tickets.collect()).await.unwrap();
    release(&bench).await;
    let mut consumer = bench.consume("build", 100).await;
    let started = bench.start(fresh(&mut *consumer, 41).await).await;
    let alone = started.iter().filter(|it| it.is_alone()).count();
    assert_eq!(alone, 1);
    assert!(started.last().is_some_and(Delivery::is_alone));
}
