//! Lists of tickets: every query is answered as the domain answers it.

use crate::bench::{Bench, Leader};
use crate::support::bench;
use domain::books::Entry;
use domain::names::{FlowName, Holder, Key, Kind, Version};
use domain::ports::{Action, Catalog, Clock, Desk, Listing, Page, Sort};
use domain::ticket::{Payload, Ticket};
use domain::wait::Condition;
use std::sync::Arc;
use std::time::Duration;

const QUERIES: &[&str] = &[
    "",
    "is:runnable",
    "is:running",
    "is:waiting",
    "is:done",
    "is:dropped",
    "is:live",
    "is:ended",
    "is:backoff,parked",
    "is:suspect",
    "is:crashed",
    "-is:ended",
    "stage:build",
    "stage:bu*",
    "stage:build,te*",
    "-stage:build",
    "flow:ci",
    "flow:*",
    "-flow:*",
    "kind:nut",
    "kind:n*",
    "key:rust*",
    "key:\"rust 1.95\"",
    "key:\"rust' OR '1'='1\"",
    "key:\"a\u{0}b\"",
    "key:a\u{0}*",
    "key:*",
    "version:1.2",
    "version:>=1.2",
    "version:<1.2",
    "worker:stand-1",
    "worker:lost-*",
    "worker:lost-7",
    "trace:00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "trace:4bf92f3577b34da6a3ce929d0e0e4736",
    "attempts:>1",
    "attempts:1..1",
    "created:-10s",
    "created:2026-11-21",
    "created:>2026-11-21",
    "since:-5s",
    "since:<2026-11-21T14:03:30Z",
    "rust",
    "work",
    "WORK -is:done",
    "(stage:build is:waiting OR flow:ci -is:waiting)",
    "(stage:build OR key:rust*) -(is:runnable OR is:dropped)",
    "id:0*",
    "by:op*",
    "by:ada",
    "-by:*",
    "parked:-1h",
    "parked:<-10s",
    "-parked:-1h",
    "group:*",
    "group:v1-0f3a9c5e77b2d104",
    "key:~\"^rust \\d\"",
    "kind:nut,~\"^$\"",
    "-key:~\"\\d$\"",
    "data.arch:s390x",
    "-data.arch:*",
];

/// Tickets of every sort, at every place.
async fn filled(bench: &Arc<Bench>) {
    let Leader { store, .. } = bench.leader().await;
    for round in 0..4 {
        let plain = bench.ticket(["build", "test"][round % 2]);
        let keyed = Ticket {
            key: Some(Key::new("rust 1.95").unwrap()),
            kind: Kind::new("nut").unwrap(),
            ..bench.ticket("build")
        };
        let traced = Ticket {
            flow: Some(FlowName::new("ci").unwrap()),
            trace: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            payload: Payload::untyped("rust and gold"),
            ..bench.ticket("build")
        };
        let cancelled = bench.ticket("test");
        let all = vec![
            plain.clone(),
            keyed.clone(),
            traced.clone(),
            cancelled.clone(),
        ];
        store.submit(all).await.unwrap();
        bench.pump().await;
        let order = bench.order(cancelled.id(), Action::Cancel);
        bench.carry_out(vec![order]).await;
        bench.tell(vec![bench.started(&traced)]).await;
        let until = bench.clock.now().plus(Duration::from_secs(60));
        let holder = Holder::new("lost-7").unwrap();
        let condition = [
            Condition::Backoff { until },
            Condition::Parked,
            Condition::Suspect {
                holder,
                started_at: Some(bench.clock.now()),
            },
            Condition::Held {
                version: Some(Version::new("0.9").unwrap()),
            },
        ];
        bench
            .tell(vec![bench.arrived(&keyed, condition[round].clone())])
            .await;
        bench.clock.skip(Duration::from_secs(4));
    }
}

async fn list(bench: &Bench, listing: Listing) -> Page<Entry> {
    bench.leader().await.store.tickets(listing).await.unwrap()
}

#[tokio::test]
async fn postgres_answers_every_query_as_the_domain_does() {
    let Some(bench) = bench() else { return };
    filled(&bench).await;
    let all = list(&bench, bench.listing("")).await.rows;
    assert_eq!(all.len(), 16);
    let mut is_told_apart = 0;
    for query in QUERIES {
        let listing = bench.listing(query);
        let expected: Vec<&Entry> = all
            .iter()
            .filter(|entry| listing.query.matches(*entry, listing.now))
            .collect();
        is_told_apart += usize::from(!expected.is_empty() && expected.len() < all.len());
        let found = list(&bench, listing.clone()).await;
        assert_eq!(found.rows.iter().collect::<Vec<_>>(), expected, "{query}");
        let newest = Listing {
            sort: Sort::NewestFirst,
            ..listing
        };
        let mut found = list(&bench, newest).await.rows;
        found.reverse();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query}");
    }
    assert!(
        is_told_apart > 20,
        "the queries ask for something: {is_told_apart}"
    );
}

#[tokio::test]
async fn postgres_finds_the_few_among_many_and_says_whether_there_is_more() {
    let Some(bench) = bench() else { return };
    let Leader { store, .. } = bench.leader().await;
    let mut wanted = Vec::new();
    for group in 0..3 {
        let mut tickets: Vec<Ticket> = (0..600).map(|_| bench.ticket("build")).collect();
        tickets[599 - group].payload = Payload::untyped("needle");
        wanted.push(tickets[599 - group].id());
        store.submit(tickets).await.unwrap();
    }
    let ids = |page: &Page<Entry>| -> Vec<_> {
        page.rows.iter().map(|entry| entry.ticket.id()).collect()
    };
    for (limit, more) in [(2, true), (3, false), (4, false)] {
        let mut listing = bench.listing("needle stage:build");
        listing.limit = limit;
        let page = list(&bench, listing.clone()).await;
        assert_eq!(ids(&page), wanted[..limit.min(3)]);
        assert_eq!(page.more, more);
        listing.sort = Sort::NewestFirst;
        let page = list(&bench, listing).await;
        let newest: Vec<_> = wanted.iter().rev().take(limit).copied().collect();
        assert_eq!((ids(&page), page.more), (newest, more));
    }
    assert_eq!(store.balance(None).await.unwrap().waiting_total(), 1_800);
    let stages = store.stages().await.unwrap();
    let stages: Vec<_> = stages.iter().map(|counts| counts.stage.as_str()).collect();
    assert_eq!(stages, ["build"]);
}
