//! The ledger on a real PostgreSQL.

use crate::support;

use crate::support::{bench, doubt_stranded, due, generation, holder, next, stage};
use domain::books::State;
use domain::oops::OopsId;
use domain::outcome::OutcomeKind;
use domain::ports::{Accepted, Catalog, Desk, Election, Reporter, Sent};
use domain::record::{Arrived, Fate, Said};
use domain::ticket::Generation;
use domain::verdict::Verdict;
use domain::wait::{Condition, Reason, Wait};
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test]
async fn postgres_the_same_group_twice_changes_nothing() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let one = bench.published(&store, &ledger).await;
    let two = bench.published(&store, &ledger).await;
    let second = next(&one, "test");
    let forward = Fate::Forwarded(stage("test"));
    let group = vec![
        bench.started("worker/1", &one),
        bench.started("worker/1", &two),
        bench.ended("worker/1", &one, OutcomeKind::Done, forward),
        bench.failed("worker/1", &two),
        bench.started("worker/2", &second),
        bench.finished("worker/2", &second),
    ];
    let applied = ledger.apply(group.clone()).await.unwrap();
    assert_eq!((applied.applied, applied.stale), (6, 0));
    let books = "SELECT string_agg(p::text, ';' ORDER BY id) FROM places p";
    let before = (
        bench.sql(books),
        bench.count("history"),
        bench.sql("TABLE counts"),
    );
    let again = ledger.apply(group).await.unwrap();
    assert_eq!((again.applied, again.stale), (0, 6));
    let after = (
        bench.sql(books),
        bench.count("history"),
        bench.sql("TABLE counts"),
    );
    assert_eq!(before, after);
    assert_eq!(bench.count("attempts"), 0, "no attempt is opened again");
    bench.assert_balanced(&store).await;
    let stages = store.stages().await.unwrap();
    let build = stages
        .iter()
        .find(|counts| counts.stage == stage("build"))
        .unwrap();
    assert_eq!((build.done, build.failed), (1, 1));
    assert_eq!(build.waiting[&Reason::Backoff], 1);
}

#[tokio::test]
async fn postgres_a_leader_whose_term_is_over_changes_nothing() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let ticket = bench.published(&store, &ledger).await;
    bench.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_locks
         WHERE locktype = 'advisory' AND granted",
    );
    let other = bench.open("controller/2").await;
    let new = other.lead().await.unwrap();
    let record = bench.finished("worker/1", &ticket);
    let said = ledger
        .apply(vec![record.clone()])
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("term is over"), "{said}");
    assert!(ledger.due(bench.now(), support::MANY).await.is_err());
    assert_eq!(store.balance(None).await.unwrap().done, 0);
    new.apply(vec![record]).await.unwrap();
    assert_eq!(store.balance(None).await.unwrap().done, 1);
}

#[tokio::test]
async fn postgres_a_term_that_was_overtaken_is_told_who_leads() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let ticket = bench.published(&store, &ledger).await;
    bench.sql("UPDATE leader SET term = term + 1, holder = 'controller/9'");
    let record = bench.finished("worker/1", &ticket);
    let said = ledger.apply(vec![record]).await.unwrap_err().to_string();
    assert!(said.contains("controller/9 leads now"), "{said}");
    assert_eq!(store.balance(None).await.unwrap().done, 0);
}

