//! Deaths on a real PostgreSQL: in what company somebody died, whoever asks, and when.

use crate::support::{bench, holder};
use crate::trials::{DEAD, beside, cases};
use domain::ports::{Election, Listing, Oopses, Reporter, Retention, Sort};
use domain::time::Timestamp;
use domain::trial::Company;
use std::time::Duration;

#[tokio::test]
async fn postgres_whoever_is_judged_before_the_burial_had_the_same_company_as_the_last() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = bench.at_work((&store, &ledger), "build", 3).await;
    let claim = bench.ticket("test");
    let claimed = bench.claimed(DEAD, &claim);
    let group = vec![claimed, bench.doubted(&tickets[0])];
    ledger.apply(group).await.unwrap();
    // The controller that judges does not wait for the one that buries.
    let early = cases(&ledger, bench.now()).await;
    assert_eq!(early[0].company, beside(3));
    assert_eq!(bench.count("deaths"), 0, "to ask changes nothing");
    bench.judge(&ledger, &early[0]).await;
    ledger.bury(&holder(DEAD), bench.now()).await.unwrap();
    let others = tickets[1..].iter().map(|ticket| bench.doubted(ticket));
    ledger.apply(others.collect()).await.unwrap();
    drop(ledger);
    let ledger = store.lead().await.unwrap();
    ledger.bury(&holder(DEAD), bench.now()).await.unwrap();
    for left in (1..=3).rev() {
        let left_over = cases(&ledger, bench.now()).await;
        assert_eq!(left_over.len(), left);
        assert!(left_over.iter().all(|case| case.company == beside(3)));
        bench.judge(&ledger, &left_over[0]).await;
    }
    assert_eq!(bench.count("deaths"), 0, "nobody is left to be asked about");
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_a_verdict_that_does_not_count_changes_no_company() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = bench.at_work((&store, &ledger), "build", 2).await;
    let suspects = tickets.iter().map(|ticket| bench.doubted(ticket));
    ledger.apply(suspects.collect()).await.unwrap();
    let found = cases(&ledger, bench.now()).await;
    let verdict = bench.judgement(&found[0]).verdict;
    assert_eq!(ledger.judge(vec![verdict.clone()]).await.unwrap(), 1);
    // Its answer was lost, so it is told again.
    assert_eq!(ledger.judge(vec![verdict]).await.unwrap(), 0);
    assert_eq!(cases(&ledger, bench.now()).await[0].company, beside(1));
}

#[tokio::test]
async fn postgres_the_next_life_of_a_holder_has_its_own_company() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    bench.bereaved((&store, &ledger), 5).await;
    let again = bench.at_work((&store, &ledger), "test", 1).await;
    let suspect = bench.doubted(&again[0]);
    ledger.apply(vec![suspect]).await.unwrap();
    ledger.bury(&holder(DEAD), bench.now()).await.unwrap();
    let found = cases(&ledger, bench.now()).await;
    assert_eq!(found[0].company, Company::default());
}

#[tokio::test]
async fn postgres_a_death_is_forgotten_when_nothing_of_it_is_open() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = bench.at_work((&store, &ledger), "build", 2).await;
    ledger.bury(&holder(DEAD), bench.now()).await.unwrap();
    let retention = Retention {
        before: Timestamp::EPOCH,
        tickets_max: 10,
    };
    bench.clock.skip(Duration::from_secs(7_200));
    ledger.retain(retention).await.unwrap();
    assert_eq!(bench.count("deaths"), 1, "two are still to be judged");
    // It was no death: the journal had stood still, and the worker goes on.
    let group = tickets.iter().map(|it| bench.finished(DEAD, it));
    ledger.apply(group.collect()).await.unwrap();
    ledger.retain(retention).await.unwrap();
    assert_eq!(bench.count("deaths"), 0);
}

#[tokio::test]
async fn postgres_the_burial_reports_what_the_verdict_would() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = bench.at_work((&store, &ledger), "build", 2).await;
    let suspects = tickets.iter().map(|ticket| bench.doubted(ticket));
    ledger.apply(suspects.collect()).await.unwrap();
    let reports = ledger.bury(&holder(DEAD), bench.now()).await.unwrap();
    assert_eq!(reports.len(), 2);
    for case in cases(&ledger, bench.now()).await {
        let told = bench.judgement(&case).report.unwrap();
        let buried = reports.iter().find(|report| report.name == told.name);
        let buried = buried.unwrap();
        assert_eq!(buried.failure.message, told.failure.message);
        assert_eq!(buried.signature(), told.signature());
        assert!(told.failure.message.contains("1 other attempt was in"));
    }
    for report in reports {
        store.record(report).await.unwrap();
    }
    assert!(
        ledger
            .bury(&holder(DEAD), bench.now())
            .await
            .unwrap()
            .is_empty()
    );
    let left = cases(&ledger, bench.now()).await;
    assert!(left.iter().all(|case| case.company == beside(1)));
    assert_eq!(left.len(), 2);
}

#[tokio::test]
async fn postgres_reports_each_death_once_however_the_burial_and_the_verdict_meet() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = bench.at_work((&store, &ledger), "build", 2).await;
    let suspects = tickets.iter().map(|ticket| bench.doubted(ticket));
    ledger.apply(suspects.collect()).await.unwrap();
    let found = cases(&ledger, bench.now()).await;
    let judgement = bench.judgement(&found[0]);
    store.record(judgement.report.unwrap()).await.unwrap();
    for report in ledger.bury(&holder(DEAD), bench.now()).await.unwrap() {
        store.record(report).await.unwrap();
    }
    assert_eq!(
        ledger.judge(vec![judgement.verdict]).await.unwrap(),
        1,
        "who was buried meanwhile is judged all the same"
    );
    let listing = Listing {
        query: "".parse().unwrap(),
        limit: 10,
        sort: Sort::OldestFirst,
        now: bench.now(),
    };
    let reports = Oopses::list(&store, listing).await.unwrap();
    assert_eq!(reports.rows.len(), 2);
}
