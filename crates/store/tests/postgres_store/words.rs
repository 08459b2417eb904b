//! Free text from outside, with characters in it that the server cannot keep: whatever a command
//! prints and a person types, it must not stop the line.

use crate::plans::{made, ordered, waiting};
use crate::support::{Bench, bench, due, scene, stage};
use domain::books::{Fact, Place};
use domain::control::Hold;
use domain::oops::Scene;
use domain::outcome::OutcomeKind;
use domain::plan::Choice;
use domain::ports::{Action, Catalog, Desk, Order, PlanOrder};
use domain::record::{Arrived, Fate, Said, Started};
use domain::ticket::{Ticket, TicketId};
use domain::verdict::Verdict;
use domain::wait::{Condition, Wait};
use std::sync::Arc;
use store::Postgres;

/// What a command that reads a binary file may print.
const PRINTED: &str = "exit 1: a\0b\u{1b}[31m\tc\n\u{7f}d";
/// The same as the books keep it.
const KEPT: &str = "exit 1: a\u{fffd}b\u{1b}[31m\tc\n\u{7f}d";

impl Bench {
    fn waits(&self, condition: Condition) -> Wait {
        Wait {
            condition,
            since: self.now(),
            because: PRINTED.into(),
            oops: None,
        }
    }

    fn parked(&self) -> Wait {
        self.waits(Condition::Parked)
    }
}

async fn because(store: &Postgres, id: TicketId) -> String {
    match store.ticket(id).await.unwrap().unwrap().place {
        Place::Waiting(wait) => wait.because,
        Place::Dropped { reason, by, .. } => format!("{reason} by {by}"),
        other => panic!("expected a wait, it is {other:?}"),
    }
}

async fn notes(store: &Postgres, id: TicketId) -> Vec<String> {
    let history = store.history(id).await.unwrap();
    let why = history.into_iter().filter_map(|line| match line.fact {
        Fact::Noted { why, .. } => Some(why),
        Fact::Attempted { .. } => None,
    });
    why.collect()
}

#[tokio::test]
async fn postgres_a_zero_on_stderr_does_not_stop_the_leader() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let ticket = bench.published(&store, &ledger).await;
    let other = bench.published(&store, &ledger).await;
    let arrived = Arrived {
        ticket: ticket.clone(),
        name: ticket.name.charged(),
        wait: bench.parked(),
    };
    let to = Fate::Waits(Box::new(arrived));
    let group = vec![
        bench.started("worker/1", &ticket),
        bench.started("worker/1", &other),
        bench.ended("worker/1", &ticket, OutcomeKind::Failed, to),
        bench.finished("worker/1", &other),
    ];
    let applied = ledger.apply(group).await.unwrap();
    assert_eq!((applied.applied, applied.stale), (4, 0));
    assert_eq!(because(&store, ticket.id()).await, KEPT);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_a_stranger_with_zeros_in_its_words_comes_in() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let mut ticket: Ticket = bench.ticket("build");
    ticket.payload.content_type = Some(PRINTED.into());
    ticket.trace = Some(PRINTED.into());
    let arrived = Arrived {
        ticket: ticket.clone(),
        name: ticket.name,
        wait: bench.parked(),
    };
    let started = Started {
        name: ticket.name.renewed(),
        stage: ticket.stage.clone(),
        scene: Arc::new(Scene {
            hostname: PRINTED.into(),
            ..(*scene("worker/1")).clone()
        }),
        ticket: None,
        claimed: false,
    };
    let hold = Hold {
        since: bench.now(),
        reason: PRINTED.into(),
        by: PRINTED.into(),
        version: None,
        oops: None,
    };
    let group = [
        Said::Arrived(Box::new(arrived)),
        Said::Started(Box::new(started)),
        Said::Hold(stage("test"), Box::new(hold)),
    ];
    let group = group.map(|said| bench.record("worker/1", said));
    ledger.apply(group.to_vec()).await.unwrap();
    let kept = store.ticket(ticket.id()).await.unwrap().unwrap().ticket;
    assert_eq!(kept.payload.content_type.as_deref(), Some(KEPT));
    assert_eq!(kept.trace.as_deref(), Some(KEPT));
    assert_eq!(bench.sql("SELECT hostname FROM attempts"), KEPT);
    let snapshot = store.snapshot().await.unwrap();
    let hold = &snapshot.holds[&stage("test")];
    assert_eq!((&*hold.reason, &*hold.by), (KEPT, KEPT));
}

#[tokio::test]
async fn postgres_keeps_a_verdict_whatever_its_words() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let ticket = bench.published(&store, &ledger).await;
    let suspect = Said::Suspect(Box::new(ticket.clone()));
    let group = vec![
        bench.started("worker/1", &ticket),
        bench.record("worker/2", suspect),
    ];
    ledger.apply(group).await.unwrap();
    let name = store
        .ticket(ticket.id())
        .await
        .unwrap()
        .unwrap()
        .ticket
        .name;
    let verdict = Verdict {
        of: name,
        name: name.renewed(),
        wait: bench.parked(),
        died: None,
    };
    assert_eq!(ledger.judge(vec![verdict]).await.unwrap(), 1);
    assert_eq!(because(&store, ticket.id()).await, KEPT);
    let told = notes(&store, ticket.id()).await;
    assert!(told.iter().any(|why| why == KEPT), "{told:?}");
}

#[tokio::test]
async fn postgres_gives_up_for_whatever_reason_a_person_types() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let ticket = bench.ticket("build");
    store.submit(vec![ticket.clone()]).await.unwrap();
    let order = Order {
        ticket: ticket.id(),
        action: Action::Drop(PRINTED.into()),
        by: "a\0nn".into(),
        at: bench.now(),
    };
    store.carry_out(vec![order]).await.unwrap();
    let said = format!("{KEPT} by a\u{fffd}nn");
    assert_eq!(because(&store, ticket.id()).await, said);
    waiting(&bench, 3, ("many", 4));
    let plan = made(&store, "is:parked").await;
    let group = "kind=ma\0ny".parse().unwrap();
    let nothing = PlanOrder::Drop(Choice::Group(group), "no use".into());
    let plan = ordered(&store, &plan, nothing).await;
    assert_eq!(plan.counts.dropped, 0);
    let all = PlanOrder::Drop(Choice::Everything, PRINTED.into());
    assert_eq!(ordered(&store, &plan, all).await.counts.dropped, 3);
    assert_eq!(bench.count("places WHERE because LIKE '%a\u{fffd}b%'"), 4);
    assert!(due(&ledger, bench.now()).await.is_empty());
}