#[tokio::test]
async fn postgres_only_one_of_two_leads_at_a_time() {
    let Some(bench) = bench() else { return };
    let (_store, ledger) = bench.leading().await;
    let other = bench.open("controller/2").await;
    let soon = Duration::from_millis(1_200);
    assert!(tokio::time::timeout(soon, other.lead()).await.is_err());
    drop(ledger);
    let fast = Duration::from_secs(5);
    tokio::time::timeout(fast, other.lead())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn postgres_what_was_being_published_is_in_doubt_for_the_next_leader() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let [ticket, told, damaged] = ["build"; 3].map(|stage| bench.ticket(stage));
    let all = [&ticket, &told, &damaged];
    store.submit(all.map(Clone::clone).to_vec()).await.unwrap();
    let begun = all.map(|ticket| (ticket.name, Sent::Begun));
    ledger.sent(begun.to_vec()).await.unwrap();
    drop(ledger);
    let damage = format!("UPDATE places SET hop = -1 WHERE id = '{}'", damaged.id());
    bench.sql(&damage);
    let ledger = store.lead().await.unwrap();
    let mut stranded = store.stranded().await.unwrap();
    stranded.sort_by_key(|name| name.ticket != ticket.id());
    assert_eq!(stranded, [ticket.name, told.name]);
    assert!(
        due(&ledger, bench.now()).await.is_empty(),
        "nobody knows yet"
    );
    // The journal tells of one.
    let started = bench.started("worker/1", &told);
    ledger.apply(vec![started]).await.unwrap();
    doubt_stranded((&store, &ledger)).await;
    let found = due(&ledger, bench.now()).await;
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(found[0].ticket.name, ticket.name.renewed());
    assert_eq!(found[0].ticket.payload, ticket.payload);
    assert_eq!(found[0].barrier, Some(snapshot.revision));
    assert_eq!(snapshot.fences[&ticket.id()], Generation(2));
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_a_publish_in_doubt_is_never_repeated_under_its_name() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = [
        bench.ticket("build"),
        bench.ticket("build"),
        bench.ticket("build"),
    ];
    store.submit(tickets.to_vec()).await.unwrap();
    let [confirmed, doubtful, unsent] = tickets.map(|ticket| ticket.name);
    let begun = [confirmed, doubtful, unsent].map(|name| (name, Sent::Begun));
    ledger.sent(begun.to_vec()).await.unwrap();
    assert!(due(&ledger, bench.now()).await.is_empty());
    let became = vec![
        (confirmed, Sent::Confirmed),
        (doubtful, Sent::Doubtful),
        (unsent, Sent::Unsent),
    ];
    ledger.sent(became.clone()).await.unwrap();
    ledger.sent(became).await.unwrap();
    let found = due(&ledger, bench.now()).await;
    let mut names: Vec<_> = found
        .iter()
        .map(|due| (due.ticket.name, due.barrier))
        .collect();
    names.sort_by_key(|(name, _)| name.ticket);
    let revision = store.snapshot().await.unwrap().revision;
    let mut expected = vec![(doubtful.renewed(), Some(revision)), (unsent, None)];
    expected.sort_by_key(|(name, _)| name.ticket);
    assert_eq!(names, expected);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_the_first_word_of_a_copy_proves_that_it_was_published() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let ticket = bench.ticket("build");
    store.submit(vec![ticket.clone()]).await.unwrap();
    ledger.sent(vec![(ticket.name, Sent::Begun)]).await.unwrap();
    ledger
        .apply(vec![bench.started("worker/1", &ticket)])
        .await
        .unwrap();
    ledger
        .sent(vec![(ticket.name, Sent::Doubtful)])
        .await
        .unwrap();
    assert_eq!(generation(&store, ticket.id()).await, 1);
    assert_eq!(store.balance(None).await.unwrap().running, 1);
}

#[tokio::test]
async fn postgres_nothing_is_published_that_was_moved_meanwhile() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let tickets = vec![bench.ticket("build"), bench.ticket("build")];
    store.submit(tickets.clone()).await.unwrap();
    ledger
        .sent(vec![(tickets[0].name, Sent::Begun)])
        .await
        .unwrap();
    let both = tickets
        .iter()
        .map(|ticket| (ticket.name, Sent::Begun))
        .collect();
    assert!(ledger.sent(both).await.is_err());
    assert_eq!(due(&ledger, bench.now()).await.len(), 1);
}

#[tokio::test]
async fn postgres_a_suspect_is_judged_behind_a_fence_and_a_barrier() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let ticket = bench.published(&store, &ledger).await;
    ledger
        .apply(vec![bench.started("worker/1", &ticket)])
        .await
        .unwrap();
    let doubt = bench.record("worker/2", Said::Suspect(Box::new(ticket.clone())));
    let applied = ledger.apply(vec![doubt]).await.unwrap();
    assert_eq!(applied.suspects, [ticket.name]);
    let case = ledger
        .cases(bench.now(), support::MANY)
        .await
        .unwrap()
        .remove(0);
    let Condition::Suspect { holder, started_at } = &case.wait.condition else {
        panic!("{case:?}");
    };
    assert_eq!(holder.as_str(), "worker/1");
    assert!(started_at.is_some());
    let verdict = Verdict {
        of: ticket.name,
        name: ticket.name.renewed().charged(),
        wait: Wait {
            condition: Condition::Backoff { until: bench.now() },
            since: bench.now(),
            because: "the process died".into(),
            oops: Some(OopsId::of(&ticket.name)),
        },
        died: None,
    };
    assert_eq!(ledger.judge(vec![verdict.clone()]).await.unwrap(), 1);
    assert_eq!(ledger.judge(vec![verdict]).await.unwrap(), 0);
    let snapshot = store.snapshot().await.unwrap();
    let found = due(&ledger, bench.now()).await;
    assert_eq!(found[0].barrier, Some(snapshot.revision));
    assert_eq!(snapshot.fences[&ticket.id()], Generation(2));
    assert_eq!(bench.count("attempts"), 0);
    let late = vec![
        bench.started("worker/1", &ticket),
        bench.finished("worker/1", &ticket),
    ];
    assert_eq!(ledger.apply(late).await.unwrap().stale, 2);
    assert_eq!(store.balance(None).await.unwrap().done, 0);
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_what_the_dead_had_claimed_is_suspect_and_what_they_left_is_reported() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let (claim, gone) = (bench.ticket("build"), bench.ticket("build"));
    let taken_over = gone.named(gone.name.renewed());
    let arrived = Arrived {
        ticket: gone.clone(),
        name: taken_over.name,
        wait: Wait {
            condition: Condition::NotNow { until: bench.now() },
            since: bench.now(),
            because: "handed back".into(),
            oops: None,
        },
    };
    let group = vec![
        bench.claimed("worker/1", &claim),
        bench.claimed("worker/1", &gone),
        bench.record("worker/2", Said::Arrived(Box::new(arrived))),
    ];
    ledger.apply(group).await.unwrap();
    assert_eq!(store.holders().await.unwrap(), [holder("worker/1")]);
    let reports = ledger.bury(&holder("worker/1"), bench.now()).await.unwrap();
    let names: BTreeSet<_> = reports.iter().map(|report| report.name).collect();
    assert_eq!(
        names,
        BTreeSet::from([claim.name, gone.name]),
        "{reports:?}"
    );
    let again = ledger.bury(&holder("worker/1"), bench.now()).await.unwrap();
    assert_eq!(again.len(), 2, "owed until they are recorded");
    for report in reports {
        store.record(report).await.unwrap();
    }
    assert!(
        ledger
            .bury(&holder("worker/1"), bench.now())
            .await
            .unwrap()
            .is_empty()
    );
    let cases = ledger.cases(bench.now(), support::MANY).await.unwrap();
    assert_eq!(cases[0].ticket, claim);
    assert_eq!(
        bench.count("attempts"),
        1,
        "the claim's, until it is judged"
    );
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_who_died_after_the_hand_off_is_reported_though_nobody_is_left_to_judge() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let ticket = bench.published(&store, &ledger).await;
    let started = bench.started("worker/1", &ticket);
    ledger.apply(vec![started]).await.unwrap();
    let reports = ledger.bury(&holder("worker/1"), bench.now()).await.unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    // The next stage's word comes after the burial: it proves the hand-off, and no verdict follows.
    let handed_on = next(&ticket, "test");
    let started = bench.started("worker/2", &handed_on);
    ledger.apply(vec![started]).await.unwrap();
    let cases = ledger.cases(bench.now(), support::MANY).await.unwrap();
    assert!(cases.is_empty(), "{cases:?}");
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_a_start_that_is_heard_of_after_its_copy_was_handed_back_opens_nothing() {
    for in_one_group in [true, false] {
        let Some(bench) = bench() else { return };
        let (store, ledger) = bench.leading().await;
        let ticket = bench.published(&store, &ledger).await;
        // A process that stopped while its word was on its way: the second overtook the first.
        let group = vec![
            bench.handed_back("worker/1", &ticket),
            bench.started("worker/1", &ticket),
        ];
        if in_one_group {
            ledger.apply(group).await.unwrap();
        } else {
            for record in group {
                ledger.apply(vec![record]).await.unwrap();
            }
        }
        assert_eq!(bench.count("attempts"), 0, "in one group: {in_one_group}");
        let reports = ledger.bury(&holder("worker/1"), bench.now()).await.unwrap();
        assert!(reports.is_empty(), "{reports:?}");
        bench.assert_balanced(&store).await;
    }
}

#[tokio::test]
async fn postgres_a_hand_off_in_doubt_goes_on_behind_a_barrier() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let ticket = bench.published(&store, &ledger).await;
    let mut second = next(&ticket, "test");
    second.payload = domain::ticket::Payload::untyped("changed");
    let doubted = Fate::Doubted(vec![second.clone()]);
    let group = vec![
        bench.started("worker/1", &ticket),
        bench.ended("worker/1", &ticket, OutcomeKind::Done, doubted),
    ];
    let applied = ledger.apply(group).await.unwrap();
    assert!(applied.control);
    let found = due(&ledger, bench.now()).await;
    assert_eq!(found[0].ticket, second.named(second.name.renewed()));
    assert!(found[0].barrier.is_some());
    bench.assert_balanced(&store).await;
}

#[tokio::test]
async fn postgres_tickets_of_strangers_are_counted_when_they_are_first_heard_of() {
    let Some(bench) = bench() else { return };
    let (store, ledger) = bench.leading().await;
    let parent = bench.published(&store, &ledger).await;
    let child = bench.ticket("test");
    let mut ended = bench.finished("worker/1", &parent);
    if let Said::Ended(parted) = &mut ended.said {
        parted.emits.push(child.clone());
    }
    // The child's first word comes before its parent's last.
    let group = vec![bench.started("worker/2", &child), ended];
    ledger.apply(group).await.unwrap();
    let entry = store.ticket(child.id()).await.unwrap().unwrap();
    assert_eq!(entry.ticket, child, "its body came with its parent");
    assert_eq!(entry.place.state(), State::Running);
    assert_eq!(store.balance(None).await.unwrap().accepted, 2);
    assert_eq!(
        store.submit(vec![child.clone()]).await.unwrap(),
        [Accepted::Known(child.id())]
    );
    bench.assert_balanced(&store).await;
}
